/* pgjson.c: rows become the JSON that PostgreSQL's row_to_json makes of them. */
#include "pg/pgjson.h"

#include <stdlib.h>

#include "base/mem.h"
#include "pg/pgtypes.h"
#include "unit/tap.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

enum { TYPE_OF_USERS = 16385 };

/*
 * The message with a row of such values, in memory of its own size, so that the sanitizers see a byte read
 * too far. Its body is to be freed.
 */
static struct pgwire_message message_of(const char *const *values, size_t n)
{
    size_t len = 2;
    for (size_t i = 0; i < n; i++)
        len += 4 + (values[i] == NULL ? 0 : strlen(values[i]));
    char *body = mem_alloc(len), *out = body;
    *out++ = (char)(n >> 8);
    *out++ = (char)n;
    for (size_t i = 0; i < n; i++) {
        uint32_t value_len = values[i] == NULL ? UINT32_MAX : (uint32_t)strlen(values[i]);
        for (int shift = 24; shift >= 0; shift -= 8)
            *out++ = (char)(value_len >> shift);
        if (values[i] != NULL && value_len > 0) {
            memcpy(out, values[i], value_len);
            out += value_len;
        }
    }
    return (struct pgwire_message){PGWIRE_DATA_ROW, body, len};
}

/* Such values as an object, behind what is in a buffer of that size already; the caller frees it. */
static char *object_in(size_t size, const struct pgjson_columns *columns, const char *const *values)
{
    struct pgwire_message message = message_of(values, pgjson_columns_count(columns));
    struct pgwire_row row;
    char *initial = mem_alloc(size);
    struct json_writer writer = json_writer_on(initial, size);
    if (pgwire_row(&message, pgjson_columns_count(columns), &row))
        pgjson_row(&writer, columns, row);
    char *object = mem_strndup(writer.base, writer.len);
    if (writer.owned)
        free(writer.base);
    free(initial);
    free((char *)message.body);
    return object;
}

static void object_is(const struct pgwire_field *fields, size_t n, const char *const *values,
                      const char *want, const char *name)
{
    bool wrap_wanted;
    struct pgjson_columns *columns = pgjson_columns_new(fields, n, false, &wrap_wanted);
    char *got = object_in(0, columns, values);
    is_str(got, want, "%s", name);
    free(got);
    pgjson_columns_free(columns);
}

/* A value of a type, NULL for SQL NULL, as JSON. */
static void value_is(uint32_t type, bool as_text, const char *value, const char *want)
{
    struct pgwire_field field = {"v", type};
    bool wrap_wanted;
    struct pgjson_columns *columns = pgjson_columns_new(&field, 1, as_text, &wrap_wanted);
    char *got = object_in(0, columns, &value), *whole = mem_printf("{\"v\":%s}", want);
    is_str(got, whole, "type %u: %s", (unsigned)type, value == NULL ? "NULL" : value);
    free(whole);
    free(got);
    pgjson_columns_free(columns);
}

/* Rules */

static const uint32_t text_types[] = {
    PGTYPES_TEXT,  PGTYPES_VARCHAR, PGTYPES_BPCHAR,   PGTYPES_CHAR,     PGTYPES_NAME,    PGTYPES_BYTEA,
    PGTYPES_BIT,   PGTYPES_VARBIT,  PGTYPES_UUID,     PGTYPES_DATE,     PGTYPES_TIME,    PGTYPES_TIMETZ,
    PGTYPES_MONEY, PGTYPES_INET,    PGTYPES_CIDR,     PGTYPES_INTERVAL, PGTYPES_MACADDR, PGTYPES_MACADDR8,
    PGTYPES_XML,   PGTYPES_OID,     PGTYPES_TSVECTOR, PGTYPES_TSQUERY,
};
static const uint32_t number_types[] = {PGTYPES_INT2,   PGTYPES_INT4,   PGTYPES_INT8,
                                        PGTYPES_FLOAT4, PGTYPES_FLOAT8, PGTYPES_NUMERIC};
static const uint32_t json_types[] = {PGTYPES_JSON, PGTYPES_JSONB};
static const uint32_t other_types[] = {PGTYPES_BOOL, PGTYPES_TIMESTAMP, PGTYPES_TIMESTAMPTZ};
static const uint32_t types_without_rule[] = {
    PGTYPES_INT4_ARRAY, PGTYPES_POINT, PGTYPES_INT4RANGE, PGTYPES_JSONPATH, PGTYPES_REGCLASS,
    PGTYPES_PG_LSN,     PGTYPES_XID8,  TYPE_OF_USERS,     UINT32_MAX,       0};

static void test_texts(void)
{
    for (size_t i = 0; i < LENGTH(text_types); i++) {
        value_is(text_types[i], false, "2026-11-21 BC", "\"2026-11-21 BC\"");
        value_is(text_types[i], false, "", "\"\"");
        value_is(text_types[i], false, NULL, "null");
    }
    value_is(PGTYPES_TEXT, false, "a \"quote\", a \\ and\ta tab\n",
             "\"a \\\"quote\\\", a \\\\ and\\ta tab\\n\"");
    value_is(PGTYPES_TEXT, false, "Zürich \x01\x7f", "\"Zürich \\u0001\x7f\"");
    value_is(PGTYPES_TEXT, false, "null", "\"null\"");
    value_is(PGTYPES_TEXT, false, "{\"a\":1}", "\"{\\\"a\\\":1}\"");
    value_is(PGTYPES_BYTEA, false, "\\x00ff", "\"\\\\x00ff\"");
    value_is(PGTYPES_OID, false, "4294967295", "\"4294967295\"");
    value_is(PGTYPES_TIMETZ, false, "12:00:00+01", "\"12:00:00+01\"");
    value_is(PGTYPES_DATE, false, "0044-03-15 BC", "\"0044-03-15 BC\"");
    value_is(PGTYPES_DATE, false, "-infinity", "\"-infinity\"");
    value_is(PGTYPES_TSVECTOR, false, "'a':1 'b'", "\"'a':1 'b'\"");
}

static void test_numbers(void)
{
    static const char *const numbers[] = {
        "0",
        "7",
        "-7",
        "9223372036854775807",
        "-9223372036854775808",
        "0.1",
        "-0.5",
        "1e+100",
        "1.5e-07",
        "-0",
        "100.00",
        "123456789012345678901234567890.5",
    };
    for (size_t i = 0; i < LENGTH(number_types); i++) {
        for (size_t j = 0; j < LENGTH(numbers); j++)
            value_is(number_types[i], false, numbers[j], numbers[j]);
        value_is(number_types[i], false, NULL, "null");
    }
    for (size_t i = 3; i < LENGTH(number_types); i++) { /* integers have none of these */
        value_is(number_types[i], false, "NaN", "\"NaN\"");
        value_is(number_types[i], false, "Infinity", "\"Infinity\"");
        value_is(number_types[i], false, "-Infinity", "\"-Infinity\"");
    }
    /* what no server says is at least no broken JSON */
    value_is(PGTYPES_INT4, false, "", "\"\"");
    value_is(PGTYPES_INT4, false, "-", "\"-\"");
    value_is(PGTYPES_INT4, false, "\"", "\"\\\"\"");
}

static void test_bools_and_json(void)
{
    value_is(PGTYPES_BOOL, false, "t", "true");
    value_is(PGTYPES_BOOL, false, "f", "false");
    value_is(PGTYPES_BOOL, false, "", "false");
    value_is(PGTYPES_BOOL, false, NULL, "null");
    for (size_t i = 0; i < LENGTH(json_types); i++) {
        value_is(json_types[i], false, "{\"a\": [1, 2.50, \"\\u00fc\"]}", "{\"a\": [1, 2.50, \"\\u00fc\"]}");
        value_is(json_types[i], false, " [\n] ", " [\n] ");
        value_is(json_types[i], false, "\"text\"", "\"text\"");
        value_is(json_types[i], false, "null", "null");
        value_is(json_types[i], false, NULL, "null");
    }
}

static void test_timestamps(void)
{
    static const struct {
        uint32_t type;
        const char *text, *want;
    } times[] = {
        {PGTYPES_TIMESTAMP, "2026-11-21 22:04:29", "\"2026-11-21T22:04:29\""},
        {PGTYPES_TIMESTAMP, "2026-11-21 22:04:29.5", "\"2026-11-21T22:04:29.5\""},
        {PGTYPES_TIMESTAMP, "2026-11-21 22:04:29.123456", "\"2026-11-21T22:04:29.123456\""},
        {PGTYPES_TIMESTAMP, "294276-12-31 23:59:59.999999", "\"294276-12-31T23:59:59.999999\""},
        {PGTYPES_TIMESTAMP, "0044-03-15 12:00:00 BC", "\"0044-03-15T12:00:00 BC\""},
        {PGTYPES_TIMESTAMP, "0044-03-15 12:00:00.25 BC", "\"0044-03-15T12:00:00.25 BC\""},
        {PGTYPES_TIMESTAMP, "infinity", "\"infinity\""},
        {PGTYPES_TIMESTAMP, "-infinity", "\"-infinity\""},
        {PGTYPES_TIMESTAMP, NULL, "null"},
        {PGTYPES_TIMESTAMPTZ, "2026-11-21 22:04:29+00", "\"2026-11-21T22:04:29+00:00\""},
        {PGTYPES_TIMESTAMPTZ, "2026-11-21 22:04:29+01", "\"2026-11-21T22:04:29+01:00\""},
        {PGTYPES_TIMESTAMPTZ, "2026-11-21 22:04:29.5-11", "\"2026-11-21T22:04:29.5-11:00\""},
        {PGTYPES_TIMESTAMPTZ, "2026-11-21 22:04:29+05:45", "\"2026-11-21T22:04:29+05:45\""},
        {PGTYPES_TIMESTAMPTZ, "2026-11-21 22:04:29.123456-02:30", "\"2026-11-21T22:04:29.123456-02:30\""},
        {PGTYPES_TIMESTAMPTZ, "1890-01-01 00:00:00+00:29:46", "\"1890-01-01T00:00:00+00:29:46\""},
        {PGTYPES_TIMESTAMPTZ, "1800-01-01 00:00:00-07:52:58", "\"1800-01-01T00:00:00-07:52:58\""},
        {PGTYPES_TIMESTAMPTZ, "0044-03-15 12:00:00+00 BC", "\"0044-03-15T12:00:00+00:00 BC\""},
        {PGTYPES_TIMESTAMPTZ, "0044-03-15 12:00:00.5-03 BC", "\"0044-03-15T12:00:00.5-03:00 BC\""},
        {PGTYPES_TIMESTAMPTZ, "0044-03-15 12:00:00+00:34:08 BC", "\"0044-03-15T12:00:00+00:34:08 BC\""},
        {PGTYPES_TIMESTAMPTZ, "10000-01-01 00:00:00+14", "\"10000-01-01T00:00:00+14:00\""},
        {PGTYPES_TIMESTAMPTZ, "infinity", "\"infinity\""},
        {PGTYPES_TIMESTAMPTZ, "-infinity", "\"-infinity\""},
        {PGTYPES_TIMESTAMPTZ, NULL, "null"},
        /* what no server says is read within its bounds */
        {PGTYPES_TIMESTAMP, "", "\"\""},
        {PGTYPES_TIMESTAMP, " ", "\"T\""},
        {PGTYPES_TIMESTAMP, "  ", "\"T \""},
        {PGTYPES_TIMESTAMPTZ, " +1", "\"T+1\""},
        {PGTYPES_TIMESTAMPTZ, "+ 1", "\"+T1\""},
        {PGTYPES_TIMESTAMPTZ, " +01", "\"T+01:00\""},
    };
    for (size_t i = 0; i < LENGTH(times); i++)
        value_is(times[i].type, false, times[i].text, times[i].want);
}

/* Types without a rule: to_json's answer goes out as it is, or they are texts. */
static void test_wrapped(void)
{
    for (size_t i = 0; i < LENGTH(types_without_rule); i++) {
        value_is(types_without_rule[i], false, "[1,2]", "[1,2]");
        value_is(types_without_rule[i], false, "\"a\\\"b\"", "\"a\\\"b\"");
        value_is(types_without_rule[i], false, NULL, "null");
        value_is(types_without_rule[i], true, "{1,2}", "\"{1,2}\"");
        value_is(types_without_rule[i], true, "\"a\"", "\"\\\"a\\\"\"");
        value_is(types_without_rule[i], true, NULL, "null");
    }
    value_is(PGTYPES_INT4, true, "7", "7");
    value_is(PGTYPES_JSON, true, "[7]", "[7]");
}

/* Is a column of that type left to PostgreSQL? */
static bool is_wrapped(uint32_t type)
{
    struct pgwire_field field = {"v", type};
    bool wrap_wanted;
    pgjson_columns_free(pgjson_columns_new(&field, 1, false, &wrap_wanted));
    return wrap_wanted;
}

static void none_wrapped(const uint32_t *types, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ok(!is_wrapped(types[i]), "type %u needs no wrapping", (unsigned)types[i]);
}

static void test_wrap_wanted(void)
{
    static const struct pgwire_field fields[] = {
        {"id", PGTYPES_INT8}, {"tags", PGTYPES_TEXT_ARRAY}, {"at", PGTYPES_TIMESTAMPTZ}};
    static const struct {
        size_t n;
        bool as_text, want;
        const char *name;
    } cases[] = {
        {0, false, false, "no columns need no wrapping"},
        {1, false, false, "nor does a number"},
        {2, false, true, "an array does"},
        {3, false, true, "wherever it is"},
        {3, true, false, "but not as a text"},
    };
    for (size_t i = 0; i < LENGTH(cases); i++) {
        bool wanted = !cases[i].want;
        struct pgjson_columns *columns = pgjson_columns_new(fields, cases[i].n, cases[i].as_text, &wanted);
        is_int(wanted, cases[i].want, "%s", cases[i].name);
        pgjson_columns_free(columns);
    }
    none_wrapped(text_types, LENGTH(text_types));
    none_wrapped(number_types, LENGTH(number_types));
    none_wrapped(json_types, LENGTH(json_types));
    none_wrapped(other_types, LENGTH(other_types));
    for (size_t i = 0; i < LENGTH(types_without_rule); i++)
        ok(is_wrapped(types_without_rule[i]), "type %u does", (unsigned)types_without_rule[i]);
}

/* Objects */

static void test_objects(void)
{
    object_is(NULL, 0, NULL, "{}", "no columns");
    object_is(
        (struct pgwire_field[]){{"id", PGTYPES_INT4}, {"name", PGTYPES_TEXT}, {"at", PGTYPES_TIMESTAMP}}, 3,
        (const char *const[]){"7", "Ada", "2026-11-21 22:04:29"},
        "{\"id\":7,\"name\":\"Ada\",\"at\":\"2026-11-21T22:04:29\"}", "keys are in the order of the columns");
    object_is((struct pgwire_field[]){{"a", PGTYPES_INT4}, {"b", PGTYPES_BOOL}, {"c", PGTYPES_JSON}}, 3,
              (const char *const[]){NULL, NULL, NULL}, "{\"a\":null,\"b\":null,\"c\":null}", "NULLs");
    object_is((struct pgwire_field[]){{"a", PGTYPES_TEXT}, {"b", PGTYPES_TEXT}, {"c", PGTYPES_TEXT}}, 3,
              (const char *const[]){"", NULL, ""}, "{\"a\":\"\",\"b\":null,\"c\":\"\"}",
              "NULL and empty texts");
    object_is((struct pgwire_field[]){{"say \"hi\"", PGTYPES_INT4},
                                      {"C:\\temp", PGTYPES_INT4},
                                      {"a\nb", PGTYPES_INT4}},
              3, (const char *const[]){"1", "2", "3"}, "{\"say \\\"hi\\\"\":1,\"C:\\\\temp\":2,\"a\\nb\":3}",
              "keys are escaped");
    object_is(
        (struct pgwire_field[]){{"", PGTYPES_INT4}, {"?column?", PGTYPES_INT4}, {"Größe", PGTYPES_INT4}}, 3,
        (const char *const[]){"1", "2", "3"}, "{\"\":1,\"?column?\":2,\"Größe\":3}", "odd keys");
    object_is((struct pgwire_field[]){{"a", PGTYPES_INT4}, {"a", PGTYPES_TEXT}}, 2,
              (const char *const[]){"1", "2"}, "{\"a\":1,\"a\":\"2\"}",
              "the same key twice, each with its own type");
}

/* Rows one behind the other, whatever room there is in the buffer: it grows. */
static void test_buffers(void)
{
    static const struct pgwire_field fields[] = {{"number", PGTYPES_NUMERIC},  {"yes", PGTYPES_BOOL},
                                                 {"at", PGTYPES_TIMESTAMPTZ},  {"text", PGTYPES_TEXT},
                                                 {"none", PGTYPES_UUID},       {"document", PGTYPES_JSON},
                                                 {"array", PGTYPES_INT4_ARRAY}};
    static const char *const values[] = {"1.50",      "t",  "2026-11-21 22:04:29.5+01", "a \"b\"", NULL,
                                         "{\"c\":1}", "[2]"};
    static const char want[] = "{\"number\":1.50,\"yes\":true,\"at\":\"2026-11-21T22:04:29.5+01:00\","
                               "\"text\":\"a \\\"b\\\"\",\"none\":null,\"document\":{\"c\":1},\"array\":[2]}";
    bool wrap_wanted;
    struct pgjson_columns *columns = pgjson_columns_new(fields, LENGTH(fields), false, &wrap_wanted);
    size_t wrong = 0;
    for (size_t size = 0; size <= 2 * sizeof(want); size++) {
        char *got = object_in(size, columns, values);
        wrong += strcmp(got, want) != 0;
        free(got);
    }
    is_int((long long)wrong, 0, "a row is the same in a buffer of any size");

    struct pgwire_message message = message_of(values, LENGTH(fields));
    struct json_writer writer = json_writer_on(NULL, 0);
    struct pgwire_row row;
    enum { ROWS = 1000, LEN = sizeof(want) - 1 };
    for (int i = 0; i < ROWS && pgwire_row(&message, LENGTH(fields), &row); i++)
        pgjson_row(&writer, columns, row);
    wrong = writer.len != ROWS * (size_t)LEN;
    for (size_t i = 0; i < ROWS && wrong == 0; i++)
        wrong += memcmp(writer.base + i * LEN, want, LEN) != 0;
    is_int((long long)wrong, 0, "a thousand rows, one behind the other");
    free(writer.base);
    free((char *)message.body);
    pgjson_columns_free(columns);
}

/* Wrapping */

static void wrap_is(const struct pgwire_field *fields, size_t n, const char *sql, const char *want,
                    const char *name)
{
    bool wrap_wanted;
    struct pgjson_columns *columns = pgjson_columns_new(fields, n, false, &wrap_wanted);
    char *got = pgjson_wrap(columns, sql);
    is_str(got, want, "wrapped: %s", name);
    free(got);
    pgjson_columns_free(columns);
}

static void test_wrap(void)
{
    wrap_is((struct pgwire_field[]){{"tags", PGTYPES_TEXT_ARRAY}}, 1, "SELECT tags FROM t WHERE id = $1",
            "WITH q AS (SELECT tags FROM t WHERE id = $1\n) SELECT to_json(\"tags\") FROM q", "a column");
    wrap_is(
        (struct pgwire_field[]){
            {"id", PGTYPES_INT4}, {"tags", PGTYPES_TEXT_ARRAY}, {"mood", TYPE_OF_USERS}, {"n", PGTYPES_INT4}},
        4, "SELECT * FROM t",
        "WITH q AS (SELECT * FROM t\n) SELECT \"id\", to_json(\"tags\"), to_json(\"mood\"), \"n\" FROM q",
        "only columns without a rule");
    wrap_is(
        (struct pgwire_field[]){{"a \"b\"", PGTYPES_POINT}, {"\"", PGTYPES_INT4}, {"Größe", PGTYPES_INT4}}, 3,
        "SELECT 1 -- one",
        "WITH q AS (SELECT 1 -- one\n) SELECT to_json(\"a \"\"b\"\"\"), \"\"\"\", \"Größe\" FROM q",
        "names with quotes, behind a comment");
    wrap_is((struct pgwire_field[]){{"%s%n", PGTYPES_POINT}}, 1, "SELECT '%s%n'",
            "WITH q AS (SELECT '%s%n'\n) SELECT to_json(\"%s%n\") FROM q", "percent signs");
    wrap_is((struct pgwire_field[]){{"a", PGTYPES_POINT}, {"A", PGTYPES_POINT}}, 2, "SELECT 1",
            "WITH q AS (SELECT 1\n) SELECT to_json(\"a\"), to_json(\"A\") FROM q",
            "names that differ in their case");
    wrap_is((struct pgwire_field[]){{"id", PGTYPES_INT4}, {"tags", PGTYPES_TEXT_ARRAY}, {"id", PGTYPES_INT4}},
            3, "SELECT 1", "WITH q(c0, c1, c2) AS (SELECT 1\n) SELECT c0, to_json(c1), c2 FROM q",
            "two columns with one name, by their places");
    wrap_is((struct pgwire_field[]){{"id", PGTYPES_INT4}}, 1, "SELECT 1",
            "WITH q AS (SELECT 1\n) SELECT \"id\" FROM q", "nothing that needs it");
}

static void test_is_wrapped_form(void)
{
    static const struct pgwire_field fields[] = {
        {"id", PGTYPES_INT4}, {"tags", PGTYPES_TEXT_ARRAY}, {"j", PGTYPES_JSON}};
    static const struct {
        struct pgwire_field fields[4];
        size_t n;
        bool as_text, want;
        const char *name;
    } forms[] = {
        {{{"id", PGTYPES_INT4}, {"to_json", PGTYPES_JSON}, {"j", PGTYPES_JSON}}, 3, false, true, "the form"},
        {{{"c0", PGTYPES_INT4}, {"to_json", PGTYPES_JSON}, {"c2", PGTYPES_JSON}},
         3,
         false,
         true,
         "with other names"},
        {{{"id", PGTYPES_INT4}, {"tags", PGTYPES_TEXT_ARRAY}, {"j", PGTYPES_JSON}},
         3,
         false,
         false,
         "not wrapped"},
        {{{"id", PGTYPES_INT4}, {"to_json", PGTYPES_JSONB}, {"j", PGTYPES_JSON}}, 3, false, false, "jsonb"},
        {{{"id", PGTYPES_INT8}, {"to_json", PGTYPES_JSON}, {"j", PGTYPES_JSON}},
         3,
         false,
         false,
         "another type"},
        {{{"to_json", PGTYPES_JSON}, {"id", PGTYPES_INT4}, {"j", PGTYPES_JSON}},
         3,
         false,
         false,
         "another order"},
        {{{"id", PGTYPES_INT4}, {"to_json", PGTYPES_JSON}}, 2, false, false, "a column too few"},
        {{{"id", PGTYPES_INT4}, {"to_json", PGTYPES_JSON}, {"j", PGTYPES_JSON}, {"x", PGTYPES_JSON}},
         4,
         false,
         false,
         "a column too many"},
        {{{NULL, 0}}, 0, false, false, "no columns"},
        {{{"id", PGTYPES_INT4}, {"tags", PGTYPES_TEXT_ARRAY}, {"j", PGTYPES_JSON}},
         3,
         true,
         true,
         "texts, as they are"},
        {{{"id", PGTYPES_INT4}, {"to_json", PGTYPES_JSON}, {"j", PGTYPES_JSON}},
         3,
         true,
         false,
         "texts that are wrapped"},
    };
    for (size_t i = 0; i < LENGTH(forms); i++) {
        bool wrap_wanted;
        struct pgjson_columns *columns =
            pgjson_columns_new(fields, LENGTH(fields), forms[i].as_text, &wrap_wanted);
        is_int(pgjson_is_wrapped_form(columns, forms[i].fields, forms[i].n), forms[i].want,
               "is it what a wrapped statement answers with: %s", forms[i].name);
        pgjson_columns_free(columns);
    }
}

/* Values by name */

static void test_find(void)
{
    char names[][8] = {"id", "Name", "id", ""};
    struct pgwire_field fields[LENGTH(names)];
    for (size_t i = 0; i < LENGTH(names); i++)
        fields[i] = (struct pgwire_field){names[i], (uint32_t)(20 + i)};
    bool wrap_wanted;
    struct pgjson_columns *columns = pgjson_columns_new(fields, LENGTH(fields), false, &wrap_wanted);
    memset(names, 'x', sizeof(names)); /* the message that they were in is gone */
    is_int((long long)pgjson_columns_count(columns), LENGTH(names), "how many columns there are");
    for (size_t i = 0; i < LENGTH(names); i++)
        is_int(pgjson_type(columns, i), (long long)(20 + i), "the type of column %zu", i);
    is_int(pgjson_find(columns, "id"), 0, "of two columns with one name it is the first");
    is_int(pgjson_find(columns, "Name"), 1, "a column is found by its name");
    is_int(pgjson_find(columns, "name"), -1, "in its case");
    is_int(pgjson_find(columns, "Nam"), -1, "as a whole");
    is_int(pgjson_find(columns, ""), 3, "an empty name is one, too");
    pgjson_columns_free(columns);

    columns = pgjson_columns_new(NULL, 0, false, &wrap_wanted);
    is_int(pgjson_find(columns, "id"), -1, "there is nothing among no columns");
    pgjson_columns_free(columns);
    pgjson_columns_free(NULL);
}

/* Memory for pgjson_text, in blocks of just the size that it asks for; the last one is kept. */
struct memory {
    char *block;
    int asked;
};

static void *give(void *arg, size_t size)
{
    struct memory *memory = arg;
    free(memory->block);
    memory->asked++;
    return memory->block = mem_alloc(size);
}

/* The text of such a value, which stands between two others. It is taken from the row, or undone in memory.
 */
static void text_is(uint32_t type, bool as_text, const char *value, const char *want, bool undone)
{
    struct pgwire_field fields[] = {{"a", PGTYPES_TEXT}, {"v", type}, {"z", PGTYPES_TEXT}};
    struct pgwire_message message = message_of((const char *const[]){"a", value, NULL}, 3);
    struct memory memory = {0};
    struct pgwire_row row;
    bool wrap_wanted;
    struct pgjson_columns *columns = pgjson_columns_new(fields, 3, as_text, &wrap_wanted);
    if (ok(pgwire_row(&message, 3, &row), "text of type %u: %s", (unsigned)type,
           value == NULL ? "NULL" : value)) {
        struct str text = pgjson_text(columns, row, 1, &(struct arena){give, &memory});
        char *got = text.base == NULL ? NULL : mem_strndup(text.base, text.len);
        is_str(got, want, "is right");
        is_int(memory.asked, undone, undone ? "and takes memory" : "and takes no memory");
        free(got);
    }
    pgjson_columns_free(columns);
    free(memory.block);
    free((char *)message.body);
}

static void test_text(void)
{
    text_is(PGTYPES_TEXT, false, "Ada", "Ada", false);
    text_is(PGTYPES_TEXT, false, "", "", false);
    text_is(PGTYPES_TEXT, false, NULL, NULL, false);
    text_is(PGTYPES_TEXT, false, "\"Ada\"", "\"Ada\"", false);
    text_is(PGTYPES_INT4, false, "42", "42", false);
    text_is(PGTYPES_BOOL, false, "t", "t", false);
    text_is(PGTYPES_TIMESTAMP, false, "2026-11-21 22:04:29", "2026-11-21 22:04:29", false);
    text_is(PGTYPES_JSON, false, "\"a\\nb\"", "\"a\\nb\"", false);

    text_is(TYPE_OF_USERS, false, "\"happy\"", "happy", true);
    text_is(TYPE_OF_USERS, false, "\"\"", "", true);
    text_is(TYPE_OF_USERS, false, "\"say \\\"hi\\\"\\n\\u0001\\\\\"", "say \"hi\"\n\x01\\", true);
    text_is(TYPE_OF_USERS, false, "\"Zürich\"", "Zürich", true);
    text_is(TYPE_OF_USERS, false, NULL, NULL, false);
    text_is(PGTYPES_INT4_ARRAY, false, "[1,2]", "[1,2]", false);
    text_is(PGTYPES_INT4_ARRAY, false, "", "", false);
    text_is(PGTYPES_XID8, false, "7", "7", false);
    text_is(TYPE_OF_USERS, false, "\"", "\"", false);

    text_is(TYPE_OF_USERS, true, "\"happy\"", "\"happy\"", false);
    text_is(PGTYPES_INT4_ARRAY, true, "{1,2}", "{1,2}", false);
}

int main(void)
{
    test_texts();
    test_numbers();
    test_bools_and_json();
    test_timestamps();
    test_wrapped();
    test_wrap_wanted();
    test_objects();
    test_buffers();
    test_wrap();
    test_is_wrapped_form();
    test_find();
    test_text();
    return done_testing();
}
