/* str.h: a run of bytes with a length, the one string type shared by parsers and writers. */
#ifndef HAYFORK_BASE_STR_H
#define HAYFORK_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/* Bytes that someone else owns: not NUL-terminated, may hold any byte. base may be NULL when len is 0. */
struct str {
    const char *base;
    size_t len;
};

#define STR(literal) ((struct str){(literal), sizeof(literal) - 1})

static inline struct str str_of(const char *text)
{
    return (struct str){text, strlen(text)};
}

static inline bool str_equal(struct str a, struct str b)
{
    return a.len == b.len && (a.len == 0 || memcmp(a.base, b.base, a.len) == 0);
}

#endif
