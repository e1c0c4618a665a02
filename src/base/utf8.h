/* utf8.h: is this UTF-8 (RFC 3629 section 4)? */
#ifndef HAYFORK_BASE_UTF8_H
#define HAYFORK_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* The length of the character at text.base, or 0 if it is cut off, overlong, a surrogate or none at all. */
static inline size_t utf8_character(struct str text)
{
    const unsigned char *p = (const unsigned char *)text.base;
    if (text.len > 0 && p[0] < 0x80)
        return 1;
    size_t len = text.len == 0 ? 1 : p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (text.len < len || p[0] < 0xc2 || p[0] > 0xf4)
        return 0;
    /* The second byte rules out overlong forms, surrogates and what lies beyond U+10FFFF. */
    unsigned char low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    return len;
}

/* The character of utf8_character, which has given its length: 1 to 4. */
static inline uint32_t utf8_code_point(struct str text, size_t len)
{
    static const unsigned char first_bits[] = {0, 0x7f, 0x1f, 0x0f, 0x07};
    uint32_t c = (unsigned char)text.base[0] & first_bits[len];
    for (size_t i = 1; i < len; i++)
        c = c << 6 | ((unsigned char)text.base[i] & 0x3f);
    return c;
}

static inline bool utf8_is_valid(struct str text)
{
    while (text.len > 0) {
        size_t len = utf8_character(text);
        if (len == 0)
            return false;
        text = (struct str){text.base + len, text.len - len};
    }
    return true;
}

/* The text's beginning, of so many bytes at most, without a character that is cut in two. */
static inline struct str utf8_cut(struct str text, size_t most)
{
    if (text.len <= most)
        return text;
    size_t len = most;
    while (len > 0 && most - len < 3 && ((unsigned char)text.base[len] & 0xc0) == 0x80)
        len--;
    return (struct str){text.base, len};
}

#endif
