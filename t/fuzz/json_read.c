/*
 * json_read.c: fuzz target for the reader of JSON: json-c accepts what it accepts and finds the same values;
 * what it refuses, json-c refuses too, but for what json-c is known to be lenient about. In steps of any size
 * it finds the same, and what it takes for the same key twice is.
 */
#include "base/json_read.h"

#include <json-c/json.h>

#include "fuzz.h"

/* Reasons for which json-c, strict as it can be, refuses nothing, or not everything. */
static const char *const lenient[] = {
    "PostgreSQL has no character \\u0000",
    "this is half of a surrogate pair, without its other half",
    "this object has the same key already",
    "it is nested more than 64 levels deep",
    "an object and those around it have more than 131072 keys",
    "this is not UTF-8", /* overlong forms */
    "a control character in a string must be escaped",
    "a digit is missing here",        /* 1. */
    "a number must not begin with 0", /* 01 */
    "this is not a JSON value",       /* NaN, Infinity */
};

/* Is json-c known not to mind? */
static bool is_lenient(const char *error)
{
    for (size_t i = 0; i < sizeof(lenient) / sizeof(lenient[0]); i++) {
        if (strcmp(lenient[i], error) == 0)
            return true;
    }
    return false;
}

static char *unescape(struct str text, size_t *len)
{
    char *out = mem_alloc(text.len);
    *len = json_unescape(text, out);
    FUZZ_CHECK(*len + 2 <= text.len, "%zu bytes out of %zu", *len, text.len);
    return out;
}

static void check_string(struct str text, struct json_object *object)
{
    size_t len;
    char *out = unescape(text, &len);
    struct str want = {json_object_get_string(object), (size_t)json_object_get_string_len(object)};
    FUZZ_CHECK(str_equal((struct str){out, len}, want), "another text");
    free(out);
}

/* json-c has numbers as an int64, a uint64 or a double, and cuts what is too big. */
static void check_number(struct str text, struct json_object *object)
{
    char *copy = mem_strndup(text.base, text.len);
    FUZZ_CHECK(strspn(copy, "-+.eE0123456789") == text.len, "%s", copy);
    if (json_object_is_type(object, json_type_int) && text.len <= 18)
        FUZZ_CHECK(json_object_get_int64(object) == strtoll(copy, NULL, 10), "%s", copy);
    if (json_object_is_type(object, json_type_double))
        FUZZ_CHECK(json_object_get_double(object) == strtod(copy, NULL), "%s", copy);
    free(copy);
}

static void check_value(struct json_value value, struct json_object *object);

static void check_array(struct json_value array, struct json_object *object)
{
    struct json_iterator elements = json_members(array);
    struct json_value element;
    struct str name;
    size_t n = 0;
    while (json_next(&elements, &name, &element)) {
        FUZZ_CHECK(name.base == NULL, "a name in an array");
        check_value(element, json_object_array_get_idx(object, n++));
    }
    FUZZ_CHECK(n == json_object_array_length(object), "%zu elements", n);
}

static void check_object(struct json_value members, struct json_object *object)
{
    struct json_iterator iterator = json_members(members);
    struct json_value member;
    struct str name;
    size_t n = 0, len;
    for (; json_next(&iterator, &name, &member); n++) {
        struct json_object *value = NULL;
        char *key = unescape(name, &len), *text = mem_strndup(key, len);
        FUZZ_CHECK(json_object_object_get_ex(object, text, &value), "no key %s", text);
        check_value(member, value);
        free(text);
        free(key);
    }
    FUZZ_CHECK(n == (size_t)json_object_object_length(object), "%zu members", n);
}

static void check_value(struct json_value value, struct json_object *object)
{
    static const enum json_type types[] = {
        [JSON_NULL] = json_type_null,     [JSON_TRUE] = json_type_boolean, [JSON_FALSE] = json_type_boolean,
        [JSON_STRING] = json_type_string, [JSON_ARRAY] = json_type_array,  [JSON_OBJECT] = json_type_object,
    };
    FUZZ_CHECK(value.text.len > 0, "an empty value");
    switch (value.kind) {
    case JSON_NUMBER:
        FUZZ_CHECK(json_object_is_type(object, json_type_int) ||
                       json_object_is_type(object, json_type_double),
                   "another type");
        check_number(value.text, object);
        return;
    case JSON_TRUE:
    case JSON_FALSE:
        FUZZ_CHECK(json_object_get_boolean(object) == (value.kind == JSON_TRUE), "another truth");
        break;
    case JSON_STRING:
        check_string(value.text, object);
        break;
    case JSON_ARRAY:
        check_array(value, object);
        break;
    case JSON_OBJECT:
        check_object(value, object);
        break;
    case JSON_NULL:
        break;
    }
    FUZZ_CHECK(json_object_is_type(object, types[value.kind]), "another type");
}

/* A value that is cut out of its text is a text of its own. */
static void check_alone(struct json_value value)
{
    char *copy = fuzz_copy(value.text.base, value.text.len);
    struct json_value again = {0};
    size_t at;
    const char *error = json_read_check((struct str){copy, value.text.len}, &again, &at);
    FUZZ_CHECK(error == NULL && again.kind == value.kind && again.text.len == value.text.len, "%s", error);
    free(copy);
}

/* What was told of the members of the outermost object. */
struct told {
    size_t n;
    const char *last; /* the end of the last value */
};

static void on_member(void *arg, struct str key, const struct json_value *value)
{
    struct told *told = arg;
    FUZZ_CHECK(key.len >= 2 && key.base[0] == '"' && (told->last == NULL || key.base > told->last), "a key");
    FUZZ_CHECK(value->text.len > 0 && value->text.base > key.base + key.len, "a value");
    told->n++;
    told->last = value->text.base + value->text.len;
}

static void check_steps(struct str text, struct fuzz_chance chance, const char *want, struct json_value root,
                        size_t at)
{
    struct json_check check;
    struct told told = {0};
    size_t bytes = 1 + fuzz_below(&chance, 9), n_members = 0;
    json_check_begin(&check, text, NULL);
    check.member = on_member;
    check.arg = &told;
    while (!json_check_go_on(&check, bytes))
        continue;
    json_check_end(&check);
    FUZZ_CHECK((check.error == NULL) == (want == NULL) && (want == NULL || strcmp(check.error, want) == 0),
               "in steps of %zu: %s", bytes, check.error);
    if (want != NULL) {
        FUZZ_CHECK(check.error_at == at, "in steps of %zu: at %zu, not %zu", bytes, check.error_at, at);
        return;
    }
    FUZZ_CHECK(check.root.kind == root.kind && str_equal(check.root.text, root.text), "another value");
    struct json_iterator members = json_members(root);
    struct json_value value;
    struct str name;
    while (root.kind == JSON_OBJECT && json_next(&members, &name, &value))
        n_members++;
    FUZZ_CHECK(told.n == n_members, "%zu members of %zu", told.n, n_members);
}

/* The end of the string whose opening quote is at p. */
static const char *end_of_string(const char *p)
{
    for (p++; *p != '"'; p++)
        p += *p == '\\';
    return p + 1;
}

/* Where the innermost object or array begins that is open at the end of the text, which is good so far. */
static const char *innermost(struct str text)
{
    const char *open[JSON_READ_MAX_DEPTH + 1] = {text.base};
    size_t depth = 0;
    for (const char *p = text.base; p < text.base + text.len;) {
        if (*p == '{' || *p == '[')
            open[++depth] = p;
        depth -= *p == '}' || *p == ']';
        p = *p == '"' ? end_of_string(p) : p + 1;
    }
    return open[depth];
}

/* Is the key at `at` in its object already? The text before it is good. */
static bool is_repeated(struct str text, size_t at)
{
    const char *key_end = end_of_string(text.base + at), *p = innermost((struct str){text.base, at});
    size_t len, other_len, depth = 0;
    char *key = unescape((struct str){text.base + at, (size_t)(key_end - text.base) - at}, &len);
    bool found = false, is_key = true;
    for (p++; p < text.base + at && !found;) {
        const char *end = *p == '"' ? end_of_string(p) : p + 1;
        if (*p == '"' && depth == 0 && is_key) {
            char *other = unescape((struct str){p, (size_t)(end - p)}, &other_len);
            found = len == other_len && memcmp(key, other, len) == 0;
            free(other);
        }
        is_key = depth == 0 && (*p == ',' || (is_key && *p != '"'));
        depth += *p == '{' || *p == '[';
        depth -= *p == '}' || *p == ']';
        p = end;
    }
    free(key);
    return found;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct json_value root = {0};
    size_t at = 0;
    char *text = fuzz_copy(data, size);
    const char *error = json_read_check((struct str){text, size}, &root, &at);
    FUZZ_CHECK(error == NULL || at <= size, "an error at %zu", at);
    check_steps((struct str){text, size}, fuzz_chance_of(data, size), error, root, at);
    if (error != NULL && strcmp(error, "this object has the same key already") == 0)
        FUZZ_CHECK(is_repeated((struct str){text, size}, at), "the key at %zu is not there already", at);

    /* Strict mode shows what json-c refuses; but 0.18 refuses much that is JSON then, as all but ASCII. */
    struct json_tokener *tokener = json_tokener_new_ex(JSON_READ_MAX_DEPTH + 2);
    json_tokener_set_flags(tokener, JSON_TOKENER_VALIDATE_UTF8 | (error == NULL ? 0 : JSON_TOKENER_STRICT));
    char *terminated = mem_strndup(text, size); /* json-c wants to see where it ends */
    struct json_object *object = json_tokener_parse_ex(tokener, terminated, (int)size + 1);
    bool accepted =
        json_tokener_get_error(tokener) == json_tokener_success && memchr(text, '\0', size) == NULL;
    if (error == NULL) {
        FUZZ_CHECK(accepted, "json-c refuses it: %s",
                   json_tokener_error_desc(json_tokener_get_error(tokener)));
        check_value(root, object);
        check_alone(root);
    } else {
        FUZZ_CHECK(!accepted || is_lenient(error), "json-c accepts it, but: %s", error);
    }
    json_object_put(object);
    json_tokener_free(tokener);
    free(terminated);
    free(text);
    return 0;
}
