/* json_read.c: what is JSON and what is not, where it is wrong, and stepping through it. */
#include "base/json_read.h"

#include <stdlib.h>
#include <time.h>

#include "base/mem.h"
#include "unit/tap.h"

/* A copy of just its size, without a NUL after it, so that the sanitizers see a byte read too far. */
static char *exact(struct str text)
{
    char *copy = mem_alloc(text.len);
    memcpy(copy, text.base, text.len);
    return copy;
}

/* Texts that are accepted, by the kind of their value. */
static const struct {
    struct str text;
    enum json_kind kind;
} accepted[] = {
    /* words and blanks */
    {STR("null"), JSON_NULL},
    {STR("true"), JSON_TRUE},
    {STR("false"), JSON_FALSE},
    {STR(" null"), JSON_NULL},
    {STR("\t\n\r true \t\n\r"), JSON_TRUE},

    /* numbers */
    {STR("0"), JSON_NUMBER},
    {STR("-0"), JSON_NUMBER},
    {STR("7"), JSON_NUMBER},
    {STR("-7"), JSON_NUMBER},
    {STR("10"), JSON_NUMBER},
    {STR("1234567890"), JSON_NUMBER},
    {STR("0.0"), JSON_NUMBER},
    {STR("-0.0"), JSON_NUMBER},
    {STR("0.5"), JSON_NUMBER},
    {STR("3.14159"), JSON_NUMBER},
    {STR("1.000"), JSON_NUMBER},
    {STR("1e5"), JSON_NUMBER},
    {STR("1E5"), JSON_NUMBER},
    {STR("1e+5"), JSON_NUMBER},
    {STR("1e-5"), JSON_NUMBER},
    {STR("0e0"), JSON_NUMBER},
    {STR("0e00"), JSON_NUMBER},
    {STR("-0.0e-0"), JSON_NUMBER},
    {STR("1.5e0007"), JSON_NUMBER},
    {STR("1e999999999999"), JSON_NUMBER},
    {STR("123456789012345678901234567890123456789012345678901234567890.5"), JSON_NUMBER},
    {STR(" 1 "), JSON_NUMBER},

    /* strings */
    {STR("\"\""), JSON_STRING},
    {STR("\"a\""), JSON_STRING},
    {STR("\" \""), JSON_STRING},
    {STR("\"\\\"\""), JSON_STRING},
    {STR("\"\\\\\""), JSON_STRING},
    {STR("\"\\/ /\""), JSON_STRING},
    {STR("\"\\b\\f\\n\\r\\t\""), JSON_STRING},
    {STR("\"\\u0001\""), JSON_STRING},
    {STR("\"\\u00e9 \\u00E9\""), JSON_STRING},
    {STR("\"\\uFFFF\""), JSON_STRING},
    {STR("\"\\ud7ff\\ue000\""), JSON_STRING},
    {STR("\"\\ud83d\\ude00\""), JSON_STRING},
    {STR("\"\\uD800\\uDC00\\uDBFF\\uDFFF\""), JSON_STRING},
    {STR("\"\\\\u0000\""), JSON_STRING},
    {STR("\"\\\\ud800\""), JSON_STRING},
    {STR("\"\x7f\""), JSON_STRING},
    {STR("\"é\""), JSON_STRING},
    {STR("\"\xc2\x80\xdf\xbf\""), JSON_STRING},
    {STR("\"\xe0\xa0\x80\xed\x9f\xbf\xee\x80\x80\xef\xbf\xbf\""), JSON_STRING},
    {STR("\"\xf0\x90\x80\x80\xf4\x8f\xbf\xbf\""), JSON_STRING},
    {STR("\"\xe2\x80\xa8\""), JSON_STRING},
    {STR("\"\xef\xbb\xbf\""), JSON_STRING},
    {STR("\"{[,:]}\""), JSON_STRING},
    {STR("\"/* no comment */ // either\""), JSON_STRING},

    /* arrays */
    {STR("[]"), JSON_ARRAY},
    {STR("[ \n]"), JSON_ARRAY},
    {STR("[1]"), JSON_ARRAY},
    {STR("[1,2]"), JSON_ARRAY},
    {STR(" [ 1 , \"a\" , null , true , false , { } , [ ] ] "), JSON_ARRAY},
    {STR("[[[]],[[],[]]]"), JSON_ARRAY},
    {STR("[\"a\",\"a\"]"), JSON_ARRAY},
    {STR("[{\"a\":1},{\"a\":1}]"), JSON_ARRAY},

    /* objects */
    {STR("{}"), JSON_OBJECT},
    {STR("{ \t}"), JSON_OBJECT},
    {STR("{\"a\":1}"), JSON_OBJECT},
    {STR(" { \"a\" : 1 , \"b\" : [ ] } "), JSON_OBJECT},
    {STR("{\"\":0}"), JSON_OBJECT},
    {STR("{\"a\":{\"a\":{\"a\":null}}}"), JSON_OBJECT},
    {STR("{\"a\":1,\"A\":1,\"a \":1,\"aa\":1,\"\":1}"), JSON_OBJECT},
    {STR("{\"a\":{\"b\":1},\"b\":{\"a\":1}}"), JSON_OBJECT},
    {STR("{\"\\u0061\":1,\"b\":1}"), JSON_OBJECT},
    {STR("{\"\\\\u0061\":1,\"a\":1}"), JSON_OBJECT},
    {STR("{\"\\u00e9\":1,\"e\xcc\x81\":1}"), JSON_OBJECT},
    {STR("{\"\\n\":1,\"n\":1}"), JSON_OBJECT},
    {STR("{\"a\":\"}\",\"b\":\"\\\"}\"}"), JSON_OBJECT},
    {STR("{\"1\":1,\"2\":1,\"3\":1,\"4\":1,\"5\":1,\"6\":1,\"7\":1,\"8\":1,\"9\":1,\"10\":1}"), JSON_OBJECT},
};

#define EARLY     "it ends too early"
#define NO_VALUE  "a value is missing here"
#define NOT_JSON  "this is not a JSON value"
#define DIGIT     "a digit is missing here"
#define ZERO      "a number must not begin with 0"
#define BEHIND    "there must be nothing after the value"
#define KEY       "a key in double quotes is missing here"
#define COLON     "a ':' is missing here"
#define IN_ARRAY  "a ',' or ']' is missing here"
#define IN_OBJECT "a ',' or '}' is missing here"
#define NO_END    "this string does not end"
#define CONTROL   "a control character in a string must be escaped"
#define UTF8      "this is not UTF-8"
#define ESCAPE    "this is not an escape"
#define HEX       "\\u must be followed by four hexadecimal digits"
#define HALF      "this is half of a surrogate pair, without its other half"
#define NUL       "PostgreSQL has no character \\u0000"
#define TWICE     "this object has the same key already"
#define BOM       "it must not begin with a byte order mark"
#define MANY_KEYS "an object and those around it have more than 131072 keys"

/* Texts that are refused, with the reason and the offset where it shows. */
static const struct {
    struct str text;
    const char *error;
    size_t at;
} refused[] = {
    /* nothing, words, blanks */
    {STR(""), EARLY, 0},
    {STR(" \n"), EARLY, 2},
    {STR("nul"), NOT_JSON, 0},
    {STR("nulL"), NOT_JSON, 0},
    {STR("NULL"), NOT_JSON, 0},
    {STR("True"), NOT_JSON, 0},
    {STR("tru"), NOT_JSON, 0},
    {STR("fals"), NOT_JSON, 0},
    {STR("truefalse"), BEHIND, 4},
    {STR("nullx"), BEHIND, 4},
    {STR("undefined"), NOT_JSON, 0},
    {STR("abc"), NOT_JSON, 0},
    {STR("\f1"), NOT_JSON, 0},
    {STR("\v1"), NOT_JSON, 0},
    {STR("\xc2\xa0"
         "1"),
     NOT_JSON, 0},
    {STR("1\xc2\xa0"), BEHIND, 1},
    {STR("\xef\xbb\xbf{}"), BOM, 0},
    {STR("\0"), NOT_JSON, 0},
    {STR("1\0"), BEHIND, 1},
    {STR("\xfe\xff\0[\0]"), NOT_JSON, 0},
    {STR("1 2"), BEHIND, 2},
    {STR("{}{}"), BEHIND, 2},
    {STR("[],"), BEHIND, 2},
    {STR("[]]"), BEHIND, 2},
    {STR("{}}"), BEHIND, 2},
    {STR("// a\n1"), NOT_JSON, 0},
    {STR("/**/1"), NOT_JSON, 0},
    {STR("1//"), BEHIND, 1},
    {STR("]"), NO_VALUE, 0},
    {STR(","), NO_VALUE, 0},
    {STR(":"), NO_VALUE, 0},
    {STR("$1"), NOT_JSON, 0},

    /* numbers */
    {STR("-"), DIGIT, 1},
    {STR("+1"), NOT_JSON, 0},
    {STR("--1"), DIGIT, 1},
    {STR("-a"), DIGIT, 1},
    {STR("00"), ZERO, 0},
    {STR("01"), ZERO, 0},
    {STR("-01"), ZERO, 1},
    {STR("-00.5"), ZERO, 1},
    {STR(".5"), NOT_JSON, 0},
    {STR("-.5"), DIGIT, 1},
    {STR("5."), DIGIT, 2},
    {STR("5.e3"), DIGIT, 2},
    {STR("5.a"), DIGIT, 2},
    {STR("1.2.3"), BEHIND, 3},
    {STR("1e"), DIGIT, 2},
    {STR("1e+"), DIGIT, 3},
    {STR("1E-"), DIGIT, 3},
    {STR("1ee3"), DIGIT, 2},
    {STR("1e3.5"), BEHIND, 3},
    {STR("1e+-3"), DIGIT, 3},
    {STR("0x10"), BEHIND, 1},
    {STR("0b1"), BEHIND, 1},
    {STR("1_000"), BEHIND, 1},
    {STR("1,000"), BEHIND, 1},
    {STR("1a"), BEHIND, 1},
    {STR("- 1"), DIGIT, 1},
    {STR("1 e3"), BEHIND, 2},
    {STR("NaN"), NOT_JSON, 0},
    {STR("nan"), NOT_JSON, 0},
    {STR("Infinity"), NOT_JSON, 0},
    {STR("-Infinity"), DIGIT, 1},
    {STR("١"), NOT_JSON, 0},
    {STR("1١"), BEHIND, 1},

    /* strings */
    {STR("\""), NO_END, 0},
    {STR("\"a"), NO_END, 0},
    {STR(" \"a\\\""), NO_END, 1},
    {STR("\"a\\"), EARLY, 3},
    {STR("'a'"), NOT_JSON, 0},
    {STR("`a`"), NOT_JSON, 0},
    {STR("\"a\nb\""), CONTROL, 2},
    {STR("\"\t\""), CONTROL, 1},
    {STR("\"\x1f\""), CONTROL, 1},
    {STR("\"a\0b\""), CONTROL, 2},
    {STR("\"\\a\""), ESCAPE, 1},
    {STR("\"\\v\""), ESCAPE, 1},
    {STR("\"\\0\""), ESCAPE, 1},
    {STR("\"\\'\""), ESCAPE, 1},
    {STR("\"\\x41\""), ESCAPE, 1},
    {STR("\"\\U0041\""), ESCAPE, 1},
    {STR("\"\\\n\""), ESCAPE, 1},
    {STR("\"\\\0\""), ESCAPE, 1},
    {STR("\"\\u\""), HEX, 1},
    {STR("\"\\u12\""), HEX, 1},
    {STR("\"\\u123\""), HEX, 1},
    {STR("\"\\u123g\""), HEX, 1},
    {STR("\"\\u{41}\""), HEX, 1},
    {STR("\"\\u 041\""), HEX, 1},
    {STR("\"\\u-041\""), HEX, 1},
    {STR("\"\\u0000\""), NUL, 1},
    {STR("\"a\\u0000b\""), NUL, 2},
    {STR("\"\\ud800\""), HALF, 1},
    {STR("\"\\udc00\""), HALF, 1},
    {STR("\"\\uDBFFa\""), HALF, 1},
    {STR("\"\\uDFFF\\uD800\""), HALF, 1},
    {STR("\"\\ud800\\ud800\\udc00\""), HALF, 1},
    {STR("\"\\ud800\\u0041\""), HALF, 1},
    {STR("\"\\ud800\\n\""), HALF, 1},
    {STR("\"\\ud800\\udc0\""), HALF, 1},
    {STR("\"\\ud800\\udc0"), HALF, 1},
    {STR("\"\\ud800 \\udc00\""), HALF, 1},
    {STR("\"\\ud83d\\ude00\\ude00\""), HALF, 13},
    {STR("\"\x80\""), UTF8, 1},
    {STR("\"\xff\""), UTF8, 1},
    {STR("\"a\xc3\""), UTF8, 2},
    {STR("\"\xc3"), UTF8, 1},
    {STR("\"\xe2\x82\""), UTF8, 1},
    {STR("\"\xf0\x9f\x98"), UTF8, 1},
    {STR("\"\xc0\xaf\""), UTF8, 1},
    {STR("\"\xc0\x80\""), UTF8, 1},
    {STR("\"\xe0\x80\xaf\""), UTF8, 1},
    {STR("\"\xed\xa0\x80\""), UTF8, 1},
    {STR("\"\xed\xa0\xbd\xed\xb8\x80\""), UTF8, 1},
    {STR("\"\xf4\x90\x80\x80\""), UTF8, 1},
    {STR("\"\xf8\x88\x80\x80\x80\""), UTF8, 1},
    {STR("\"\xe9\""), UTF8, 1},

    /* arrays */
    {STR("["), EARLY, 1},
    {STR("[1"), EARLY, 2},
    {STR("[1,"), EARLY, 3},
    {STR("[1,]"), NO_VALUE, 3},
    {STR("[,1]"), NO_VALUE, 1},
    {STR("[,]"), NO_VALUE, 1},
    {STR("[1,,2]"), NO_VALUE, 3},
    {STR("[1 2]"), IN_ARRAY, 3},
    {STR("[1;2]"), IN_ARRAY, 2},
    {STR("[1:2]"), IN_ARRAY, 2},
    {STR("[\"a\":1]"), IN_ARRAY, 4},
    {STR("[1}"), IN_ARRAY, 2},
    {STR("[}"), NO_VALUE, 1},
    {STR("[[1]"), EARLY, 4},
    {STR("[a]"), NOT_JSON, 1},
    {STR("[1] x"), BEHIND, 4},
    {STR("(1)"), NOT_JSON, 0},
    {STR("[01]"), ZERO, 1},
    {STR("[1.]"), DIGIT, 3},
    {STR("[nulll]"), IN_ARRAY, 5},

    /* objects */
    {STR("{"), EARLY, 1},
    {STR("{ "), EARLY, 2},
    {STR("{\"a\""), EARLY, 4},
    {STR("{\"a\":"), EARLY, 5},
    {STR("{\"a\":1"), EARLY, 6},
    {STR("{\"a\":1,"), EARLY, 7},
    {STR("{\"a\":1,}"), KEY, 7},
    {STR("{,}"), KEY, 1},
    {STR("{\"a\":1,,\"b\":2}"), KEY, 7},
    {STR("{a:1}"), KEY, 1},
    {STR("{'a':1}"), KEY, 1},
    {STR("{1:1}"), KEY, 1},
    {STR("{null:1}"), KEY, 1},
    {STR("{[]:1}"), KEY, 1},
    {STR("{:1}"), KEY, 1},
    {STR("{\"a\"}"), COLON, 4},
    {STR("{\"a\" 1}"), COLON, 5},
    {STR("{\"a\",1}"), COLON, 4},
    {STR("{\"a\"=1}"), COLON, 4},
    {STR("{\"a\":}"), NO_VALUE, 5},
    {STR("{\"a\"::1}"), NO_VALUE, 5},
    {STR("{\"a\":1 \"b\":2}"), IN_OBJECT, 7},
    {STR("{\"a\":1;\"b\":2}"), IN_OBJECT, 6},
    {STR("{\"a\":1]"), IN_OBJECT, 6},
    {STR("{]"), KEY, 1},
    {STR("{\"a\":{\"b\":1}"), EARLY, 12},
    {STR("{\"\\u0000\":1}"), NUL, 2},
    {STR("{\"\\ud800\":1}"), HALF, 2},
    {STR("{\"\xff\":1}"), UTF8, 2},

    /* the same key twice */
    {STR("{\"a\":1,\"a\":1}"), TWICE, 7},
    {STR("{\"\":1,\"\":2}"), TWICE, 6},
    {STR("{\"a\":1,\"b\":2,\"a\":3,\"b\":4}"), TWICE, 13},
    {STR("{\"a\":1,\"\\u0061\":1}"), TWICE, 7},
    {STR("{\"\\u0061\":1,\"a\":1}"), TWICE, 12},
    {STR("{\"\\/\":1,\"/\":1}"), TWICE, 8},
    {STR("{\"\\n\":1,\"\\u000a\":1}"), TWICE, 8},
    {STR("{\"\\u00e9\":1,\"\xc3\xa9\":1}"), TWICE, 12},
    {STR("{\"\\ud83d\\ude00\":1,\"\xf0\x9f\x98\x80\":1}"), TWICE, 18},
    {STR("{\"\\\\u0061\":1,\"\\u005cu0061\":1}"), TWICE, 13},
    {STR("{\"a\":{\"b\":1,\"b\":1}}"), TWICE, 12},
    {STR("[{\"a\":1},{\"a\":1,\"a\":1}]"), TWICE, 16},
    {STR("{\"a\":{\"b\":1},\"b\":2,\"a\":3}"), TWICE, 19},
    {STR("{\"1\":1,\"2\":1,\"3\":1,\"4\":1,\"5\":1,\"6\":1,\"7\":1,\"8\":1,\"9\":1,\"9\":1,\"1\":1}"), TWICE,
     55},
    {STR("{\"1\":1,\"2\":1,\"3\":1,\"4\":1,\"5\":1,\"6\":1,\"7\":1,\"8\":1,\"9\":1,\"\\u0031\":1}"), TWICE,
     55},
    {STR("{\"a\":1,\"a\":1"), TWICE, 7},
};

/* The same in steps of so many bytes, with what is told of the members. */
static const char *check_in_steps(struct str text, size_t bytes, struct json_value *root, size_t *error_at)
{
    struct json_check check;
    json_check_begin(&check, text, NULL);
    while (!json_check_go_on(&check, bytes))
        continue;
    json_check_end(&check);
    *root = check.root;
    *error_at = check.error_at;
    return check.error;
}

static void test_accepted(void)
{
    for (size_t i = 0; i < sizeof(accepted) / sizeof(accepted[0]); i++) {
        char *copy = exact(accepted[i].text);
        struct json_value root = {0};
        size_t at;
        const char *error = json_read_check((struct str){copy, accepted[i].text.len}, &root, &at);
        is_str(error, NULL, "accepts %s", accepted[i].text.base);
        is_int(root.kind, accepted[i].kind, "and knows its kind");
        for (size_t bytes = 1; bytes <= 3; bytes++) {
            struct json_value again = {0};
            error = check_in_steps((struct str){copy, accepted[i].text.len}, bytes, &again, &at);
            ok(error == NULL && again.kind == root.kind && again.text.base == root.text.base &&
                   again.text.len == root.text.len,
               "... also in steps of %zu", bytes);
        }
        free(copy);
    }
}

static void test_refused(void)
{
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        char *copy = exact(refused[i].text);
        struct json_value root;
        size_t at = 99999;
        const char *error = json_read_check((struct str){copy, refused[i].text.len}, &root, &at);
        is_str(error, refused[i].error, "refuses %s", refused[i].text.base);
        is_int((long long)at, (long long)refused[i].at, "and knows where it is wrong");
        for (size_t bytes = 1; bytes <= 3; bytes++) {
            error = check_in_steps((struct str){copy, refused[i].text.len}, bytes, &root, &at);
            ok(error != NULL && strcmp(error, refused[i].error) == 0 && at == refused[i].at,
               "... also in steps of %zu", bytes);
        }
        free(copy);
    }
    struct json_value root;
    size_t at;
    is_str(json_read_check((struct str){NULL, 0}, &root, &at), EARLY, "refuses no text at all");
}

static void test_root(void)
{
    struct json_value root;
    size_t at;
    json_read_check(STR(" \n{\"a\": [1, 2]}\t"), &root, &at);
    char *text = mem_strndup(root.text.base, root.text.len);
    is_str(text, "{\"a\": [1, 2]}", "the value goes from its first byte to its last");
    free(text);
}

/* depth times the opening, then value, then the closings. */
static const char *check_nested(size_t depth, const char *opening, const char *value, char closing)
{
    size_t opening_len = strlen(opening), value_len = strlen(value), len = 0, at;
    char *text = mem_alloc(depth * (opening_len + 1) + value_len);
    struct json_value root;
    for (size_t i = 0; i < depth; i++, len += opening_len)
        memcpy(text + len, opening, opening_len);
    memcpy(text + len, value, value_len);
    len += value_len;
    memset(text + len, closing, depth);
    const char *error = json_read_check((struct str){text, len + depth}, &root, &at);
    free(text);
    return error;
}

static void test_depth(void)
{
    static const char too_deep[] = "it is nested more than 64 levels deep";
    is_str(check_nested(64, "[", "", ']'), NULL, "64 arrays in each other");
    is_str(check_nested(65, "[", "", ']'), too_deep, "65 are too many");
    is_str(check_nested(64, "{\"a\":", "1", '}'), NULL, "64 objects in each other");
    is_str(check_nested(65, "{\"a\":", "1", '}'), too_deep, "65 are too many");
    is_str(check_nested(1000000, "[", "", ']'), too_deep, "a million does no harm");
    is_str(check_nested(1000000, "[{\"a\":", "1", '}'), too_deep, "nor one of both");
    is_str(check_nested(64, "[", "[", ']'), too_deep, "one more, not closed");
}

/* An object of n different keys, each with a number, and last after them. */
static char *wide_object(size_t n, const char *format, const char *last, size_t *len)
{
    size_t capacity = n * 48 + strlen(last) + 8;
    char *text = mem_alloc(capacity);
    *len = (size_t)sprintf(text, "{");
    for (size_t i = 0; i < n; i++) {
        *len += (size_t)snprintf(text + *len, capacity - *len, format, (unsigned)i);
        *len += (size_t)snprintf(text + *len, capacity - *len, ":%zu,", i);
    }
    *len += (size_t)snprintf(text + *len, capacity - *len, "%s}", last);
    return text;
}

static void test_most_keys(void)
{
    size_t len, at;
    struct json_value root;
    char *text = wide_object(JSON_KEYS_MAX - 1, "\"%u\"", "\"x\":0", &len);
    is_str(json_read_check((struct str){text, len}, &root, &at), NULL, "as many keys as there may be");
    free(text);
    text = wide_object(JSON_KEYS_MAX, "\"%u\"", "\"x\":0", &len);
    is_str(json_read_check((struct str){text, len}, &root, &at), MANY_KEYS, "one more");
    is_int((long long)at, (long long)len - 6, "... is at fault");
    free(text);
    text = wide_object(JSON_KEYS_MAX / 2, "\"%u\"", "\"x\":{}", &len);
    is_str(json_read_check((struct str){text, len}, &root, &at), NULL, "half of them");
    char *twice = mem_printf("%.*s%s}", (int)len - 3, text, text);
    is_str(json_read_check(str_of(twice), &root, &at), MANY_KEYS,
           "those of an object and of one in it are counted");
    free(twice);
    twice = mem_printf("[%s,%s,%s]", text, text, text);
    is_str(json_read_check(str_of(twice), &root, &at), NULL, "... but not those of one beside it");
    free(twice);
    free(text);
}

static double seconds_for(struct str text)
{
    struct json_value root;
    size_t at;
    clock_t begin = clock();
    if (json_read_check(text, &root, &at) != NULL)
        return 0;
    return (double)(clock() - begin) / CLOCKS_PER_SEC;
}

/* Keys that differ only at their ends, with escapes: to sort them took thirty times as long as to read them.
 */
static void test_long_keys(void)
{
    enum { LENGTH = 1000, N = 1000, TURNS = 20 };
    char beginning[LENGTH + 1], *keys = mem_alloc(N * (LENGTH + 20)), *strings = mem_alloc(N * (LENGTH + 20));
    size_t n_keys = 0, n_strings = 0;
    memset(beginning, 'a', LENGTH);
    beginning[LENGTH] = '\0';
    for (int i = 0; i < N; i++) {
        n_keys += (size_t)sprintf(keys + n_keys, "%c\"\\n%s%d\":0", i == 0 ? '{' : ',', beginning, i);
        n_strings +=
            (size_t)sprintf(strings + n_strings, "%c\"\\n%s%d\",0", i == 0 ? '[' : ',', beginning, i);
    }
    keys[n_keys++] = '}';
    strings[n_strings++] = ']';
    double least = 1000;
    for (int turn = 0; turn < TURNS; turn++) {
        double of_strings = seconds_for((struct str){strings, n_strings});
        double of_keys = seconds_for((struct str){keys, n_keys});
        if (of_strings > 0 && of_keys / of_strings < least)
            least = of_keys / of_strings;
    }
    ok(least < 12, "long keys that differ at their ends cost little more than strings: %.1f times as much",
       least);
    free(keys);
    free(strings);
}

/* Five thousand million comparisons would be felt. */
static void test_many_keys(void)
{
    enum { MANY = 100000 };
    static const struct {
        const char *format, *last, *error, *name;
    } objects[] = {
        {"\"%u\"", "\"x\":0", NULL, "all different"},
        {"\"\\u0061%u\"", "\"x\":0", NULL, "all different, with escapes"},
        {"\"common-beginning-of-%08u\"", "\"x\":0", NULL, "all different, but only at their ends"},
        {"\"%u\"", "\"777\":0", TWICE, "one of them twice"},
        {"\"%u\"", "\"77\\u0037\":0", TWICE, "one of them twice, once with an escape"},
        {"\"\\u0061%u\"", "\"a777\":0", TWICE, "one of them twice, without an escape"},
    };
    for (size_t i = 0; i < sizeof(objects) / sizeof(objects[0]); i++) {
        struct json_value root;
        size_t len, at = 0;
        char *text = wide_object(MANY, objects[i].format, objects[i].last, &len);
        is_str(json_read_check((struct str){text, len}, &root, &at), objects[i].error, "%d keys, %s",
               (int)MANY + 1, objects[i].name);
        if (objects[i].error != NULL)
            is_int((long long)at, (long long)(len - strlen(objects[i].last) - 1), "the second is at fault");
        free(text);
    }
}

struct told {
    char text[256];
};

static void on_member(void *arg, struct str key, const struct json_value *value)
{
    struct told *told = arg;
    size_t len = strlen(told->text);
    snprintf(told->text + len, sizeof(told->text) - len, "%.*s=%c%.*s|", (int)key.len, key.base,
             "ntf#sao"[value->kind], (int)value -> text.len, value->text.base);
}

static void test_members(void)
{
    static const struct {
        const char *text, *want;
    } objects[] = {
        {"{}", ""},
        {"[{\"a\":1}]", ""},
        {"\"a\"", ""},
        {" { \"a\" : 1 ,\n \"b\":\"x\" } ", "\"a\"=#1|\"b\"=s\"x\"|"},
        {"{\"a\":{\"b\":[1,{\"c\":2}]},\"\\u0064\":[ ],\"e\":null}",
         "\"a\"=o{\"b\":[1,{\"c\":2}]}|\"\\u0064\"=a[ ]|\"e\"=nnull|"},
        {"{\"a\":true,\"b\":-1.5e3,\"b\":0}", "\"a\"=ttrue|\"b\"=#-1.5e3|"},
    };
    for (size_t i = 0; i < sizeof(objects) / sizeof(objects[0]); i++) {
        for (size_t bytes = 1; bytes < 100; bytes *= 6) {
            struct json_check check;
            struct told told = {""};
            json_check_begin(&check, str_of(objects[i].text), NULL);
            check.member = on_member;
            check.arg = &told;
            while (!json_check_go_on(&check, bytes))
                continue;
            json_check_end(&check);
            is_str(told.text, objects[i].want, "tells the members of %s in steps of %zu", objects[i].text,
                   bytes);
        }
    }
}

/* Appends what is in the container: kinds by a letter, names and texts as they stand. */
static void describe(struct json_value container, char *out)
{
    struct json_iterator iterator = json_members(container);
    struct json_value value;
    struct str name;
    while (json_next(&iterator, &name, &value)) {
        out += strlen(out);
        if (name.base != NULL)
            out += sprintf(out, "%.*s=", (int)name.len, name.base);
        sprintf(out, "%c%.*s|", "ntf#sao"[value.kind], (int)value.text.len, value.text.base);
    }
}

static void test_steps(void)
{
    static const struct {
        const char *text, *want;
    } containers[] = {
        {"[]", ""},
        {"{ }", ""},
        {"[ 1]", "#1|"},
        {" [1,-2.50e3 ,\"a\",null,true,false,[],{}] ", "#1|#-2.50e3|s\"a\"|nnull|ttrue|ffalse|a[]|o{}|"},
        {"[[1,[2]],{\"a\":[3]},4]", "a[1,[2]]|o{\"a\":[3]}|#4|"},
        {"[\"]\",\"\\\"]\",\"\\\\\",[\"]\\\"\"]]", "s\"]\"|s\"\\\"]\"|s\"\\\\\"|a[\"]\\\"\"]|"},
        {"{\"a\":1}", "\"a\"=#1|"},
        {" { \"a\" : 1 ,\n \"b\":\"x\" } ", "\"a\"=#1|\"b\"=s\"x\"|"},
        {"{\"\":{},\"}\":[{\"a\":0}],\"\\\"\":null}", "\"\"=o{}|\"}\"=a[{\"a\":0}]|\"\\\"\"=nnull|"},
    };
    for (size_t i = 0; i < sizeof(containers) / sizeof(containers[0]); i++) {
        char *copy = exact(str_of(containers[i].text)), got[256] = "";
        struct json_value root;
        size_t at;
        if (json_read_check((struct str){copy, strlen(containers[i].text)}, &root, &at) == NULL)
            describe(root, got);
        is_str(got, containers[i].want, "steps through %s", containers[i].text);
        free(copy);
    }
}

static void test_unescape(void)
{
    static const struct {
        const char *text, *want;
    } strings[] = {
        {"\"\"", ""},
        {"\"a\"", "a"},
        {"\"\\\"\\\\\\/\"", "\"\\/"},
        {"\"\\b\\f\\n\\r\\t\"", "\b\f\n\r\t"},
        {"\"a\\\\nb\"", "a\\nb"},
        {"\"\\u0041\\u004a\\u004A\"", "AJJ"},
        {"\"\\u0001\\u007f\"", "\x01\x7f"},
        {"\"\\u0080\\u07ff\"", "\xc2\x80\xdf\xbf"},
        {"\"\\u0800\\uffff\"", "\xe0\xa0\x80\xef\xbf\xbf"},
        {"\"\\ud800\\udc00\"", "\xf0\x90\x80\x80"},
        {"\"\\ud83d\\ude00!\"", "\xf0\x9f\x98\x80!"},
        {"\"\\udbff\\udfff\"", "\xf4\x8f\xbf\xbf"},
        {"\"été \xf0\x9f\x98\x80\"", "été \xf0\x9f\x98\x80"},
        {"\"\\u00e9t\\u00E9\"", "été"},
    };
    for (size_t i = 0; i < sizeof(strings) / sizeof(strings[0]); i++) {
        size_t len = strlen(strings[i].text);
        char *copy = exact(str_of(strings[i].text)), *out = mem_alloc(len);
        size_t out_len = json_unescape((struct str){copy, len}, out);
        char *got = mem_strndup(out, out_len);
        is_str(got, strings[i].want, "the text of %s", strings[i].text);
        free(got);
        free(out);
        free(copy);
    }
}

int main(void)
{
    test_accepted();
    test_refused();
    test_root();
    test_depth();
    test_most_keys();
    test_long_keys();
    test_many_keys();
    test_members();
    test_steps();
    test_unescape();
    return done_testing();
}
