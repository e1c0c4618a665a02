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

/* Such values as an object, after what is in a buffer of that size already; the caller frees it. */
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
    struct pgjson_columns *columns = pgjson_columns_new(fields, n, PGJSON_OBJECTS, NULL);
    char *got = object_in(0, columns, values);
    is_str(got, want, "%s", name);
    free(got);
    pgjson_columns_free(columns);
}

/* A value of a type, NULL for SQL NULL, as JSON. */
static void value_is(uint32_t type, const char *value, const char *want)
{
    struct pgwire_field field = {"v", type};
    struct pgjson_columns *columns = pgjson_columns_new(&field, 1, PGJSON_OBJECTS, NULL);
    char *got = object_in(0, columns, &value), *whole = mem_printf("{\"v\":%s}", want);
    is_str(got, whole, "type %u: %s", (unsigned)type, value == NULL ? "NULL" : value);
    free(whole);
    free(got);
    pgjson_columns_free(columns);
}

/* Rules */

static const uint32_t text_types[] = {
    PGTYPES_TEXT,
    PGTYPES_VARCHAR,
    PGTYPES_BPCHAR,
    PGTYPES_CHAR,
    PGTYPES_NAME,
    PGTYPES_BYTEA,
    PGTYPES_BIT,
    PGTYPES_VARBIT,
    PGTYPES_UUID,
    PGTYPES_DATE,
    PGTYPES_TIME,
    PGTYPES_TIMETZ,
    PGTYPES_MONEY,
    PGTYPES_INET,
    PGTYPES_CIDR,
    PGTYPES_INTERVAL,
    PGTYPES_MACADDR,
    PGTYPES_MACADDR8,
    PGTYPES_XML,
    PGTYPES_OID,
    PGTYPES_TSVECTOR,
    PGTYPES_TSQUERY,
    PGTYPES_POINT,
    PGTYPES_INT4RANGE,
    PGTYPES_JSONPATH,
    PGTYPES_REGCLASS,
    PGTYPES_PG_LSN,
    PGTYPES_XID8,
    TYPE_OF_USERS,
    UINT32_MAX,
    0,
};
static const uint32_t number_types[] = {PGTYPES_INT2,   PGTYPES_INT4,   PGTYPES_INT8,
                                        PGTYPES_FLOAT4, PGTYPES_FLOAT8, PGTYPES_NUMERIC};
static const uint32_t json_types[] = {PGTYPES_JSON, PGTYPES_JSONB};
static void test_texts(void)
{
    for (size_t i = 0; i < LENGTH(text_types); i++) {
        value_is(text_types[i], "2026-11-21 BC", "\"2026-11-21 BC\"");
        value_is(text_types[i], "", "\"\"");
        value_is(text_types[i], NULL, "null");
    }
    value_is(PGTYPES_TEXT, "a \"quote\", a \\ and\ta tab\n", "\"a \\\"quote\\\", a \\\\ and\\ta tab\\n\"");
    value_is(PGTYPES_TEXT, "Zürich \x01\x7f", "\"Zürich \\u0001\x7f\"");
    value_is(PGTYPES_TEXT, "null", "\"null\"");
    value_is(PGTYPES_TEXT, "{\"a\":1}", "\"{\\\"a\\\":1}\"");
    value_is(PGTYPES_BYTEA, "\\x00ff", "\"\\\\x00ff\"");
    value_is(PGTYPES_OID, "4294967295", "\"4294967295\"");
    value_is(PGTYPES_TIMETZ, "12:00:00+01", "\"12:00:00+01\"");
    value_is(PGTYPES_DATE, "0044-03-15 BC", "\"0044-03-15 BC\"");
    value_is(PGTYPES_DATE, "-infinity", "\"-infinity\"");
    value_is(PGTYPES_TSVECTOR, "'a':1 'b'", "\"'a':1 'b'\"");
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
            value_is(number_types[i], numbers[j], numbers[j]);
        value_is(number_types[i], NULL, "null");
    }
    for (size_t i = 3; i < LENGTH(number_types); i++) { /* integers have none of these */
        value_is(number_types[i], "NaN", "\"NaN\"");
        value_is(number_types[i], "Infinity", "\"Infinity\"");
        value_is(number_types[i], "-Infinity", "\"-Infinity\"");
    }
    /* what no server says is at least no broken JSON */
    value_is(PGTYPES_INT4, "", "\"\"");
    value_is(PGTYPES_INT4, "-", "\"-\"");
    value_is(PGTYPES_INT4, "\"", "\"\\\"\"");
}

static void test_bools_and_json(void)
{
    value_is(PGTYPES_BOOL, "t", "true");
    value_is(PGTYPES_BOOL, "f", "false");
    value_is(PGTYPES_BOOL, "", "false");
    value_is(PGTYPES_BOOL, NULL, "null");
    for (size_t i = 0; i < LENGTH(json_types); i++) {
        value_is(json_types[i], "{\"a\": [1, 2.50, \"\\u00fc\"]}", "{\"a\": [1, 2.50, \"\\u00fc\"]}");
        value_is(json_types[i], " [\n] ", " [\n] ");
        value_is(json_types[i], "\"text\"", "\"text\"");
        value_is(json_types[i], "null", "null");
        value_is(json_types[i], NULL, "null");
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
        value_is(times[i].type, times[i].text, times[i].want);
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

/* Rows one after the other, whatever room there is in the buffer: it grows. */
static void test_buffers(void)
{
    static const struct pgwire_field fields[] = {{"number", PGTYPES_NUMERIC},  {"yes", PGTYPES_BOOL},
                                                 {"at", PGTYPES_TIMESTAMPTZ},  {"text", PGTYPES_TEXT},
                                                 {"none", PGTYPES_UUID},       {"document", PGTYPES_JSON},
                                                 {"array", PGTYPES_INT4_ARRAY}};
    static const char *const values[] = {"1.50",      "t",       "2026-11-21 22:04:29.5+01", "a \"b\"", NULL,
                                         "{\"c\":1}", "{2,NULL}"};
    static const char want[] =
        "{\"number\":1.50,\"yes\":true,\"at\":\"2026-11-21T22:04:29.5+01:00\","
        "\"text\":\"a \\\"b\\\"\",\"none\":null,\"document\":{\"c\":1},\"array\":[2,null]}";
    struct pgjson_columns *columns = pgjson_columns_new(fields, LENGTH(fields), PGJSON_OBJECTS, NULL);
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

/* Rows that PostgreSQL writes */

static void rows_are(enum pgjson_want want, const char *sql, const char *rows)
{
    struct pgwire_field field = {"r", PGTYPES_RECORD};
    struct pgjson_columns *columns = pgjson_columns_new(&field, 1, want, NULL);
    char *got = pgjson_rows_sql(columns, sql);
    is_str(got, rows, "%s", sql);
    free(got);
    pgjson_columns_free(columns);
}

#define OBJECT "pg_catalog.row_to_json(hayfork_r.*)"

static void test_rows_sql(void)
{
    rows_are(PGJSON_OBJECTS, "SELECT ROW(1)", "SELECT " OBJECT " FROM (SELECT ROW(1)\n) AS hayfork_r");
    rows_are(PGJSON_BOTH, "SELECT ROW(1)",
             "SELECT " OBJECT ", hayfork_r.* FROM (SELECT ROW(1)\n) AS hayfork_r");
    rows_are(PGJSON_OBJECTS, "VALUES (ROW('%s%n')) -- %d",
             "SELECT " OBJECT " FROM (VALUES (ROW('%s%n')) -- %d\n) AS hayfork_r");
    rows_are(PGJSON_OBJECTS, "(SELECT 1)", "SELECT " OBJECT " FROM ((SELECT 1)\n) AS hayfork_r");
    rows_are(PGJSON_OBJECTS, "INSERT INTO t VALUES (1) RETURNING ROW(1)",
             "WITH hayfork_r AS (INSERT INTO t VALUES (1) RETURNING ROW(1)\n) SELECT " OBJECT
             " FROM hayfork_r");
    rows_are(PGJSON_BOTH, "/* */ delete FROM t RETURNING t",
             "WITH hayfork_r AS (/* */ delete FROM t RETURNING t\n) SELECT " OBJECT
             ", hayfork_r.* FROM hayfork_r");
    rows_are(PGJSON_OBJECTS, "WITH a AS (INSERT INTO t VALUES (1) RETURNING *) SELECT ROW(1) FROM a",
             "WITH a AS (INSERT INTO t VALUES (1) RETURNING *) SELECT " OBJECT
             " FROM (SELECT ROW(1) FROM a\n) AS hayfork_r");
    rows_are(PGJSON_OBJECTS, "with a as (select 1) update t set x = 2 from a returning t",
             "with a as (select 1) , hayfork_r AS (update t set x = 2 from a returning t\n) SELECT " OBJECT
             " FROM hayfork_r");
    rows_are(
        PGJSON_OBJECTS,
        "WITH RECURSIVE a (n, \"as\") AS NOT MATERIALIZED (SELECT ')', 1), \"(b\" AS MATERIALIZED (SELECT"
        " $q$)$q$ /* ) */), insert AS (SELECT 1) -- )\nSELECT ROW(1) FROM insert",
        "WITH RECURSIVE a (n, \"as\") AS NOT MATERIALIZED (SELECT ')', 1), \"(b\" AS MATERIALIZED (SELECT"
        " $q$)$q$ /* ) */), insert AS (SELECT 1) -- )\nSELECT " OBJECT
        " FROM (SELECT ROW(1) FROM insert\n) AS hayfork_r");
    /* what goes on after a query of the list stays within */
    rows_are(PGJSON_OBJECTS,
             "WITH RECURSIVE a (n) AS (SELECT 1) CYCLE n SET c USING p, b AS (SELECT 2) SELECT ROW(1)",
             "SELECT " OBJECT " FROM (WITH RECURSIVE a (n) AS (SELECT 1) CYCLE n SET c USING p, b AS (SELECT "
             "2) SELECT ROW(1)\n) AS hayfork_r");
    rows_are(PGJSON_OBJECTS, "WITH", "SELECT " OBJECT " FROM (WITH\n) AS hayfork_r");
    rows_are(PGJSON_OBJECTS, "WITH a AS (SELECT 1",
             "SELECT " OBJECT " FROM (WITH a AS (SELECT 1\n) AS hayfork_r");
}

/* Which types a row's text does not tell, and what is not asked then. */
static void test_by_server(void)
{
    static const struct {
        uint32_t type;
        bool by_server;
    } types[] = {
        {PGTYPES_RECORD, true},      {PGTYPES_RECORD_ARRAY, true}, {PGTYPES_ANYARRAY, true},
        {PGTYPES_TEXT_ARRAY, false}, {PGTYPES_INT2VECTOR, false},  {PGTYPES_JSON, false},
        {TYPE_OF_USERS, false},
    };
    for (size_t i = 0; i < LENGTH(types); i++) {
        struct pgwire_field fields[] = {{"id", PGTYPES_INT4}, {"v", types[i].type}};
        for (int want = PGJSON_OBJECTS; want <= PGJSON_BOTH; want++) {
            struct pgjson_columns *columns = pgjson_columns_new(fields, 2, (enum pgjson_want)want, NULL);
            bool by_server = types[i].by_server && want != PGJSON_TEXTS;
            is_int(pgjson_by_server(columns), by_server, "type %u, want %d", (unsigned)types[i].type, want);
            is_int((long long)pgjson_values(columns),
                   !by_server            ? 2
                   : want == PGJSON_BOTH ? 3
                                         : 1,
                   "so many values");
            pgjson_columns_free(columns);
        }
    }
}

static void test_fits(void)
{
    static const struct pgwire_field fields[] = {{"id", PGTYPES_INT4}, {"r", PGTYPES_RECORD}};
    static const struct {
        enum pgjson_want want;
        struct pgwire_field fields[4];
        size_t n;
        bool fits;
    } forms[] = {
        {PGJSON_TEXTS, {{"id", PGTYPES_INT4}, {"r", PGTYPES_RECORD}}, 2, true},
        {PGJSON_TEXTS, {{"id", PGTYPES_INT8}, {"r", PGTYPES_RECORD}}, 2, false},
        {PGJSON_TEXTS, {{"id", PGTYPES_INT4}}, 1, false},
        {PGJSON_TEXTS, {{"id", PGTYPES_INT4}, {"r", PGTYPES_RECORD}, {"x", PGTYPES_INT4}}, 3, false},
        {PGJSON_OBJECTS, {{"row_to_json", PGTYPES_JSON}}, 1, true},
        {PGJSON_OBJECTS, {{"row_to_json", PGTYPES_JSONB}}, 1, false},
        {PGJSON_OBJECTS, {{NULL, 0}}, 0, false},
        {PGJSON_BOTH, {{"row_to_json", PGTYPES_JSON}}, 1, false},
        {PGJSON_BOTH, {{"row_to_json", PGTYPES_JSON}, {"id", PGTYPES_INT4}, {"r", PGTYPES_RECORD}}, 3, true},
        {PGJSON_BOTH, {{"row_to_json", PGTYPES_JSON}, {"id", PGTYPES_INT4}, {"r", PGTYPES_TEXT}}, 3, false},
        {PGJSON_BOTH, {{"row_to_json", PGTYPES_TEXT}, {"id", PGTYPES_INT4}, {"r", PGTYPES_RECORD}}, 3, false},
    };
    for (size_t i = 0; i < LENGTH(forms); i++) {
        struct pgjson_columns *columns = pgjson_columns_new(fields, LENGTH(fields), forms[i].want, NULL);
        is_int(pgjson_fits(columns, forms[i].fields, forms[i].n), forms[i].fits, "form %zu", i);
        pgjson_columns_free(columns);
    }
}

/* The object goes out as it is, and the texts after it are those of the columns. */
static void test_rows_by_server(void)
{
    static const struct pgwire_field fields[] = {{"id", PGTYPES_INT4}, {"r", PGTYPES_RECORD}};
    static const char *const values[] = {"{\"id\":7,\"r\":{\"f1\":true}}", "7", "(t)"};
    struct pgjson_columns *columns = pgjson_columns_new(fields, 2, PGJSON_BOTH, NULL);
    struct pgwire_message message = message_of(values, 3);
    struct json_writer writer = json_writer_on(NULL, 0);
    struct pgwire_row row;
    if (ok(pgwire_row(&message, pgjson_values(columns), &row), "a row with its texts")) {
        ok(pgjson_row(&writer, columns, row), "is written");
        ok(str_equal((struct str){writer.base, writer.len}, str_of(values[0])), "as PostgreSQL has it");
        struct str id = pgjson_text(columns, row, 0), record = pgjson_text(columns, row, 1);
        ok(str_equal(id, STR("7")) && str_equal(record, STR("(t)")), "and the texts");
    }
    free(writer.base);
    free((char *)message.body);
    pgjson_columns_free(columns);
}

/* A row that does not fit its types leaves nothing behind. */
static void test_misfit(void)
{
    static const struct pgwire_field fields[] = {{"id", PGTYPES_INT4}, {"a", PGTYPES_INT4_ARRAY}};
    static const char *const values[] = {"7", "{1,2"};
    struct pgjson_columns *columns = pgjson_columns_new(fields, 2, PGJSON_OBJECTS, NULL);
    struct pgwire_message message = message_of(values, 2);
    struct json_writer writer = json_writer_on(NULL, 0);
    struct pgwire_row row;
    json_char(&writer, '[');
    ok(pgwire_row(&message, 2, &row) && !pgjson_row(&writer, columns, row), "a text that is no array");
    is_int((long long)writer.len, 1, "leaves nothing behind");
    free(writer.base);
    free((char *)message.body);
    pgjson_columns_free(columns);
}

/* Values by name */

static void test_find(void)
{
    char names[][8] = {"id", "Name", "id", ""};
    struct pgwire_field fields[LENGTH(names)];
    for (size_t i = 0; i < LENGTH(names); i++)
        fields[i] = (struct pgwire_field){names[i], (uint32_t)(20 + i)};
    struct pgjson_columns *columns = pgjson_columns_new(fields, LENGTH(fields), PGJSON_OBJECTS, NULL);
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

    columns = pgjson_columns_new(NULL, 0, PGJSON_OBJECTS, NULL);
    is_int(pgjson_find(columns, "id"), -1, "there is nothing among no columns");
    pgjson_columns_free(columns);
    pgjson_columns_free(NULL);
}

/* The text of such a value, which stands between two others. */
static void text_is(uint32_t type, const char *value)
{
    struct pgwire_field fields[] = {{"a", PGTYPES_TEXT}, {"v", type}, {"z", PGTYPES_TEXT}};
    struct pgwire_message message = message_of((const char *const[]){"a", value, NULL}, 3);
    struct pgwire_row row;
    struct pgjson_columns *columns = pgjson_columns_new(fields, 3, PGJSON_OBJECTS, NULL);
    if (ok(pgwire_row(&message, 3, &row), "text of type %u: %s", (unsigned)type,
           value == NULL ? "NULL" : value)) {
        struct str text = pgjson_text(columns, row, 1);
        char *got = text.base == NULL ? NULL : mem_strndup(text.base, text.len);
        is_str(got, value, "is as it came");
        free(got);
    }
    pgjson_columns_free(columns);
    free((char *)message.body);
}

static void test_text(void)
{
    text_is(PGTYPES_TEXT, "Ada");
    text_is(PGTYPES_TEXT, "");
    text_is(PGTYPES_TEXT, NULL);
    text_is(PGTYPES_TEXT, "\"Ada\"");
    text_is(PGTYPES_INT4, "42");
    text_is(PGTYPES_BOOL, "t");
    text_is(PGTYPES_TIMESTAMP, "2026-11-21 22:04:29");
    text_is(PGTYPES_JSON, "\"a\\nb\"");
    text_is(TYPE_OF_USERS, "\"happy\"");
    text_is(PGTYPES_INT4_ARRAY, "{1,2}");
}

int main(void)
{
    test_texts();
    test_numbers();
    test_bools_and_json();
    test_timestamps();
    test_objects();
    test_buffers();
    test_rows_sql();
    test_by_server();
    test_fits();
    test_rows_by_server();
    test_misfit();
    test_find();
    test_text();
    return done_testing();
}
