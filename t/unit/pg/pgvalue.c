/* pgvalue.c: arrays, composites and hstore as JSON, from PostgreSQL's text for them. */
#include "pg/pgvalue.h"

#include <stdlib.h>

#include "base/mem.h"
#include "pg/pgcatalogue.h"
#include "unit/tap.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* hstore, arrays of it, pair (x int4, y text), arrays of that, and one of all of these; none; a cast to json
 */
enum { HSTORE = 16400, HSTORES, PAIR, PAIRS, ALL, NONE, OPAQUE, FEW, FEWS, BOXLIKE, BOXLIKES };

static const char *const rows[][PGCATALOGUE_COLUMNS] = {
    {"16400", "h", "0", ",", NULL, NULL},       {"16401", "a", "16400", ",", NULL, NULL},
    {"16402", "c", "0", ",", "x", "23"},        {"16402", "c", "0", ",", "y", "25"},
    {"16403", "a", "16402", ",", NULL, NULL},   {"16404", "c", "0", ",", "pairs", "16403"},
    {"16404", "c", "0", ",", "store", "16400"}, {"16404", "c", "0", ",", "at", "1184"},
    {"16404", "c", "0", ",", "ok", "16"},       {"16404", "c", "0", ",", "doc", "3802"},
    {"16405", "c", "0", ",", NULL, NULL},       {"16406", "o", "0", ",", NULL, NULL},
    {"16407", "d", "1007", ",", NULL, NULL},    {"16408", "a", "16407", ",", NULL, NULL},
    {"16409", "t", "0", ";", NULL, NULL},       {"16410", "a", "16409", ",", NULL, NULL},
};

static struct pgcatalogue *catalogue;

static void begin(void)
{
    catalogue = pgcatalogue_new();
    for (size_t i = 0; i < LENGTH(rows); i++) {
        struct pgwire_value values[PGCATALOGUE_COLUMNS];
        for (size_t j = 0; j < PGCATALOGUE_COLUMNS; j++)
            values[j] =
                (struct pgwire_value){rows[i][j], rows[i][j] == NULL ? -1 : (int32_t)strlen(rows[i][j])};
        ok(pgcatalogue_take(catalogue, values), "row %zu of the catalogue", i);
    }
    pgcatalogue_complete(catalogue);
}

/* NULL: the text is none of that type. It lies in memory of its own size, for the sanitizers to see. */
static void value_is(uint32_t oid, const char *text, const char *want)
{
    const struct pgtypes_type *type = pgcatalogue_find(catalogue, oid);
    size_t len = strlen(text);
    char *exact = mem_alloc(len + 1);
    memcpy(exact, text, len);
    exact = mem_realloc(exact, len == 0 ? 1 : len);
    struct json_writer writer = json_writer_on(NULL, 0);
    bool good = pgvalue_write(&writer, type, exact, len);
    char *got = good ? mem_strndup(writer.base, writer.len) : NULL;
    is_str(got, want, "type %u: %.200s", (unsigned)oid, text);
    free(got);
    free(writer.base);
    free(exact);
}

static void test_arrays(void)
{
    value_is(PGTYPES_INT4_ARRAY, "{}", "[]");
    value_is(PGTYPES_INT4_ARRAY, "{1}", "[1]");
    value_is(PGTYPES_INT4_ARRAY, "{1,NULL,-3}", "[1,null,-3]");
    value_is(PGTYPES_INT4_ARRAY, "[0:1]={7,8}", "[7,8]");
    value_is(PGTYPES_INT4_ARRAY, "[-1:0][5:6]={{1,2},{3,4}}", "[[1,2],[3,4]]");
    value_is(PGTYPES_INT4_ARRAY, "{{{{{{1}}}}}}", "[[[[[[1]]]]]]");
    value_is(PGTYPES_FLOAT8_ARRAY, "{0.1,NaN,-Infinity,1e+100}", "[0.1,\"NaN\",\"-Infinity\",1e+100]");
    value_is(PGTYPES_BOOL_ARRAY, "{t,f,NULL}", "[true,false,null]");
    value_is(PGTYPES_TEXT_ARRAY, "{a,NULL,\"NULL\",\"\",\"a \\\"b\\\" \\\\ {c},\"}",
             "[\"a\",null,\"NULL\",\"\",\"a \\\"b\\\" \\\\ {c},\"]");
    value_is(PGTYPES_TEXT_ARRAY, "{nULL,NULLS}", "[\"nULL\",\"NULLS\"]");
    value_is(PGTYPES_TEXT_ARRAY, "{é,\"漢 字\"}", "[\"é\",\"漢 字\"]");
    value_is(PGTYPES_TEXT_ARRAY, "{\"\n\t\"}", "[\"\\n\\t\"]");
    value_is(PGTYPES_JSONB_ARRAY, "{\"{\\\"a\\\": [1, null]}\",NULL,[],\"\\\"s\\\"\"}",
             "[{\"a\": [1, null]},null,[],\"s\"]");
    value_is(PGTYPES_TIMESTAMPTZ_ARRAY, "{\"2024-02-29 12:00:00+00\",infinity}",
             "[\"2024-02-29T12:00:00+00:00\",\"infinity\"]");
    value_is(PGTYPES_BOX_ARRAY, "{(1,1),(0,0);(2,2),(1,1)}", "[\"(1,1),(0,0)\",\"(2,2),(1,1)\"]");
    value_is(PGTYPES_INT4RANGE_ARRAY, "{\"[1,5)\",empty}", "[\"[1,5)\",\"empty\"]");
    value_is(BOXLIKES, "{a,b;c}", "[\"a,b\",\"c\"]");
    value_is(FEW, "{1,2}", "[1,2]");
    value_is(FEWS, "{\"{1,2}\",NULL,\"{}\",\"[0:0]={5}\"}", "[[1,2],null,[],[5]]");
}

static void test_vectors(void)
{
    value_is(PGTYPES_INT2VECTOR, "1 -2 3", "[1,-2,3]");
    value_is(PGTYPES_INT2VECTOR, "", "[]");
    value_is(PGTYPES_OIDVECTOR, "23", "[\"23\"]");
    value_is(PGTYPES_OIDVECTOR_ARRAY, "{\"1 2\",3,\"\"}", "[[\"1\",\"2\"],[\"3\"],[]]");
}

static void test_composites(void)
{
    value_is(PAIR, "(1,a)", "{\"x\":1,\"y\":\"a\"}");
    value_is(PAIR, "(,)", "{\"x\":null,\"y\":null}");
    value_is(PAIR, "(,\"\")", "{\"x\":null,\"y\":\"\"}");
    value_is(PAIR, "(-5,NULL)", "{\"x\":-5,\"y\":\"NULL\"}");
    value_is(PAIR, "(1,\"a \"\"b\"\" \\\\ ,()\")", "{\"x\":1,\"y\":\"a \\\"b\\\" \\\\ ,()\"}");
    value_is(PAIR, "(1,{a})", "{\"x\":1,\"y\":\"{a}\"}");
    value_is(NONE, "()", "{}");
    value_is(PAIRS, "{\"(,\\\"\\\"\\\"\\\")\"}", "[{\"x\":null,\"y\":\"\\\"\"}]");
    value_is(PAIRS, "{\"(1,a)\",NULL,\"(,\\\"x \\\"\\\"y\\\\\\\\\\\")\"}",
             "[{\"x\":1,\"y\":\"a\"},null,{\"x\":null,\"y\":\"x \\\"y\\\\\"}]");
    value_is(
        ALL,
        "(\"{\"\"(1,\\\\\"\"a b\\\\\"\")\"\"}\",\"\"\"k\"\"=>\"\"v\"\"\",\"2024-02-29 "
        "12:00:00+05:45\",t,\"[1, \"\"s\"\"]\")",
        "{\"pairs\":[{\"x\":1,\"y\":\"a b\"}],\"store\":{\"k\": \"v\"},\"at\":\"2024-02-29T12:00:00+05:45\","
        "\"ok\":true,\"doc\":[1, \"s\"]}");
    value_is(ALL, "(,,,,)", "{\"pairs\":null,\"store\":null,\"at\":null,\"ok\":null,\"doc\":null}");
}

static void test_hstore(void)
{
    value_is(HSTORE, "", "{}");
    value_is(HSTORE, "\"a\"=>\"1\"", "{\"a\": \"1\"}");
    value_is(HSTORE, "\"a\"=>NULL, \"NULL\"=>\"NULL\", \"\"=>\"\"",
             "{\"a\": null, \"NULL\": \"NULL\", \"\": \"\"}");
    value_is(HSTORE, "\"say \\\"hi\\\"\"=>\"\\\\, =>\"", "{\"say \\\"hi\\\"\": \"\\\\, =>\"}");
    value_is(HSTORES, "{\"\\\"a\\\"=>\\\"1\\\"\",NULL,\"\"}", "[{\"a\": \"1\"},null,{}]");
}

/* Long parts are undone on the heap, and all of them are as they were. */
static void test_long(void)
{
    enum { LONG = 5000 };
    char *inner = mem_alloc(LONG + 1), *array = mem_alloc(4 * LONG), *want = mem_alloc(4 * LONG);
    memset(inner, 'x', LONG);
    inner[LONG] = '\0';
    sprintf(array, "{\"%s\\\"\",b,\"\\\\%s\"}", inner, inner);
    sprintf(want, "[\"%s\\\"\",\"b\",\"\\\\%s\"]", inner, inner);
    value_is(PGTYPES_TEXT_ARRAY, array, want);
    free(inner);
    free(array);
    free(want);
}

/* Texts that a type has no longer, or never had. */
static void test_refused(void)
{
    static const struct {
        uint32_t type;
        const char *text;
    } texts[] = {
        {PGTYPES_INT4_ARRAY, ""},
        {PGTYPES_INT4_ARRAY, "{"},
        {PGTYPES_INT4_ARRAY, "{1"},
        {PGTYPES_INT4_ARRAY, "{1,"},
        {PGTYPES_INT4_ARRAY, "{1,}"},
        {PGTYPES_INT4_ARRAY, "{,1}"},
        {PGTYPES_INT4_ARRAY, "{1}}"},
        {PGTYPES_INT4_ARRAY, "{1} "},
        {PGTYPES_INT4_ARRAY, "1"},
        {PGTYPES_INT4_ARRAY, "[0:1]"},
        {PGTYPES_INT4_ARRAY, "[0:1]="},
        {PGTYPES_INT4_ARRAY, "[0:1]=1"},
        {PGTYPES_INT4_ARRAY, "{\"1}"},
        {PGTYPES_INT4_ARRAY, "{\"1\\"},
        {PGTYPES_INT4_ARRAY, "{\"1\"2}"},
        {PGTYPES_INT4_ARRAY, "{{1}"},
        {PGTYPES_INT4_ARRAY, "{{1}2}"},
        {PGTYPES_INT4_ARRAY, "{{}}"},
        {PGTYPES_INT4_ARRAY, "{{{{{{{1}}}}}}}"},
        {PGTYPES_INT4_ARRAY, "(1,2)"},
        {PAIR, ""},
        {PAIR, "()"},
        {PAIR, "(1)"},
        {PAIR, "(1,2,3)"},
        {PAIR, "(1,2"},
        {PAIR, "1,2)"},
        {PAIR, "(1,2)x"},
        {PAIR, "(1,\"2)"},
        {PAIR, "(1,\"2\"x)"},
        {PAIR, "{1,2}"},
        {PAIR, "(1,\"\\"},
        {NONE, ""},
        {NONE, "(1)"},
        {NONE, "(),"},
        {PAIRS, "{(1)}"},
        {PAIRS, "{\"(1,2,3)\"}"},
        {PAIRS, "{1}"},
        {HSTORE, "a=>b"},
        {HSTORE, "\"a\""},
        {HSTORE, "\"a\"=>"},
        {HSTORE, "\"a\"=>b"},
        {HSTORE, "\"a\"=>\"b"},
        {HSTORE, "\"a\"=>\"b\","},
        {HSTORE, "\"a\"=>\"b\", "},
        {HSTORE, "\"a\"=>NULLx"},
        {HSTORE, "NULL=>\"b\""},
        {PGTYPES_OIDVECTOR, "1 "},
        {PGTYPES_OIDVECTOR, " 1"},
        {PGTYPES_OIDVECTOR, "1  2"},
        {PGTYPES_INT2VECTOR, "1 x"},
        {OPAQUE, "x"},
        {FEWS, "{1}"},
    };
    for (size_t i = 0; i < LENGTH(texts); i++)
        value_is(texts[i].type, texts[i].text, NULL);
}

/* A part that has become a text since, which only its looks tell. */
static void test_changed(void)
{
    static const char *const numbers[] = {"x",  "1x",  "030", "0-1",       "1.", ".5",
                                          "1e", "1e+", "--1", "Infinity1", "+1", "\"\""};
    static const char *const times[] = {"\"2024-02-29 x\"", "now", "\"1\\\"\"", "-", "infinite"};
    char text[64];
    for (size_t i = 0; i < LENGTH(numbers); i++) {
        snprintf(text, sizeof(text), "{1,%s}", numbers[i]);
        value_is(PGTYPES_NUMERIC_ARRAY, text, NULL);
    }
    for (size_t i = 0; i < LENGTH(times); i++) {
        snprintf(text, sizeof(text), "{%s}", times[i]);
        value_is(PGTYPES_TIMESTAMP_ARRAY, text, NULL);
    }
    value_is(PGTYPES_BOOL_ARRAY, "{true}", NULL);
    value_is(PGTYPES_JSONB_ARRAY, "{\"\"}", NULL);
    value_is(PGTYPES_NUMERIC_ARRAY, "{0,-0,0.00,-1.50,1e-07,1.5e+300,Infinity,-Infinity,NaN}",
             "[0,-0,0.00,-1.50,1e-07,1.5e+300,\"Infinity\",\"-Infinity\",\"NaN\"]");
    value_is(PGTYPES_TIMESTAMPTZ_ARRAY, "{\"0044-03-15 12:00:00.5+00:34:08 BC\",-infinity}",
             "[\"0044-03-15T12:00:00.5+00:34:08 BC\",\"-infinity\"]");
}

int main(void)
{
    begin();
    test_arrays();
    test_vectors();
    test_composites();
    test_hstore();
    test_long();
    test_refused();
    test_changed();
    pgcatalogue_drop(catalogue);
    return done_testing();
}
