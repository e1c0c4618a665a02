/*
 * pgvalue.c: a value as JSON, from the text that PostgreSQL has for it.
 *
 * The texts are those of PostgreSQL's output functions (array_out, record_out, hstore_out), which write less
 * than the input functions read: a part is in quotes as a whole or has none. What is in quotes is undone into
 * memory of its own, one part at a time, and is then read in the same way.
 */
#include "pg/pgvalue.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum {
    DEPTH_MAX = 64,      /* of values in values: quotes double at each level, so that no value has so many */
    DIMENSIONS_MAX = 6,  /* of an array (PostgreSQL's MAXDIM) */
    PLAIN_ON_STACK = 256 /* bytes of what was in quotes; more of them take the heap */
};

/* A text that is read from its beginning to its end. */
struct reader {
    const char *at, *end;
};

/* A part of a text, as it is without its quotes. */
struct part {
    const char *text;
    size_t len;
    bool quoted;
    char *heap; /* where it lies, if it is more than fits into room; else NULL */
    char room[PLAIN_ON_STACK];
};

static bool write_value(struct json_writer *writer, const struct pgtypes_type *type, const char *text,
                        size_t len, unsigned depth);

static void write_timestamp(struct json_writer *writer, const char *text, size_t len)
{
    /* "2026-11-21 22:04:29.5+01" becomes "2026-11-21T22:04:29.5+01:00"; " BC" stays after it. Infinity has no
     * blank. */
    char *out = json_reserve(writer, len + 5), *begin = out;
    const char *end = text + len, *blank = memchr(text, ' ', len);
    *out++ = '"';
    if (blank != NULL) {
        memcpy(out, text, (size_t)(blank - text));
        out += blank - text;
        *out++ = 'T';
        const char *time_end = memchr(blank + 1, ' ', (size_t)(end - blank - 1));
        if (time_end == NULL)
            time_end = end;
        size_t time_len = (size_t)(time_end - blank - 1);
        memcpy(out, blank + 1, time_len);
        out += time_len;
        if (time_len >= 3 && (time_end[-3] == '+' || time_end[-3] == '-')) {
            memcpy(out, ":00", 3);
            out += 3;
        }
        text = time_end;
    }
    memcpy(out, text, (size_t)(end - text));
    out += end - text;
    *out++ = '"';
    writer->len += (size_t)(out - begin);
}

static bool take(struct reader *reader, char c)
{
    if (reader->at == reader->end || *reader->at != c)
        return false;
    reader->at++;
    return true;
}

static bool take_text(struct reader *reader, const char *text)
{
    size_t len = strlen(text);
    if ((size_t)(reader->end - reader->at) < len || memcmp(reader->at, text, len) != 0)
        return false;
    reader->at += len;
    return true;
}

/*
 * Behind an opening quote: finds the closing one. A quote within is written as \" or, in composites, as "";
 * *escapes tells how many bytes stand before others that they are no part of. False if there is no end.
 */
static bool find_end(const struct reader *reader, bool doubled, const char **close, size_t *escapes)
{
    const char *at = reader->at;
    *escapes = 0;
    for (; at < reader->end; at++) {
        if (*at == '\\' || (doubled && *at == '"' && at + 1 < reader->end && at[1] == '"')) {
            (*escapes)++;
            at++;
        } else if (*at == '"') {
            *close = at;
            return true;
        }
    }
    return false;
}

/* A part in quotes. It is to be given up by part_done. */
static bool take_quoted(struct reader *reader, bool doubled, struct part *part)
{
    const char *close;
    size_t escapes;
    part->quoted = true;
    part->heap = NULL;
    if (!find_end(reader, doubled, &close, &escapes))
        return false;
    part->text = reader->at;
    part->len = (size_t)(close - reader->at) - escapes;
    if (escapes > 0) {
        char *out = part->len <= sizeof(part->room) ? part->room : (part->heap = mem_alloc(part->len));
        part->text = out;
        for (const char *at = reader->at; at < close; at++) {
            if (*at == '\\' || *at == '"')
                at++;
            *out++ = *at;
        }
    }
    reader->at = close + 1;
    return true;
}

static void part_done(struct part *part)
{
    free(part->heap);
}

/* A part, which ends before one of the two characters; it is not read on. */
static bool take_part(struct reader *reader, char separator, char end, bool doubled, struct part *part)
{
    if (take(reader, '"'))
        return take_quoted(reader, doubled, part);
    const char *from = reader->at;
    while (reader->at < reader->end && *reader->at != separator && *reader->at != end)
        reader->at++;
    part->text = from;
    part->len = (size_t)(reader->at - from);
    part->quoted = false;
    part->heap = NULL;
    return reader->at < reader->end;
}

/* Arrays */

static bool write_element(struct json_writer *writer, const struct pgtypes_type *element,
                          struct reader *reader, unsigned depth)
{
    struct part part;
    bool good = take_part(reader, element->delimiter, '}', false, &part);
    if (good && !part.quoted && part.len == 4 && memcmp(part.text, "NULL", 4) == 0)
        json_raw(writer, "null", 4);
    else
        good =
            good && (part.quoted || part.len > 0) && write_value(writer, element, part.text, part.len, depth);
    part_done(&part);
    return good;
}

/* Behind the bracket that opens one dimension: its elements, or those of the next one. */
static bool write_dimension(struct json_writer *writer, const struct pgtypes_type *element,
                            struct reader *reader, unsigned dimensions, unsigned depth)
{
    bool good = true;
    json_char(writer, '[');
    do {
        if (take(reader, '{'))
            good = dimensions < DIMENSIONS_MAX &&
                   write_dimension(writer, element, reader, dimensions + 1, depth);
        else
            good = write_element(writer, element, reader, depth);
        if (good && reader->at < reader->end && *reader->at == element->delimiter)
            json_char(writer, ',');
    } while (good && take(reader, element->delimiter));
    json_char(writer, ']');
    return good && take(reader, '}');
}

/* "[0:1][-1:2]=", which stands before an array whose bounds do not begin with 1, says nothing in JSON. */
static bool skip_bounds(struct reader *reader)
{
    if (reader->at == reader->end || *reader->at != '[')
        return true;
    const char *equals = memchr(reader->at, '=', (size_t)(reader->end - reader->at));
    if (equals == NULL)
        return false;
    reader->at = equals + 1;
    return true;
}

static bool write_array(struct json_writer *writer, const struct pgtypes_type *type, struct reader *reader,
                        unsigned depth)
{
    if (!skip_bounds(reader) || !take(reader, '{'))
        return false;
    if (take(reader, '}')) {
        json_raw(writer, "[]", 2);
        return reader->at == reader->end;
    }
    return write_dimension(writer, type->element, reader, 1, depth) && reader->at == reader->end;
}

/* "1 2 3" */
static bool write_vector(struct json_writer *writer, const struct pgtypes_type *type, struct reader *reader,
                         unsigned depth)
{
    bool good = true, more = reader->at < reader->end;
    json_char(writer, '[');
    while (good && more) {
        const char *blank = memchr(reader->at, ' ', (size_t)(reader->end - reader->at));
        const char *stop = blank == NULL ? reader->end : blank;
        size_t len = (size_t)(stop - reader->at);
        good = len > 0 && write_value(writer, type->element, reader->at, len, depth);
        reader->at = stop;
        more = take(reader, ' ');
        if (more)
            json_char(writer, ',');
    }
    json_char(writer, ']');
    return good;
}

/* Composites */

/* "(1,,\"a, b\")": nothing at all is NULL, and a text of no length is in quotes. */
static bool write_composite(struct json_writer *writer, const struct pgtypes_type *type,
                            struct reader *reader, unsigned depth)
{
    bool good = take(reader, '(');
    if (type->n_fields == 0)
        json_char(writer, '{');
    for (size_t i = 0; good && i < type->n_fields; i++) {
        const struct pgtypes_field *field = &type->fields[i];
        struct part part;
        if (i > 0 && !take(reader, ','))
            return false;
        json_raw(writer, field->key.base, field->key.len);
        good = take_part(reader, ',', ')', true, &part);
        if (good && !part.quoted && part.len == 0)
            json_raw(writer, "null", 4);
        else
            good = good && write_value(writer, field->type, part.text, part.len, depth);
        part_done(&part);
    }
    json_char(writer, '}');
    return good && take(reader, ')') && reader->at == reader->end;
}

/* hstore: "\"k\"=>\"v\", \"l\"=>NULL", with blanks as the extension's own cast to json has them */

static bool write_quoted(struct json_writer *writer, struct reader *reader)
{
    struct part part;
    if (!take(reader, '"') || !take_quoted(reader, false, &part))
        return false;
    json_string(writer, part.text, part.len);
    part_done(&part);
    return true;
}

static bool write_hstore(struct json_writer *writer, struct reader *reader)
{
    bool good = true;
    json_char(writer, '{');
    while (good && reader->at < reader->end) {
        good = write_quoted(writer, reader) && take_text(reader, "=>");
        json_raw(writer, ": ", 2);
        if (good && take_text(reader, "NULL"))
            json_raw(writer, "null", 4);
        else
            good = good && write_quoted(writer, reader);
        if (good && reader->at < reader->end) {
            good = take_text(reader, ", ") && reader->at < reader->end;
            json_raw(writer, ", ", 2);
        }
    }
    json_char(writer, '}');
    return good;
}

/* Parts that have changed */

static size_t count_digits(const struct reader *reader)
{
    size_t n = 0;
    while (reader->at + n < reader->end && reader->at[n] >= '0' && reader->at[n] <= '9')
        n++;
    return n;
}

static bool skip_digits(struct reader *reader)
{
    size_t n = count_digits(reader);
    reader->at += n;
    return n > 0;
}

/* A number of JSON (RFC 8259 section 6), or what else PostgreSQL has among its numbers. */
static bool is_number(struct reader reader)
{
    take(&reader, '-');
    if (take_text(&reader, "Infinity") || take_text(&reader, "NaN"))
        return reader.at == reader.end;
    bool good = take(&reader, '0') || skip_digits(&reader);
    if (take(&reader, '.'))
        good &= skip_digits(&reader);
    if (take(&reader, 'e')) {
        if (!take(&reader, '+'))
            take(&reader, '-');
        good &= skip_digits(&reader);
    }
    return good && reader.at == reader.end;
}

static bool is_timestamp(struct reader reader)
{
    size_t len = (size_t)(reader.end - reader.at);
    if (count_digits(&reader) == 0) {
        take(&reader, '-');
        return take_text(&reader, "infinity") && reader.at == reader.end;
    }
    for (size_t i = 0; i < len; i++) {
        if (reader.at[i] == '\0' || strchr("0123456789-:.+ BC", reader.at[i]) == NULL)
            return false;
    }
    return true;
}

/*
 * Can a field or element still be of its type? PostgreSQL tells of what an array or composite is made of by
 * its name alone, so it does not refuse a statement because a field has become a text.
 */
static bool is_still(enum pgtypes_rule rule, struct reader reader)
{
    size_t len = (size_t)(reader.end - reader.at);
    switch (rule) {
    case PGTYPES_AS_NUMBER:
        return is_number(reader);
    case PGTYPES_AS_BOOL:
        return len == 1 && (reader.at[0] == 't' || reader.at[0] == 'f');
    case PGTYPES_AS_JSON:
        return len > 0;
    case PGTYPES_AS_TIMESTAMP:
        return is_timestamp(reader);
    default:
        return true;
    }
}

/* All */

/* By the rules that take nothing but the text. */
static void write_scalar(struct json_writer *writer, enum pgtypes_rule rule, const char *text, size_t len)
{
    switch (rule) {
    case PGTYPES_AS_NUMBER:
        pgvalue_write_number(writer, text, len);
        break;
    case PGTYPES_AS_BOOL:
        if (len > 0 && text[0] == 't')
            json_raw(writer, "true", 4);
        else
            json_raw(writer, "false", 5);
        break;
    case PGTYPES_AS_JSON:
        json_raw(writer, text, len);
        break;
    case PGTYPES_AS_TIMESTAMP:
        write_timestamp(writer, text, len);
        break;
    default:
        json_string(writer, text, len);
        break;
    }
}

/* depth is how many values it stands in. */
static bool write_value(struct json_writer *writer, const struct pgtypes_type *type, const char *text,
                        size_t len, unsigned depth)
{
    struct reader reader = {text, text + len};
    if (depth == DEPTH_MAX)
        return false;
    switch (type->rule) {
    case PGTYPES_AS_ARRAY:
        return write_array(writer, type, &reader, depth + 1);
    case PGTYPES_AS_VECTOR:
        return write_vector(writer, type, &reader, depth + 1);
    case PGTYPES_AS_COMPOSITE:
        return write_composite(writer, type, &reader, depth + 1);
    case PGTYPES_AS_HSTORE:
        return write_hstore(writer, &reader);
    case PGTYPES_OPAQUE:
        return false;
    default:
        if (depth > 0 && !is_still(type->rule, reader))
            return false;
        write_scalar(writer, type->rule, text, len);
        return true;
    }
}

bool pgvalue_write(struct json_writer *writer, const struct pgtypes_type *type, const char *text, size_t len)
{
    return write_value(writer, type, text, len, 0);
}
