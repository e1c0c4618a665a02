/* json_read.c: checks a JSON text in one pass without recursion, then steps through what it has accepted. */
#include "base/json_read.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/hex.h"
#include "base/mem.h"
#include "base/utf8.h"

enum {
    FIRST_KEYS = 64,        /* that fit without asking the heap */
    COMPARED_ONE_BY_ONE = 8 /* keys of an object; more are sorted */
};

/* A key, without its quotes. */
struct key {
    struct str text;
    bool has_escapes;
};

/* An object or array that is open. */
struct level {
    bool is_object;
    size_t first_key; /* where its keys begin */
};

struct reader {
    const char *at, *end;
    const char *error; /* NULL until something is wrong, at `at` */
    unsigned depth;
    struct level levels[JSON_READ_MAX_DEPTH];
    struct key *keys; /* those of all open objects, the innermost's last */
    size_t n_keys, capacity;
    struct key first_keys[FIRST_KEYS];
};

static bool fail(struct reader *reader, const char *at, const char *error)
{
    reader->at = at;
    reader->error = error;
    return false;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && is_blank(*at))
        at++;
    return at;
}

/* The number that the four hexadecimal digits at p stand for, or -1. */
static int32_t read_four(const char *p, const char *end)
{
    return end - p < 4 ? -1 : hex_four(p);
}

static bool is_high_surrogate(int32_t unit)
{
    return unit >= 0xd800 && unit <= 0xdbff;
}

static bool is_low_surrogate(int32_t unit)
{
    return unit >= 0xdc00 && unit <= 0xdfff;
}

/* Reads what begins with the backslash at reader->at. */
static bool read_escape(struct reader *reader)
{
    const char *at = reader->at, *end = reader->end;
    if (end - at < 2)
        return fail(reader, end, "it ends too early");
    if (at[1] != 'u') {
        if (memchr("\"\\/bfnrt", at[1], 8) == NULL)
            return fail(reader, at, "there is no such escape");
        reader->at += 2;
        return true;
    }
    int32_t unit = read_four(at + 2, end);
    if (unit < 0)
        return fail(reader, at, "\\u must have four hexadecimal digits behind it");
    if (unit == 0)
        return fail(reader, at, "PostgreSQL has no character \\u0000");
    bool is_pair = is_high_surrogate(unit) && end - at >= 12 && at[6] == '\\' && at[7] == 'u' &&
                   is_low_surrogate(read_four(at + 8, end));
    if ((is_high_surrogate(unit) || is_low_surrogate(unit)) && !is_pair)
        return fail(reader, at, "this is half of a surrogate pair, without its other half");
    reader->at += is_pair ? 12 : 6;
    return true;
}

/* Reads a string from its opening quote to its closing one. */
static bool read_string(struct reader *reader, struct key *key)
{
    const char *opening = reader->at++;
    bool has_escapes = false;
    while (reader->at < reader->end && *reader->at != '"') {
        unsigned char c = (unsigned char)*reader->at;
        if (c == '\\') {
            has_escapes = true;
            if (!read_escape(reader))
                return false;
        } else if (c < 0x20) {
            return fail(reader, reader->at, "a control character in a string must be escaped");
        } else {
            size_t len = utf8_character((struct str){reader->at, (size_t)(reader->end - reader->at)});
            if (len == 0)
                return fail(reader, reader->at, "this is not UTF-8");
            reader->at += len;
        }
    }
    if (reader->at == reader->end)
        return fail(reader, opening, "this string does not end");
    *key = (struct key){{opening + 1, (size_t)(reader->at - opening - 1)}, has_escapes};
    reader->at++;
    return true;
}

static const char *skip_digits(const char *at, const char *end)
{
    while (at < end && *at >= '0' && *at <= '9')
        at++;
    return at;
}

/* Reads digits, of which there must be one at least. */
static bool read_digits(struct reader *reader)
{
    const char *from = reader->at;
    reader->at = skip_digits(from, reader->end);
    return reader->at > from || fail(reader, from, "a digit is missing here");
}

static bool read_number(struct reader *reader)
{
    const char *end = reader->end;
    reader->at += *reader->at == '-' ? 1 : 0;
    const char *first = reader->at;
    if (!read_digits(reader))
        return false;
    if (*first == '0' && reader->at - first > 1)
        return fail(reader, first, "a number must not begin with 0");
    if (reader->at < end && *reader->at == '.') {
        reader->at++;
        if (!read_digits(reader))
            return false;
    }
    if (reader->at < end && (*reader->at == 'e' || *reader->at == 'E')) {
        reader->at++;
        reader->at += reader->at < end && (*reader->at == '+' || *reader->at == '-') ? 1 : 0;
        return read_digits(reader);
    }
    return true;
}

/* Something that is not a value stands where one must stand. */
static bool fail_value(struct reader *reader)
{
    bool missing = reader->at == reader->end || memchr(",:]}", *reader->at, 4) != NULL;
    return fail(reader, reader->at,
                reader->at == reader->end ? "it ends too early"
                : missing                 ? "a value is missing here"
                                          : "this is no JSON value");
}

static bool read_word(struct reader *reader, struct str word)
{
    if ((size_t)(reader->end - reader->at) < word.len || memcmp(reader->at, word.base, word.len) != 0)
        return fail_value(reader);
    reader->at += word.len;
    return true;
}

static void keep_key(struct reader *reader, const struct key *key)
{
    if (reader->n_keys == reader->capacity) {
        struct key *old = reader->keys == reader->first_keys ? NULL : reader->keys;
        reader->capacity *= 2;
        reader->keys = mem_realloc(old, reader->capacity * sizeof(*reader->keys));
        if (old == NULL)
            memcpy(reader->keys, reader->first_keys, sizeof(reader->first_keys));
    }
    reader->keys[reader->n_keys++] = *key;
}

/* Reads a key and its colon. */
static bool read_key(struct reader *reader)
{
    struct key key;
    if (reader->at == reader->end)
        return fail(reader, reader->at, "it ends too early");
    if (*reader->at != '"')
        return fail(reader, reader->at, "a key in double quotes is missing here");
    if (!read_string(reader, &key))
        return false;
    keep_key(reader, &key);
    reader->at = skip_blanks(reader->at, reader->end);
    if (reader->at == reader->end)
        return fail(reader, reader->at, "it ends too early");
    if (*reader->at != ':')
        return fail(reader, reader->at, "a ':' is missing here");
    reader->at++;
    return true;
}

/* Reads the UTF-8 of the character at **at, which is an escape or a byte of itself. Returns its length. */
static size_t decode(const char **at, const char *end, char out[4])
{
    static const char escapes[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
    const char *p = *at;
    if (*p != '\\') {
        out[0] = *p;
        *at = p + 1;
        return 1;
    }
    if (p[1] != 'u') {
        out[0] = meant[(const char *)memchr(escapes, p[1], 8) - escapes];
        *at = p + 2;
        return 1;
    }
    uint32_t c = (uint32_t)read_four(p + 2, end);
    *at = p + 6;
    if (is_high_surrogate((int32_t)c)) {
        c = 0x10000 + ((c - 0xd800) << 10) + ((uint32_t)read_four(p + 8, end) - 0xdc00);
        *at = p + 12;
    }
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t len = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char first[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = len; i-- > 1; c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(first[len] | c);
    return len;
}

/* The bytes of a key's text, one after the other. */
struct cursor {
    const char *at, *end;
    char bytes[4];
    size_t used, n;
};

/* The next byte, or -1 at the end. */
static int next_byte(struct cursor *cursor)
{
    if (cursor->used == cursor->n) {
        if (cursor->at == cursor->end)
            return -1;
        cursor->n = decode(&cursor->at, cursor->end, cursor->bytes);
        cursor->used = 0;
    }
    return (unsigned char)cursor->bytes[cursor->used++];
}

/* The order of the texts that the keys stand for. */
static int compare_texts(const struct key *a, const struct key *b)
{
    if (!a->has_escapes && !b->has_escapes) {
        size_t shorter = a->text.len < b->text.len ? a->text.len : b->text.len;
        int order = memcmp(a->text.base, b->text.base, shorter);
        return order != 0 ? order : (a->text.len > b->text.len) - (a->text.len < b->text.len);
    }
    struct cursor left = {.at = a->text.base, .end = a->text.base + a->text.len};
    struct cursor right = {.at = b->text.base, .end = b->text.base + b->text.len};
    int x, y;
    do {
        x = next_byte(&left);
        y = next_byte(&right);
    } while (x == y && x != -1);
    return x - y;
}

/* The same for qsort; equal texts in the order of their places. */
static int compare_keys(const void *left, const void *right)
{
    const struct key *a = left, *b = right;
    int order = compare_texts(a, b);
    return order != 0 ? order : (a->text.base > b->text.base) - (a->text.base < b->text.base);
}

/* The first key that is there already, or NULL. May change the order of the keys. */
static const char *find_repeated(struct key *keys, size_t n)
{
    const char *repeated = NULL;
    if (n <= COMPARED_ONE_BY_ONE) {
        for (size_t i = 1; i < n; i++) {
            for (size_t j = 0; j < i; j++) {
                if (compare_texts(&keys[i], &keys[j]) == 0)
                    return keys[i].text.base;
            }
        }
        return NULL;
    }
    qsort(keys, n, sizeof(*keys), compare_keys);
    for (size_t i = 1; i < n; i++) {
        bool same = compare_texts(&keys[i - 1], &keys[i]) == 0;
        if (same && (repeated == NULL || keys[i].text.base < repeated))
            repeated = keys[i].text.base;
    }
    return repeated;
}

/* Goes into the object or array whose bracket is at reader->at. */
static bool open_level(struct reader *reader)
{
    _Static_assert(JSON_READ_MAX_DEPTH == 64, "the message has the number");
    if (reader->depth == JSON_READ_MAX_DEPTH)
        return fail(reader, reader->at, "it is nested more than 64 levels deep");
    reader->levels[reader->depth++] = (struct level){*reader->at == '{', reader->n_keys};
    reader->at++;
    return true;
}

static bool close_level(struct reader *reader)
{
    const struct level *level = &reader->levels[--reader->depth];
    const char *repeated =
        level->is_object ? find_repeated(reader->keys + level->first_key, reader->n_keys - level->first_key)
                         : NULL;
    reader->n_keys = level->first_key;
    if (repeated != NULL)
        return fail(reader, repeated - 1, "this object has the same key already");
    reader->at++;
    return true;
}

/* Reads a value, but of objects and arrays that are not empty only the way to the first value in them. */
static bool read_value_or_opening(struct reader *reader, bool *opened)
{
    struct key ignored;
    *opened = false;
    reader->at = skip_blanks(reader->at, reader->end);
    if (reader->at == reader->end)
        return fail_value(reader);
    switch (*reader->at) {
    case '{':
    case '[':
        if (!open_level(reader))
            return false;
        bool is_object = reader->levels[reader->depth - 1].is_object;
        reader->at = skip_blanks(reader->at, reader->end);
        if (reader->at < reader->end && *reader->at == (is_object ? '}' : ']'))
            return close_level(reader);
        *opened = true;
        return !is_object || read_key(reader);
    case '"':
        return read_string(reader, &ignored);
    case 't':
        return read_word(reader, STR("true"));
    case 'f':
        return read_word(reader, STR("false"));
    case 'n':
        return read_word(reader, STR("null"));
    default:
        return *reader->at == '-' || (*reader->at >= '0' && *reader->at <= '9') ? read_number(reader)
                                                                                : fail_value(reader);
    }
}

/* Behind a value in an object or array: reads the way to the next one, or closes what ends here. */
static bool read_on(struct reader *reader, bool *more)
{
    bool is_object = reader->levels[reader->depth - 1].is_object;
    reader->at = skip_blanks(reader->at, reader->end);
    if (reader->at == reader->end)
        return fail(reader, reader->at, "it ends too early");
    *more = *reader->at == ',';
    if (*more) {
        reader->at = is_object ? skip_blanks(reader->at + 1, reader->end) : reader->at + 1;
        return !is_object || read_key(reader);
    }
    if (*reader->at == (is_object ? '}' : ']'))
        return close_level(reader);
    return fail(reader, reader->at,
                is_object ? "a ',' or '}' is missing here" : "a ',' or ']' is missing here");
}

/* One value with all that is in it. */
static bool read_whole(struct reader *reader)
{
    bool more;
    do {
        if (!read_value_or_opening(reader, &more))
            return false;
        while (!more && reader->depth > 0) {
            if (!read_on(reader, &more))
                return false;
        }
    } while (more);
    return true;
}

static enum json_kind kind_of(char first)
{
    switch (first) {
    case 'n':
        return JSON_NULL;
    case 't':
        return JSON_TRUE;
    case 'f':
        return JSON_FALSE;
    case '"':
        return JSON_STRING;
    case '[':
        return JSON_ARRAY;
    case '{':
        return JSON_OBJECT;
    default:
        return JSON_NUMBER;
    }
}

const char *json_read_check(struct str text, struct json_value *root, size_t *error_at)
{
    struct reader reader; /* not cleared as a whole: most texts use little of it */
    if (text.len == 0)
        text = STR("");
    const char *end = text.base + text.len, *first = skip_blanks(text.base, end);
    reader.at = first;
    reader.end = end;
    reader.error = NULL;
    reader.depth = 0;
    reader.keys = reader.first_keys;
    reader.n_keys = 0;
    reader.capacity = FIRST_KEYS;
    if (text.len >= 3 && memcmp(text.base, "\xef\xbb\xbf", 3) == 0) {
        fail(&reader, text.base, "it must not begin with a byte order mark");
    } else if (read_whole(&reader)) {
        *root = (struct json_value){kind_of(*first), {first, (size_t)(reader.at - first)}};
        reader.at = skip_blanks(reader.at, end);
        if (reader.at < end)
            fail(&reader, reader.at, "there must be nothing behind the value");
    }
    if (reader.keys != reader.first_keys)
        free(reader.keys);
    if (reader.error != NULL)
        *error_at = (size_t)(reader.at - text.base);
    return reader.error;
}

/* The end of the string whose opening quote is at p. */
static const char *skip_string(const char *p)
{
    for (p++; *p != '"'; p++)
        p += *p == '\\' ? 1 : 0;
    return p + 1;
}

/* The end of the value at p. */
static const char *skip_value(const char *p, const char *end)
{
    size_t depth = 0;
    if (*p == '"')
        return skip_string(p);
    if (*p != '{' && *p != '[') {
        while (p < end && !is_blank(*p) && *p != ',' && *p != ']' && *p != '}')
            p++;
        return p;
    }
    do {
        if (*p == '"') {
            p = skip_string(p);
            continue;
        }
        depth += *p == '{' || *p == '[' ? 1 : 0;
        depth -= *p == '}' || *p == ']' ? 1 : 0;
        p++;
    } while (depth > 0);
    return p;
}

struct json_iterator json_members(struct json_value container)
{
    return (struct json_iterator){container.text.base + 1, container.text.base + container.text.len - 1};
}

bool json_next(struct json_iterator *iterator, struct str *name, struct json_value *value)
{
    const char *p = skip_blanks(iterator->at, iterator->end);
    *name = (struct str){0};
    if (p == iterator->end)
        return false;
    if (*p == ',')
        p = skip_blanks(p + 1, iterator->end);
    const char *stop = skip_value(p, iterator->end);
    const char *behind = skip_blanks(stop, iterator->end);
    if (behind < iterator->end && *behind == ':') {
        *name = (struct str){p, (size_t)(stop - p)};
        p = skip_blanks(behind + 1, iterator->end);
        stop = skip_value(p, iterator->end);
    }
    *value = (struct json_value){kind_of(*p), {p, (size_t)(stop - p)}};
    iterator->at = stop;
    return true;
}

size_t json_unescape(struct str text, char *out)
{
    const char *at = text.base + 1, *end = text.base + text.len - 1;
    size_t len = 0;
    while (at < end) {
        if (*at == '\\') {
            char bytes[4];
            size_t n = decode(&at, end, bytes);
            memcpy(out + len, bytes, n);
            len += n;
        } else {
            out[len++] = *at++;
        }
    }
    return len;
}
