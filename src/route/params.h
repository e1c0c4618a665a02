/*
 * params.h: gathers a statement's parameters from path, query string and JSON body and checks them against
 * their PostgreSQL types, so that a wrong value is answered with its name before a query is made.
 *
 * route/params.c goes through the sources, route/params_url.c reads the query, route/params_body.c the body,
 * route/params_value.c checks what they give, route/params_check.c knows what the types take,
 * route/params_array.c writes arrays.
 */
#ifndef HAYFORK_ROUTE_PARAMS_H
#define HAYFORK_ROUTE_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

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
    const char *min,
        *max; /* the least and the greatest number, both allowed (see base/decimal.h); NULL is none */
    const char **one_of; /* the only texts allowed; all are if there are none */
    size_t n_one_of;
};

/* A request's bytes as they came, and how its route takes them. */
struct params_request {
    const struct str *captures; /* of the path, not decoded */
    struct str query;           /* what is behind '?', empty if there is nothing */
    struct str body;            /* empty if there is none */
    bool ignore_unknown_query;  /* a URL parameter that no spec has is no mistake */
    const char **body_fields;   /* what fields the body may have, whether or not a spec has a use for them */
    size_t n_body_fields;       /* 0: any, unless a spec is PARAMS_BODY */
};

struct params_problem {
    const char *parameter; /* its name; for an unknown one the decoded name, in the arena; NULL if the name
                            * itself cannot be read, or the body as a whole is at fault */
    const char *detail;    /* a sentence for the client without its full stop, in the arena or static */
};

/*
 * Fills values[0..n) with NUL-terminated text, or NULL for SQL NULL, for n parameters, of which types[i] is
 * the type (an OID of pg_type; 0 is unknown). Values lie in the arena or are the specs' default_text. Returns
 * true, or false with *problem filled in; then values are undefined.
 *
 * Path and query: percent-encoding is undone once (RFC 3986 section 2.1), in queries '+' is a blank (WHATWG
 * URL Standard section 5.1). Refused: a broken escape, a NUL byte, an escape of '/' in one segment of a path,
 * invalid UTF-8 (RFC 3629), a URL parameter that no spec has. A URL parameter of an array type (see
 * pgtypes_element) becomes an array, whether it is given once or several times, each of them an element as it
 * stands. One of a type that is not built in becomes an array if it is given several times, since such a type
 * may be one. Any other is refused if it is given twice. One that is given once and empty is '' for
 * PostgreSQL's own text types (text, varchar, char, name), an array of one '' for arrays of these, and counts
 * as not given otherwise.
 *
 * Body: must be JSON as base/json_read.h has it. For PARAMS_BODY it must be an object with no other fields
 * than these and body_fields. number          its digits as they stand, so that 1.0 and 1e2 are no int4 true,
 * false     true, false string          its text null            SQL NULL; it counts as given, and bounds and
 * choices do not concern it, as in a CHECK array           for array types and types that are not built in:
 * an array of its numbers, booleans, strings and nulls For json and jsonb, and elements of arrays of these,
 * numbers, booleans, strings, arrays and objects are the JSON text itself; null is SQL NULL here, too. A
 * string for an array type is an array as PostgreSQL writes it, {1,2}, and so is a part of the path. For
 * PARAMS_BODY_AS the body is an object or an array, with body_fields or PARAMS_BODY beside it an object.
 *
 * Every value, and every element of an array, must be of its type as far as params_check knows, one of
 * one_of, and a decimal number within min and max if there is one of these (NaN and Infinity are not).
 * Defaults are the conf's and are not checked.
 */
bool params_gather(const struct params_spec *specs, const uint32_t *types, size_t n,
                   const struct params_request *request, const struct arena *arena, const char **values,
                   struct params_problem *problem);

/*
 * Is text something that PostgreSQL's input function for this type takes (PostgreSQL 15, chapter 8)?
 * Returns NULL if so, else the end of the sentence "… must be a whole number between -2147483648 and
 * 2147483647" (a static string). Decided here, a little more strictly than PostgreSQL does, which also
 * takes blanks around all of these:
 *   int2, int4, int8  an optional sign and decimal digits, within bounds
 *   oid               the same, from 0 to 4294967295
 *   bool              t, true, y, yes, on, 1 and f, false, n, no, off, 0, the words also cut short as long
 *                     as they differ, in upper or lower case
 *   uuid              32 hexadecimal digits, a hyphen after any four of them, braces around it or not
 *   numeric, float4, float8  a decimal number with an optional exponent, NaN, or [+-]Infinity or inf in any
 *                     case; whether it is in range is left to the server
 *   json, jsonb       what json_read_check accepts: no \u0000 in strings either, which json would take
 * Any other type is left to the server (NULL).
 */
const char *params_check(uint32_t type, struct str text);

#endif
