/* engine.h: runs models by ONNX Runtime, a shared library that the conf names. */
#ifndef HAYFORK_INFERRING_ENGINE_H
#define HAYFORK_INFERRING_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct engine;
struct engine_model;

/*
 * Opens the library. There is one engine in a process, which is never closed: a process that was forked from
 * one with models would wait for threads that it does not have. Returns NULL, or what is wrong, which the
 * caller frees.
 */
char *engine_open(const char *library, bool on_gpu, struct engine **engine);

/* The library's version, such as "1.28.2". */
const char *engine_version(const struct engine *engine);

/* What is wanted of a model. */
enum engine_output {
    ENGINE_LOGITS, /* a number for each label */
    ENGINE_HIDDEN, /* so many numbers for each token */
};

/*
 * Loads a model that takes input_ids, and maybe attention_mask and token_type_ids, and has `width` numbers in
 * its output. Runs it once, with one text of two tokens. Returns NULL, or what is wrong, with the file's
 * name, which the caller frees.
 */
char *engine_load(struct engine *engine, const char *path, enum engine_output output, size_t width,
                  struct engine_model **model);

/* Texts as a model takes them: n rows of as many tokens. mask is 1 for a token and 0 for what fills a row. */
struct engine_batch {
    size_t n, length;
    int64_t *ids, *mask, *types;
};

/*
 * Runs a model over n texts. Writes n * width numbers, for ENGINE_HIDDEN n * length * width, to out. Returns
 * NULL, or what is wrong, which the caller frees.
 */
char *engine_run(struct engine_model *model, const struct engine_batch *batch, float *out);

#endif
