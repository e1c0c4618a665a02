/* params.c: values out of URLs. */
#include "route/params.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "params_gather.h"
#include "pg/pgtypes.h"
#include "unit/tap.h"

/* The route /things/{id}/{rest...} with three URL parameters. */
static const struct params_spec specs[] = {
    {.name = "limit", .source = PARAMS_QUERY, .default_text = "100"},
    {.name = "id", .source = PARAMS_PATH, .capture = 0},
    {.name = "q", .source = PARAMS_QUERY, .default_text = "all"},
    {.name = "größe", .source = PARAMS_QUERY},
    {.name = "rest", .source = PARAMS_PATH, .capture = 1, .is_rest = true},
};
static const uint32_t types[] = {PGTYPES_INT4, PGTYPES_TEXT, PGTYPES_TEXT, PGTYPES_NUMERIC, PGTYPES_TEXT};

static char *gather(struct str id, struct str rest, struct str query)
{
    static const struct route things = {
        .specs = specs, .types = types, .n = sizeof(specs) / sizeof(specs[0])};
    return gather_all(&things, (struct str[]){id, rest}, query, STR(""));
}

static void test_path(void)
{
    static const struct {
        const char *raw, *want;
    } paths[] = {
        {"abc", "100|abc|all|NULL|r"},
        {"%31", "100|1|all|NULL|r"},
        {"a%20b%3f", "100|a b?|all|NULL|r"},
        {"%C3%A9t%c3%A9", "100|été|all|NULL|r"},
        {"été", "100|été|all|NULL|r"},
        {"a+b", "100|a+b|all|NULL|r"},
        {"%20a+b", "100| a+b|all|NULL|r"},
        {"%2531", "100|%31|all|NULL|r"},
        {"%252F", "100|%2F|all|NULL|r"},
        {".", "100|.|all|NULL|r"},
        {"%F0%9F%98%80", "100|\xf0\x9f\x98\x80|all|NULL|r"},

        {"a%2fb", "id! id must not contain a '/' (%2F)"},
        {"%2F", "id! id must not contain a '/' (%2F)"},
        {"a%00", "id! id must not contain a NUL byte (%00)"},
        {"%", "id! id has a '%' without two hexadecimal digits after it ('%' itself is %25)"},
        {"a%2", "id! id has a '%' without two hexadecimal digits after it ('%' itself is %25)"},
        {"%zz", "id! id has a '%' without two hexadecimal digits after it ('%' itself is %25)"},
        {"%+1", "id! id has a '%' without two hexadecimal digits after it ('%' itself is %25)"},
        {"%u00e9", "id! id has a '%' without two hexadecimal digits after it ('%' itself is %25)"},
    };
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        char *got = gather(str_of(paths[i].raw), STR("r"), STR(""));
        is_str(got, paths[i].want, "path segment %s", paths[i].raw);
        free(got);
    }
    char *got = gather(STR("a\0b"), STR("r"), STR(""));
    is_str(got, "id! id must not contain a NUL byte (%00)", "path segment with a raw NUL");
    free(got);
}

static void test_rest(void)
{
    static const struct {
        const char *raw, *want;
    } rests[] = {
        {"", "100|1|all|NULL|"},
        {"a/b//c", "100|1|all|NULL|a/b//c"},
        {"a%20/b", "100|1|all|NULL|a /b"},
        {"a%2fb/c", "100|1|all|NULL|a/b/c"},
        {"a+b/%2e%2e", "100|1|all|NULL|a+b/.."},
        {"a/%00", "rest! rest must not contain a NUL byte (%00)"},
        {"a/%", "rest! rest has a '%' without two hexadecimal digits after it ('%' itself is %25)"},
        {"a/%ff", "rest! rest must be UTF-8"},
    };
    for (size_t i = 0; i < sizeof(rests) / sizeof(rests[0]); i++) {
        char *got = gather(STR("1"), str_of(rests[i].raw), STR(""));
        is_str(got, rests[i].want, "rest of the path \"%s\"", rests[i].raw);
        free(got);
    }
}

static void test_query(void)
{
    static const struct {
        const char *raw, *want;
    } queries[] = {
        {"", "100|1|all|NULL|r"},
        {"limit=5", "5|1|all|NULL|r"},
        {"q=x&limit=5", "5|1|x|NULL|r"},
        {"q=a=b", "100|1|a=b|NULL|r"},
        {"q=a+b%2Bc%26d%3De", "100|1|a b+c&d=e|NULL|r"},
        {"q=a/b?c%2Fd", "100|1|a/b?c/d|NULL|r"},
        {"q=%C3%A9", "100|1|é|NULL|r"},
        {"q=%2531", "100|1|%31|NULL|r"},
        {"l%69mit=5", "5|1|all|NULL|r"},
        {"gr%C3%B6%C3%9Fe=1.5", "100|1|all|1.5|r"},
        {"größe=1e3", "100|1|all|1e3|r"},
        {"&&limit=5&", "5|1|all|NULL|r"},
        {"limit=%2B5", "+5|1|all|NULL|r"},

        /* Given, but empty: '' for text, else the default. */
        {"q=", "100|1||NULL|r"},
        {"q", "100|1||NULL|r"},
        {"limit=", "100|1|all|NULL|r"},
        {"limit&größe", "100|1|all|NULL|r"},

        {"limit=5&limit=5", "limit! limit is given twice"},
        {"limit=&limit=5", "limit! limit is given twice"},
        {"größe=&größe=5", "größe! größe is given twice"},
        {"q=&q=", "q! q is given twice"},
        {"offset=5", "offset! offset is not a URL parameter of this route"},
        {"limi=5", "limi! limi is not a URL parameter of this route"},
        {"limits=5", "limits! limits is not a URL parameter of this route"},
        {"Limit=5", "Limit! Limit is not a URL parameter of this route"},
        {"a%20b", "a b! a b is not a URL parameter of this route"},
        {"a;b=1", "a;b! a;b is not a URL parameter of this route"},
        {"id=5", "id! id is not a URL parameter of this route"},
        {"?q=x", "?q! ?q is not a URL parameter of this route"},

        {"=5", "NULL! the name of a URL parameter is empty"},
        {"%=5", "NULL! the name of a URL parameter has a '%' without two hexadecimal digits after it "
                "('%' itself is %25)"},
        {"q%00=5", "NULL! the name of a URL parameter must not contain a NUL byte (%00)"},
        {"q%ff=5", "NULL! the name of a URL parameter must be UTF-8"},

        {"q=a%00", "q! q must not contain a NUL byte (%00)"},
        {"q=%e", "q! q has a '%' without two hexadecimal digits after it ('%' itself is %25)"},
        {"q=1%&limit=3", "q! q has a '%' without two hexadecimal digits after it ('%' itself is %25)"},
        {"q=%", "q! q has a '%' without two hexadecimal digits after it ('%' itself is %25)"},
        {"q=x&limit=ten", "limit! limit must be a whole number between -2147483648 and 2147483647"},
        {"limit=+5", "limit! limit must be a whole number between -2147483648 and 2147483647"},
        {"größe=x", "größe! größe must be a number"},
    };
    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
        char *got = gather(STR("1"), STR("r"), str_of(queries[i].raw));
        is_str(got, queries[i].want, "query %s", queries[i].raw);
        free(got);
    }
}

/* RFC 3629: what is UTF-8 at the edges of each length, escaped and raw. */
static void test_utf8(void)
{
    static const struct {
        const char *what, *bytes;
        bool valid;
    } texts[] = {
        {"U+007F", "\x7f", true},
        {"U+0080", "\xc2\x80", true},
        {"U+07FF", "\xdf\xbf", true},
        {"U+0800", "\xe0\xa0\x80", true},
        {"U+D7FF", "\xed\x9f\xbf", true},
        {"U+E000", "\xee\x80\x80", true},
        {"U+FFFF", "\xef\xbf\xbf", true},
        {"U+10000", "\xf0\x90\x80\x80", true},
        {"U+10FFFF", "\xf4\x8f\xbf\xbf", true},
        {"U+110000", "\xf4\x90\x80\x80", false},
        {"beyond", "\xf5\x80\x80\x80", false},
        {"five bytes", "\xf8\x88\x80\x80\x80", false},
        {"0xff", "\xff", false},
        {"overlong '/', two bytes", "\xc0\xaf", false},
        {"overlong U+007F", "\xc1\xbf", false},
        {"overlong NUL", "\xc0\x80", false},
        {"overlong '/', three bytes", "\xe0\x80\xaf", false},
        {"overlong U+07FF", "\xe0\x9f\xbf", false},
        {"overlong U+FFFF", "\xf0\x8f\xbf\xbf", false},
        {"surrogate U+D800", "\xed\xa0\x80", false},
        {"surrogate U+DFFF", "\xed\xbf\xbf", false},
        {"surrogates as a pair", "\xed\xa0\xbd\xed\xb8\x80", false},
        {"a continuation alone", "\x80", false},
        {"one too many", "\xc3\xa9\xa9", false},
        {"cut after one of two", "\xc3", false},
        {"cut after two of three", "\xe2\x82", false},
        {"cut after three of four", "\xf0\x9f\x98", false},
        {"cut by a letter", "\xe2\x82x", false},
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        char escaped[40] = "";
        for (const char *p = texts[i].bytes; *p != '\0'; p++)
            sprintf(escaped + strlen(escaped), "%%%02X", (unsigned)(unsigned char)*p);
        char *valid = mem_printf("100|%s|all|NULL|r", texts[i].bytes);
        const char *want = texts[i].valid ? valid : "id! id must be UTF-8";
        char *raw = gather(str_of(texts[i].bytes), STR("r"), STR(""));
        char *decoded = gather(str_of(escaped), STR("r"), STR(""));
        is_str(raw, want, "UTF-8, raw: %s", texts[i].what);
        is_str(decoded, want, "UTF-8, escaped: %s", texts[i].what);
        free(raw);
        free(decoded);
        free(valid);
    }
}

/* Up to one parameter, of a request without a body. */
static bool takes(const struct params_spec *spec, const struct pgtypes_parameter *type,
                  const struct params_request *request, const struct arena *arena, struct str *value,
                  struct params_problem *problem)
{
    struct params_gathering all = {.specs = spec,
                                   .types = type,
                                   .n = spec == NULL ? 0 : 1,
                                   .request = request,
                                   .arena = arena,
                                   .values = value,
                                   .problem = problem};
    struct params_rest *rest;
    return params_gather(&all, SIZE_MAX, &rest) == PARAMS_DONE;
}

static void is_text(struct str got, const char *want, const char *name)
{
    char *text = mem_strndup(got.base, got.len);
    is_str(text, want, "%s", name);
    free(text);
}

/* The plain case: one integer, taken from the path. A statement without parameters takes no query either. */
static void test_one_and_none(void)
{
    static const struct params_spec one = {.name = "id", .source = PARAMS_PATH};
    struct blocks blocks = {0};
    struct arena arena = {.alloc = blocks_alloc, .arg = &blocks};
    struct params_problem problem;
    const struct pgtypes_parameter type = parameter_of(PGTYPES_INT4);
    struct str value = {NULL, 0};
    struct str capture = exact(&blocks, "9999", 4);
    struct params_request request = {.captures = &capture};
    ok(takes(&one, &type, &request, &arena, &value, &problem), "an int4 in the path");
    is_text(value, "9999", "is taken as it is");
    ok(value.base == capture.base && blocks.n == 1, "... and from where it is");

    capture = exact(&blocks, "99999999999", 11);
    ok(!takes(&one, &type, &request, &arena, &value, &problem), "too big for an int4");
    is_str(problem.parameter, "id", "names the parameter");
    is_str(problem.detail, "id must be a whole number between -2147483648 and 2147483647", "and says why");

    static const struct {
        const char *raw;
        bool taken;
    } ids[] = {
        {"0", true},           {"00001", true},       {"-5", true},           {"%31", true},
        {"999999999", true},   {"1000000000", true},  {"2147483647", true},   {"2147483648", false},
        {"-2147483648", true}, {"4294967297", false}, {"000000000001", true}, {"", false},
        {"12a", false},        {"a", false},          {"1/2", false},         {"1:2", false},
    };
    for (size_t i = 0; i < sizeof(ids) / sizeof(ids[0]); i++) {
        capture = exact(&blocks, ids[i].raw, strlen(ids[i].raw));
        bool taken = takes(&one, &type, &request, &arena, &value, &problem);
        ok(taken == ids[i].taken, "\"%s\" as an int4 is %s", ids[i].raw, ids[i].taken ? "taken" : "refused");
        if (taken)
            is_text(value, strcmp(ids[i].raw, "%31") == 0 ? "1" : ids[i].raw, "and left as it is");
    }

    const struct pgtypes_parameter unknown = {0};
    capture = exact(&blocks, "abc", 3);
    ok(takes(&one, &unknown, &request, &arena, &value, &problem), "an unknown type");
    is_text(value, "abc", "is not checked");

    ok(takes(NULL, NULL, &request, &arena, NULL, &problem), "no parameters");
    request.query = STR("x=1");
    ok(!takes(NULL, NULL, &request, &arena, NULL, &problem), "but a query");
    is_str(problem.detail, "x is not a URL parameter of this route", "is refused");
    request.ignore_unknown_query = true;
    ok(takes(NULL, NULL, &request, &arena, NULL, &problem), "unless the route ignores it");
    blocks_free(&blocks);
}

/* URL parameters that are arrays: given once, several times, empty. */
static void test_query_arrays(void)
{
    static const struct params_spec lists[] = {
        {.name = "ids", .source = PARAMS_QUERY, .default_text = "{7}"},
        {.name = "tag", .source = PARAMS_QUERY},
        {.name = "kind", .source = PARAMS_QUERY, .default_text = "any"},
        {.name = "box", .source = PARAMS_QUERY},
        {.name = "doc", .source = PARAMS_QUERY},
    };
    static const uint32_t list_types[] = {PGTYPES_INT4_ARRAY, PGTYPES_TEXT_ARRAY, OWN_SCALAR,
                                          PGTYPES_BOX_ARRAY, PGTYPES_JSONB_ARRAY};
    static const struct route route = {.specs = lists, .types = list_types, .n = 5};
    static const struct {
        const char *raw, *want;
    } queries[] = {
        {"", "{7}|NULL|any|NULL|NULL"},
        {"ids=1", "{\"1\"}|NULL|any|NULL|NULL"},
        {"ids=1&ids=2&ids=-3", "{\"1\",\"2\",\"-3\"}|NULL|any|NULL|NULL"},
        {"ids=1&tag=a&ids=2&tag=b", "{\"1\",\"2\"}|{\"a\",\"b\"}|any|NULL|NULL"},
        {"ids=", "{7}|NULL|any|NULL|NULL"},
        {"tag=", "{7}|{\"\"}|any|NULL|NULL"},
        {"tag=&tag=", "{7}|{\"\",\"\"}|any|NULL|NULL"},
        {"tag=NULL&tag=null", "{7}|{\"NULL\",\"null\"}|any|NULL|NULL"},
        {"tag=a,b&tag={c,d}", "{7}|{\"a,b\",\"{c,d}\"}|any|NULL|NULL"},
        {"tag={}", "{7}|{\"{}\"}|any|NULL|NULL"},
        {"tag=%22&tag=\\&tag=%5C%22", "{7}|{\"\\\"\",\"\\\\\",\"\\\\\\\"\"}|any|NULL|NULL"},
        {"tag=a%00", "tag! tag must not contain a NUL byte (%00)"},
        {"kind=x", "{7}|NULL|x|NULL|NULL"},
        {"kind={x,y}", "{7}|NULL|{x,y}|NULL|NULL"},
        {"kind=x&kind=y", "kind! kind is given twice"},
        {"kind=", "{7}|NULL|any|NULL|NULL"},
        {"box=(1,2),(3,4)&box=(0,0),(1,1)", "{7}|NULL|any|{\"(1,2),(3,4)\";\"(0,0),(1,1)\"}|NULL"},
        {"doc={\"a\":1}&doc=[]", "{7}|NULL|any|NULL|{\"{\\\"a\\\":1}\",\"[]\"}"},
        {"doc={a}", "doc! doc must be JSON"},
        {"ids=x", "ids! ids must be a whole number between -2147483648 and 2147483647"},
        {"ids={1,2}", "ids! ids must be a whole number between -2147483648 and 2147483647"},
        {"ids=1&ids=x", "ids! ids: element 2 must be a whole number between -2147483648 and 2147483647"},
        {"ids=1&ids=", "ids! ids: element 2 must be a whole number between -2147483648 and 2147483647"},
    };
    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
        char *got = gather_all(&route, (struct str[]){STR(""), STR("")}, str_of(queries[i].raw), STR(""));
        is_str(got, queries[i].want, "query with arrays %s", queries[i].raw);
        free(got);
    }
}

/* Types of the database's own are what its catalogue says. */
static void test_own_types(void)
{
    static const struct params_spec own[] = {
        {.name = "kinds", .source = PARAMS_QUERY}, {.name = "doc", .source = PARAMS_QUERY},
        {.name = "docs", .source = PARAMS_QUERY},  {.name = "n", .source = PARAMS_QUERY},
        {.name = "boxes", .source = PARAMS_QUERY},
    };
    static const uint32_t own_types[] = {OWN_ARRAY, OWN_JSONB, OWN_JSONB_ARRAY, OWN_INT4, OWN_BOX_ARRAY};
    static const struct route route = {.specs = own, .types = own_types, .n = 5};
    static const struct {
        const char *raw, *want;
    } queries[] = {
        {"kinds=x", "{\"x\"}|NULL|NULL|NULL|NULL"},
        {"kinds=x&kinds=y", "{\"x\",\"y\"}|NULL|NULL|NULL|NULL"},
        {"kinds={x}", "{\"{x}\"}|NULL|NULL|NULL|NULL"},
        {"doc={}", "NULL|{}|NULL|NULL|NULL"},
        {"doc={a}", "doc! doc must be JSON"},
        {"doc=1&doc=2", "doc! doc is given twice"},
        {"docs={}&docs=1", "NULL|NULL|{\"{}\",\"1\"}|NULL|NULL"},
        {"docs={}&docs=x", "docs! docs: element 2 must be JSON"},
        {"n=7", "NULL|NULL|NULL|7|NULL"},
        {"n=x", "n! n must be a whole number between -2147483648 and 2147483647"},
        {"boxes=(1,2),(3,4)&boxes=(0,0),(1,1)", "NULL|NULL|NULL|NULL|{\"(1,2),(3,4)\";\"(0,0),(1,1)\"}"},
    };
    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
        char *got = gather_all(&route, (struct str[]){STR(""), STR("")}, str_of(queries[i].raw), STR(""));
        is_str(got, queries[i].want, "query with types of its own %s", queries[i].raw);
        free(got);
    }
}

/* Bounds, choices and what must be there. */
static const char *choices[] = {"name", "email", "id"}, *single[] = {"only"}, *sizes[] = {"1", "2"};
static const struct params_spec limited[] = {
    {.name = "limit", .source = PARAMS_QUERY, .default_text = "1000000", .min = "1", .max = "1000"},
    {.name = "at_least", .source = PARAMS_QUERY, .min = "-0.5"},
    {.name = "at_most", .source = PARAMS_QUERY, .max = "1e3"},
    {.name = "sort", .source = PARAMS_QUERY, .default_text = "id", .one_of = choices, .n_one_of = 3},
    {.name = "one", .source = PARAMS_QUERY, .one_of = single, .n_one_of = 1},
    {.name = "sizes", .source = PARAMS_QUERY, .one_of = sizes, .n_one_of = 2, .max = "9"},
    {.name = "must", .source = PARAMS_QUERY, .required = true},
};
static const uint32_t limited_types[] = {PGTYPES_INT4, PGTYPES_NUMERIC,    PGTYPES_FLOAT8, PGTYPES_TEXT,
                                         PGTYPES_TEXT, PGTYPES_INT2_ARRAY, PGTYPES_INT4};

static void test_limits(void)
{
    static const struct route route = {.specs = limited, .types = limited_types, .n = 7};
    static const struct {
        const char *raw, *want;
    } queries[] = {
        {"must=1", "1000000|NULL|NULL|id|NULL|NULL|1"},
        {"must=1&limit=1&at_least=-.5&at_most=1000.000", "1|-.5|1000.000|id|NULL|NULL|1"},
        {"must=1&limit=1000&at_least=-5e-1&at_most=1e3", "1000|-5e-1|1e3|id|NULL|NULL|1"},
        {"must=1&limit=%2B0999&at_most=-1e300&at_least=99999999999999999999",
         "+0999|99999999999999999999|-1e300|id|"
         "NULL|NULL|1"},
        {"must=1&sort=email&one=only&sizes=1&sizes=2", "1000000|NULL|NULL|email|only|{\"1\",\"2\"}|1"},
        {"must=1&limit=", "1000000|NULL|NULL|id|NULL|NULL|1"},

        {"must=1&limit=0", "limit! limit must be a number between 1 and 1000"},
        {"must=1&limit=1001", "limit! limit must be a number between 1 and 1000"},
        {"must=1&limit=-5", "limit! limit must be a number between 1 and 1000"},
        {"must=1&limit=x", "limit! limit must be a whole number between 1 and 1000"},
        {"must=1&at_least=-0.50000000000000000000000001",
         "at_least! at_least must be a number, at least -0.5"},
        {"must=1&at_most=1000.0000000000000000000000001", "at_most! at_most must be a number, at most 1e3"},
        {"must=1&at_most=1e4", "at_most! at_most must be a number, at most 1e3"},
        {"must=1&at_least=-1e1", "at_least! at_least must be a number, at least -0.5"},
        {"must=1&at_least=NaN", "at_least! at_least must be a number, at least -0.5"},
        {"must=1&at_least=Infinity", "at_least! at_least must be a number, at least -0.5"},
        {"must=1&at_most=-inf", "at_most! at_most must be a number, at most 1e3"},
        {"must=1&at_most=1e-9999999999", "at_most! at_most must be a number, at most 1e3"},
        {"must=1&sort=phone", "sort! sort must be name, email or id"},
        {"must=1&sort=", "sort! sort must be name, email or id"},
        {"must=1&sort=ID", "sort! sort must be name, email or id"},
        {"must=1&sort=id%20", "sort! sort must be name, email or id"},
        {"must=1&one=other", "one! one must be only"},
        {"must=1&sizes=1&sizes=3", "sizes! sizes: element 2 must be 1 or 2"},
        {"must=1&sizes=01", "sizes! sizes must be 1 or 2"},

        {"", "must! must is missing from the URL"},
        {"must=", "must! must is missing from the URL"},
        {"must=&must=1", "must! must is given twice"},
        {"limit=5", "must! must is missing from the URL"},
    };
    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
        char *got = gather_all(&route, (struct str[]){STR(""), STR("")}, str_of(queries[i].raw), STR(""));
        is_str(got, queries[i].want, "query with limits %s", queries[i].raw);
        free(got);
    }
}

static void test_unknown_query(void)
{
    static const struct route route = {.specs = specs, .types = types, .n = 5, .ignore_unknown_query = true};
    static const struct {
        const char *raw, *want;
    } queries[] = {
        {"utm=x&limit=5&utm=y&", "5|1|all|NULL|r"},
        {"utm=%zz%00", "100|1|all|NULL|r"},
        {"id=5", "100|1|all|NULL|r"},
        {"limit=x", "limit! limit must be a whole number between -2147483648 and 2147483647"},
        {"%zz=1", "NULL! the name of a URL parameter has a '%' without two hexadecimal digits after it "
                  "('%' itself is %25)"},
    };
    for (size_t i = 0; i < sizeof(queries) / sizeof(queries[0]); i++) {
        char *got = gather_all(&route, (struct str[]){STR("1"), STR("r")}, str_of(queries[i].raw), STR(""));
        is_str(got, queries[i].want, "unknown ones ignored: %s", queries[i].raw);
        free(got);
    }
    char *long_name = mem_alloc(1001), *got;
    memset(long_name, 'x', 1000);
    long_name[98] = '\xc3';
    long_name[99] = '\xa9';
    long_name[1000] = '\0';
    got = gather(STR("1"), STR("r"), str_of(long_name));
    char *shown = mem_strndup(long_name, 100);
    char *want = mem_printf("%s…! %s… is not a URL parameter of this route", shown, shown);
    is_str(got, want, "a long unknown name is cut");
    free(got);
    long_name[98] = 'x';
    long_name[99] = '\xc3';
    long_name[100] = '\xa9';
    got = gather(STR("1"), STR("r"), str_of(long_name));
    long_name[99] = '\0';
    char *shorter = mem_printf("%s…! %s… is not a URL parameter of this route", long_name, long_name);
    is_str(got, shorter, "between two characters");
    free(got);
    free(want);
    free(shown);
    free(shorter);
    free(long_name);
}

int main(void)
{
    test_path();
    test_rest();
    test_query();
    test_utf8();
    test_one_and_none();
    test_query_arrays();
    test_own_types();
    test_limits();
    test_unknown_query();
    return done_testing();
}
