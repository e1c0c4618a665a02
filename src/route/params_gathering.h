/* params_gathering.h: what a request's parameters are gathered from, and how that fails. */
#ifndef HAYFORK_ROUTE_PARAMS_GATHERING_H
#define HAYFORK_ROUTE_PARAMS_GATHERING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "http/body.h"
#include "pg/pgtypes.h"

enum params_source {
    PARAMS_PATH,    /* a part of the path */
    PARAMS_QUERY,   /* a URL parameter */
    PARAMS_BODY,    /* a field of the body, which is a JSON object */
    PARAMS_BODY_AS, /* the whole body, as it came */
};

/* Where one parameter comes from, and what else is asked of it. */
struct params_spec {
    const char *name;
    enum params_source source;
    size_t capture; /* PARAMS_PATH: which capture of the route's pattern */
    bool is_rest;   /* PARAMS_PATH: the capture is a {name...} */

    /* PARAMS_QUERY and PARAMS_BODY */
    const char *default_text; /* the value when the request has none; NULL is SQL NULL */
    bool required;            /* a request that has none is refused */
    const char *min;          /* the least number allowed, as base/decimal.h has them; NULL for no bound */
    const char *max;          /* the greatest one */
    const char **one_of;      /* the only texts allowed; all are if there are none */
    size_t n_one_of;
};

/* A request's bytes as they came, and how its route takes them. */
struct params_request {
    const struct str *captures; /* of the path, not decoded */
    struct str query;           /* what follows '?', empty if nothing does */
    struct str body;            /* empty if there is none */
    struct body *keeper;       /* has the memory for what is made of a large body; NULL: it is in the arena */
    bool ignore_unknown_query; /* a URL parameter that no spec has is not a mistake */
    const char **body_fields;  /* the fields that the body may have, whether or not a spec uses them */
    size_t n_body_fields;      /* 0: any, unless a spec is PARAMS_BODY */
};

struct params_problem {
    const char *parameter; /* its name; for an unknown one the decoded name, in the arena; NULL if the name
                            * itself cannot be read, or the body as a whole is at fault */
    const char *detail;    /* a sentence for the client without its full stop, in the arena or static */
    bool is_of_type;       /* it is only one because of the parameter's type */
    bool is_of_memory;     /* there was no memory for its values, and there is no detail */
};

/*
 * What is gathered, from what and for what. All of it must stay until that is done.
 *
 * values has n places: texts without a NUL at their end, in the request, in the arena, in the body's memory
 * or the specs' default_text; base is NULL for SQL NULL.
 */
struct params_gathering {
    const struct params_spec *specs;
    const struct pgtypes_parameter *types;
    size_t n;
    const struct params_request *request;
    const struct arena *arena;
    struct str *values;
    struct params_problem *problem;
};

/* How far it is. */
enum params_progress { PARAMS_MORE, PARAMS_DONE, PARAMS_FAILED /* the problem is filled in */ };

/*
 * The base of values[i] while the request has not given the parameter, and while it has given an empty text
 * that does not count; told by their addresses.
 */
extern const char params_not_given[], params_given_empty[];

/* The same where there is no memory. */
bool params_fail_of_memory(const struct params_gathering *all);

/*
 * Memory for what is made of the body: a new block where block is NULL, else one that is larger, of which had
 * bytes are in use. Returns NULL, with the problem filled in, where there is none.
 */
void *params_resize(const struct params_gathering *all, void *block, size_t had, size_t size);

/* Fills in the problem, the detail from a format. Returns false, for the caller to do the same. */
bool params_fail(const struct params_gathering *all, const char *parameter, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same, where the request may be right for a parameter of another type. */
bool params_fail_of_type(const struct params_gathering *all, const char *parameter, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for a name that no spec has: `<name> <end>`. What is long is cut. */
bool params_fail_unknown(const struct params_gathering *all, struct str name, const char *end);

#endif
