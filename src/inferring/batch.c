/*
 * batch.c: texts of about the same length are run together, which takes less time than one after the other;
 * what fills up the shorter ones is computed, too, so that lengths that differ much are not put together.
 */
#include "inferring/batch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum {
    MOST_TOKENS = 1024, /* of one run: with the longest texts it takes some 30 MB */
    MOST_ROWS = 64,
    CLOSE = 8 /* tokens: lengths that differ by less are alike */
};

/* A text's tokens. */
struct row {
    size_t text; /* its place among the texts */
    uint32_t n;
    uint32_t *ids;
};

static int compare(const void *a, const void *b)
{
    const struct row *x = a, *y = b;
    return x->n < y->n ? -1 : x->n > y->n;
}

/* Makes the rows of those texts that are to be run. Returns how many there are. */
static size_t encode(const struct model *model, const struct batch_text *texts, size_t n, struct row *rows,
                     struct exchange_result *results)
{
    size_t n_rows = 0;
    uint32_t *ids = mem_alloc(model->length * sizeof(*ids));
    for (size_t i = 0; i < n; i++) {
        size_t all;
        size_t len =
            wordpiece_encode(&model->tokenizer.how, texts[i].text, ids, model->length, !texts[i].cuts, &all);
        bool is_refused = all > model->length && !texts[i].cuts;
        results[i] = (struct exchange_result){.tokens = (uint32_t)all, .is_answered = !is_refused};
        if (is_refused)
            continue;
        struct row *row = &rows[n_rows++];
        *row = (struct row){i, (uint32_t)len, mem_alloc(len * sizeof(*ids))};
        memcpy(row->ids, ids, len * sizeof(*ids));
    }
    free(ids);
    return n_rows;
}

/* How many of the rows, which are sorted, go together. */
static size_t group(const struct row *rows, size_t n)
{
    size_t most = rows[0].n + rows[0].n / 4 + CLOSE, together = 1;
    while (together < n && together < MOST_ROWS && rows[together].n <= most &&
           (together + 1) * rows[together].n <= MOST_TOKENS)
        together++;
    return together;
}

/* The mean of the tokens' vectors, made as long as 1. */
static void pool(const float *hidden, size_t tokens, size_t width, float *out)
{
    double square = 0;
    for (size_t j = 0; j < width; j++) {
        float sum = 0;
        for (size_t i = 0; i < tokens; i++)
            sum += hidden[i * width + j];
        out[j] = sum / (float)tokens;
        square += (double)out[j] * out[j];
    }
    float length = (float)sqrt(square);
    for (size_t j = 0; length > 0 && j < width; j++)
        out[j] /= length;
}

static char *run_group(const struct model *model, struct engine_model *engine, const struct row *rows,
                       size_t n, float *numbers)
{
    bool embeds = model->use == MODEL_EMBEDS;
    size_t length = rows[n - 1].n, width = model->width;
    int64_t *table = mem_calloc(3 * n * length, sizeof(*table)); /* ids, mask and types */
    struct engine_batch batch = {n, length, table, table + n * length, table + 2 * n * length};
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < length; j++) {
            batch.ids[i * length + j] = j < rows[i].n ? rows[i].ids[j] : model->tokenizer.pad;
            batch.mask[i * length + j] = j < rows[i].n;
        }
    }
    size_t n_vectors = embeds ? n * length : n;
    float *out = mem_alloc(n_vectors * width * sizeof(*out));
    char *error = engine_run(engine, &batch, out);
    for (size_t i = 0; error == NULL && i < n; i++) {
        float *answer = numbers + rows[i].text * width;
        if (embeds)
            pool(out + i * length * width, rows[i].n, width, answer);
        else
            memcpy(answer, out + i * width, width * sizeof(*out));
    }
    free(out);
    free(table);
    return error;
}

char *batch_run(const struct model *model, struct engine_model *engine, const struct batch_text *texts,
                size_t n, struct exchange_result *results, float *numbers, bool (*is_wanted)(void *arg),
                void *arg)
{
    char *error = NULL;
    struct row *rows = mem_calloc(n, sizeof(*rows));
    size_t n_rows = encode(model, texts, n, rows, results);
    qsort(rows, n_rows, sizeof(*rows), compare);
    for (size_t i = 0; error == NULL && i < n_rows && is_wanted(arg);) {
        size_t together = group(rows + i, n_rows - i);
        error = run_group(model, engine, rows + i, together, numbers);
        i += together;
    }
    for (size_t i = 0; i < n_rows; i++)
        free(rows[i].ids);
    free(rows);
    return error;
}
