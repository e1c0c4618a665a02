/*
 * json_read.h: a strict JSON reader (RFC 8259) for request bodies. Nothing is built: it walks the text and
 * hands out slices, so that numbers keep their digits.
 *
 * Refused, beyond what the grammar refuses: invalid UTF-8, a byte order mark, escapes of lone surrogates and
 * of U+0000 (PostgreSQL has no such character), the same key twice in an object, however it is escaped (RFC
 * 8259 section 4 leaves its meaning open), nesting deeper than JSON_READ_MAX_DEPTH.
 */
#ifndef HAYFORK_BASE_JSON_READ_H
#define HAYFORK_BASE_JSON_READ_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

enum { JSON_READ_MAX_DEPTH = 64 };

enum json_kind { JSON_NULL, JSON_TRUE, JSON_FALSE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

/* A value inside a text that json_read_check has accepted. */
struct json_value {
    enum json_kind kind;
    struct str text; /* as it stands, from its first byte to its last, quotes and brackets included */
};

/*
 * Checks a whole text. Returns NULL and fills in *root, or returns what is wrong (a static clause for the
 * client, such as "a ':' is missing here") and sets *error_at to the byte offset. Takes time in proportion to
 * n log n at worst, whatever the text is, and needs the heap only for objects with many keys.
 */
const char *json_read_check(struct str text, struct json_value *root, size_t *error_at);

/* Steps through the members of an object, or the elements of an array, of an accepted text. */
struct json_iterator {
    const char *at, *end;
};

struct json_iterator json_members(struct json_value container);

/* The next element; name gets an object's raw key, with its quotes (NULL base in arrays). False at the end.
 */
bool json_next(struct json_iterator *iterator, struct str *name, struct json_value *value);

/*
 * The text that a string (with its quotes) stands for. Writes to out, which has room for text.len bytes, and
 * returns how many there are; the result is UTF-8 and has no terminator.
 */
size_t json_unescape(struct str text, char *out);

#endif
