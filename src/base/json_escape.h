/* json_escape.h: what begins with a backslash in a JSON string (RFC 8259 section 7). */
#ifndef HAYFORK_BASE_JSON_ESCAPE_H
#define HAYFORK_BASE_JSON_ESCAPE_H

#include <stddef.h>

enum { JSON_ESCAPE_MAX = 12 }; /* bytes of the longest one, a pair of surrogates */

/*
 * Is what begins at the backslash, of which two bytes at least are there, an escape? Returns NULL and sets
 * *len, or returns what is wrong, as json_read.h has it.
 */
const char *json_escape_check(const char *at, const char *end, size_t *len);

/* Writes the character that the escape at *at, which is a good one, stands for, as UTF-8. Returns its length.
 */
size_t json_escape_read(const char **at, char out[4]);

#endif
