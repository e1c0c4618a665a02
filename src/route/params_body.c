/* params_body.c: parameters out of a JSON body. */
#include "route/params_body.h"

#include "base/json_read.h"
#include "pg/pgtypes.h"
#include "route/params_array.h"
#include "route/params_value.h"

static bool is_json(uint32_t type)
{
    return type == PGTYPES_JSON || type == PGTYPES_JSONB;
}

/* The type to check a value's text for: JSON from the body was read already. */
static uint32_t checked_type(uint32_t type)
{
    return is_json(type) ? 0 : type;
}

/* What is wrong with a value that is not a scalar where there must be one; NULL if it is a scalar. */
static const char *why_no_scalar(enum json_kind kind)
{
    return kind == JSON_ARRAY    ? "must be a single value, not an array"
           : kind == JSON_OBJECT ? "must be a single value, not an object"
                                 : NULL;
}

/* The text of a value that is not null, for a type. out has room for value->text.len bytes. */
static struct str read_text(const struct json_value *value, uint32_t type, char *out)
{
    if (value->kind != JSON_STRING || is_json(type))
        return value->text;
    return (struct str){out, json_unescape(value->text, out)};
}

static bool set_scalar(const struct params_gathering *all, size_t i, const struct json_value *value)
{
    uint32_t type = all->types[i].type;
    char *copy = arena_alloc(all->arena, value->text.len + 1);
    struct str text = read_text(value, type, copy);
    if (text.base != copy)
        memcpy(copy, text.base, text.len);
    copy[text.len] = '\0';
    all->values[i] = copy;
    return params_value_check(all, i, checked_type(type), text, 0);
}

static bool set_array(const struct params_gathering *all, size_t i, const struct json_value *value)
{
    const char *name = all->specs[i].name, *error;
    uint32_t element_type = all->types[i].element;
    struct json_iterator counting = json_members(*value), elements = counting;
    struct json_value element;
    struct str no_name;
    size_t n = 0, len = 0;
    while (json_next(&counting, &no_name, &element)) {
        n++;
        len += element.text.len;
    }
    struct params_array array = params_array_begin(all, i, params_array_size(n, len));
    char *scratch = arena_alloc(all->arena, value->text.len);
    for (n = 1; json_next(&elements, &no_name, &element); n++) {
        if (element.kind == JSON_NULL) {
            params_array_add_null(&array);
            continue;
        }
        if (!is_json(element_type) && (error = why_no_scalar(element.kind)) != NULL)
            return params_fail_of_type(all, name, "%s: element %zu %s", name, n, error);
        struct str text = read_text(&element, element_type, scratch);
        if (!params_value_check(all, i, checked_type(element_type), text, n))
            return false;
        params_array_add(&array, text);
    }
    all->values[i] = params_array_end(&array);
    return true;
}

static bool set_value(const struct params_gathering *all, size_t i, const struct json_value *value)
{
    const char *name = all->specs[i].name;
    uint32_t type = all->types[i].type;
    bool is_array = all->types[i].element != 0;
    if (value->kind == JSON_NULL) {
        all->values[i] = NULL;
        return true;
    }
    if (is_json(type))
        return set_scalar(all, i, value);
    if (value->kind == JSON_ARRAY && is_array)
        return set_array(all, i, value);
    if (is_array && value->kind != JSON_STRING)
        return params_fail_of_type(all, name, "%s must be an array", name);
    const char *error = why_no_scalar(value->kind);
    return error == NULL ? set_scalar(all, i, value) : params_fail_of_type(all, name, "%s %s", name, error);
}

static bool set_field(const struct params_gathering *all, struct str name, const struct json_value *value)
{
    for (size_t i = 0; i < all->n; i++) {
        if (all->specs[i].source == PARAMS_BODY && str_equal(str_of(all->specs[i].name), name))
            return set_value(all, i, value);
    }
    for (size_t i = 0; i < all->request->n_body_fields; i++) {
        if (str_equal(str_of(all->request->body_fields[i]), name))
            return true;
    }
    if (name.len == 0)
        return params_fail(all, NULL, "a field whose name is empty is not a body field of this route");
    return params_fail_unknown(all, name, "is not a body field of this route");
}

static bool set_fields(const struct params_gathering *all, struct json_value object)
{
    struct json_iterator members = json_members(object);
    struct json_value value;
    struct str key;
    while (json_next(&members, &key, &value)) {
        struct str name = {key.base + 1, key.len - 2};
        if (memchr(name.base, '\\', name.len) != NULL) {
            char *plain = arena_alloc(all->arena, key.len);
            name = (struct str){plain, json_unescape(key, plain)};
        }
        if (!set_field(all, name, &value))
            return false;
    }
    return true;
}

/* Fails with the place in the body as an editor shows it. */
static bool fail_json(const struct params_gathering *all, size_t at, const char *error)
{
    size_t line = 1, column = 1;
    for (size_t i = 0; i < at; i++) {
        unsigned char c = (unsigned char)all->request->body.base[i];
        line += c == '\n' ? 1 : 0;
        column = c == '\n' ? 1 : column + ((c & 0xc0) == 0x80 ? 0 : 1);
    }
    return params_fail(all, NULL, "the body cannot be read as JSON: %s (line %zu, column %zu)", error, line,
                       column);
}

bool params_body_read(const struct params_gathering *all)
{
    struct str body = all->request->body;
    struct json_value root;
    size_t error_at;
    bool fields = all->request->n_body_fields > 0;
    if (body.len == 0)
        return params_fail(all, NULL, "the body is empty");
    const char *error = json_read_check(body, &root, &error_at);
    if (error != NULL)
        return fail_json(all, error_at, error);
    for (size_t i = 0; i < all->n; i++) {
        fields = fields || all->specs[i].source == PARAMS_BODY;
        if (all->specs[i].source == PARAMS_BODY_AS)
            all->values[i] = arena_copy(all->arena, root.text);
    }
    if (fields && root.kind != JSON_OBJECT)
        return params_fail(all, NULL, "the body must be a JSON object");
    if (root.kind != JSON_OBJECT && root.kind != JSON_ARRAY)
        return params_fail(all, NULL, "the body must be a JSON object or array");
    return !fields || set_fields(all, root);
}
