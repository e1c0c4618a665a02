/*
 * route.h: compiles paths such as /contacts/{id} into a tree and finds the route of a request.
 *
 * Matching works on the raw bytes of the path (RFC 3986 section 3.3) before any percent-decoding: a
 * literal segment equals only itself, an empty or a dot segment is a segment like any other. {name} takes
 * one segment that is not empty, {name...} all that is left (it may hold slashes and may be empty).
 * A literal goes before {x}, {x} before {x...}; the search steps back where the nearer choice leads to no
 * route. The path alone decides: methods are looked at once it has, so that one path answers one set of
 * methods (RFC 9110 section 15.5.6) whatever else would match it less closely.
 */
#ifndef HAYFORK_ROUTE_ROUTE_H
#define HAYFORK_ROUTE_ROUTE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

enum { ROUTE_MAX_CAPTURES = 16 };

struct route_table;

enum route_outcome {
    ROUTE_FOUND,
    ROUTE_NO_PATH,        /* 404 */
    ROUTE_NO_METHOD,      /* 405, or the answer to OPTIONS: allow says what is there */
    ROUTE_UNKNOWN_METHOD, /* 501: no path has such a method (RFC 9110 section 9.1) */
};

/* What route_match has found. Fields that an outcome does not name are undefined. */
struct route_match {
    void *route;                             /* ROUTE_FOUND: as given to route_add */
    size_t n_captures;                       /* ROUTE_FOUND */
    struct str captures[ROUTE_MAX_CAPTURES]; /* raw bytes inside the path, in the pattern's order */
    const char *allow; /* but for ROUTE_NO_PATH: "GET, HEAD, OPTIONS", owned by the table */
};

/* An empty table, to be freed with route_table_free. The routes themselves stay the caller's. */
struct route_table *route_table_new(void);
void route_table_free(struct route_table *table);

/*
 * Checks a pattern by itself. Fills names (pointing into pattern, without braces and dots) and *n_names
 * and returns NULL, or returns a message (a static string) and sets *error_at to the byte offset in
 * pattern: no leading '/', braces not closed or not a whole segment, a name that is empty, repeated or not
 * [A-Za-z_][A-Za-z0-9_]*, {rest...} not last, more than ROUTE_MAX_CAPTURES names, a segment that is a
 * pattern elsewhere (:name, *), '?', '#', blanks, control bytes and bytes outside ASCII (a request has them
 * percent-encoded, so they would never match), a '%' that is not followed by two hexadecimal digits.
 */
const char *route_check_pattern(struct str pattern, struct str names[ROUTE_MAX_CAPTURES], size_t *n_names,
                                size_t *error_at);

/*
 * Adds a route. method is a token in capitals, or "ANY". route is what route_match will hand back, never
 * NULL. The pattern must have passed route_check_pattern; method and pattern are copied. Returns NULL, or
 * the route that stands already in this place (the same method for the same shape of path); then nothing
 * is added.
 */
void *route_add(struct route_table *table, const char *method, const char *pattern, void *route);

/*
 * Finds the route for a method and a path (without its query). A route for GET also answers HEAD. A named
 * method goes before ANY, and a path with ANY knows every method. allow lists the methods that the path's
 * routes name, in the order GET, HEAD, POST, PUT, PATCH, DELETE, others (as added), OPTIONS; OPTIONS is
 * always there, and with ANY all of these. The path "*" has the methods of all routes. Those that are not in
 * this list and that no route names are unknown. Allocates nothing; the time taken does not grow with the
 * number of routes, save where patterns make the search step back.
 */
enum route_outcome route_match(const struct route_table *table, struct str method, struct str path,
                               struct route_match *match);

#endif
