/* model.h: a model's folder: what it says of labels, tokens and lengths. */
#ifndef HAYFORK_INFERENCE_MODEL_H
#define HAYFORK_INFERENCE_MODEL_H

#include "inference/model_config.h"
#include "inference/tokenizer.h"

struct model {
    enum model_use use;
    struct model_config config;
    struct tokenizer tokenizer;
    uint32_t length; /* tokens of a text at most, with those that stand before and after it */
    uint32_t width;  /* numbers of an answer: one for each label, or those of a vector */
};

/*
 * Reads a folder. length is how many tokens a text may have, 0 for as many as the model takes. Returns NULL,
 * or what is wrong, with the file's name, which the caller frees; model_free follows in both cases.
 */
char *model_read(struct model *model, const char *folder, enum model_use use, uint32_t length);

void model_free(struct model *model);

#endif
