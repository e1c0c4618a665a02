/* pgwire.c: the messages of PostgreSQL's protocol (PostgreSQL 15, chapter 55). */
#include "pg/pgwire.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum {
    FIRST_CAPACITY = 1024,
    KEPT_CAPACITY = 64 * 1024, /* bytes: a larger buffer is freed when it is empty */
};

/* Writing */

size_t pgwire_left(const struct pgwire_writer *writer)
{
    return writer->len - writer->from + writer->longs_left;
}

struct str pgwire_peek(const struct pgwire_writer *writer)
{
    size_t to = writer->len;
    if (writer->longs_taken < writer->n_longs) {
        const struct pgwire_long *next = &writer->longs[writer->longs_taken];
        if (next->at == writer->from)
            return (struct str){next->bytes.base + writer->long_from, next->bytes.len - writer->long_from};
        to = next->at;
    }
    return (struct str){writer->base + writer->from, to - writer->from};
}

/* All was taken: begins again at its front. */
static void rewind_writer(struct pgwire_writer *writer)
{
    writer->from = writer->len = 0;
    writer->n_longs = writer->longs_taken = 0;
    if (writer->capacity > KEPT_CAPACITY) {
        free(writer->base);
        writer->base = NULL;
        writer->capacity = 0;
    }
}

void pgwire_take(struct pgwire_writer *writer, size_t n)
{
    const struct pgwire_long *next =
        writer->longs_taken < writer->n_longs ? &writer->longs[writer->longs_taken] : NULL;
    if (next == NULL || next->at != writer->from) {
        writer->from += n;
    } else {
        writer->long_from += n;
        writer->longs_left -= n;
        if (writer->long_from == next->bytes.len) {
            store_drop(next->store);
            writer->longs_taken++;
            writer->long_from = 0;
        }
    }
    if (writer->from == writer->len && writer->longs_taken == writer->n_longs)
        rewind_writer(writer);
}

void pgwire_writer_dispose(struct pgwire_writer *writer)
{
    for (size_t i = writer->longs_taken; i < writer->n_longs; i++)
        store_drop(writer->longs[i].store);
    free(writer->longs);
    free(writer->base);
    *writer = (struct pgwire_writer){0};
}

static char *reserve(struct pgwire_writer *writer, size_t size)
{
    if (writer->capacity - writer->len < size) {
        size_t capacity = writer->capacity == 0 ? FIRST_CAPACITY : writer->capacity * 2;
        if (capacity < writer->len + size)
            capacity = writer->len + size;
        writer->base = mem_realloc(writer->base, capacity);
        writer->capacity = capacity;
    }
    return writer->base + writer->len;
}

static char *put32(char *out, uint32_t number)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        *out++ = (char)(number >> shift);
    return out;
}

static char *put16(char *out, size_t number)
{
    *out++ = (char)(number >> 8);
    *out++ = (char)number;
    return out;
}

static char *put_text(char *out, const char *text, size_t len)
{
    memcpy(out, text, len);
    out[len] = '\0';
    return out + len + 1;
}

/* The type of a message and its length, which is that of the body and its own. */
static char *put_head(char *out, char type, size_t body)
{
    *out++ = type;
    return put32(out, (uint32_t)(body + 4));
}

void pgwire_parse(struct pgwire_writer *writer, const char *name, const char *sql, const uint32_t *types,
                  size_t n)
{
    size_t name_len = strlen(name), sql_len = strlen(sql), body = name_len + 1 + sql_len + 1 + 2 + 4 * n;
    char *out = reserve(writer, PGWIRE_HEAD + body);
    out = put_head(out, 'P', body);
    out = put_text(out, name, name_len);
    out = put_text(out, sql, sql_len);
    out = put16(out, n);
    for (size_t i = 0; i < n; i++)
        out = put32(out, types[i]);
    writer->len = (size_t)(out - writer->base);
}

/* A message about a prepared statement. */
static void put_about(struct pgwire_writer *writer, char type, const char *name)
{
    size_t len = strlen(name), body = 1 + len + 1;
    char *out = reserve(writer, PGWIRE_HEAD + body);
    out = put_head(out, type, body);
    *out++ = 'S';
    out = put_text(out, name, len);
    writer->len = (size_t)(out - writer->base);
}

void pgwire_close(struct pgwire_writer *writer, const char *name)
{
    put_about(writer, 'C', name);
}

void pgwire_describe(struct pgwire_writer *writer, const char *name)
{
    put_about(writer, 'D', name);
}

static void put_long(struct pgwire_writer *writer, struct str bytes, struct store *store)
{
    MEM_GROW(&writer->longs, writer->n_longs);
    writer->longs[writer->n_longs++] = (struct pgwire_long){writer->len, bytes, store_keep(store)};
    writer->longs_left += bytes.len;
}

/* A message that is being written: where it begins, and what longs_left was then. */
struct begun {
    size_t at, longs_left;
};

/* A Bind's body: portal, statement, formats of the values, then the n values. */
static struct begun begin_bind(struct pgwire_writer *writer, const char *name, size_t n)
{
    size_t name_len = strlen(name);
    struct begun begun = {writer->len, writer->longs_left};
    char *out = reserve(writer, PGWIRE_HEAD + 1 + name_len + 1 + 2 + 2) + PGWIRE_HEAD;
    *out++ = '\0';
    out = put_text(out, name, name_len);
    out = put16(out, 0);
    out = put16(out, n);
    writer->len = (size_t)(out - writer->base);
    return begun;
}

/* … and the formats of the columns. Then Execute. */
static void end_bind(struct pgwire_writer *writer, struct begun begun)
{
    static const char describe[] = {'D', 0, 0, 0, 6, 'P', '\0'};       /* unnamed portal */
    static const char execute[] = {'E', 0, 0, 0, 9, '\0', 0, 0, 0, 0}; /* likewise, all rows */
    size_t describe_size = writer->describes_portal ? sizeof(describe) : 0;
    char *out = put16(reserve(writer, 2 + describe_size + sizeof(execute)), 0);
    memcpy(out, describe, describe_size);
    memcpy(out + describe_size, execute, sizeof(execute));
    writer->describes_portal = false;
    put_head(writer->base + begun.at, 'B',
             writer->len + 2 - begun.at - PGWIRE_HEAD + writer->longs_left - begun.longs_left);
    writer->len += 2 + describe_size + sizeof(execute);
}

void pgwire_execute(struct pgwire_writer *writer, const char *name, const struct str *values, size_t n,
                    struct store *store)
{
    struct begun begun = begin_bind(writer, name, n);
    for (size_t i = 0; i < n; i++) {
        size_t len = values[i].len;
        bool is_long = len >= PGWIRE_LONG && store != NULL;
        char *out = reserve(writer, 4 + (is_long ? 0 : len));
        out = put32(out, values[i].base == NULL ? UINT32_MAX : (uint32_t)len);
        writer->len += 4;
        if (is_long) {
            put_long(writer, values[i], store);
        } else if (len > 0) {
            memcpy(out, values[i].base, len);
            writer->len += len;
        }
    }
    end_bind(writer, begun);
}

/* An element in quotes, which no element needs to be without; but NULL is NULL only without them. */
static char *put_element(char *out, struct str text)
{
    if (text.base == NULL) {
        memcpy(out, "NULL", 4);
        return out + 4;
    }
    *out++ = '"';
    for (size_t i = 0; i < text.len; i++) {
        if (text.base[i] == '"' || text.base[i] == '\\')
            *out++ = '\\';
        *out++ = text.base[i];
    }
    *out++ = '"';
    return out;
}

void pgwire_execute_arrays(struct pgwire_writer *writer, const char *name, const struct str *const *rows,
                           size_t n_rows, size_t n)
{
    struct begun begun = begin_bind(writer, name, n);
    for (size_t i = 0; i < n; i++) {
        size_t at = writer->len;
        put32(reserve(writer, 4), 0);
        writer->len += 4;
        for (size_t k = 0; k < n_rows; k++) {
            struct str text = rows[k][i];
            size_t room = text.base == NULL ? 4 : 2 * text.len + 2;
            char *out = reserve(writer, 1 + room + 1);
            *out++ = k == 0 ? '{' : ',';
            writer->len = (size_t)(put_element(out, text) - writer->base);
        }
        writer->base[writer->len++] = '}'; /* there is room for it */
        put32(writer->base + at, (uint32_t)(writer->len - at - 4));
    }
    end_bind(writer, begun);
}

void pgwire_describe_portal(struct pgwire_writer *writer)
{
    writer->describes_portal = true;
}

void pgwire_sync(struct pgwire_writer *writer)
{
    put_head(reserve(writer, PGWIRE_HEAD), 'S', 0);
    writer->len += PGWIRE_HEAD;
}

/* Reading */

static uint32_t get32(const char *at)
{
    const unsigned char *bytes = (const unsigned char *)at;
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static size_t get16(const char *at)
{
    const unsigned char *bytes = (const unsigned char *)at;
    return (size_t)bytes[0] << 8 | bytes[1];
}

enum pgwire_got pgwire_next(const char *bytes, size_t len, struct pgwire_message *message, size_t *wants)
{
    *wants = PGWIRE_HEAD;
    if (len < PGWIRE_HEAD)
        return PGWIRE_MORE;
    uint32_t length = get32(bytes + 1);
    if (length < 4 || length > PGWIRE_MAX_MESSAGE)
        return PGWIRE_GARBAGE;
    *wants = 1 + (size_t)length;
    if (len < *wants)
        return PGWIRE_MORE;
    message->type = (unsigned char)bytes[0];
    message->body = bytes + PGWIRE_HEAD;
    message->len = length - 4;
    return PGWIRE_MESSAGE;
}

bool pgwire_row(const struct pgwire_message *message, size_t n, struct pgwire_row *row)
{
    const char *at = message->body, *end = at + message->len;
    if (message->len < 2 || get16(at) != n)
        return false;
    at += 2;
    row->at = at;
    for (size_t i = 0; i < n; i++) {
        if (end - at < 4)
            return false;
        uint32_t len = get32(at);
        at += 4;
        if (len == UINT32_MAX)
            continue;
        if (len > (size_t)(end - at))
            return false;
        at += len;
    }
    return at == end;
}

struct pgwire_value pgwire_row_next(struct pgwire_row *row)
{
    struct pgwire_value value = {row->at + 4, (int32_t)get32(row->at)};
    row->at = value.text + (value.len < 0 ? 0 : value.len);
    return value;
}

struct pgwire_value pgwire_row_value(struct pgwire_row row, size_t i)
{
    struct pgwire_value value = pgwire_row_next(&row);
    while (i-- > 0)
        value = pgwire_row_next(&row);
    return value;
}

bool pgwire_fields(const struct pgwire_message *message, struct pgwire_field **fields, size_t *n)
{
    enum { BEHIND_NAME = 18, TYPE_AT = 6 }; /* table, column, type, its size, its modifier, format */
    const char *at = message->body, *end = at + message->len;
    if (message->len < 2)
        return false;
    *n = get16(at);
    at += 2;
    *fields = mem_calloc(*n + 1, sizeof(**fields));
    for (size_t i = 0; i < *n; i++) {
        const char *zero = memchr(at, '\0', (size_t)(end - at));
        if (zero == NULL || end - zero - 1 < BEHIND_NAME) {
            free(*fields);
            *fields = NULL;
            return false;
        }
        (*fields)[i] = (struct pgwire_field){at, get32(zero + 1 + TYPE_AT)};
        at = zero + 1 + BEHIND_NAME;
    }
    if (at == end)
        return true;
    free(*fields);
    *fields = NULL;
    return false;
}

bool pgwire_types(const struct pgwire_message *message, uint32_t **types, size_t *n)
{
    if (message->len < 2 || message->len != 2 + 4 * get16(message->body))
        return false;
    *n = get16(message->body);
    *types = mem_calloc(*n + 1, sizeof(**types));
    for (size_t i = 0; i < *n; i++)
        (*types)[i] = get32(message->body + 2 + 4 * i);
    return true;
}

bool pgwire_is_text(const struct pgwire_message *message)
{
    return message->len > 0 && memchr(message->body, '\0', message->len) == message->body + message->len - 1;
}

bool pgwire_parameter(const struct pgwire_message *message, const char **name, const char **value)
{
    const char *zero = message->len == 0 ? NULL : memchr(message->body, '\0', message->len);
    const char *end = message->body + message->len;
    if (zero == NULL || end - zero < 2 || memchr(zero + 1, '\0', (size_t)(end - zero - 1)) != end - 1)
        return false;
    *name = message->body;
    *value = zero + 1;
    return true;
}

bool pgwire_is_error(const struct pgwire_message *message)
{
    const char *at = message->body, *end = at + message->len;
    while (at < end && *at != '\0') {
        const char *zero = memchr(at, '\0', (size_t)(end - at));
        if (zero == NULL)
            return false;
        at = zero + 1;
    }
    return at < end && at + 1 == end;
}

const char *pgwire_error_field(const char *body, int code)
{
    for (; *body != '\0'; body += strlen(body) + 1) {
        if (*body == code)
            return body + 1;
    }
    return "";
}

/* Codes of fields (section 55.8). */
enum { FIELD_STATE = 'C', FIELD_FUNCTION = 'R', FIELD_CONTEXT = 'W' };

bool pgwire_error_is(const char *body, const char *state, const char *function)
{
    return strcmp(pgwire_error_field(body, FIELD_STATE), state) == 0 &&
           strcmp(pgwire_error_field(body, FIELD_FUNCTION), function) == 0 &&
           pgwire_error_field(body, FIELD_CONTEXT)[0] == '\0';
}
