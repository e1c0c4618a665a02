/*
 * pgvalue.c: fuzz target for values of nested types: an input that begins with a small letter has a type's
 * place among those below and the text of a value, which becomes JSON or is refused; of any other input a
 * value is made, as PostgreSQL's output functions write it, and the JSON must be what this file says it is.
 */
#include "pg/pgvalue.h"

#include "base/json_read.h"
#include "fuzz.h"
#include "pg/pgcatalogue.h"

/* Types without numbers and json, which go out as they are, so that what is written can be read again. */
static const char *const rows[][PGCATALOGUE_COLUMNS] = {
    {"16400", "h", "0", ",", NULL, NULL},     /* hstore */
    {"16401", "a", "16400", ",", NULL, NULL}, /* hstore[] */
    {"16402", "c", "0", ",", "a", "25"},      /* (text, hstore, text[]) */
    {"16402", "c", "0", ",", "b\"", "16400"},
    {"16402", "c", "0", ",", "c", "1009"},
    {"16403", "a", "16402", ",", NULL, NULL}, /* arrays of that */
    {"16404", "c", "0", ",", "d", "16403"},   /* a composite of these */
    {"16404", "c", "0", ",", "e", "16402"},
    {"16405", "d", "1009", ";", NULL, NULL},  /* a domain over text[] */
    {"16406", "a", "16405", ",", NULL, NULL}, /* arrays of it, with semicolons */
    {"16407", "c", "0", ",", NULL, NULL},     /* a composite of nothing */
};
static const uint32_t types[] = {16400, 16401, 16402, 16403, 16404, 16406, 16407, 1009, 30, 1013, 1115};

enum { N_TYPES = sizeof(types) / sizeof(types[0]), DEPTH = 4, MANY = 3 };

static struct pgcatalogue *catalogue_of_rows(void)
{
    struct pgcatalogue *catalogue = pgcatalogue_new();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct pgwire_value row[PGCATALOGUE_COLUMNS];
        for (size_t j = 0; j < PGCATALOGUE_COLUMNS; j++)
            row[j] = (struct pgwire_value){rows[i][j], rows[i][j] == NULL ? -1 : (int32_t)strlen(rows[i][j])};
        FUZZ_CHECK(pgcatalogue_take(catalogue, row), "row %zu", i);
    }
    pgcatalogue_complete(catalogue);
    return catalogue;
}

/* Texts */

/* What is written is JSON, as far as the text is UTF-8 without U+0000. */
static void check_text(const struct pgtypes_type *type, const char *text, size_t len)
{
    struct json_writer writer = json_writer_on(NULL, 0);
    struct json_value root;
    size_t at;
    if (pgvalue_write(&writer, type, text, len)) {
        const char *error = json_read_check((struct str){writer.base, writer.len}, &root, &at);
        FUZZ_CHECK(error == NULL || strcmp(error, "this is not UTF-8") == 0 ||
                       strcmp(error, "PostgreSQL has no character \\u0000") == 0 ||
                       strcmp(error, "this object has the same key already") == 0,
                   "%s at %zu: %.*s", error, at, (int)writer.len, writer.base);
    }
    free(writer.base);
}

/* Values */

/* A value in the making: its text, and what it is as JSON. */
struct value {
    struct fuzz_bytes text;
    struct json_writer json;
    bool is_null;
};

struct source {
    const uint8_t *at, *end;
};

static unsigned take(struct source *source, unsigned below)
{
    return source->at == source->end ? 0 : *source->at++ % below;
}

static void append(struct value *value, const char *text)
{
    fuzz_append(&value->text, text, strlen(text));
}

static void give_up(struct value *value)
{
    free(value->text.base);
    free(value->json.base);
}

static bool has_any(struct str text, const char *of)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.base[i] != '\0' && strchr(of, text.base[i]) != NULL)
            return true;
    }
    return false;
}

/* Appends the text of a part as array_out, record_out or hstore_out do: with what stands before a quote in
 * it. */
static void append_quoted(struct value *whole, struct str text, char before_quote, bool quotes)
{
    if (quotes)
        append(whole, "\"");
    for (size_t i = 0; i < text.len; i++) {
        if (text.base[i] == '"')
            fuzz_append(&whole->text, &before_quote, 1);
        else if (text.base[i] == '\\')
            append(whole, "\\");
        fuzz_append(&whole->text, &text.base[i], 1);
    }
    if (quotes)
        append(whole, "\"");
}

static void make(struct source *source, const struct pgtypes_type *type, unsigned depth, struct value *value);

static void make_text(struct source *source, struct value *value)
{
    static const char *const pieces[] = {"a", "\"", "\\", "{",    "}",    "(", ")", ",",
                                         ";", " ",  "=>", "NULL", "null", "é", "\n"};
    for (unsigned n = take(source, 6); n > 0; n--)
        append(value, pieces[take(source, sizeof(pieces) / sizeof(pieces[0]))]);
    json_string(&value->json, value->text.len == 0 ? "" : value->text.base, value->text.len);
}

static void make_hstore(struct source *source, struct value *value)
{
    json_char(&value->json, '{');
    unsigned n = take(source, MANY);
    for (unsigned i = 0; i < n; i++) {
        struct value key = {0}, text = {0};
        make_text(source, &key);
        make_text(source, &text);
        bool is_null = take(source, 4) == 0;
        append(value, i == 0 ? "" : ", ");
        json_raw(&value->json, ", ", i == 0 ? 0 : 2);
        append_quoted(value, fuzz_str(&key.text), '\\', true);
        append(value, "=>");
        json_raw(&value->json, key.json.base, key.json.len);
        json_raw(&value->json, ": ", 2);
        if (is_null) {
            append(value, "NULL");
            json_raw(&value->json, "null", 4);
        } else {
            append_quoted(value, fuzz_str(&text.text), '\\', true);
            json_raw(&value->json, text.json.base, text.json.len);
        }
        give_up(&key);
        give_up(&text);
    }
    json_char(&value->json, '}');
}

static void make_element(struct source *source, const struct pgtypes_type *element, unsigned depth,
                         struct value *value)
{
    struct value part = {0};
    make(source, element, depth, &part);
    struct str text = fuzz_str(&part.text);
    bool quotes = text.len == 0 || (text.len == 4 && strncasecmp(text.base, "NULL", 4) == 0) ||
                  has_any(text, "\"\\{} \n\t") || memchr(text.base, element->delimiter, text.len) != NULL;
    if (part.is_null)
        append(value, "NULL");
    else
        append_quoted(value, text, '\\', quotes);
    json_raw(&value->json, part.json.base, part.json.len);
    give_up(&part);
}

/* All parts of one dimension have as many of the next. */
static void make_dimension(struct source *source, const struct pgtypes_type *element, unsigned dimensions,
                           const unsigned *sizes, unsigned depth, struct value *value)
{
    append(value, "{");
    json_char(&value->json, '[');
    for (unsigned i = 0; i < sizes[0]; i++) {
        if (i > 0) {
            fuzz_append(&value->text, &element->delimiter, 1);
            json_char(&value->json, ',');
        }
        if (dimensions > 1)
            make_dimension(source, element, dimensions - 1, sizes + 1, depth, value);
        else
            make_element(source, element, depth, value);
    }
    append(value, "}");
    json_char(&value->json, ']');
}

static void make_array(struct source *source, const struct pgtypes_type *element, unsigned depth,
                       struct value *value)
{
    unsigned dimensions = 1 + take(source, 3), sizes[3];
    bool bounds = take(source, 4) == 1, empty = take(source, 4) == 0 || depth == 0;
    for (unsigned i = 0; i < dimensions; i++)
        sizes[i] = 1 + take(source, MANY);
    if (empty) {
        append(value, "{}");
        json_raw(&value->json, "[]", 2);
        return;
    }
    for (unsigned i = 0; bounds && i < dimensions; i++) {
        char text[16];
        sprintf(text, "[0:%u]", sizes[i] - 1);
        append(value, text);
    }
    append(value, bounds ? "=" : "");
    make_dimension(source, element, dimensions, sizes, depth, value);
}

static void make_composite(struct source *source, const struct pgtypes_type *type, unsigned depth,
                           struct value *value)
{
    append(value, "(");
    if (type->n_fields == 0)
        json_char(&value->json, '{');
    for (size_t i = 0; i < type->n_fields; i++) {
        struct value part = {0};
        append(value, i == 0 ? "" : ",");
        json_raw(&value->json, type->fields[i].key.base, type->fields[i].key.len);
        make(source, type->fields[i].type, depth, &part);
        struct str text = fuzz_str(&part.text);
        if (!part.is_null)
            append_quoted(value, text, '"', text.len == 0 || has_any(text, "\"\\(), \n\t"));
        json_raw(&value->json, part.json.base, part.json.len);
        give_up(&part);
    }
    append(value, ")");
    json_char(&value->json, '}');
}

/* A value within others may be NULL. */
static void make(struct source *source, const struct pgtypes_type *type, unsigned depth, struct value *value)
{
    value->is_null = depth < DEPTH && (depth == 0 || take(source, 4) == 3);
    if (value->is_null)
        json_raw(&value->json, "null", 4);
    else if (type->rule == PGTYPES_AS_HSTORE)
        make_hstore(source, value);
    else if (type->rule == PGTYPES_AS_ARRAY)
        make_array(source, type->element, depth - 1, value);
    else if (type->rule == PGTYPES_AS_COMPOSITE)
        make_composite(source, type, depth - 1, value);
    else
        make_text(source, value);
}

static void check_made(struct source *source, const struct pgtypes_type *type, struct fuzz_chance *chance)
{
    struct value value = {0};
    struct json_writer writer = json_writer_on(NULL, 0);
    make(source, type, DEPTH, &value);
    size_t len = value.text.len;
    char *text = fuzz_copy(value.text.base, len);
    FUZZ_CHECK(pgvalue_write(&writer, type, text, len), "refused: %.*s", (int)len, text);
    FUZZ_CHECK(
        str_equal((struct str){writer.base, writer.len}, (struct str){value.json.base, value.json.len}),
        "%.*s became %.*s and not %.*s", (int)len, text, (int)writer.len, writer.base, (int)value.json.len,
        value.json.base);
    if (len > 0) { /* with another byte in it, or cut short, it is read within its bounds */
        text[fuzz_below(chance, len)] = "\"\\{}(), a"[fuzz_below(chance, 9)];
        check_text(type, text, len);
        char *cut = fuzz_copy(text, fuzz_below(chance, len));
        check_text(type, cut, 0);
        free(cut);
    }
    free(text);
    free(writer.base);
    give_up(&value);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct pgcatalogue *catalogue = catalogue_of_rows();
    struct fuzz_chance chance = fuzz_chance_of(data, size);
    bool is_text = data[0] >= 'a' && data[0] <= 'z';
    const struct pgtypes_type *type =
        pgcatalogue_find(catalogue, types[(is_text ? (size_t)(data[0] - 'a') : data[0]) % N_TYPES]);
    if (is_text) {
        char *text = fuzz_copy(data + 1, size - 1);
        check_text(type, text, size - 1);
        free(text);
    } else if (type->rule != PGTYPES_AS_VECTOR && type->rule != PGTYPES_AS_TIMESTAMP &&
               (type->element == NULL || type->element->rule != PGTYPES_AS_VECTOR) &&
               type->oid != PGTYPES_TIMESTAMP_ARRAY) {
        struct source source = {data + 1, data + size};
        check_made(&source, type, &chance);
    }
    pgcatalogue_drop(catalogue);
    return 0;
}
