/*
 * pgwire.c: fuzz target for PostgreSQL's messages: the input is what a server sends. Each message goes to the
 * readers of its type, which take it as a whole or not at all; rows become JSON with the columns that were
 * described last.
 */
#include "pg/pgwire.h"

#include "fuzz.h"
#include "base/json_read.h"
#include "pg/pgjson.h"
#include "pg/pgtypes.h"

/* The columns that were described last, or NULL: as objects, and with their texts. */
struct described {
    struct pgjson_columns *columns, *with_texts;
};

static void forget(struct described *described)
{
    pgjson_columns_free(described->columns);
    pgjson_columns_free(described->with_texts);
    *described = (struct described){NULL, NULL};
}

static size_t number_at(const char *at)
{
    return (size_t)(unsigned char)at[0] << 8 | (unsigned char)at[1];
}

/* The texts in the bytes, each with its NUL; those of no length are counted too. */
static size_t count_nuls(const char *bytes, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += bytes[i] == '\0';
    return n;
}

static bool is_ended(const struct pgwire_message *message)
{
    return message->len > 0 && message->body[message->len - 1] == '\0';
}

/* Rows */

/* What is read of a row, in the writer's own form: a Bind has its values as a DataRow has them. */
static void check_bound(const struct pgwire_message *message, size_t n, struct pgwire_row row)
{
    struct str *values = mem_calloc(n + 1, sizeof(*values));
    struct pgwire_writer writer = {0};
    struct pgwire_message sent = {0};
    size_t wants, head = 1 + sizeof("name") + 2;
    for (size_t i = 0; i < n; i++) {
        struct pgwire_value value = pgwire_row_next(&row);
        if (value.len >= 0)
            values[i] = (struct str){fuzz_copy(value.text, (size_t)value.len), (size_t)value.len};
    }
    pgwire_execute(&writer, "name", values, n, NULL);
    FUZZ_CHECK(pgwire_next(writer.base, writer.len, &sent, &wants) == PGWIRE_MESSAGE && sent.type == 'B',
               "Bind");
    FUZZ_CHECK(sent.len == head + message->len + 2 &&
                   memcmp(sent.body + head, message->body, message->len) == 0,
               "%zu values are bound as others", n);
    FUZZ_CHECK(pgwire_next(writer.base + wants, writer.len - wants, &sent, &head) == PGWIRE_MESSAGE &&
                   sent.type == 'E' && wants + head == writer.len,
               "Execute");
    for (size_t i = 0; i < n; i++)
        free((char *)values[i].base);
    free(values);
    free(writer.base);
}

/* The object has the texts of the row. (Keys may be there twice, which is not a mistake of the writer's.) */
static void check_texts(struct json_value object, size_t n, struct pgwire_row row)
{
    struct json_iterator members = json_members(object);
    struct json_value member;
    struct str key;
    size_t i = 0;
    for (; i < n && json_next(&members, &key, &member); i++) {
        struct pgwire_value value = pgwire_row_next(&row);
        FUZZ_CHECK((value.len < 0) == (member.kind == JSON_NULL), "value %zu", i);
        if (value.len < 0)
            continue;
        char *text = mem_alloc(member.text.len);
        size_t len = json_unescape(member.text, text);
        FUZZ_CHECK(str_equal((struct str){text, len}, (struct str){value.text, (size_t)value.len}),
                   "text %zu", i);
        free(text);
    }
    FUZZ_CHECK(i == n && !json_next(&members, &key, &member), "%zu values of %zu", i, n);
}

/* A row of texts under keys of their own is JSON, as far as the texts are UTF-8 without U+0000. */
static void check_as_texts(size_t n, struct pgwire_row row)
{
    struct pgwire_field *fields = mem_calloc(n + 1, sizeof(*fields));
    for (size_t i = 0; i < n; i++)
        fields[i] = (struct pgwire_field){mem_printf("%zu", i), PGTYPES_TEXT};
    struct pgjson_columns *columns = pgjson_columns_new(fields, n, PGJSON_OBJECTS, NULL);
    struct json_writer writer = json_writer_on(NULL, 0);
    struct json_value object;
    size_t at;
    FUZZ_CHECK(pgjson_row(&writer, columns, row), "texts are not written");
    const char *error = json_read_check((struct str){writer.base, writer.len}, &object, &at);
    FUZZ_CHECK(error == NULL || strcmp(error, "this is not UTF-8") == 0 ||
                   strcmp(error, "PostgreSQL has no character \\u0000") == 0,
               "%s at %zu", error, at);
    if (error == NULL)
        check_texts(object, n, row);
    free(writer.base);
    pgjson_columns_free(columns);
    for (size_t i = 0; i < n; i++)
        free((char *)fields[i].name);
    free(fields);
}

/* As the server does it: an object, or nothing where a text is not of its type. */
static void check_object(const struct pgjson_columns *columns, struct pgwire_row row)
{
    struct json_writer writer = json_writer_on(NULL, 0);
    bool by_server = pgjson_by_server(columns), is_null = pgwire_row_value(row, 0).len < 0;
    if (!pgjson_row(&writer, columns, row))
        FUZZ_CHECK(!by_server && writer.len == 0, "%zu bytes of no row", writer.len);
    else if (!by_server)
        FUZZ_CHECK(writer.len >= 2 && writer.base[0] == '{' && writer.base[writer.len - 1] == '}',
                   "no object");
    else
        FUZZ_CHECK(is_null || writer.len == (size_t)pgwire_row_value(row, 0).len, "not as it came");
    free(writer.base);
}

static void check_columns(const struct pgjson_columns *columns, size_t n, struct pgwire_row row)
{
    size_t n_texts = pgjson_columns_count(columns), first = pgjson_by_server(columns) ? 1 : 0;
    if (pgjson_values(columns) != n)
        return;
    if (n > 0)
        check_object(columns, row);
    for (size_t i = 0; first + n_texts == n && i < n_texts; i++) {
        struct pgwire_value value = pgwire_row_value(row, first + i);
        struct str text = pgjson_text(columns, row, (int)i);
        FUZZ_CHECK((text.base == NULL) == (value.len < 0), "the text of column %zu", i);
        FUZZ_CHECK(value.len < 0 || text.len == (size_t)value.len, "the text of column %zu", i);
    }
}

static void check_row(const struct pgwire_message *message, const struct described *described)
{
    size_t n = message->len < 2 ? 0 : number_at(message->body);
    struct pgwire_row row, step;
    FUZZ_CHECK(!pgwire_row(message, n + 1, &row) && (n == 0 || !pgwire_row(message, n - 1, &row)),
               "it has not %zu columns", n);
    if (!pgwire_row(message, n, &row))
        return;
    const char *at = message->body + 2;
    step = row;
    for (size_t i = 0; i < n; i++) {
        struct pgwire_value value = pgwire_row_next(&step);
        FUZZ_CHECK(value.text == at + 4 && value.len >= -1, "value %zu", i);
        at = value.text + (value.len < 0 ? 0 : value.len);
    }
    FUZZ_CHECK(at == message->body + message->len, "it goes on behind its values");
    FUZZ_CHECK(n == 0 || pgwire_row_value(row, n - 1).text <= at, "the last value");
    check_bound(message, n, row);
    check_as_texts(n, row);
    if (described->columns != NULL) {
        check_columns(described->columns, n, row);
        check_columns(described->with_texts, n, row);
    }
}

/* Descriptions */

static void check_fields(const struct pgwire_message *message, struct described *described)
{
    struct pgwire_field *fields;
    const char *at = message->body + 2;
    size_t n;
    if (!pgwire_fields(message, &fields, &n))
        return;
    forget(described);
    FUZZ_CHECK(n == number_at(message->body), "%zu fields", n);
    described->columns = pgjson_columns_new(fields, n, PGJSON_OBJECTS, NULL);
    described->with_texts = pgjson_columns_new(fields, n, PGJSON_BOTH, NULL);
    FUZZ_CHECK(pgjson_columns_count(described->columns) == n, "%zu columns", n);
    FUZZ_CHECK(pgjson_by_server(described->columns) || pgjson_fits(described->columns, fields, n), "fields");
    for (size_t i = 0; i < n; i++) {
        FUZZ_CHECK(fields[i].name == at, "field %zu", i);
        at += strlen(at) + 1;
        FUZZ_CHECK(fields[i].type == (number_at(at + 6) << 16 | number_at(at + 8)), "field %zu", i);
        FUZZ_CHECK(pgjson_type(described->columns, i) == fields[i].type, "column %zu", i);
        at += 18;
    }
    FUZZ_CHECK(at == message->body + message->len, "it goes on behind its fields");
    for (size_t i = 0; i < n && i < 64; i++) {
        int found = pgjson_find(described->columns, fields[i].name);
        FUZZ_CHECK(found >= 0 && (size_t)found <= i && strcmp(fields[found].name, fields[i].name) == 0, "%s",
                   fields[i].name);
    }
    free(fields);
}

static void check_types(const struct pgwire_message *message)
{
    uint32_t *types;
    size_t n;
    bool whole = message->len >= 2 && message->len == 2 + 4 * number_at(message->body);
    FUZZ_CHECK(pgwire_types(message, &types, &n) == whole, "%zu bytes of types", message->len);
    if (!whole)
        return;
    for (size_t i = 0; i < n; i++) {
        const char *at = message->body + 2 + 4 * i;
        FUZZ_CHECK(types[i] == (number_at(at) << 16 | number_at(at + 2)), "type %zu", i);
    }
    free(types);
}

/* Texts */

static void check_parameter(const struct pgwire_message *message)
{
    const char *name, *value;
    bool whole = is_ended(message) && count_nuls(message->body, message->len) == 2;
    FUZZ_CHECK(pgwire_parameter(message, &name, &value) == whole, "%zu bytes of a parameter", message->len);
    FUZZ_CHECK(!whole || (name == message->body && value == name + strlen(name) + 1 &&
                          value + strlen(value) + 1 == message->body + message->len),
               "%s", name);
}

/* A list of fields ends with the first text of no length, and nothing is after it. */
static void check_error(const struct pgwire_message *message)
{
    const char *end = message->body + message->len, *pair = memmem(message->body, message->len, "\0", 2);
    bool whole =
        message->len > 0 && message->body[0] == '\0' ? message->len == 1 : pair != NULL && pair + 2 == end;
    FUZZ_CHECK(pgwire_is_error(message) == whole, "%zu bytes of an error", message->len);
    for (int code = 1; whole && code < 128; code++) {
        const char *text = pgwire_error_field(message->body, code);
        bool inside = text > message->body && text < end;
        FUZZ_CHECK(text[0] == '\0' || inside, "field %c is elsewhere", code);
        FUZZ_CHECK(!inside || (text[-1] == code && (text - 1 == message->body || text[-2] == '\0')),
                   "field %c", code);
    }
}

static void check_message(const struct pgwire_message *message, struct described *described)
{
    switch ((enum pgwire_type)message->type) {
    case PGWIRE_DATA_ROW:
        check_row(message, described);
        break;
    case PGWIRE_ROW_DESCRIPTION:
        check_fields(message, described);
        break;
    case PGWIRE_PARAMETER_DESCRIPTION:
        check_types(message);
        break;
    case PGWIRE_PARAMETER_STATUS:
        check_parameter(message);
        break;
    case PGWIRE_ERROR:
    case PGWIRE_NOTICE:
        check_error(message);
        break;
    default:
        FUZZ_CHECK(pgwire_is_text(message) ==
                       (is_ended(message) && count_nuls(message->body, message->len) == 1),
                   "%zu bytes of a text", message->len);
        break;
    }
}

/* Of fewer bytes than a message has, it is known how many there are to be. */
static void check_cut(const char *bytes, size_t size, struct fuzz_chance *chance)
{
    struct pgwire_message message;
    size_t wants, len = fuzz_below(chance, size);
    FUZZ_CHECK(pgwire_next(bytes, len, &message, &wants) == PGWIRE_MORE, "%zu of %zu bytes are enough", len,
               size);
    FUZZ_CHECK(wants == (len < PGWIRE_HEAD ? PGWIRE_HEAD : size), "%zu bytes of %zu", wants, size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_chance chance = fuzz_chance_of(data, size);
    struct described described = {NULL, NULL};
    struct pgwire_message message;
    char *bytes = fuzz_copy(data, size);
    size_t at = 0, wants;
    enum pgwire_got got;
    while ((got = pgwire_next(bytes + at, size - at, &message, &wants)) == PGWIRE_MESSAGE) {
        FUZZ_CHECK(message.type == data[at] && message.body == bytes + at + PGWIRE_HEAD &&
                       wants == PGWIRE_HEAD + message.len && wants <= size - at,
                   "a message at %zu", at);
        check_cut(bytes + at, wants, &chance);
        char *copy = mem_alloc(1 + message.len); /* one in front, so that an empty body has an end, too */
        message.body = memcpy(copy + 1, message.body, message.len);
        check_message(&message, &described);
        free(copy);
        at += wants;
    }
    FUZZ_CHECK(got == PGWIRE_GARBAGE || wants > size - at, "%zu bytes are not enough", wants);
    forget(&described);
    free(bytes);
    return 0;
}
