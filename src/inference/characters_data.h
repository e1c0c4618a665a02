/* characters_data.h: the tables of characters.c, each sorted by its characters. */
#ifndef HAYFORK_INFERENCE_CHARACTERS_DATA_H
#define HAYFORK_INFERENCE_CHARACTERS_DATA_H

#include <stddef.h>
#include <stdint.h>

#include "inference/characters.h"

struct characters_class {
    uint32_t first, last;
    enum character class;
};

/* Each of them becomes n characters, which begin at characters_parts[at + n * (c - first)]. */
struct characters_decomposed {
    uint32_t first, last;
    uint16_t at, n;
};

/* Every step-th of them has a small form, which is so far away. */
struct characters_small {
    uint32_t first, last;
    uint32_t step;
    int32_t far;
};

struct characters_order {
    uint32_t c;
    unsigned order;
};

extern const struct characters_class characters_classes[];
extern const struct characters_decomposed characters_decomposed[];
extern const uint32_t characters_parts[];
extern const struct characters_small characters_small[];
extern const struct characters_order characters_orders[];
extern const size_t characters_n_classes, characters_n_decomposed, characters_n_small, characters_n_orders;

#endif
