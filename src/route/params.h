/*
 * params.h: gathers a statement's parameters from path, query string and JSON body and checks them against
 * their PostgreSQL types, so that a wrong value is answered with its name before a query is made.
 *
 * route/params.c goes through the sources, route/params_url.c reads the query, route/params_body.c the body,
 * route/params_json.c its values, route/params_value.c checks what they give, route/params_check.c knows what
 * the types take, route/params_array.c writes arrays, and route/params_gathering.c is what all of them work
 * on.
 */
#ifndef HAYFORK_ROUTE_PARAMS_H
#define HAYFORK_ROUTE_PARAMS_H

#include "route/params_gathering.h"

struct params_rest;

/*
 * Fills in all->values. Returns PARAMS_DONE, or PARAMS_FAILED with the problem filled in; then values are
 * undefined. A body of more than so many bytes is only begun with: PARAMS_MORE, and *rest is what is left for
 * params_go_on, in memory of the body's; nothing need be done where it is given up.
 *
 * Path and query: percent-encoding is undone once (RFC 3986 section 2.1), in queries '+' is a blank (WHATWG
 * URL Standard section 5.1). Refused: a broken escape, a NUL byte, an escape of '/' in one segment of a path,
 * invalid UTF-8 (RFC 3629), a URL parameter that no spec has. A URL parameter of an array type becomes an
 * array, whether it is given once or several times, each of them an element as it stands. Any other is
 * refused if it is given twice. One that is given once and empty is '' for PostgreSQL's own text types (text,
 * varchar, char, name), an array of one '' for arrays of these, and counts as not given otherwise.
 *
 * Body: must be JSON as base/json_read.h has it. For PARAMS_BODY it must be an object with no other fields
 * than these and body_fields.
 *   number       its digits as they stand: 1.0 and 1e2 are not an int4
 *   true, false  true, false
 *   string       its text
 *   null         SQL NULL. It counts as given, and bounds and choices do not concern it, as in a CHECK
 *   array        an array of its numbers, booleans, strings and nulls, for array types
 * For json and jsonb, and elements of arrays of these, numbers, booleans, strings, arrays and objects are the
 * JSON text itself; null is SQL NULL here, too. A string for an array type is an array as PostgreSQL writes
 * it, {1,2}, and so is a part of the path. For PARAMS_BODY_AS the body is an object or an array, together
 * with body_fields or PARAMS_BODY an object. A domain is what its base type is.
 *
 * Every value, and every element of an array, must be of its type as far as params_check knows, one of
 * one_of, and a decimal number within min and max if there is one of these (NaN and Infinity are not).
 * Defaults are the conf's and are not checked.
 */
enum params_progress params_gather(const struct params_gathering *all, size_t bytes,
                                   struct params_rest **rest);

/* Goes on over about so many bytes of the body, or of what is made of it. */
enum params_progress params_go_on(struct params_rest *rest, size_t bytes);

#endif
