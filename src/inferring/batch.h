/* batch.h: many texts at once: tokens, rows of like lengths, vectors. */
#ifndef HAYFORK_INFERRING_BATCH_H
#define HAYFORK_INFERRING_BATCH_H

#include "base/str.h"
#include "inferring/engine.h"
#include "inference/exchange.h"
#include "inference/model.h"

struct batch_text {
    struct str text; /* UTF-8 */
    bool cuts;       /* where it is too long; else it is refused */
};

/*
 * Runs a model over texts. results gets one for each of them, numbers as many for each as an answer has
 * (model->width); those of a text that is refused stay as they are. is_wanted is asked now and then; once it
 * says no, the rest is left undone. Returns NULL, or what is wrong, which the caller frees.
 */
char *batch_run(const struct model *model, struct engine_model *engine, const struct batch_text *texts,
                size_t n, struct exchange_result *results, float *numbers, bool (*is_wanted)(void *arg),
                void *arg);

#endif
