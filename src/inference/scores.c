/* scores.c: softmax, sigmoid, and which labels are the best ones. */
#include "inference/scores.h"

#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"

enum { NUMBER_SIZE = 32, DIGITS = 6, ALL_DIGITS = 9 };

static void make_scores(enum model_scores how, float *numbers, size_t n)
{
    float most = numbers[0], sum = 0;
    for (size_t i = 1; i < n; i++)
        most = numbers[i] > most ? numbers[i] : most;
    for (size_t i = 0; i < n; i++) {
        if (how == MODEL_SIGMOID)
            numbers[i] = 1 / (1 + expf(-numbers[i]));
        else if (how == MODEL_SOFTMAX)
            sum += numbers[i] = expf(numbers[i] - most); /* none is greater than 1 then */
    }
    for (size_t i = 0; how == MODEL_SOFTMAX && i < n; i++)
        numbers[i] /= sum;
}

void scores_write_number(struct json_writer *writer, float number)
{
    char text[NUMBER_SIZE];
    if (!isfinite(number)) {
        json_raw(writer, "null", 4);
        return;
    }
    int len = 0;
    for (int digits = DIGITS; digits <= ALL_DIGITS; digits++) {
        len = snprintf(text, sizeof(text), "%.*g", digits, (double)number);
        if (strtof(text, NULL) == number)
            break;
    }
    json_raw(writer, text, (size_t)len);
}

static void write_label(struct json_writer *writer, const struct model_config *config, size_t i, float score)
{
    json_raw(writer, "{\"label\":", 9);
    json_raw(writer, config->labels[i], strlen(config->labels[i]));
    json_raw(writer, ",\"score\":", 9);
    scores_write_number(writer, score);
    json_char(writer, '}');
}

struct ranked {
    float score;
    uint32_t label;
};

/* The greater score first, and of equal ones the first label. */
static int compare(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;
    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->label < y->label ? -1 : x->label > y->label;
}

void scores_write(struct json_writer *writer, const struct model_config *config, float *numbers, int top_k)
{
    size_t n = config->n_labels, best = 0;
    make_scores(config->scores, numbers, n);
    if (top_k == SCORES_BEST) {
        for (size_t i = 1; i < n; i++)
            best = numbers[i] > numbers[best] ? i : best;
        write_label(writer, config, best, numbers[best]);
        return;
    }
    struct ranked *ranked = mem_alloc(n * sizeof(*ranked));
    for (size_t i = 0; i < n; i++)
        ranked[i] = (struct ranked){numbers[i], (uint32_t)i};
    qsort(ranked, n, sizeof(*ranked), compare);
    json_char(writer, '[');
    for (size_t i = 0; i < n && (top_k == SCORES_ALL || i < (size_t)top_k); i++) {
        if (i > 0)
            json_char(writer, ',');
        write_label(writer, config, ranked[i].label, ranked[i].score);
    }
    json_char(writer, ']');
    free(ranked);
}
