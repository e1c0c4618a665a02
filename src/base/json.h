/* json.h: an append-only JSON writer (RFC 8259) for the rows of a result. */
#ifndef HAYFORK_BASE_JSON_H
#define HAYFORK_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "base/str.h"

/*
 * Text under construction. It begins in memory that the caller gave, and moves to the heap when that is
 * full; then `owned` is true and base is to be freed with free().
 */
struct json_writer {
    char *base;
    size_t len;
    size_t capacity;
    bool owned;
};

static inline struct json_writer json_writer_on(char *initial, size_t size)
{
    return (struct json_writer){initial, 0, size, false};
}

/* Makes the writer's capacity at least len + size, by doubling. */
void json_grow(struct json_writer *writer, size_t size);

/* The place for the next size bytes; the caller fills them in and adds what it used to len. */
static inline char *json_reserve(struct json_writer *writer, size_t size)
{
    if (writer->capacity - writer->len < size)
        json_grow(writer, size);
    return writer->base + writer->len;
}

/* Appends text that is JSON already. */
static inline void json_raw(struct json_writer *writer, const char *text, size_t len)
{
    memcpy(json_reserve(writer, len), text, len);
    writer->len += len;
}

static inline void json_char(struct json_writer *writer, char c)
{
    *json_reserve(writer, 1) = c;
    writer->len++;
}

/*
 * Appends text as a JSON string with its quotes. Escapes as PostgreSQL's escape_json does: the two
 * characters and the control characters that RFC 8259 section 7 asks for, by their short forms where
 * there is one. The text must be UTF-8, as all that comes from a UTF8 session is.
 */
void json_string(struct json_writer *writer, const char *text, size_t len);

#endif
