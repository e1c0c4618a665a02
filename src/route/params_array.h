/* params_array.h: the text of an array. */
#ifndef HAYFORK_ROUTE_PARAMS_ARRAY_H
#define HAYFORK_ROUTE_PARAMS_ARRAY_H

#include "route/params_gathering.h"

/* A one-dimensional array in the making, as PostgreSQL writes it (PostgreSQL 15, chapter 8.15). */
struct params_array {
    char *text; /* in the arena */
    size_t len, n;
    char delimiter;
};

/* The room that elements need, whose texts are so long in all. */
static inline size_t params_array_size(size_t n, size_t texts_len)
{
    return texts_len * 2 + n * 3 + 3;
}

/* For the parameter i, whose type is an array. */
struct params_array params_array_begin(const struct params_gathering *all, size_t i, size_t size);
void params_array_add(struct params_array *array, struct str text);
void params_array_add_null(struct params_array *array);

/* The whole of it, with a NUL at its end. */
const char *params_array_end(struct params_array *array);

#endif
