/* params_body.c: values out of JSON bodies. */
#include "route/params.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "params_gather.h"
#include "pg/pgtypes.h"
#include "unit/tap.h"

/* POST /people/{group}?dry=… with fields of a body; nick is one that only other uses of the body look at. */
static const struct params_spec fields[] = {
    {.name = "group", .source = PARAMS_PATH, .capture = 0},
    {.name = "dry", .source = PARAMS_QUERY, .default_text = "false"},
    {.name = "name", .source = PARAMS_BODY, .required = true},
    {.name = "age", .source = PARAMS_BODY, .default_text = "18", .min = "0", .max = "150"},
    {.name = "score", .source = PARAMS_BODY},
    {.name = "doc", .source = PARAMS_BODY},
    {.name = "tags", .source = PARAMS_BODY},
    {.name = "nums", .source = PARAMS_BODY, .max = "9"},
    {.name = "mood", .source = PARAMS_BODY},
    {.name = "docs", .source = PARAMS_BODY},
};
static const uint32_t field_types[] = {
    PGTYPES_INT4,  PGTYPES_BOOL,       PGTYPES_TEXT,       PGTYPES_INT4, PGTYPES_NUMERIC,
    PGTYPES_JSONB, PGTYPES_TEXT_ARRAY, PGTYPES_INT8_ARRAY, OWN_SCALAR,   PGTYPES_JSON_ARRAY,
};
static const char *field_names[] = {"name", "age", "score", "doc", "tags", "nums", "mood", "docs", "nick"};

#define AGE_INT "age! age must be a whole number between 0 and 150"

/* Bodies of POST /people/4, and what becomes of them after the "4|false|" of path and query. */
static const struct {
    const char *body, *want;
} bodies[] = {
    /* scalars */
    {"{\"name\":\"Ada\"}", "Ada|18|NULL|NULL|NULL|NULL|NULL|NULL"},
    {" { \"age\" : 36 , \"name\" : \"Ada\" } \n", "Ada|36|NULL|NULL|NULL|NULL|NULL|NULL"},
    {"{\"name\":null}", "NULL|18|NULL|NULL|NULL|NULL|NULL|NULL"},
    {"{\"name\":\"\"}", "|18|NULL|NULL|NULL|NULL|NULL|NULL"},
    {"{\"name\":1e2}", "1e2|18|NULL|NULL|NULL|NULL|NULL|NULL"},
    {"{\"name\":true}", "true|18|NULL|NULL|NULL|NULL|NULL|NULL"},
    {"{\"name\":\"null\"}", "null|18|NULL|NULL|NULL|NULL|NULL|NULL"},
    {"{\"name\":\"a\\\"b\\\\c\\/\\n\\u00e9\\ud83d\\ude00\"}",
     "a\"b\\c/\né\xf0\x9f\x98\x80|18|NULL|NULL|NULL|NULL|NULL|NULL"},
    {"{\"name\":\"x\",\"age\":null}", "x|NULL|NULL|NULL|NULL|NULL|NULL|NULL"},
    {"{\"name\":\"x\",\"age\":\"36\"}", "x|36|NULL|NULL|NULL|NULL|NULL|NULL"},
    {"{\"name\":\"x\",\"age\":-0}", "x|-0|NULL|NULL|NULL|NULL|NULL|NULL"},
    {"{\"na\\u006de\":\"x\",\"\\u0061ge\":5}", "x|5|NULL|NULL|NULL|NULL|NULL|NULL"},
    {"{\"name\":\"x\",\"score\":123456789012345678901234567890.10}",
     "x|18|123456789012345678901234567890.10|NULL|NULL|NULL|NULL|NULL"},
    {"{\"name\":\"x\",\"score\":1.50E-3}", "x|18|1.50E-3|NULL|NULL|NULL|NULL|NULL"},
    {"{\"name\":\"x\",\"score\":\"NaN\"}", "x|18|NaN|NULL|NULL|NULL|NULL|NULL"},
    {"{\"name\":\"x\",\"nick\":[{\"any\":\"thing\"}]}", "x|18|NULL|NULL|NULL|NULL|NULL|NULL"},

    /* json keeps its text */
    {"{\"name\":\"x\",\"doc\":null}", "x|18|NULL|NULL|NULL|NULL|NULL|NULL"},
    {"{\"name\":\"x\",\"doc\":1.0}", "x|18|NULL|1.0|NULL|NULL|NULL|NULL"},
    {"{\"name\":\"x\",\"doc\":true}", "x|18|NULL|true|NULL|NULL|NULL|NULL"},
    {"{\"name\":\"x\",\"doc\":\"a\\nb\"}", "x|18|NULL|\"a\\nb\"|NULL|NULL|NULL|NULL"},
    {"{\"name\":\"x\",\"doc\":[ 1, {\"a\":null} ]}", "x|18|NULL|[ 1, {\"a\":null} ]|NULL|NULL|NULL|NULL"},

    /* arrays */
    {"{\"name\":\"x\",\"tags\":[]}", "x|18|NULL|NULL|{}|NULL|NULL|NULL"},
    {"{\"name\":\"x\",\"tags\":null}", "x|18|NULL|NULL|NULL|NULL|NULL|NULL"},
    {"{\"name\":\"x\",\"tags\":[\"a\", null ,\"NULL\",\"\",1.0,true]}",
     "x|18|NULL|NULL|{\"a\",NULL,\"NULL\",\"\",\"1.0\",\"true\"}|NULL|NULL|NULL"},
    {"{\"name\":\"x\",\"tags\":[\"{\",\"},\",\"\\\"\",\"\\\\\",\"\\u00e9\"]}",
     "x|18|NULL|NULL|{\"{\",\"},\",\"\\\"\",\"\\\\\",\"é\"}|NULL|NULL|NULL"},
    {"{\"name\":\"x\",\"tags\":\"{a,b}\"}", "x|18|NULL|NULL|{a,b}|NULL|NULL|NULL"},
    {"{\"name\":\"x\",\"nums\":[1,\"2\",null]}", "x|18|NULL|NULL|NULL|{\"1\",\"2\",NULL}|NULL|NULL"},
    {"{\"name\":\"x\",\"mood\":\"fine\"}", "x|18|NULL|NULL|NULL|NULL|fine|NULL"},
    {"{\"name\":\"x\",\"docs\":[{\"a\":[1]},null,\"s\",[]]}",
     "x|18|NULL|NULL|NULL|NULL|NULL|{\"{\\\"a\\\":[1]}\",NULL,\"\\\"s\\\"\",\"[]\"}"},

    /* not of their type */
    {"{\"name\":[]}", "name! name must be a single value, not an array"},
    {"{\"name\":[\"x\"]}", "name! name must be a single value, not an array"},
    {"{\"name\":{}}", "name! name must be a single value, not an object"},
    {"{\"name\":\"x\",\"age\":1.0}", AGE_INT},
    {"{\"name\":\"x\",\"age\":1e2}", AGE_INT},
    {"{\"name\":\"x\",\"age\":true}", AGE_INT},
    {"{\"name\":\"x\",\"age\":\"\"}", AGE_INT},
    {"{\"name\":\"x\",\"age\":\" 5\"}", AGE_INT},
    {"{\"name\":\"x\",\"age\":2147483648}", AGE_INT},
    {"{\"name\":\"x\",\"age\":151}", "age! age must be a number between 0 and 150"},
    {"{\"name\":\"x\",\"age\":-1}", "age! age must be a number between 0 and 150"},
    {"{\"name\":\"x\",\"score\":\"high\"}", "score! score must be a number"},
    {"{\"name\":\"x\",\"score\":[1]}", "score! score must be a single value, not an array"},
    {"{\"name\":\"x\",\"tags\":5}", "tags! tags must be an array"},
    {"{\"name\":\"x\",\"tags\":false}", "tags! tags must be an array"},
    {"{\"name\":\"x\",\"tags\":{}}", "tags! tags must be an array"},
    {"{\"name\":\"x\",\"tags\":[[\"a\"]]}", "tags! tags: element 1 must be a single value, not an array"},
    {"{\"name\":\"x\",\"tags\":[\"a\",{}]}", "tags! tags: element 2 must be a single value, not an object"},
    {"{\"name\":\"x\",\"nums\":[1,null,1.5]}",
     "nums! nums: element 3 must be a whole number between -9223372036854775808 and 9223372036854775807"},
    {"{\"name\":\"x\",\"nums\":[1,10]}", "nums! nums: element 2 must be a number, at most 9"},
    {"{\"name\":\"x\",\"nums\":\"{1}\"}", "nums! nums must be a number, at most 9"},
    {"{\"name\":\"x\",\"mood\":{}}", "mood! mood must be a single value, not an object"},
    {"{\"name\":\"x\",\"mood\":[\"fine\"]}", "mood! mood must be a single value, not an array"},

    /* names */
    {"{}", "name! name is missing from the body"},
    {"{\"age\":5}", "name! name is missing from the body"},
    {"{\"name\":\"x\",\"nam\":1}", "nam! nam is not a body field of this route"},
    {"{\"Name\":\"x\"}", "Name! Name is not a body field of this route"},
    {"{\"group\":1,\"name\":\"x\"}", "group! group is not a body field of this route"},
    {"{\"dry\":1,\"name\":\"x\"}", "dry! dry is not a body field of this route"},
    {"{\"\":1}", "NULL! a field whose name is empty is not a body field of this route"},

    /* not a JSON object at all */
    {"", "NULL! the body is empty"},
    {" ", "NULL! the body cannot be read as JSON: it ends too early (line 1, column 2)"},
    {"[]", "NULL! the body must be a JSON object"},
    {"null", "NULL! the body must be a JSON object"},
    {"\"name\"", "NULL! the body must be a JSON object"},
    {"name=x", "NULL! the body cannot be read as JSON: this is not a JSON value (line 1, column 1)"},
    {"{\n  \"name\": \"é\",\n  \"ÄÖ\": x\n}",
     "NULL! the body cannot be read as JSON: this is not a JSON value (line 3, column 9)"},
    {"{\"name\":\"x\",\"name\":\"x\"}",
     "NULL! the body cannot be read as JSON: this object has the same key already (line 1, column 13)"},
    {"{\"name\":\"x\",\"n\\u0061me\":\"x\"}",
     "NULL! the body cannot be read as JSON: this object has the same key already (line 1, column 13)"},
    {"{\"name\":\"\\u0000\"}",
     "NULL! the body cannot be read as JSON: PostgreSQL has no character \\u0000 (line 1, column 10)"},
    {"{\"name\":\"x\",\"doc\":\"\\ud800\"}", "NULL! the body cannot be read as JSON: this is half of a "
                                             "surrogate pair, without its other half (line 1, "
                                             "column 20)"},
    {"{\"name\":\"\xff\"}", "NULL! the body cannot be read as JSON: this is not UTF-8 (line 1, column 10)"},
};

static void test_body(void)
{
    static const struct route route = {.specs = fields,
                                       .types = field_types,
                                       .n = sizeof(fields) / sizeof(fields[0]),
                                       .body_fields = field_names,
                                       .n_body_fields = sizeof(field_names) / sizeof(field_names[0])};
    for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
        char *got = gather_all(&route, (struct str[]){STR("4"), STR("")}, STR(""), str_of(bodies[i].body));
        bool good = strncmp(got, "4|false|", 8) == 0;
        is_str(good ? got + 8 : got, bodies[i].want, "body %s", bodies[i].body);
        free(got);
    }
    char *got = gather_all(&route, (struct str[]){STR("x"), STR("")}, STR("dry=1"), STR("{}"));
    is_str(got, "group! group must be a whole number between -2147483648 and 2147483647", "path before body");
    free(got);
    got = gather_all(&route, (struct str[]){STR("1"), STR("")}, STR("name=x"), STR("{}"));
    is_str(got, "name! name is not a URL parameter of this route", "a body field in the URL");
    free(got);
}

/* Types of the database's own are what its catalogue says. */
static void test_own_types(void)
{
    static const struct params_spec own[] = {
        {.name = "kinds", .source = PARAMS_BODY}, {.name = "doc", .source = PARAMS_BODY},
        {.name = "docs", .source = PARAMS_BODY},  {.name = "n", .source = PARAMS_BODY},
        {.name = "boxes", .source = PARAMS_BODY},
    };
    static const uint32_t own_types[] = {OWN_ARRAY, OWN_JSONB, OWN_JSONB_ARRAY, OWN_INT4, OWN_BOX_ARRAY};
    static const struct route route = {.specs = own, .types = own_types, .n = 5};
    static const struct {
        const char *body, *want;
    } texts[] = {
        {"{\"kinds\":[\"a\",null]}", "{\"a\",NULL}|NULL|NULL|NULL|NULL"},
        {"{\"kinds\":\"{a}\"}", "{a}|NULL|NULL|NULL|NULL"},
        {"{\"kinds\":5}", "kinds! kinds must be an array"},
        {"{\"doc\":{\"x\":1}}", "NULL|{\"x\":1}|NULL|NULL|NULL"},
        {"{\"doc\":[1, 2]}", "NULL|[1, 2]|NULL|NULL|NULL"},
        {"{\"doc\":\"text\"}", "NULL|\"text\"|NULL|NULL|NULL"},
        {"{\"doc\":null}", "NULL|NULL|NULL|NULL|NULL"},
        {"{\"docs\":[{\"x\":1},[],null]}", "NULL|NULL|{\"{\\\"x\\\":1}\",\"[]\",NULL}|NULL|NULL"},
        {"{\"n\":1.5}", "n! n must be a whole number between -2147483648 and 2147483647"},
        {"{\"n\":[1]}", "n! n must be a single value, not an array"},
        {"{\"boxes\":[\"(1,2),(3,4)\",\"(0,0),(1,1)\"]}",
         "NULL|NULL|NULL|NULL|{\"(1,2),(3,4)\";\"(0,0),(1,1)\"}"},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char *got = gather_all(&route, (struct str[]){STR(""), STR("")}, STR(""), str_of(texts[i].body));
        is_str(got, texts[i].want, "with types of its own: %s", texts[i].body);
        free(got);
    }
}

/* The whole body as one value. */
static void test_body_as(void)
{
    static const struct params_spec whole = {.name = "patch", .source = PARAMS_BODY_AS};
    static const uint32_t type = PGTYPES_JSONB;
    static const char *allowed[] = {"a", "b"};
    static const struct route any = {.specs = &whole, .types = &type, .n = 1};
    static const struct route some = {
        .specs = &whole, .types = &type, .n = 1, .body_fields = allowed, .n_body_fields = 2};
    static const struct {
        const char *body, *want_any, *want_some;
    } texts[] = {
        {"{}", "{}", "{}"},
        {" {\"a\" : null}\n", "{\"a\" : null}", "{\"a\" : null}"},
        {"{\"b\":{\"c\":1},\"a\":[1]}", "{\"b\":{\"c\":1},\"a\":[1]}", "{\"b\":{\"c\":1},\"a\":[1]}"},
        {"{\"\\u0061\":1}", "{\"\\u0061\":1}", "{\"\\u0061\":1}"},
        {"{\"c\":1}", "{\"c\":1}", "c! c is not a body field of this route"},
        {"{\"\":1}", "{\"\":1}", "NULL! a field whose name is empty is not a body field of this route"},
        {"[]", "[]", "NULL! the body must be a JSON object"},
        {"[{\"a\":1}, {\"a\":2}]", "[{\"a\":1}, {\"a\":2}]", "NULL! the body must be a JSON object"},
        {"1", "NULL! the body must be a JSON object or array", "NULL! the body must be a JSON object"},
        {"null", "NULL! the body must be a JSON object or array", "NULL! the body must be a JSON object"},
        {"\"{}\"", "NULL! the body must be a JSON object or array", "NULL! the body must be a JSON object"},
        {"", "NULL! the body is empty", "NULL! the body is empty"},
        {"{\"a\":1,\"a\":2}",
         "NULL! the body cannot be read as JSON: this object has the same key already (line 1, column 8)",
         "NULL! the body cannot be read as JSON: this object has the same key already (line 1, column 8)"},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct str none[] = {STR(""), STR("")};
        char *got = gather_all(&any, none, STR(""), str_of(texts[i].body));
        is_str(got, texts[i].want_any, "as a whole: %s", texts[i].body);
        free(got);
        got = gather_all(&some, none, STR(""), str_of(texts[i].body));
        is_str(got, texts[i].want_some, "as a whole with two fields allowed: %s", texts[i].body);
        free(got);
    }
}

/* A field beside the whole: the statement uses both. */
static void test_body_both_ways(void)
{
    static const struct params_spec both[] = {{.name = "all", .source = PARAMS_BODY_AS},
                                              {.name = "a", .source = PARAMS_BODY, .default_text = "none"}};
    static const uint32_t both_types[] = {PGTYPES_JSON, PGTYPES_TEXT};
    static const struct route route = {.specs = both, .types = both_types, .n = 2};
    struct str none[] = {STR(""), STR("")};
    char *got = gather_all(&route, none, STR(""), STR("{\"a\":\"x\"}"));
    is_str(got, "{\"a\":\"x\"}|x", "the whole and a field of it");
    free(got);
    got = gather_all(&route, none, STR(""), STR("{}"));
    is_str(got, "{}|none", "the field's default");
    free(got);
    got = gather_all(&route, none, STR(""), STR("{\"b\":1}"));
    is_str(got, "b! b is not a body field of this route", "no other field");
    free(got);
    got = gather_all(&route, none, STR(""), STR("[]"));
    is_str(got, "NULL! the body must be a JSON object", "no array");
    free(got);
}

/* A long array is read in one go, and none of its bytes is lost. */
static void test_big_array(void)
{
    static const struct params_spec list = {.name = "list", .source = PARAMS_BODY};
    static const uint32_t type = PGTYPES_INT4_ARRAY;
    static const struct route route = {.specs = &list, .types = &type, .n = 1};
    enum { ELEMENTS = 200000 };
    char *body = mem_alloc(ELEMENTS * 2 + 16), *want = mem_alloc(ELEMENTS * 4 + 3);
    size_t len = (size_t)sprintf(body, "{\"list\":["), want_len = (size_t)sprintf(want, "{");
    for (size_t i = 0; i < ELEMENTS; i++) {
        len += (size_t)sprintf(body + len, i == 0 ? "%zu" : ",%zu", i % 10);
        want_len += (size_t)sprintf(want + want_len, i == 0 ? "\"%zu\"" : ",\"%zu\"", i % 10);
    }
    strcpy(body + len, "]}");
    strcpy(want + want_len, "}");
    char *got = gather_all(&route, (struct str[]){STR(""), STR("")}, STR(""), str_of(body));
    ok(strcmp(got, want) == 0, "an array of %d elements", (int)ELEMENTS);
    free(got);
    free(body);
    free(want);
}

int main(void)
{
    test_body();
    test_own_types();
    test_body_as();
    test_body_both_ways();
    test_big_array();
    return done_testing();
}
