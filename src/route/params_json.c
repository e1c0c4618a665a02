/* params_json.c: from the text of a JSON value to that of a parameter. */
#include "route/params_json.h"

#include "base/json_escape.h"
#include "pg/pgtypes.h"
#include "route/params_check.h"
#include "route/params_value.h"

enum step {
    BETWEEN,    /* elements */
    IN_STRING,  /* an element's text goes into the array as it is read */
    IN_WORD,    /* likewise, of a number or a boolean */
    IN_JSON,    /* likewise, of an element that stays JSON */
    IN_CHECKED, /* a string is read as a whole, to be checked */
};

static bool is_json(uint32_t type)
{
    return type == PGTYPES_JSON || type == PGTYPES_JSONB;
}

/* The type to check a value's text for: JSON from the body was read already. */
static uint32_t checked_type(uint32_t type)
{
    return is_json(type) ? 0 : type;
}

static enum params_progress done_if(bool good)
{
    return good ? PARAMS_DONE : PARAMS_FAILED;
}

/* Scalars */

static enum params_progress set_text(const struct params_gathering *all, size_t i, struct str text)
{
    all->values[i] = text;
    return done_if(params_value_check(all, i, checked_type(all->types[i].type), text, 0));
}

static struct str without_quotes(struct str text)
{
    return (struct str){text.base + 1, text.len - 2};
}

static enum params_progress begin_scalar(struct params_json *json, const struct json_value *value)
{
    if (value->kind != JSON_STRING || is_json(json->all->types[json->i].type))
        return set_text(json->all, json->i, value->text);
    struct str text = without_quotes(value->text);
    if (!value->has_escapes)
        return set_text(json->all, json->i, text);
    json->at = text.base;
    json->end = text.base + text.len;
    json->out = params_resize(json->all, NULL, 0, text.len);
    return json->out == NULL ? PARAMS_FAILED : PARAMS_MORE;
}

/* How many bytes from here on stand for themselves in a string, without its end. */
static size_t plain_span(const char *at, const char *stop)
{
    const char *p = at;
    while (p < stop && *p != '\\' && *p != '"')
        p++;
    return (size_t)(p - at);
}

static enum params_progress go_on_with_scalar(struct params_json *json, const char *stop)
{
    while (json->at < stop) {
        if (*json->at == '\\') {
            char bytes[4];
            size_t n = json_escape_read(&json->at, bytes);
            memcpy(json->out + json->len, bytes, n);
            json->len += n;
        } else {
            size_t n = plain_span(json->at, stop);
            memcpy(json->out + json->len, json->at, n);
            json->at += n;
            json->len += n;
        }
    }
    if (json->at < json->end)
        return PARAMS_MORE;
    return set_text(json->all, json->i, (struct str){json->out, json->len});
}

/* Arrays */

/* What is wrong with a value that is not a scalar where there must be one; NULL if it is a scalar. */
static const char *why_no_scalar(char first)
{
    return first == '['   ? "must be a single value, not an array"
           : first == '{' ? "must be a single value, not an object"
                          : NULL;
}

static bool check_element(const struct params_json *json, struct str text)
{
    uint32_t type = checked_type(json->all->types[json->i].element);
    return params_value_check(json->all, json->i, type, text, json->array.n + 1);
}

/* A string that is checked as a whole: where it is too long to be right, its beginning is enough. */
static bool begin_checked(struct params_json *json)
{
    size_t most = (size_t)(json->end - json->at);
    json->scratch_len = 0;
    json->step = IN_CHECKED;
    if (json->scratch != NULL)
        return true;
    json->scratch_size = most < PARAMS_CHECKED_MAX + 1 ? most : PARAMS_CHECKED_MAX + 1;
    json->scratch = params_resize(json->all, NULL, 0, json->scratch_size + 4);
    return json->scratch != NULL;
}

static bool go_on_checked(struct params_json *json)
{
    while (*json->at != '"' && json->scratch_len < json->scratch_size) {
        if (*json->at == '\\') {
            json->scratch_len += json_escape_read(&json->at, json->scratch + json->scratch_len);
        } else {
            json->scratch[json->scratch_len++] = *json->at++;
        }
    }
    struct str text = {json->scratch, json->scratch_len};
    json->step = BETWEEN;
    json->at++; /* if that was not its end, it is refused now */
    return check_element(json, text) && params_array_add(&json->array, text);
}

static bool is_word_end(char c)
{
    return c == ',' || c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* A number or a boolean that is checked. */
static bool take_word(struct params_json *json)
{
    const char *begin = json->at;
    size_t most = (size_t)(json->end - begin);
    if (most > PARAMS_CHECKED_MAX + 1)
        most = PARAMS_CHECKED_MAX + 1;
    size_t len = 0;
    while (len < most && !is_word_end(begin[len]))
        len++;
    struct str text = {begin, len};
    json->at += len;
    return check_element(json, text) && params_array_add(&json->array, text);
}

/* Goes on within an element that is JSON. Returns whether it ends here. */
static bool json_ends(struct params_json *json, const char *stop)
{
    for (; json->at < stop; json->at++) {
        char c = *json->at;
        if (json->in_string && c == '\\') {
            json->at++; /* what follows is no end: a 'u' is as good as any */
        } else if (c == '"') {
            json->in_string = !json->in_string;
        } else if (!json->in_string) {
            if (json->depth == 0 && is_word_end(c))
                return true;
            json->depth += c == '[' || c == '{';
            json->depth -= c == ']' || c == '}';
        }
    }
    return json->at >= json->end;
}

/* An element that is JSON and is checked. */
static bool take_json(struct params_json *json)
{
    const char *begin = json->at;
    size_t left = (size_t)(json->end - begin);
    json_ends(json, left > PARAMS_CHECKED_MAX ? begin + PARAMS_CHECKED_MAX + 1 : json->end);
    struct str text = {begin, (size_t)(json->at - begin)};
    return check_element(json, text) && params_array_add(&json->array, text);
}

/* The element whose first byte is here. */
static bool begin_element(struct params_json *json)
{
    const struct params_gathering *all = json->all;
    const char *name = all->specs[json->i].name, *error = why_no_scalar(*json->at);
    uint32_t type = all->types[json->i].element;
    if (*json->at == 'n') {
        json->at += strlen("null");
        return params_array_add_null(&json->array);
    }
    bool is_checked = params_value_is_checked(all, json->i, checked_type(type));
    if (is_json(type)) {
        json->depth = 0;
        json->in_string = false;
        if (is_checked)
            return take_json(json);
        json->step = IN_JSON;
        return params_array_open(&json->array);
    }
    if (error != NULL)
        return params_fail_of_type(all, name, "%s: element %zu %s", name, json->array.n + 1, error);
    if (*json->at != '"' && is_checked)
        return take_word(json);
    json->step = *json->at == '"' ? IN_STRING : IN_WORD;
    json->at += *json->at == '"';
    if (is_checked)
        return begin_checked(json);
    return params_array_open(&json->array);
}

/* Hands on what stands for itself, or what an escape stands for. */
static bool go_on_string(struct params_json *json, const char *stop)
{
    if (*json->at == '"') {
        json->at++;
        json->step = BETWEEN;
        return params_array_close(&json->array);
    }
    if (*json->at == '\\') {
        char bytes[4];
        size_t n = json_escape_read(&json->at, bytes);
        return params_array_put(&json->array, (struct str){bytes, n});
    }
    struct str part = {json->at, plain_span(json->at, stop)};
    json->at += part.len;
    return params_array_put(&json->array, part);
}

static bool go_on_word(struct params_json *json, const char *stop)
{
    const char *begin = json->at;
    while (json->at < stop && !is_word_end(*json->at))
        json->at++;
    struct str part = {begin, (size_t)(json->at - begin)};
    if (json->at < stop || stop == json->end)
        json->step = BETWEEN;
    return params_array_put(&json->array, part) &&
           (json->step != BETWEEN || params_array_close(&json->array));
}

static bool go_on_json(struct params_json *json, const char *stop)
{
    const char *begin = json->at;
    bool ends = json_ends(json, stop);
    if (ends)
        json->step = BETWEEN;
    return params_array_put(&json->array, (struct str){begin, (size_t)(json->at - begin)}) &&
           (!ends || params_array_close(&json->array));
}

static bool go_on_element(struct params_json *json, const char *stop)
{
    switch ((enum step)json->step) {
    case IN_STRING:
        return go_on_string(json, stop);
    case IN_WORD:
        return go_on_word(json, stop);
    case IN_JSON:
        return go_on_json(json, stop);
    case IN_CHECKED:
        return go_on_checked(json);
    case BETWEEN:
        break;
    }
    while (json->at < stop && is_word_end(*json->at))
        json->at++;
    return json->at >= stop || begin_element(json);
}

static enum params_progress go_on_with_array(struct params_json *json, const char *stop)
{
    while (json->at < stop) {
        if (!go_on_element(json, stop))
            return PARAMS_FAILED;
    }
    if (json->at < json->end || json->step != BETWEEN)
        return PARAMS_MORE;
    json->all->values[json->i] = params_array_end(&json->array);
    return PARAMS_DONE;
}

static enum params_progress begin_array(struct params_json *json, const struct json_value *value)
{
    struct str text = without_quotes(value->text);
    json->is_array = true;
    json->at = text.base;
    json->end = text.base + text.len;
    json->step = BETWEEN;
    return params_array_begin(&json->array, json->all, json->i, text.len) ? PARAMS_MORE : PARAMS_FAILED;
}

enum params_progress params_json_begin(struct params_json *json, const struct params_gathering *all, size_t i,
                                       const struct json_value *value)
{
    const char *name = all->specs[i].name, *error = why_no_scalar(*value->text.base);
    bool takes_json = is_json(all->types[i].type), takes_array = all->types[i].element != 0;
    *json = (struct params_json){.all = all, .i = i};
    if (value->kind == JSON_NULL) {
        all->values[i] = (struct str){NULL, 0};
        return PARAMS_DONE;
    }
    if (takes_json)
        return begin_scalar(json, value);
    if (value->kind == JSON_ARRAY && takes_array)
        return begin_array(json, value);
    if (takes_array && value->kind != JSON_STRING)
        return done_if(params_fail_of_type(all, name, "%s must be an array", name));
    return error == NULL ? begin_scalar(json, value)
                         : done_if(params_fail_of_type(all, name, "%s %s", name, error));
}

enum params_progress params_json_go_on(struct params_json *json, size_t bytes)
{
    const char *stop = (size_t)(json->end - json->at) <= bytes ? json->end : json->at + bytes;
    return json->is_array ? go_on_with_array(json, stop) : go_on_with_scalar(json, stop);
}
