/* model_config.c: labels, sizes, and which function makes scores: as transformers' text-classification
 * pipeline has it. */
#include "inference/model_config.h"

#include <stdlib.h>

#include "base/mem.h"

enum {
    MOST_LABELS = 10000,
    STANDARD_LABELS = 2, /* LABEL_0 and LABEL_1, where there is no id2label */
    MOST_WIDTH = 1 << 16
};

static char *no_labels(struct model_config *config)
{
    config->n_labels = STANDARD_LABELS;
    config->labels = mem_calloc(STANDARD_LABELS, sizeof(char *));
    for (size_t i = 0; i < STANDARD_LABELS; i++)
        config->labels[i] = mem_printf("\"LABEL_%zu\"", i);
    return NULL;
}

/* {"0": "NEGATIVE", "1": "POSITIVE"}, in any order, without a gap. */
static char *read_labels(struct model_config *config, const struct document *document)
{
    struct json_value labels, value;
    struct str name;
    if (!document_find(&document->root, "id2label", &labels))
        return no_labels(config);
    if (labels.kind != JSON_OBJECT)
        return document_error(document, "id2label is not an object");
    struct json_iterator iterator = json_members(labels);
    while (json_next(&iterator, &name, &value))
        config->n_labels++;
    if (config->n_labels == 0 || config->n_labels > MOST_LABELS)
        return document_error(document, "id2label has not 1 to %d labels", MOST_LABELS);
    config->labels = mem_calloc(config->n_labels, sizeof(char *));
    iterator = json_members(labels);
    while (json_next(&iterator, &name, &value)) {
        char *end;
        size_t len;
        char *key = document_string(name, &len);
        unsigned long id = strtoul(key, &end, 10);
        bool is_number = len > 0 && *end == '\0' && *key >= '0' && *key <= '9';
        free(key);
        if (!is_number || id >= config->n_labels || config->labels[id] != NULL)
            return document_error(document, "the keys of id2label are not the numbers from 0 on");
        if (value.kind != JSON_STRING)
            return document_error(document, "a label in id2label is not a text");
        config->labels[id] = mem_strndup(value.text.base, value.text.len);
    }
    return NULL;
}

static char *read_scores(struct model_config *config, const struct document *document)
{
    static const char *const types[] = {"single_label_classification", "multi_label_classification",
                                        "regression"};
    static const enum model_scores scores[] = {MODEL_SOFTMAX, MODEL_SIGMOID, MODEL_PLAIN};
    struct json_value type;
    config->scores = config->n_labels == 1 ? MODEL_SIGMOID : MODEL_SOFTMAX;
    if (!document_find(&document->root, "problem_type", &type))
        return NULL;
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        if (document_is(&type, types[i])) {
            if (scores[i] != MODEL_SOFTMAX || config->n_labels > 1)
                config->scores = scores[i];
            return NULL;
        }
    }
    return document_error(document, "problem_type is not regression, single_label_classification or "
                                    "multi_label_classification");
}

/* A number under the first of these names that is there; missing where none is. */
static char *read_number(const struct document *document, const char *const *names, size_t n,
                         uint32_t missing, uint32_t *number)
{
    struct json_value value;
    *number = missing;
    for (size_t i = 0; i < n; i++) {
        if (document_find(&document->root, names[i], &value)) {
            if (!document_number(&value, UINT32_MAX, number))
                return document_error(document, "%s is not a whole number", names[i]);
            return NULL;
        }
    }
    return NULL;
}

char *model_config_read(struct model_config *config, const struct document *document)
{
    static const char *const width[] = {"hidden_size", "dim"};
    static const char *const vocabulary[] = {"vocab_size"};
    static const char *const positions[] = {"max_position_embeddings"};
    *config = (struct model_config){0};
    char *error = read_labels(config, document);
    if (error == NULL)
        error = read_scores(config, document);
    if (error == NULL)
        error = read_number(document, width, 2, 0, &config->width);
    if (error == NULL && config->width > MOST_WIDTH)
        error = document_error(document, "hidden_size is more than %d", MOST_WIDTH);
    if (error == NULL)
        error = read_number(document, vocabulary, 1, UINT32_MAX, &config->vocabulary);
    if (error == NULL)
        error = read_number(document, positions, 1, UINT32_MAX, &config->positions);
    if (error == NULL && config->positions < 2)
        error = document_error(document, "max_position_embeddings is less than 2");
    return error;
}

uint32_t model_config_width(const struct model_config *config, enum model_use use)
{
    return use == MODEL_EMBEDS ? config->width : (uint32_t)config->n_labels;
}

void model_config_free(struct model_config *config)
{
    for (size_t i = 0; config->labels != NULL && i < config->n_labels; i++)
        free(config->labels[i]);
    free(config->labels);
    *config = (struct model_config){0};
}
