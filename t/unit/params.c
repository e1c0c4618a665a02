/* params.c: values out of URLs, and which of them are of their type. */
#include "params.h"

#include <stdint.h>
#include <stdlib.h>

#include "mem.h"
#include "pgtypes.h"
#include "tap.h"

/* An arena for the tests: all of it is freed after each request. */
struct blocks {
    void **at;
    size_t n;
};

static void *blocks_alloc(void *arg, size_t size)
{
    struct blocks *blocks = arg;
    MEM_GROW(&blocks->at, blocks->n);
    return blocks->at[blocks->n++] = mem_alloc(size);
}

static void blocks_free(struct blocks *blocks)
{
    for (size_t i = 0; i < blocks->n; i++)
        free(blocks->at[i]);
    free(blocks->at);
    *blocks = (struct blocks){0};
}

/* A copy of just its size, without a NUL behind it, so that the sanitizers see a byte read too far. */
static struct str exact(struct blocks *blocks, const char *text, size_t len)
{
    char *copy = blocks_alloc(blocks, len);
    memcpy(copy, text, len);
    return (struct str){copy, len};
}

/* The route /things/{id}/{rest...} with four URL parameters; the statement uses them in this order. */
static const struct params_spec specs[] = {
    {.name = "limit", .source = PARAMS_QUERY, .default_text = "100"},
    {.name = "id", .source = PARAMS_PATH, .capture = 0},
    {.name = "q", .source = PARAMS_QUERY, .default_text = "all"},
    {.name = "größe", .source = PARAMS_QUERY},
    {.name = "rest", .source = PARAMS_PATH, .capture = 1},
};
static const uint32_t types[] = {PGTYPES_INT4, PGTYPES_TEXT, PGTYPES_TEXT, PGTYPES_NUMERIC, PGTYPES_TEXT};
enum { N_SPECS = sizeof(specs) / sizeof(specs[0]) };

/* What comes of a request: the values with '|' between them, or "parameter! detail". */
static char *gather(struct str id, struct str rest, struct str query)
{
    struct blocks blocks = {0};
    struct params_arena arena = {.alloc = blocks_alloc, .arg = &blocks};
    struct str captures[] = {exact(&blocks, id.base, id.len), exact(&blocks, rest.base, rest.len)};
    const char *values[N_SPECS];
    struct params_problem problem;
    char *text;
    if (query.len > 0)
        query = exact(&blocks, query.base, query.len);
    if (params_gather(specs, types, N_SPECS, captures, query, &arena, values, &problem)) {
        text = mem_strdup("");
        for (size_t i = 0; i < N_SPECS; i++) {
            const char *value = values[i] == NULL ? "NULL" : values[i];
            char *longer = mem_printf("%s%s%s", text, i == 0 ? "" : "|", value);
            free(text);
            text = longer;
        }
    } else {
        text = mem_printf("%s! %s", problem.parameter == NULL ? "NULL" : problem.parameter, problem.detail);
    }
    blocks_free(&blocks);
    return text;
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

        {"a%2fb", "id! id must not hold a '/' (%2F)"},
        {"%2F", "id! id must not hold a '/' (%2F)"},
        {"a%00", "id! id must not hold a NUL byte (%00)"},
        {"%", "id! id has a '%' without two hexadecimal digits behind it ('%' itself is %25)"},
        {"a%2", "id! id has a '%' without two hexadecimal digits behind it ('%' itself is %25)"},
        {"%zz", "id! id has a '%' without two hexadecimal digits behind it ('%' itself is %25)"},
        {"%+1", "id! id has a '%' without two hexadecimal digits behind it ('%' itself is %25)"},
        {"%u00e9", "id! id has a '%' without two hexadecimal digits behind it ('%' itself is %25)"},
    };
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        char *got = gather(str_of(paths[i].raw), STR("r"), STR(""));
        is_str(got, paths[i].want, "path segment %s", paths[i].raw);
        free(got);
    }
    char *got = gather(STR("a\0b"), STR("r"), STR(""));
    is_str(got, "id! id must not hold a NUL byte (%00)", "path segment with a raw NUL");
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
        {"a%2fb", "rest! rest must not hold a '/' (%2F)"},
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
        {"%=5", "NULL! the name of a URL parameter has a '%' without two hexadecimal digits behind it "
                "('%' itself is %25)"},
        {"q%00=5", "NULL! the name of a URL parameter must not hold a NUL byte (%00)"},
        {"q%ff=5", "NULL! the name of a URL parameter must be UTF-8"},

        {"q=a%00", "q! q must not hold a NUL byte (%00)"},
        {"q=%e", "q! q has a '%' without two hexadecimal digits behind it ('%' itself is %25)"},
        {"q=1%&limit=3", "q! q has a '%' without two hexadecimal digits behind it ('%' itself is %25)"},
        {"q=%", "q! q has a '%' without two hexadecimal digits behind it ('%' itself is %25)"},
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

/* The plain case: one integer, taken from the path. A statement without parameters takes no query either. */
static void test_one_and_none(void)
{
    static const struct params_spec one = {.name = "id", .source = PARAMS_PATH};
    struct blocks blocks = {0};
    struct params_arena arena = {.alloc = blocks_alloc, .arg = &blocks};
    struct params_problem problem;
    const uint32_t type = PGTYPES_INT4;
    const char *value = NULL;
    struct str capture = exact(&blocks, "9999", 4);
    ok(params_gather(&one, &type, 1, &capture, STR(""), &arena, &value, &problem), "an int4 in the path");
    is_str(value, "9999", "is taken as it is");
    is_int((long long)blocks.n, 2, "with one allocation besides the test's own");

    capture = exact(&blocks, "99999999999", 11);
    ok(!params_gather(&one, &type, 1, &capture, STR(""), &arena, &value, &problem), "too big for an int4");
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
        bool taken = params_gather(&one, &type, 1, &capture, STR(""), &arena, &value, &problem);
        ok(taken == ids[i].taken, "\"%s\" as an int4 is %s", ids[i].raw, ids[i].taken ? "taken" : "refused");
        if (taken)
            is_str(value, strcmp(ids[i].raw, "%31") == 0 ? "1" : ids[i].raw, "and left as it is");
    }

    const uint32_t unknown = 0;
    capture = exact(&blocks, "abc", 3);
    ok(params_gather(&one, &unknown, 1, &capture, STR(""), &arena, &value, &problem), "an unknown type");
    is_str(value, "abc", "is not checked");

    ok(params_gather(NULL, NULL, 0, NULL, STR(""), &arena, NULL, &problem), "no parameters");
    ok(!params_gather(NULL, NULL, 0, NULL, STR("x=1"), &arena, NULL, &problem), "but a query");
    is_str(problem.detail, "x is not a URL parameter of this route", "is refused");
    blocks_free(&blocks);
}

/* Texts of each type that are taken and refused, with blanks between them; an empty one is refused too. */
static const struct {
    const char *name;
    uint32_t type;
    const char *taken, *refused, *message;
} checks[] = {
    {"int2", PGTYPES_INT2, "0 -0 +1 7 007 32767 +32767 -32768 00000000000000000000000000032767",
     "32768 -32769 65536 99999999999999999999 1.0 1e3 0x10 1_000 abc 1a - + -- +-1 --1 \t1 1\n .",
     "must be a whole number between -32768 and 32767"},
    {"int4", PGTYPES_INT4, "0 -0 +1 1 0001 2147483647 -2147483648",
     "2147483648 -2147483649 4294967296 4294967297 99999999999 18446744073709551617 abc 1.5 ١ 1%",
     "must be a whole number between -2147483648 and 2147483647"},
    {"int8", PGTYPES_INT8, "0 9223372036854775807 -9223372036854775808 +9223372036854775807",
     "9223372036854775808 -9223372036854775809 18446744073709551615 18446744073709551616 "
     "18446744073709551620 92233720368547758070 99999999999999999999999999999999999999999",
     "must be a whole number between -9223372036854775808 and 9223372036854775807"},
    {"oid", PGTYPES_OID, "0 1 +5 4294967295", "4294967296 -1 pg_class 1.0",
     "must be a whole number between 0 and 4294967295"},
    {"bool", PGTYPES_BOOL,
     "t tr tru true T TRUE True f fa fals false y ye yes YES n no No on ON of off OFF 1 0",
     "o 2 00 01 truee falsey tf yess nope onn offf - + \ttrue tru\xc3\xa9", "must be true or false"},
    {"uuid", PGTYPES_UUID,
     "123e4567-e89b-12d3-a456-426614174000 123E4567-E89B-12D3-A456-426614174000 "
     "{123e4567-e89b-12d3-a456-426614174000} 123e4567e89b12d3a456426614174000 "
     "{123e4567e89b12d3a456426614174000} 123e-4567-e89b-12d3-a456-4266-1417-4000 "
     "123e4567e89b-12d3a456426614174000 00000000-0000-0000-0000-000000000000",
     "123e4567-e89b-12d3-a456-42661417400 123e4567-e89b-12d3-a456-4266141740000 "
     "123e4567-e89b-12d3-a456-42661417400g {123e4567-e89b-12d3-a456-426614174000 "
     "123e4567-e89b-12d3-a456-426614174000} {123e4567-e89b-12d3-a456-426614174000) "
     "{{123e4567e89b12d3a456426614174000}} {} { } - "
     "-123e4567e89b12d3a456426614174000 123e4567e89b12d3a456426614174000- "
     "123e4567--e89b-12d3-a456-426614174000 12-3e4567e89b12d3a456426614174000 "
     "(123e4567e89b12d3a456426614174000) 1",
     "must be a UUID such as 123e4567-e89b-12d3-a456-426614174000"},
    {"numeric", PGTYPES_NUMERIC,
     "0 1 -1 +1 1.5 .5 5. -.5 00.10 1e3 1E+3 1e-3 .5e3 5.e3 123456789012345678901234567890.123456789 "
     "NaN nan NAN Infinity -infinity +INFINITY inf -Inf +inf",
     "- + . -. e3 .e3 1e 1e+ 1e- 1ee3 1e3.5 1.2.3 1,5 1..2 0x1p3 0x10 1_000 abc 1a -NaN +nan nans n na i in "
     "infin infinit infinityy --inf $1 ١",
     "must be a number"},
    {"float8", PGTYPES_FLOAT8, "1.5 1e400 -1e-400 NaN -Infinity", "0x1p3 nan(1) one 1f 1.5d",
     "must be a number"},
    {"float4", PGTYPES_FLOAT4, "1.5 1e40", "x 1e", "must be a number"},
};

/* The types of which the server alone decides. */
static const uint32_t unchecked[] = {
    0,    PGTYPES_TEXT, PGTYPES_DATE, PGTYPES_JSONB, PGTYPES_TIMESTAMPTZ, PGTYPES_MONEY, PGTYPES_REGCLASS,
    1007, 99999,
};

static void check_each(size_t row, const char *list, const char *want)
{
    while (*list != '\0') {
        struct blocks blocks = {0};
        size_t len = strcspn(list, " ");
        struct str text = exact(&blocks, list, len);
        is_str(params_check(checks[row].type, text), want, "%s %s: %.*s", checks[row].name,
               want == NULL ? "takes" : "refuses", (int)len, list);
        blocks_free(&blocks);
        list += len + (list[len] == ' ' ? 1 : 0);
    }
}

static void test_check(void)
{
    for (size_t row = 0; row < sizeof(checks) / sizeof(checks[0]); row++) {
        check_each(row, checks[row].taken, NULL);
        check_each(row, checks[row].refused, checks[row].message);
        is_str(params_check(checks[row].type, STR("")), checks[row].message, "%s refuses an empty text",
               checks[row].name);
        is_str(params_check(checks[row].type, STR(" 1")), checks[row].message, "%s refuses a blank in front",
               checks[row].name);
        is_str(params_check(checks[row].type, STR("1 ")), checks[row].message, "%s refuses a blank behind",
               checks[row].name);
    }
    for (size_t i = 0; i < sizeof(unchecked) / sizeof(unchecked[0]); i++)
        is_str(params_check(unchecked[i], STR("what ever")), NULL, "type %u is left to the server",
               (unsigned)unchecked[i]);
}

int main(void)
{
    test_path();
    test_rest();
    test_query();
    test_utf8();
    test_one_and_none();
    test_check();
    return done_testing();
}
