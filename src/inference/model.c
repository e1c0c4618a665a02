/* model.c: reads a model's folder, and checks that its files fit each other. */
#include "inference/model.h"

#include <stdlib.h>

#include "base/mem.h"

static void shorten(uint32_t *length, uint32_t most)
{
    *length = *length < most ? *length : most;
}

/* How sentence-transformers makes a vector of those of the tokens. */
static char *check_pooling(const char *folder)
{
    static const char name[] = "1_Pooling/config.json";
    struct document document = {0};
    if (!document_is_there(folder, name))
        return NULL;
    char *error = document_read(&document, folder, name);
    if (error == NULL && !document_bool(&document.root, "pooling_mode_mean_tokens", true))
        error = document_error(&document, "the mean of the tokens is the only pooling that is supported");
    document_free(&document);
    return error;
}

/* The length that sentence-transformers cuts texts at. */
static char *read_length(struct model *model, const char *folder)
{
    static const char name[] = "sentence_bert_config.json";
    struct document document = {0};
    struct json_value value;
    uint32_t most;
    if (!document_is_there(folder, name))
        return NULL;
    char *error = document_read(&document, folder, name);
    if (error == NULL && document_find(&document.root, "max_seq_length", &value)) {
        if (!document_number(&value, UINT32_MAX, &most) || most < 2)
            error = document_error(&document, "max_seq_length is not a number from 2 on");
        else
            shorten(&model->length, most);
    }
    document_free(&document);
    return error;
}

static char *read_config(struct model *model, const char *folder)
{
    struct document document = {0};
    char *error = document_read(&document, folder, "config.json");
    if (error == NULL)
        error = model_config_read(&model->config, &document);
    if (error == NULL && model->use == MODEL_EMBEDS && model->config.width == 0)
        error = document_error(&document, "hidden_size is missing");
    model->width = model_config_width(&model->config, model->use);
    document_free(&document);
    return error;
}

char *model_read(struct model *model, const char *folder, enum model_use use, uint32_t length)
{
    *model = (struct model){.use = use};
    char *error = read_config(model, folder);
    if (error == NULL)
        error = tokenizer_read(&model->tokenizer, folder);
    if (error != NULL)
        return error;
    const struct model_config *config = &model->config;
    if (model->tokenizer.n_ids > config->vocabulary)
        return mem_printf("%s: the tokenizer has the token %u, but vocab_size in config.json is %u", folder,
                          model->tokenizer.n_ids - 1, config->vocabulary);
    model->length = config->positions;
    shorten(&model->length, model->tokenizer.length);
    if (use == MODEL_EMBEDS)
        error = check_pooling(folder);
    if (error == NULL && use == MODEL_EMBEDS)
        error = read_length(model, folder);
    if (error == NULL && length > config->positions)
        error =
            mem_printf("%s: a text may have no more than %u tokens: max_position_embeddings in config.json",
                       folder, config->positions);
    if (error == NULL && length == 0 && model->length == UINT32_MAX)
        error = mem_printf("%s: no file says how long a text may be: give a length", folder);
    if (length != 0)
        model->length = length;
    return error;
}

void model_free(struct model *model)
{
    model_config_free(&model->config);
    tokenizer_free(&model->tokenizer);
}
