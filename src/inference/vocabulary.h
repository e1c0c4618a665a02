/* vocabulary.h: the pieces of words that a model knows, each with its number. */
#ifndef HAYFORK_INFERENCE_VOCABULARY_H
#define HAYFORK_INFERENCE_VOCABULARY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum { VOCABULARY_NONE = UINT32_MAX };

struct vocabulary *vocabulary_new(void);
void vocabulary_free(struct vocabulary *vocabulary);

/*
 * Adds a piece, which is copied: one that words begin with, or one that goes on in a word. One that is there
 * already gets the new number. Returns false where there is no room for it: all pieces together may have some
 * 16 million bytes.
 */
bool vocabulary_add(struct vocabulary *vocabulary, struct str piece, bool goes_on, uint32_t id);

/*
 * Finds the longest piece that text begins with. Returns its length, and its number in *id, or 0. Takes as
 * many steps as that has bytes, and a few more.
 */
size_t vocabulary_longest(const struct vocabulary *vocabulary, struct str text, bool goes_on, uint32_t *id);

/* The number of a piece that words begin with, or VOCABULARY_NONE. */
uint32_t vocabulary_find(const struct vocabulary *vocabulary, struct str piece);

#endif
