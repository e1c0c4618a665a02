/* scores.h: a model's numbers as labels with scores, in JSON. */
#ifndef HAYFORK_INFERENCE_SCORES_H
#define HAYFORK_INFERENCE_SCORES_H

#include <stddef.h>

#include "base/json.h"
#include "inference/model_config.h"

enum { SCORES_BEST = 0, SCORES_ALL = -1 };

/*
 * Writes what the text-classification pipeline of transformers 5 answers for one text. top_k is how many
 * labels: with SCORES_BEST it is the best one, an object; else a list of so many at most, or of all, the best
 * one first. numbers has one for each label, and gets the scores.
 */
void scores_write(struct json_writer *writer, const struct model_config *config, float *numbers, int top_k);

/* A number as JSON, with as many digits as tell it from the next one; null where it is none. */
void scores_write_number(struct json_writer *writer, float number);

#endif
