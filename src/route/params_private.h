/* params_private.h: what the parts of params share. */
#ifndef HAYFORK_ROUTE_PARAMS_PRIVATE_H
#define HAYFORK_ROUTE_PARAMS_PRIVATE_H

#include "route/params.h"

/* The arguments of params_gather. */
struct params_gathering {
    const struct params_spec *specs;
    const uint32_t *types;
    size_t n;
    const struct params_request *request;
    const struct arena *arena;
    const char **values;
    struct params_problem *problem;
};

/*
 * values[i] while the request has not given the parameter, and while it has given an empty text that does not
 * count; told by their addresses.
 */
extern const char params_not_given[], params_given_empty[];

/* Fills in the problem, the detail from a format. Returns false, for the caller to do the same. */
bool params_fail(const struct params_gathering *all, const char *parameter, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for a name that no spec has: `<name> <end>`. What is long is cut. */
bool params_fail_unknown(const struct params_gathering *all, struct str name, const char *end);

/* What is being decoded: the rules differ a little. */
enum params_part { PARAMS_PART_PATH, PARAMS_PART_REST, PARAMS_PART_QUERY };

/*
 * Undoes percent-encoding. Sets *text, in the arena, which ends in a NUL that it does not count. Returns NULL
 * or the end of a sentence about what is wrong.
 */
const char *params_url_decode(const struct params_gathering *all, struct str raw, enum params_part part,
                              struct str *text);

/* Fills in the values that come from the query. */
bool params_url_query(const struct params_gathering *all);

/* Fills in the values that come from the body. */
bool params_body_read(const struct params_gathering *all);

/*
 * Fails if text is not of the type, or not what the parameter i may be. element is 0 for the value itself,
 * else which one of an array it is, from 1 on.
 */
bool params_value_check(const struct params_gathering *all, size_t i, uint32_t type, struct str text,
                        size_t element);

/* May a parameter of this type be an array? It may if it is not built in, too. */
bool params_array_allowed(uint32_t type);

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

struct params_array params_array_begin(const struct params_gathering *all, uint32_t type, size_t size);
void params_array_add(struct params_array *array, struct str text);
void params_array_add_null(struct params_array *array);

/* The whole of it, with a NUL behind it. */
const char *params_array_end(struct params_array *array);

#endif
