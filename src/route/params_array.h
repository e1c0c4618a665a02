/* params_array.h: the text of an array. */
#ifndef HAYFORK_ROUTE_PARAMS_ARRAY_H
#define HAYFORK_ROUTE_PARAMS_ARRAY_H

#include "route/params_gathering.h"

/*
 * A one-dimensional array in the making, as PostgreSQL writes it (PostgreSQL 15, chapter 8.15). What makes it
 * larger returns false, with the problem filled in, where there is no memory for it.
 */
struct params_array {
    const struct params_gathering *all;
    char *text; /* of params_resize */
    size_t len, capacity, n;
    char delimiter;
};

/* For the parameter i, whose type is an array. size is a guess of its length. */
bool params_array_begin(struct params_array *array, const struct params_gathering *all, size_t i,
                        size_t size);

bool params_array_add(struct params_array *array, struct str text);
bool params_array_add_null(struct params_array *array);

/* An element that comes in parts: its beginning, what it consists of, its end. */
bool params_array_open(struct params_array *array);
bool params_array_put(struct params_array *array, struct str part);
bool params_array_close(struct params_array *array);

/* The whole of it. */
struct str params_array_end(struct params_array *array);

#endif
