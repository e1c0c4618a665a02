/* params_body.c: parameters out of a JSON body: it is checked, its fields are found, and become values. */
#include "route/params_body.h"

#include "base/json_escape.h"

enum {
    ESCAPED_MAX = 6,  /* bytes that a byte of a name takes at most */
    SHOWN_MAX = 1024, /* bytes of a name that is not known: more are not shown */
};

enum stage {
    CHECKING, /* the text */
    LOCATING, /* what is wrong with it */
    MAKING,   /* values of its fields */
};

/* Names */

/* The text of a raw key, as far as it has room in out, whose size is SHOWN_MAX + 4. */
static struct str read_name(struct str key, char *out)
{
    const char *at = key.base + 1, *end = key.base + key.len - 1;
    size_t len = 0;
    while (at < end && len < SHOWN_MAX) {
        if (*at == '\\')
            len += json_escape_read(&at, out + len);
        else
            out[len++] = *at++;
    }
    return (struct str){out, len};
}

static bool is_name(struct str key, const char *name)
{
    struct str raw = {key.base + 1, key.len - 2};
    size_t len = strlen(name);
    if (raw.len == len)
        return memcmp(raw.base, name, len) == 0;
    if (raw.len < len || raw.len > len * ESCAPED_MAX || memchr(raw.base, '\\', raw.len) == NULL)
        return false;
    char bytes[4];
    const char *at = raw.base, *end = raw.base + raw.len, *expected = name, *name_end = name + len;
    while (at < end) {
        size_t n = 1;
        bytes[0] = *at;
        if (*at == '\\')
            n = json_escape_read(&at, bytes);
        else
            at++;
        if ((size_t)(name_end - expected) < n || memcmp(bytes, expected, n) != 0)
            return false;
        expected += n;
    }
    return expected == name_end;
}

/* Is it a field that the body may have, though no parameter is made of it? */
static bool is_allowed(const struct params_gathering *all, struct str key)
{
    for (size_t i = 0; i < all->request->n_body_fields; i++) {
        if (is_name(key, all->request->body_fields[i]))
            return true;
    }
    return false;
}

static void on_field(void *arg, struct str key, const struct json_value *value)
{
    struct params_rest *rest = arg;
    const struct params_gathering *all = rest->all;
    if (rest->has_unknown)
        return;
    for (size_t i = 0; i < all->n; i++) {
        if (all->specs[i].source == PARAMS_BODY && is_name(key, all->specs[i].name)) {
            rest->fields[rest->n_fields++] = (struct params_field){i, *value};
            return;
        }
    }
    if (is_allowed(all, key))
        return;
    rest->has_unknown = true;
    rest->unknown = key;
}

static enum params_progress fail_unknown(const struct params_rest *rest)
{
    const struct params_gathering *all = rest->all;
    char shown[SHOWN_MAX + 4];
    struct str name = read_name(rest->unknown, shown);
    if (name.len == 0)
        params_fail(all, NULL, "a field whose name is empty is not a body field of this route");
    else
        params_fail_unknown(all, name, "is not a body field of this route");
    return PARAMS_FAILED;
}

/* Stages */

/* Looks for the place in the body as an editor shows it. */
static enum params_progress locate(struct params_rest *rest, size_t bytes)
{
    size_t at = rest->check.error_at, stop = at - rest->looked_at > bytes ? rest->looked_at + bytes : at;
    for (; rest->looked_at < stop; rest->looked_at++) {
        unsigned char c = (unsigned char)rest->all->request->body.base[rest->looked_at];
        rest->line += c == '\n' ? 1 : 0;
        rest->column = c == '\n' ? 1 : rest->column + ((c & 0xc0) == 0x80 ? 0 : 1);
    }
    if (stop < at)
        return PARAMS_MORE;
    params_fail(rest->all, NULL, "the body cannot be read as JSON: %s (line %zu, column %zu)",
                rest->check.error, rest->line, rest->column);
    return PARAMS_FAILED;
}

static enum params_progress make(struct params_rest *rest, size_t bytes)
{
    while (rest->n_made < rest->n_fields) {
        const struct params_field *field = &rest->fields[rest->n_made];
        enum params_progress progress =
            rest->is_making ? params_json_go_on(&rest->making, bytes)
                            : params_json_begin(&rest->making, rest->all, field->i, &field->value);
        if (progress == PARAMS_FAILED || (progress == PARAMS_MORE && rest->is_making))
            return progress;
        rest->is_making = progress == PARAMS_MORE;
        rest->n_made += progress == PARAMS_DONE;
    }
    return rest->has_unknown ? fail_unknown(rest) : PARAMS_DONE;
}

/* The text is JSON: is it what the route wants? */
static enum params_progress begin_to_make(struct params_rest *rest)
{
    const struct params_gathering *all = rest->all;
    const struct json_value *root = &rest->check.root;
    bool fields = all->request->n_body_fields > 0;
    for (size_t i = 0; i < all->n; i++) {
        fields = fields || all->specs[i].source == PARAMS_BODY;
        if (all->specs[i].source == PARAMS_BODY_AS)
            all->values[i] = root->text;
    }
    rest->stage = MAKING;
    if (fields && root->kind != JSON_OBJECT)
        params_fail(all, NULL, "the body must be a JSON object");
    else if (root->kind != JSON_OBJECT && root->kind != JSON_ARRAY)
        params_fail(all, NULL, "the body must be a JSON object or array");
    else
        return PARAMS_MORE;
    return PARAMS_FAILED;
}

/* The check has come to its end. */
static enum params_progress checked(struct params_rest *rest)
{
    const char *error = rest->check.error;
    json_check_end(&rest->check);
    if (error == NULL)
        return begin_to_make(rest);
    if (error == json_check_no_memory) {
        params_fail_of_memory(rest->all);
        return PARAMS_FAILED;
    }
    rest->stage = LOCATING;
    return PARAMS_MORE;
}

void params_body_begin(struct params_rest *rest, const struct params_gathering *all)
{
    const struct body *keeper = all->request->keeper;
    size_t n = 0;
    for (size_t i = 0; i < all->n; i++)
        n += all->specs[i].source == PARAMS_BODY;
    rest->all = all;
    rest->stage = CHECKING;
    rest->fields = n == 0 ? NULL : arena_alloc(all->arena, n * sizeof(*rest->fields));
    rest->n_fields = rest->n_made = 0;
    rest->is_making = rest->has_unknown = false;
    rest->looked_at = 0;
    rest->line = rest->column = 1;
    json_check_begin(&rest->check, all->request->body, keeper == NULL ? NULL : keeper->store);
    if (n > 0 || all->request->n_body_fields > 0) {
        rest->check.member = on_field;
        rest->check.arg = rest;
    }
}

enum params_progress params_body_go_on(struct params_rest *rest, size_t bytes)
{
    enum params_progress progress = PARAMS_MORE;
    if (rest->all->request->body.len == 0) {
        params_fail(rest->all, NULL, "the body is empty");
        return PARAMS_FAILED;
    }
    if (rest->stage == CHECKING) {
        if (!json_check_go_on(&rest->check, bytes))
            return PARAMS_MORE;
        progress = checked(rest);
    }
    if (progress == PARAMS_MORE)
        progress = rest->stage == LOCATING ? locate(rest, bytes) : make(rest, bytes);
    return progress;
}
