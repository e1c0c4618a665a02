/*
 * params.c: fuzz target for parameters out of a JSON body: the input is the body. It gives the same values,
 * or the same problem, in steps of any size; and arrays of text say what the JSON says.
 */
#include "route/params.h"

#include "base/json_read.h"
#include "fuzz.h"
#include "unit/route/params_gather.h"

static const char *moods[] = {"sad", "h\"a"};
static const struct params_spec specs[] = {
    {.name = "n", .source = PARAMS_BODY, .min = "0", .max = "150"},
    {.name = "t", .source = PARAMS_BODY},
    {.name = "m", .source = PARAMS_BODY, .one_of = moods, .n_one_of = 2},
    {.name = "j", .source = PARAMS_BODY},
    {.name = "ts", .source = PARAMS_BODY},
    {.name = "ns", .source = PARAMS_BODY, .max = "9"},
    {.name = "js", .source = PARAMS_BODY},
    {.name = "b", .source = PARAMS_BODY_AS},
};
static const uint32_t types[] = {PGTYPES_NUMERIC,    PGTYPES_TEXT,       PGTYPES_TEXT,       PGTYPES_JSONB,
                                 PGTYPES_TEXT_ARRAY, PGTYPES_INT8_ARRAY, PGTYPES_JSON_ARRAY, PGTYPES_JSON};
static const char *field_names[] = {"n", "t", "m", "j", "ts", "ns", "js", "more"};

static const struct route all_fields = {
    .specs = specs, .types = types, .n = 8, .body_fields = field_names, .n_body_fields = 8};
static const struct route texts = {.specs = specs + 4, .types = types + 4, .n = 1};
static const struct route whole = {.specs = specs + 7, .types = types + 7, .n = 1};

static char *gather(const struct route *route, struct str body, size_t bytes)
{
    struct str captures[2] = {STR(""), STR("")};
    return gather_in_steps(route, captures, STR(""), body, bytes);
}

static void check_steps(const struct route *route, struct str body, size_t bytes)
{
    char *at_once = gather(route, body, SIZE_MAX), *in_steps = gather(route, body, bytes);
    FUZZ_CHECK(strcmp(at_once, in_steps) == 0, "%s, but in steps of %zu: %s", at_once, bytes, in_steps);
    free(at_once);
    free(in_steps);
}

/* Appends an element of an array of texts as PostgreSQL writes it. */
static void append_element(struct fuzz_bytes *to, const struct json_value *element)
{
    if (element->kind == JSON_NULL) {
        fuzz_append(to, "NULL", 4);
        return;
    }
    char *text = mem_alloc(element->text.len);
    struct str plain = element->text;
    if (element->kind == JSON_STRING)
        plain = (struct str){text, json_unescape(element->text, text)};
    fuzz_append(to, "\"", 1);
    for (size_t i = 0; i < plain.len; i++) {
        if (plain.base[i] == '"' || plain.base[i] == '\\')
            fuzz_append(to, "\\", 1);
        fuzz_append(to, plain.base + i, 1);
    }
    fuzz_append(to, "\"", 1);
    free(text);
}

/* {"ts":[…]}, where no element is an array or an object: the same array as made from what json_next says. */
static void check_texts(struct str body)
{
    struct json_value root, value, element;
    struct str key;
    size_t error_at;
    if (json_read_check(body, &root, &error_at) != NULL || root.kind != JSON_OBJECT)
        return;
    struct json_iterator members = json_members(root);
    if (!json_next(&members, &key, &value) || !str_equal(key, STR("\"ts\"")) || value.kind != JSON_ARRAY)
        return;
    struct fuzz_bytes want = {0};
    struct json_iterator elements = json_members(value);
    fuzz_append(&want, "{", 1);
    for (size_t n = 0; json_next(&elements, &key, &element); n++) {
        fuzz_append(&want, ",", n > 0);
        append_element(&want, &element);
    }
    fuzz_append(&want, "}", 2);
    char *got = gather(&texts, body, SIZE_MAX);
    FUZZ_CHECK(strchr(got, '!') != NULL || strcmp(got, want.base) == 0, "%s is not %s", got, want.base);
    free(got);
    free(want.base);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_chance chance = fuzz_chance_of(data, size);
    struct str body = {(const char *)data, size};
    if (size == 0)
        return 0;
    check_steps(&all_fields, body, 1 + fuzz_below(&chance, 16));
    check_steps(&whole, body, 1 + fuzz_below(&chance, 16));
    check_texts(body);
    return 0;
}
