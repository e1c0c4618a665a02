/* model_config.h: what a model's config.json says about it (the files of Hugging Face's transformers). */
#ifndef HAYFORK_INFERENCE_MODEL_CONFIG_H
#define HAYFORK_INFERENCE_MODEL_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#include "inference/document.h"

/* What a model is for. */
enum model_use { MODEL_UNUSED, MODEL_CLASSIFIES, MODEL_EMBEDS };

/* How scores are made of a model's numbers. */
enum model_scores {
    MODEL_SOFTMAX, /* one label of several: together they are 1 */
    MODEL_SIGMOID, /* each label for itself */
    MODEL_PLAIN,   /* regression: as they are */
};

struct model_config {
    enum model_scores scores;
    char **labels; /* each as JSON, with its quotes */
    size_t n_labels;
    uint32_t width;      /* numbers of a token's vector; 0 where it is not said */
    uint32_t vocabulary; /* tokens there are; UINT32_MAX where it is not said */
    uint32_t positions;  /* tokens of the longest text; UINT32_MAX where it is not said */
};

/*
 * Reads it from a document whose root is an object. Returns NULL, or what is wrong, which the caller frees;
 * model_config_free follows in both cases.
 */
char *model_config_read(struct model_config *config, const struct document *document);

/* How many numbers an answer has: one for each label, or those of a vector; 0 where that is not said. */
uint32_t model_config_width(const struct model_config *config, enum model_use use);

void model_config_free(struct model_config *config);

#endif
