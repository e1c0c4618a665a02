/* json.c: an append-only JSON writer (RFC 8259) for the rows of a result. */
#include "base/json.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/hex.h"
#include "base/mem.h"

void json_grow(struct json_writer *writer, size_t size)
{
    size_t capacity = writer->capacity < 128 ? 256 : writer->capacity * 2;
    while (capacity - writer->len < size)
        capacity *= 2;
    if (writer->owned) {
        writer->base = mem_realloc(writer->base, capacity);
    } else {
        char *heap = mem_alloc(capacity);
        if (writer->len != 0)
            memcpy(heap, writer->base, writer->len);
        writer->base = heap;
        writer->owned = true;
    }
    writer->capacity = capacity;
}

/* Which of eight bytes need an escape: the high bit of each byte that is below 0x20, a quote or a backslash.
 */
static inline uint64_t escapes_among(uint64_t eight)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    uint64_t quote = eight ^ (ones * '"'), backslash = eight ^ (ones * '\\');
    /* (x - n) has a borrow into the high bit where x < n, as long as x itself is below 0x80 */
    uint64_t control = (eight - ones * 0x20) & ~eight;
    uint64_t is_quote = (quote - ones) & ~quote;
    uint64_t is_backslash = (backslash - ones) & ~backslash;
    return (control | is_quote | is_backslash) & highs;
}

static char *write_escape(char *out, unsigned char c)
{
    *out++ = '\\';
    switch (c) {
    case '"':
    case '\\':
        *out++ = (char)c;
        break;
    case '\b':
        *out++ = 'b';
        break;
    case '\f':
        *out++ = 'f';
        break;
    case '\n':
        *out++ = 'n';
        break;
    case '\r':
        *out++ = 'r';
        break;
    case '\t':
        *out++ = 't';
        break;
    default:
        memcpy(out, "u00", 3);
        out[3] = HEX_LOWER[c >> 4];
        out[4] = HEX_LOWER[c & 15];
        out += 5;
    }
    return out;
}

/* Escapes at most SEGMENT bytes, so that the room kept for the worst case stays small for long texts too. */
enum { SEGMENT = 1024, LONGEST_ESCAPE = 6 };

/* Each copies bytes that need no escape; if one does, they copy none and return false. */
static inline bool copy_eight(char *out, const char *text)
{
    uint64_t eight;
    memcpy(&eight, text, 8);
    if (escapes_among(eight) != 0)
        return false;
    memcpy(out, &eight, 8);
    return true;
}

static inline bool copy_four_to_seven(char *out, const char *text, size_t n)
{
    uint32_t first, last; /* four each, some of them the same */
    memcpy(&first, text, 4);
    memcpy(&last, text + n - 4, 4);
    if (escapes_among((uint64_t)first << 32 | last) != 0)
        return false;
    memcpy(out, &first, 4);
    memcpy(out + n - 4, &last, 4);
    return true;
}

static void write_segment(struct json_writer *writer, const char *text, const char *end)
{
    const char *begin = text;
    char *out = json_reserve(writer, (size_t)(end - text) * LONGEST_ESCAPE);
    while (text < end) {
        size_t left = (size_t)(end - text), some = left < 8 ? left : 8;
        bool is_copied;
        if (left >= 8)
            is_copied = copy_eight(out, text);
        else if (end - begin >= 8) /* with some that were copied, as they are, before */
            is_copied = copy_eight(out + left - 8, end - 8);
        else
            is_copied = left >= 4 && copy_four_to_seven(out, text, left);
        if (is_copied) {
            out += some;
            text += some;
            continue;
        }
        for (const char *stop = text + some; text < stop; text++) {
            unsigned char c = (unsigned char)*text;
            if (c < 0x20 || c == '"' || c == '\\')
                out = write_escape(out, c);
            else
                *out++ = (char)c;
        }
    }
    writer->len = (size_t)(out - writer->base);
}

void json_string(struct json_writer *writer, const char *text, size_t len)
{
    const char *end = text + len;
    json_char(writer, '"');
    while (text < end) {
        const char *stop = end - text > SEGMENT ? text + SEGMENT : end;
        write_segment(writer, text, stop);
        text = stop;
    }
    json_char(writer, '"');
}
