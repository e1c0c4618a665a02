/*
 * params.h: gathers a statement's parameters from path and query string and checks them against their
 * PostgreSQL types, so that a wrong value is answered with its name before a query is made.
 */
#ifndef HAYFORK_PARAMS_H
#define HAYFORK_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "str.h"

enum params_source { PARAMS_PATH, PARAMS_QUERY };

/* Where one parameter comes from. */
struct params_spec {
    const char *name;
    enum params_source source;
    size_t capture;           /* PARAMS_PATH: which capture of the route's pattern */
    const char *default_text; /* PARAMS_QUERY: the value when the request has none; NULL is SQL NULL */
};

/* Memory that lives as long as the request: alloc(arg, size) never fails. */
struct params_arena {
    void *(*alloc)(void *arg, size_t size);
    void *arg;
};

struct params_problem {
    const char *parameter; /* its name; for an unknown query parameter the decoded name, in the arena;
                            * NULL if the name itself cannot be read */
    const char *detail;    /* a sentence for the client, in the arena or static */
};

/*
 * Fills values[0..n) with NUL-terminated text, or NULL for SQL NULL, for n parameters whose types are
 * types[i] (OIDs of pg_type; 0 is unknown and is not checked). captures are the raw path segments, query
 * the raw bytes behind '?' (empty if there is none), pairs of name=value with '&' between them.
 * Percent-encoding is undone once (RFC 3986 section 2.1), in queries '+' is a blank (WHATWG URL Standard
 * section 5.1). Values lie in the arena or are the specs' default_text. Returns true, or false with
 * *problem filled in; then values are undefined. Errors: a broken escape, a NUL byte, an escape of '/' in
 * a path, invalid UTF-8 (RFC 3629), a query name that no spec has, one given twice, a value that is not of
 * its type (see params_check).
 * A query parameter that is present but empty is '' for PostgreSQL's own text types (text, varchar, char,
 * name) and its default otherwise. Defaults are the conf's and are not checked.
 */
bool params_gather(const struct params_spec *specs, const uint32_t *types, size_t n,
                   const struct str *captures, struct str query, const struct params_arena *arena,
                   const char **values, struct params_problem *problem);

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
 * Any other type is left to the server (NULL).
 */
const char *params_check(uint32_t type, struct str text);

#endif
