/* percent.h: percent-encoding (RFC 3986 section 2.1), written and undone. */
#ifndef HAYFORK_BASE_PERCENT_H
#define HAYFORK_BASE_PERCENT_H

#include <stddef.h>

#include "base/hex.h"
#include "base/str.h"

enum { PERCENT_LEN = 3 }; /* what one byte becomes at most */

/* The byte that the '%' at text.base[at] and what follows it stand for, or -1 unless two digits follow. */
static inline int percent_byte(struct str text, size_t at)
{
    return text.len - at < PERCENT_LEN ? -1 : hex_byte(text.base + at + 1);
}

/*
 * Reads the byte at *at, decoded, and goes on to the next one. Returns -1, and stays where it is, at a '%'
 * that two digits do not follow. *at must be within the text.
 */
static inline int percent_next(struct str text, size_t *at)
{
    unsigned char c = (unsigned char)text.base[*at];
    int byte = c == '%' ? percent_byte(text, *at) : c;
    if (byte >= 0)
        *at += c == '%' ? PERCENT_LEN : 1;
    return byte;
}

/*
 * Writes text with all but the unreserved characters (RFC 3986 section 2.3) encoded. Returns the end. out has
 * room for PERCENT_LEN bytes for each byte.
 */
char *percent_encode(char *out, struct str text);

/* The same with only these characters encoded. */
char *percent_encode_only(char *out, struct str text, const char *these);

#endif
