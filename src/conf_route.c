/* conf_route.c: the routes of the conf, each read by itself. */
#include "conf_route.h"

#include <stdlib.h>
#include <string.h>

#include "conf_hint.h"
#include "conf_json.h"
#include "conf_table.h"
#include "mem.h"

/* One route while it is being read. */
struct reading {
    struct conf_files *files;
    struct conf_route *route;
    const struct conf_yaml *handler_key; /* the first one */
    const struct conf_yaml *answer_key;
    const struct conf_yaml *query_key;
    bool unknown_key; /* something may be missing only because its name is misspelled */
};

/* Each reader takes the value of its key, which is never nothing. */
static void read_sql(struct reading *reading, const char *key, const struct conf_yaml *value);
static void read_sql_file(struct reading *reading, const char *key, const struct conf_yaml *value);
static void read_json(struct reading *reading, const char *key, const struct conf_yaml *value);
static void read_json_file(struct reading *reading, const char *key, const struct conf_yaml *value);
static void read_text(struct reading *reading, const char *key, const struct conf_yaml *value);
static void read_answer(struct reading *reading, const char *key, const struct conf_yaml *value);
static void read_query(struct reading *reading, const char *key, const struct conf_yaml *value);

static const struct route_key {
    const char *name;
    enum conf_handler handler; /* that it makes of the route */
    void (*read)(struct reading *reading, const char *key, const struct conf_yaml *value);
} route_keys[] = {
    /* clang-format off */
    {"sql", CONF_HANDLER_SQL, read_sql},
    {"sql_file", CONF_HANDLER_SQL, read_sql_file},
    {"json", CONF_HANDLER_JSON, read_json},
    {"json_file", CONF_HANDLER_JSON, read_json_file},
    {"text", CONF_HANDLER_TEXT, read_text},
    {"answer", CONF_HANDLER_NONE, read_answer},
    {"query", CONF_HANDLER_NONE, read_query},
    /* clang-format on */
};
enum { N_ROUTE_KEYS = sizeof(route_keys) / sizeof(route_keys[0]), N_HANDLER_KEYS = 5 };

static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE", "ANY"};
enum { N_METHODS = sizeof(methods) / sizeof(methods[0]) };

static const struct route_key *find_key(const char *name)
{
    for (size_t i = 0; i < N_ROUTE_KEYS; i++) {
        if (strcmp(route_keys[i].name, name) == 0)
            return &route_keys[i];
    }
    return NULL;
}

bool conf_route_has_key(const char *name)
{
    return find_key(name) != NULL;
}

static const struct route_key *key_of_handler(enum conf_handler handler)
{
    size_t i = 0;
    while (route_keys[i].handler != handler)
        i++;
    return &route_keys[i];
}

static bool looks_like_sql(const char *text)
{
    static const char *const verbs[] = {"SELECT", "INSERT", "UPDATE", "DELETE",
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

static bool want_text(struct reading *reading, const char *key, const struct conf_yaml *value)
{
    if (value->kind == CONF_YAML_SCALAR)
        return true;
    conf_files_error(reading->files, value->pos, "%s takes text, not %s", key, conf_yaml_what(value));
    return false;
}

/* SQL and JSON have to arrive as they were written: YAML changes text in every other style. */
static bool want_verbatim(struct reading *reading, const char *key, const struct conf_yaml *value)
{
    const char *problem = NULL, *why = "";
    if (value->kind != CONF_YAML_SCALAR)
        problem = "has to be text";
    else if (value->style == CONF_YAML_PLAIN)
        problem = "cannot stand there without quotes: YAML would cut it at ` #`";
    else if (value->style == CONF_YAML_FOLDED)
        problem = "cannot be a `>` block: YAML joins its lines";
    else if (value->style == CONF_YAML_QUOTED && !value->one_line)
        problem = "in quotes has to stay on one line: YAML joins lines";
    if (problem == NULL)
        return true;
    if (value->kind == CONF_YAML_SCALAR && value->style != CONF_YAML_PLAIN && strcmp(key, "sql") == 0)
        why = ", and a `--` comment would swallow the rest";
    conf_files_error(
        reading->files, value->pos,
        "%s %s%s; write `%s: |` with the text below it, put it in quotes on one line, or name a file "
        "with %s_file",
        key, problem, why, key, key);
    return false;
}

static void read_sql(struct reading *reading, const char *key, const struct conf_yaml *value)
{
    if (!want_verbatim(reading, key, value))
        return;
    reading->route->sql = mem_strdup(value->value);
    reading->route->sql_pos = value->pos;
}

static const struct conf_file *read_named_file(struct reading *reading, const char *key,
                                               const struct conf_yaml *value)
{
    if (!want_text(reading, key, value))
        return NULL;
    char *name = conf_files_resolve(value->pos.file, value->value);
    const struct conf_file *file = conf_files_read(reading->files, name, false, value->pos);
    free(name);
    return file;
}

static void read_sql_file(struct reading *reading, const char *key, const struct conf_yaml *value)
{
    const struct conf_file *file = read_named_file(reading, key, value);
    if (file == NULL)
        return;
    reading->route->sql = mem_strdup(file->text);
    reading->route->sql_pos = conf_files_at(file, 0);
}

static void read_json(struct reading *reading, const char *key, const struct conf_yaml *value)
{
    if (want_verbatim(reading, key, value))
        reading->route->body = conf_json_compact(reading->files, value->pos, value->value);
}

static void read_json_file(struct reading *reading, const char *key, const struct conf_yaml *value)
{
    const struct conf_file *file = read_named_file(reading, key, value);
    if (file != NULL)
        reading->route->body = conf_json_compact(reading->files, conf_files_at(file, 0), file->text);
}

static void read_text(struct reading *reading, const char *key, const struct conf_yaml *value)
{
    if (want_text(reading, key, value))
        reading->route->body = mem_strdup(value->value);
}

static void read_answer(struct reading *reading, const char *key, const struct conf_yaml *value)
{
    static const char *const answers[] = {"row", "rows"};
    if (!want_text(reading, key, value))
        return;
    for (size_t i = 0; i < 2; i++) {
        if (strcmp(value->value, answers[i]) == 0) {
            reading->route->answer = i == 0 ? CONF_ANSWER_ROW : CONF_ANSWER_ROWS;
            return;
        }
    }
    conf_files_error(reading->files, value->pos, "%s takes row (one object) or rows (an array), not \"%.*s\"",
                     key, CONF_FILES_QUOTE(value->value));
}

static bool is_name(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";
    size_t n = strspn(text, letters);
    if (n == 0)
        return false;
    while (text[n] != '\0' && (strchr(letters, text[n]) != NULL || strchr("0123456789", text[n]) != NULL))
        n++;
    return text[n] == '\0';
}

/* Adds a URL parameter. value is its default, or NULL for SQL NULL. */
static void add_query(struct reading *reading, const struct conf_yaml *name, const struct conf_yaml *value)
{
    struct conf_route *route = reading->route;
    if (!is_name(name->value)) {
        conf_files_error(
            reading->files, name->pos,
            "\"%.*s\" cannot be a parameter's name: that is letters, digits and `_`, with no digit first",
            CONF_FILES_QUOTE(name->value));
        return;
    }
    if (value != NULL && value->kind != CONF_YAML_SCALAR) {
        conf_files_error(reading->files, value->pos, "the default of %s is a single value, not %s",
                         name->value, conf_yaml_what(value));
        return;
    }
    for (size_t i = 0; i < route->n_query; i++) {
        if (strcmp(route->query[i].name, name->value) == 0) {
            conf_files_error(reading->files, name->pos, "query names %s twice", name->value);
            return;
        }
    }
    MEM_GROW(&route->query, route->n_query);
    route->query[route->n_query++] = (struct conf_query){
        .pos = name->pos,
        .name = mem_strdup(name->value),
        .default_text = value == NULL || conf_yaml_is_null(value) ? NULL : mem_strdup(value->value),
    };
}

static void read_query(struct reading *reading, const char *key, const struct conf_yaml *value)
{
    if (value->kind == CONF_YAML_SCALAR) {
        if (!looks_like_sql(value->value)) {
            conf_files_error(reading->files, value->pos,
                             "%s takes a list of names, or a mapping from names to defaults: write [%.*s]",
                             key, CONF_FILES_QUOTE(value->value));
            return;
        }
        conf_files_error(reading->files, value->pos,
                         "%s names the URL parameters; the SQL goes into `sql: |`, with the text below it",
                         key);
        reading->unknown_key = true;
        return;
    }
    for (size_t i = 0; i < value->n_items; i++) {
        const struct conf_yaml *item = value->items[i].value;
        if (value->kind == CONF_YAML_MAP)
            add_query(reading, value->items[i].key, item);
        else if (item->kind == CONF_YAML_SCALAR && !conf_yaml_is_null(item))
            add_query(reading, item, NULL);
        else
            conf_files_error(
                reading->files, item->pos,
                "a list under %s holds names, not %s; names with defaults are a mapping, without `-`", key,
                conf_yaml_what(item));
    }
}

static void note_unknown_key(struct reading *reading, const struct conf_yaml *key)
{
    const char *names[N_ROUTE_KEYS];
    for (size_t i = 0; i < N_ROUTE_KEYS; i++)
        names[i] = route_keys[i].name;
    const char *meaning = conf_hint_synonym("route", key->value);
    char *elsewhere = NULL, *dotted = NULL;
    if (meaning == NULL) {
        const char *near = conf_hint_nearest(key->value, names, N_ROUTE_KEYS);
        dotted = near == NULL ? NULL : mem_printf("route.%s", near);
        elsewhere = conf_table_anywhere(key->value);
        meaning = elsewhere != NULL ? elsewhere : dotted;
    }
    conf_hint_unknown(reading->files, key->pos, "route", key->value, meaning, names, N_ROUTE_KEYS);
    free(elsewhere);
    free(dotted);
    reading->unknown_key = true;
}

static void read_pair(struct reading *reading, const struct conf_yaml *key, const struct conf_yaml *value)
{
    const struct route_key *row = find_key(key->value);
    if (row == NULL) {
        note_unknown_key(reading, key);
        return;
    }
    if (row->handler != CONF_HANDLER_NONE) {
        if (reading->handler_key != NULL) {
            conf_files_error(reading->files, key->pos,
                             "a route has one handler; %s on line %d is one already",
                             reading->handler_key->value, reading->handler_key->pos.line);
            return;
        }
        reading->handler_key = key;
        reading->route->handler = row->handler;
    } else if (row->read == read_answer) {
        reading->answer_key = key;
    } else {
        reading->query_key = key;
    }
    if (conf_yaml_is_null(value))
        conf_files_error(reading->files, value->pos, "%s has no value", row->name);
    else
        row->read(reading, row->name, value);
}

/* What goes with what in a route. */
static void check_keys(struct reading *reading)
{
    const struct conf_route *route = reading->route;
    const struct conf_yaml *sql_only[] = {reading->answer_key, reading->query_key};
    if (reading->handler_key == NULL) {
        const char *names[N_HANDLER_KEYS];
        for (size_t i = 0; i < N_HANDLER_KEYS; i++)
            names[i] = route_keys[i].name;
        char *choice = conf_hint_choice(names, N_HANDLER_KEYS);
        conf_files_error(reading->files, route->pos,
                         "this route does not say how it is answered: it needs %s", choice);
        free(choice);
        return;
    }
    if (route->handler == CONF_HANDLER_SQL) {
        if (reading->answer_key == NULL)
            conf_files_error(
                reading->files, route->pos,
                "this route needs an answer: write `answer: row` for one object, or `answer: rows` for "
                "an array");
        return;
    }
    for (size_t i = 0; i < 2; i++) {
        if (sql_only[i] != NULL)
            conf_files_error(reading->files, sql_only[i]->pos,
                             "%s goes with sql; this route is answered with %s", sql_only[i]->value,
                             key_of_handler(route->handler)->name);
    }
}

static bool is_method(const char *word)
{
    for (size_t i = 0; i < N_METHODS; i++) {
        if (strcmp(methods[i], word) == 0)
            return true;
    }
    return false;
}

static void note_bad_method(struct conf_files *files, struct conf_pos pos, const char *word)
{
    if (strcasecmp(word, "HEAD") == 0) {
        conf_files_error(files, pos, "a GET route answers HEAD as well: write GET");
    } else if (strcasecmp(word, "OPTIONS") == 0) {
        conf_files_error(files, pos, "OPTIONS is answered for every path without a route: remove it");
    } else {
        char *choice = conf_hint_choice(methods, N_METHODS);
        const char *near = conf_hint_nearest(word, methods, N_METHODS);
        char *meant = conf_hint_did_you_mean(near);
        conf_files_error(files, pos, "\"%.*s\" is not a method: that is %s, in capitals%s",
                         CONF_FILES_QUOTE(word), choice, meant);
        free(choice);
        free(meant);
    }
}

/* Takes "METHOD /path" apart. */
static void read_route_key(struct conf_files *files, struct conf_route *route, const struct conf_yaml *key)
{
    const char *blank = strchr(key->value, ' ');
    if (key->value[0] == '/') {
        conf_files_error(files, key->pos, "a route begins with its method: write \"GET %.*s\"",
                         CONF_FILES_QUOTE(key->value));
        return;
    }
    if (blank == NULL) {
        conf_files_error(files, key->pos, "a route is a method and a path, such as \"GET /contacts\"");
        return;
    }
    char *method = mem_strndup(key->value, (size_t)(blank - key->value));
    if (!is_method(method)) {
        note_bad_method(files, key->pos, method);
        free(method);
        return;
    }
    route->method = method;
    if (blank[1] == ' ')
        conf_files_error(files, key->pos, "one blank stands between method and path");
    else
        route->path = mem_strdup(blank + 1);
    route->label = mem_strdup(key->value);
}

static void read_route(struct conf *conf, struct conf_route *route, const struct conf_yaml_pair *pair)
{
    struct reading reading = {.files = conf->files, .route = route};
    const struct conf_yaml *value = pair->value;
    size_t before = conf_files_errors(conf->files);

    route->pos = pair->key->pos;
    read_route_key(conf->files, route, pair->key);
    if (value->kind == CONF_YAML_MAP) {
        for (size_t i = 0; i < value->n_items; i++)
            read_pair(&reading, value->items[i].key, value->items[i].value);
    } else if (!conf_yaml_is_null(value)) {
        conf_files_error(conf->files, value->pos,
                         "a route takes a mapping, not %s: write `%s:` in the line below, indented",
                         conf_yaml_what(value),
                         value->kind == CONF_YAML_SCALAR && !looks_like_sql(value->value) ? "text" : "sql");
        reading.unknown_key = true;
    }
    if (!reading.unknown_key && !value->incomplete)
        check_keys(&reading);
    route->whole = !value->incomplete && conf_files_errors(conf->files) == before;
}

void conf_route_read(struct conf *conf, const struct conf_yaml *node)
{
    if (node->kind != CONF_YAML_MAP) {
        conf_files_error(conf->files, node->pos,
                         "routes takes a mapping, not %s: write `GET /path:` in the line below, indented",
                         conf_yaml_what(node));
        return;
    }
    conf->routes = mem_calloc(node->n_items, sizeof(*conf->routes));
    conf->n_routes = node->n_items;
    for (size_t i = 0; i < node->n_items; i++)
        read_route(conf, &conf->routes[i], &node->items[i]);
}

void conf_route_free(struct conf_route *route)
{
    for (size_t i = 0; i < route->n_query; i++) {
        free(route->query[i].name);
        free(route->query[i].default_text);
    }
    sql_free(&route->statement);
    free(route->query);
    free(route->params);
    free(route->method);
    free(route->path);
    free(route->label);
    free(route->sql);
    free(route->body);
}
