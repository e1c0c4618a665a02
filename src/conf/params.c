/* params.c: `query`, `body` and `body_as`: the parameters that a route declares. */
#include "conf/params.h"

#include <stdlib.h>
#include <string.h>

#include "conf/table.h"
#include "base/decimal.h"
#include "base/mem.h"

/* What reads one key of a parameter's mapping. */
typedef void read_option(struct conf_files *files, struct conf_param *param, const struct conf_yaml *value);

static read_option read_default, read_min, read_max, read_required, read_one_of;

static const struct option {
    const char *name;
    read_option *read;
} options[] = {
    {"default", read_default},   {"min", read_min},       {"max", read_max},
    {"required", read_required}, {"one_of", read_one_of},
};
enum { N_OPTIONS = sizeof(options) / sizeof(options[0]) };

static const char *key_of(enum params_source source)
{
    return source == PARAMS_QUERY ? "query" : source == PARAMS_BODY ? "body" : "body_as";
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

bool conf_params_is_name(struct str name)
{
    for (size_t i = 0; i < name.len; i++) {
        bool digit = name.base[i] >= '0' && name.base[i] <= '9';
        if (!is_letter(name.base[i]) && (i == 0 || !digit))
            return false;
    }
    return name.len > 0;
}

bool conf_params_looks_like_sql(const char *text)
{
    static const char *const verbs[] = {"SELECT", "INSERT", "UPDATE", "DELETE", "MERGE",
                                        "WITH",   "VALUES", "TABLE",  "CALL"};
    text += strspn(text, " \t\r\n(");
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        size_t len = strlen(verbs[i]);
        if (strncasecmp(text, verbs[i], len) == 0 && text[len] != '\0' &&
            strchr(" \t\r\n(", text[len]) != NULL)
            return true;
    }
    return false;
}

/* One value: not nothing, not a list, not a mapping. */
static bool want_value(struct conf_files *files, const char *option, const struct conf_param *param,
                       const struct conf_yaml *value)
{
    if (value->kind == CONF_YAML_SCALAR && !conf_yaml_is_null(value))
        return true;
    conf_files_error(files, value->pos, "%s of %s is a single value, not %s", option, param->spec.name,
                     conf_yaml_what(value));
    return false;
}

/* A list as PostgreSQL writes an array; NULL where its items need quotes of their own. The caller frees it.
 */
static char *array_of(const struct conf_yaml *list)
{
    static const char plain[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.+-";
    char *text = mem_strdup("{");
    for (size_t i = 0; i < list->n_items; i++) {
        const struct conf_yaml *item = list->items[i].value;
        bool is_plain = item->kind == CONF_YAML_SCALAR && !conf_yaml_is_null(item) &&
                        item->value[0] != '\0' && item->value[strspn(item->value, plain)] == '\0';
        char *longer = is_plain ? mem_printf("%s%s%s", text, i == 0 ? "" : ",", item->value) : NULL;
        free(text);
        if (longer == NULL)
            return NULL;
        text = longer;
    }
    char *array = mem_printf("%s}", text);
    free(text);
    return array;
}

static void note_list(struct conf_files *files, const struct conf_param *param, const struct conf_yaml *list)
{
    char *array = array_of(list);
    conf_files_error(
        files, list->pos,
        "the default of %s is a text, also where it is an array: write it as PostgreSQL does, %s%s%s",
        param->spec.name, array == NULL ? "such as \"{a,b}\"" : "\"", array == NULL ? "" : array,
        array == NULL ? "" : "\"");
    free(array);
}

static void read_default(struct conf_files *files, struct conf_param *param, const struct conf_yaml *value)
{
    if (value->kind == CONF_YAML_LIST)
        note_list(files, param, value);
    else if (!conf_yaml_is_null(value) && want_value(files, "the default", param, value))
        param->spec.default_text = mem_strdup(value->value);
}

static bool is_number(const char *text)
{
    int order;
    return decimal_compare(str_of(text), str_of(text), &order);
}

/* Is the number a less than b? Not if one of them is not there, or no number. */
static bool is_less(const char *a, const char *b)
{
    int order = 0;
    return a != NULL && b != NULL && decimal_compare(str_of(a), str_of(b), &order) && order < 0;
}

static const char *read_bound(struct conf_files *files, const char *option, const struct conf_param *param,
                              const struct conf_yaml *value)
{
    if (!want_value(files, option, param, value))
        return NULL;
    if (is_number(value->value))
        return mem_strdup(value->value);
    conf_files_error(files, value->pos, "%s of %s is a number, such as 1 or -0.5; not \"%.*s\"", option,
                     param->spec.name, CONF_FILES_QUOTE(value->value));
    return NULL;
}

static void read_min(struct conf_files *files, struct conf_param *param, const struct conf_yaml *value)
{
    param->spec.min = read_bound(files, "min", param, value);
}

static void read_max(struct conf_files *files, struct conf_param *param, const struct conf_yaml *value)
{
    param->spec.max = read_bound(files, "max", param, value);
}

static void read_required(struct conf_files *files, struct conf_param *param, const struct conf_yaml *value)
{
    if (!want_value(files, "required", param, value))
        return;
    param->spec.required = strcmp(value->value, "true") == 0;
    if (!param->spec.required && strcmp(value->value, "false") != 0)
        conf_files_error(files, value->pos, "required of %s takes true or false, not \"%.*s\"",
                         param->spec.name, CONF_FILES_QUOTE(value->value));
}

static bool is_one_of(const struct params_spec *spec, const char *text)
{
    for (size_t i = 0; i < spec->n_one_of; i++) {
        if (strcmp(spec->one_of[i], text) == 0)
            return true;
    }
    return false;
}

static void read_one_of(struct conf_files *files, struct conf_param *param, const struct conf_yaml *value)
{
    struct params_spec *spec = &param->spec;
    if (value->kind != CONF_YAML_LIST) {
        conf_files_error(files, value->pos, "one_of of %s takes a list, such as [name, -name]; not %s",
                         spec->name, conf_yaml_what(value));
        return;
    }
    if (value->n_items == 0 && !value->incomplete)
        conf_files_error(files, value->pos, "one_of of %s has no value to choose from", spec->name);
    for (size_t i = 0; i < value->n_items; i++) {
        const struct conf_yaml *item = value->items[i].value;
        if (conf_yaml_is_null(item) || item->kind != CONF_YAML_SCALAR) {
            conf_files_error(files, item->pos, "one_of of %s is a list of texts, and this is %s", spec->name,
                             conf_yaml_what(item));
        } else if (is_one_of(spec, item->value)) {
            conf_files_error(files, item->pos, "one_of of %s has \"%.*s\" twice", spec->name,
                             CONF_FILES_QUOTE(item->value));
        } else {
            MEM_GROW(&spec->one_of, spec->n_one_of);
            spec->one_of[spec->n_one_of++] = mem_strdup(item->value);
        }
    }
}

static void note_unknown_option(struct conf_files *files, const struct conf_yaml *key)
{
    const char *names[N_OPTIONS];
    for (size_t i = 0; i < N_OPTIONS; i++)
        names[i] = options[i].name;
    if (strcasecmp(key->value, "type") == 0) {
        conf_files_error(files, key->pos,
                         "a parameter's type comes from the SQL: remove this, and write :name::type there if "
                         "PostgreSQL cannot tell");
        return;
    }
    const char *colon = strchr(key->value, ':');
    if (colon != NULL && key->style == CONF_YAML_PLAIN) {
        conf_files_error(files, key->pos, "a space is missing after the `:`: write `%.*s: %s`",
                         (int)(colon - key->value), key->value, colon + 1);
        return;
    }
    conf_table_unknown_key(files, key->pos, "parameter", key->value, names, N_OPTIONS, false);
}

/* What the options of a parameter have to do with each other. */
static void check_options(struct conf_files *files, const struct params_spec *spec,
                          const struct conf_yaml *map)
{
    const struct conf_yaml *text = conf_yaml_get(map, "default"), *max = conf_yaml_get(map, "max");
    const char *value = spec->default_text;
    if (spec->required && text != NULL)
        conf_files_error(files, text->pos,
                         "%s is required, so it never takes its default; remove one of them", spec->name);
    if (is_less(spec->max, spec->min))
        conf_files_error(files, max->pos, "max of %s is less than its min, %.*s", spec->name,
                         CONF_FILES_QUOTE(spec->min));
    if (value == NULL)
        return;
    if (spec->n_one_of > 0 && !is_one_of(spec, value)) {
        conf_files_error(files, text->pos, "the default of %s is not among one_of", spec->name);
    } else if ((spec->min != NULL || spec->max != NULL) && !is_number(value)) {
        conf_files_error(files, text->pos, "the default of %s is not a number, as min and max require",
                         spec->name);
    } else if (is_less(value, spec->min)) {
        conf_files_error(files, text->pos, "the default of %s is less than its min, %.*s", spec->name,
                         CONF_FILES_QUOTE(spec->min));
    } else if (is_less(spec->max, value)) {
        conf_files_error(files, text->pos, "the default of %s is more than its max, %.*s", spec->name,
                         CONF_FILES_QUOTE(spec->max));
    }
}

static void read_options(struct conf_files *files, struct conf_param *param, const struct conf_yaml *map)
{
    size_t before = conf_files_errors(files);
    if (map->n_items == 0 && !map->incomplete)
        conf_files_error(files, map->pos,
                         "there is nothing in these braces: write null for SQL NULL, or \"{}\" for a text");
    for (size_t i = 0; i < map->n_items; i++) {
        const struct conf_yaml *key = map->items[i].key;
        const struct option *option = options;
        while (option < options + N_OPTIONS && strcmp(option->name, key->value) != 0)
            option++;
        if (option < options + N_OPTIONS)
            option->read(files, param, map->items[i].value);
        else
            note_unknown_option(files, key);
    }
    if (!map->incomplete && conf_files_errors(files) == before)
        check_options(files, &param->spec, map);
}

/* Notes a name that SQL could not use. */
static bool check_name(struct conf_files *files, struct conf_pos pos, const char *name)
{
    const char *colon = strchr(name, ':');
    if (conf_params_is_name(str_of(name)))
        return true;
    if (colon != NULL && colon[1] != '\0' && conf_params_is_name((struct str){name, (size_t)(colon - name)}))
        conf_files_error(files, pos, "a space is missing after the `:`: write `%.*s: %s`",
                         (int)(colon - name), name, colon + 1);
    else
        conf_files_error(files, pos,
                         "\"%.*s\" cannot be a parameter's name: that is letters, digits and `_`, and does "
                         "not begin with a digit",
                         CONF_FILES_QUOTE(name));
    return false;
}

static struct conf_param *declare(struct conf_route *route, enum params_source source,
                                  const struct conf_yaml *name)
{
    MEM_GROW(&route->declared, route->n_declared);
    route->declared[route->n_declared] = (struct conf_param){
        .pos = name->pos,
        .spec = {.name = mem_strdup(name->value), .source = source},
    };
    return &route->declared[route->n_declared++];
}

/* Adds a parameter. value is its default or its mapping, or NULL for SQL NULL. */
static void add(struct conf_files *files, struct conf_route *route, enum params_source source,
                const struct conf_yaml *name, const struct conf_yaml *value)
{
    for (size_t i = 0; i < route->n_declared; i++) {
        const struct params_spec *other = &route->declared[i].spec;
        if (other->source == source && strcmp(other->name, name->value) == 0) {
            conf_files_error(files, name->pos, "%s names %s twice", key_of(source), name->value);
            return;
        }
    }
    /* A field's name is looked at in conf_params_finish: with body_as it may be anything. */
    if (source == PARAMS_QUERY && !check_name(files, name->pos, name->value))
        return;
    struct conf_param *param = declare(route, source, name);
    if (value != NULL && value->kind == CONF_YAML_MAP)
        read_options(files, param, value);
    else if (value != NULL)
        read_default(files, param, value);
}

bool conf_params_read(struct conf_files *files, struct conf_route *route, enum params_source source,
                      const struct conf_yaml *value)
{
    const char *key = key_of(source), *what = source == PARAMS_QUERY ? "URL parameters" : "body's fields";
    if (value->kind == CONF_YAML_SCALAR && conf_params_looks_like_sql(value->value)) {
        conf_files_error(files, value->pos,
                         "%s names the %s; the SQL belongs in `sql: |`, with the text below it", key, what);
        return false;
    }
    if (value->kind == CONF_YAML_SCALAR)
        conf_files_error(files, value->pos,
                         "%s takes a list of names, or a mapping from names to defaults: write [%.*s]", key,
                         CONF_FILES_QUOTE(value->value));
    else if (value->n_items == 0 && !value->incomplete)
        conf_files_error(files, value->pos, "%s names nothing; remove the line, or name the %s", key, what);
    for (size_t i = 0; i < value->n_items; i++) {
        const struct conf_yaml *item = value->items[i].value;
        if (value->kind == CONF_YAML_MAP)
            add(files, route, source, value->items[i].key, item);
        else if (item->kind == CONF_YAML_SCALAR && !conf_yaml_is_null(item))
            add(files, route, source, item, NULL);
        else
            conf_files_error(
                files, item->pos,
                "a list under %s holds names, not %s; names with defaults are a mapping, without `-`", key,
                conf_yaml_what(item));
    }
    route->takes_body = route->takes_body || source == PARAMS_BODY;
    return true;
}

void conf_params_read_body_as(struct conf_files *files, struct conf_route *route,
                              const struct conf_yaml *value)
{
    if (value->kind != CONF_YAML_SCALAR)
        conf_files_error(files, value->pos,
                         "body_as takes one name, that of the parameter that gets the whole body; the fields "
                         "that it may have belong in body");
    else if (check_name(files, value->pos, value->value))
        declare(route, PARAMS_BODY_AS, value);
    route->takes_body = true;
}

static bool has_body_as(const struct conf_route *route)
{
    for (size_t i = 0; i < route->n_declared; i++) {
        if (route->declared[i].spec.source == PARAMS_BODY_AS)
            return true;
    }
    return false;
}

void conf_params_finish(struct conf_files *files, struct conf_route *route)
{
    bool whole_body = has_body_as(route);
    for (size_t i = 0; i < route->n_declared; i++) {
        const struct conf_param *param = &route->declared[i];
        if (param->spec.source != PARAMS_BODY)
            continue;
        if (!whole_body)
            check_name(files, param->pos, param->spec.name);
        MEM_GROW(&route->body_fields, route->n_body_fields);
        route->body_fields[route->n_body_fields++] = param->spec.name;
    }
}

void conf_params_free(struct conf_route *route)
{
    for (size_t i = 0; i < route->n_declared; i++) {
        struct params_spec *spec = &route->declared[i].spec;
        for (size_t j = 0; j < spec->n_one_of; j++)
            free((char *)spec->one_of[j]);
        free(spec->one_of);
        free((char *)spec->name);
        free((char *)spec->default_text);
        free((char *)spec->min);
        free((char *)spec->max);
    }
    free(route->declared);
    free(route->body_fields);
    free(route->params);
}
