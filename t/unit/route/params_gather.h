/* params_gather.h: calls params_gather and shows what it says, for the unit tests of params. */
#ifndef HAYFORK_PARAMS_GATHER_H
#define HAYFORK_PARAMS_GATHER_H

#include <stdlib.h>

#include "base/mem.h"
#include "pg/pgtypes.h"
#include "route/params.h"
#include "unit/tap.h"

/* An arena for the tests: all of it is freed after each request. */
struct blocks {
    void **at;
    size_t n;
};

static void *blocks_alloc(void *arg, size_t size)
{
    struct blocks *blocks = arg;
    MEM_GROW(&blocks->at, blocks->n);
    return blocks->at[blocks->n++] = mem_alloc(size);
}

static void blocks_free(struct blocks *blocks)
{
    for (size_t i = 0; i < blocks->n; i++)
        free(blocks->at[i]);
    free(blocks->at);
    *blocks = (struct blocks){0};
}

/* A copy of just its size, without a NUL after it, so that the sanitizers see a byte read too far. */
static struct str exact(struct blocks *blocks, const char *text, size_t len)
{
    char *copy = blocks_alloc(blocks, len);
    memcpy(copy, text, len);
    return (struct str){copy, len};
}

/* Types as a database may have them: a scalar of its own, an array of these, and domains. */
enum { OWN_SCALAR = 16385, OWN_ARRAY, OWN_JSONB, OWN_JSONB_ARRAY, OWN_INT4, OWN_BOX_ARRAY };

static struct pgtypes_parameter parameter_of(uint32_t oid)
{
    switch (oid) {
    case 0:
    case OWN_SCALAR:
        return (struct pgtypes_parameter){.type = oid, .delimiter = ','};
    case OWN_ARRAY:
        return (struct pgtypes_parameter){.type = oid, .element = OWN_SCALAR, .delimiter = ','};
    case OWN_JSONB:
        return (struct pgtypes_parameter){.type = PGTYPES_JSONB, .delimiter = ','};
    case OWN_JSONB_ARRAY:
        return (struct pgtypes_parameter){.type = oid, .element = PGTYPES_JSONB, .delimiter = ','};
    case OWN_INT4:
        return (struct pgtypes_parameter){.type = PGTYPES_INT4, .delimiter = ','};
    case OWN_BOX_ARRAY:
        return (struct pgtypes_parameter){.type = oid, .element = PGTYPES_BOX, .delimiter = ';'};
    default:
        return pgtypes_parameter(pgtypes_builtin(oid));
    }
}

/* A route's parameters, in the order in which its statement uses them. */
struct route {
    const struct params_spec *specs;
    const uint32_t *types;
    size_t n;
    const char **body_fields;
    size_t n_body_fields;
    bool ignore_unknown_query;
};

enum { MOST_PARAMS = 16 };

/*
 * What comes of a request, with its body read in steps of so many bytes: the values with '|' between them, or
 * "parameter! detail".
 */
static char *gather_in_steps(const struct route *route, struct str captures[2], struct str query,
                             struct str body, size_t bytes)
{
    struct blocks blocks = {0};
    struct arena arena = {.alloc = blocks_alloc, .arg = &blocks};
    struct str copies[] = {exact(&blocks, captures[0].base, captures[0].len),
                           exact(&blocks, captures[1].base, captures[1].len)};
    struct params_request request = {
        .captures = copies,
        .query = query.len == 0 ? query : exact(&blocks, query.base, query.len),
        .body = body.len == 0 ? body : exact(&blocks, body.base, body.len),
        .ignore_unknown_query = route->ignore_unknown_query,
        .body_fields = route->body_fields,
        .n_body_fields = route->n_body_fields,
    };
    struct str values[MOST_PARAMS];
    struct pgtypes_parameter types[MOST_PARAMS];
    struct params_problem problem;
    char *text;
    for (size_t i = 0; i < route->n; i++)
        types[i] = parameter_of(route->types[i]);
    struct params_gathering all = {
        .specs = route->specs,
        .types = types,
        .n = route->n,
        .request = &request,
        .arena = &arena,
        .values = values,
        .problem = &problem,
    };
    struct params_rest *rest;
    enum params_progress progress = params_gather(&all, bytes, &rest);
    while (progress == PARAMS_MORE)
        progress = params_go_on(rest, bytes);
    if (progress == PARAMS_DONE) {
        text = mem_strdup("");
        for (size_t i = 0; i < route->n; i++) {
            struct str value = values[i].base == NULL ? STR("NULL") : values[i];
            char *longer = mem_printf("%s%s%.*s", text, i == 0 ? "" : "|", (int)value.len, value.base);
            free(text);
            text = longer;
        }
    } else {
        text = mem_printf("%s! %s", problem.parameter == NULL ? "NULL" : problem.parameter, problem.detail);
    }
    blocks_free(&blocks);
    return text;
}

/* The same in steps of any size. */
TAP_UNUSED static char *gather_all(const struct route *route, struct str captures[2], struct str query,
                                   struct str body)
{
    char *text = gather_in_steps(route, captures, query, body, SIZE_MAX);
    for (size_t bytes = 1; bytes <= 4 && body.len > 0; bytes++) {
        char *again = gather_in_steps(route, captures, query, body, bytes);
        if (strcmp(again, text) != 0) {
            char *both = mem_printf("%s, but in steps of %zu: %s", text, bytes, again);
            free(text);
            text = both;
        }
        free(again);
    }
    return text;
}

#endif
