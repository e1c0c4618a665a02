/* route.c: the routes of the conf, each read by itself. */
#include "conf/route.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/access.h"
#include "conf/headers.h"
#include "conf/hint.h"
#include "conf/images.h"
#include "conf/kind.h"
#include "conf/listen.h"
#include "conf/params.h"
#include "conf/reading.h"
#include "conf/relay.h"
#include "conf/table.h"

static conf_reading_read read_on, read_deadline, read_headers, read_access_log, read_server_timing;

/* The keys that go with all kinds of handlers. */
static const struct conf_key common_keys[] = {
    {"on", read_on},
    {"deadline", read_deadline},
    {"headers", read_headers},
    {"images", conf_images_read},
    {"access_log", read_access_log},
    {"server_timing", read_server_timing},
};
enum { N_COMMON_KEYS = sizeof(common_keys) / sizeof(common_keys[0]) };

/* The keys that `defaults` may have. */
static const char *const default_keys[] = {
    "on", "headers", "deadline", "access_log", "server_timing", "unknown_query", "merge"};
enum { N_DEFAULT_KEYS = sizeof(default_keys) / sizeof(default_keys[0]) };

/* The last one is for relays alone. */
static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE", "ANY", "OPTIONS"};
enum { N_METHODS = sizeof(methods) / sizeof(methods[0]) };

/* What a key is. */
struct found {
    const struct conf_key *key;   /* NULL if there is none */
    const struct conf_kind *kind; /* that it goes with; NULL goes with all */
    bool is_first;                /* it makes a route one of that kind */
};

static struct found find_key(const char *name)
{
    for (size_t k = 0; conf_kinds[k] != NULL; k++) {
        const struct conf_kind *kind = conf_kinds[k];
        for (size_t i = 0; i < kind->n_keys; i++) {
            if (strcmp(kind->keys[i].name, name) == 0)
                return (struct found){&kind->keys[i], kind, i < kind->n_first};
        }
    }
    for (size_t i = 0; i < N_COMMON_KEYS; i++) {
        if (strcmp(common_keys[i].name, name) == 0)
            return (struct found){.key = &common_keys[i]};
    }
    return (struct found){0};
}

bool conf_route_has_key(const char *name)
{
    return find_key(name).key != NULL;
}

/* Names of keys, for messages. */
struct names {
    const char **all; /* to be freed */
    size_t n;
};

static void add_name(struct names *names, const char *name)
{
    MEM_GROW(&names->all, names->n);
    names->all[names->n++] = name;
}

/* Those that make a route one of a kind. */
static struct names first_names(void)
{
    struct names names = {0};
    for (size_t k = 0; conf_kinds[k] != NULL; k++) {
        for (size_t i = 0; i < conf_kinds[k]->n_first; i++)
            add_name(&names, conf_kinds[k]->keys[i].name);
    }
    return names;
}

static struct names all_names(void)
{
    struct names names = first_names();
    for (size_t k = 0; conf_kinds[k] != NULL; k++) {
        for (size_t i = conf_kinds[k]->n_first; i < conf_kinds[k]->n_keys; i++)
            add_name(&names, conf_kinds[k]->keys[i].name);
    }
    for (size_t i = 0; i < N_COMMON_KEYS; i++)
        add_name(&names, common_keys[i].name);
    return names;
}

static void read_on(struct conf_reading *reading, const char *key, const struct conf_yaml *value)
{
    (void)key;
    conf_listen_read_on(reading->files, reading->route, value);
}

static void read_deadline(struct conf_reading *reading, const char *key, const struct conf_yaml *value)
{
    conf_reading_like(reading, "limits", "deadline", &reading->route->deadline, key, value);
}

static void read_headers(struct conf_reading *reading, const char *key, const struct conf_yaml *value)
{
    conf_headers_read(reading->files, key, value, &reading->route->headers, &reading->route->n_headers);
}

/* Is a pair only a key, as what follows a comma in { } is? */
static bool is_bare(const struct conf_yaml_pair *pair)
{
    return pair->key->style == CONF_YAML_PLAIN && conf_yaml_is_null(pair->value);
}

/*
 * Is the pair a piece of an SQL without quotes that a comma in { } has ended? Notes that, for the first of
 * its pieces.
 */
static bool refuse_piece(struct conf_reading *reading, size_t i)
{
    const struct conf_yaml_pair *items = reading->map->items;
    size_t first = i;
    while (first > 0 && is_bare(&items[first]))
        first--;
    const struct conf_yaml *key = items[first].key, *value = items[first].value;
    if (first == i || strcmp(key->value, "sql") != 0 || value->kind != CONF_YAML_SCALAR ||
        value->style != CONF_YAML_PLAIN || value->end_line != items[first + 1].key->pos.line)
        return false;
    if (first + 1 == i)
        conf_files_error(reading->files, items[i].key->pos,
                         "inside { } a comma ends an SQL without quotes: put all of it in quotes");
    reading->unknown_key = true;
    return true;
}

static void read_access_log(struct conf_reading *reading, const char *key, const struct conf_yaml *value)
{
    (void)key;
    conf_access_read(reading->files, value, &reading->route->access_log);
}

static void read_server_timing(struct conf_reading *reading, const char *key, const struct conf_yaml *value)
{
    static const char *const words[] = {"on", "off"};
    size_t word = conf_reading_word(reading, key, value, words, 2, "on or off");
    reading->route->has_server_timing = true;
    reading->route->server_timing = word == 0 ? CONF_ON : CONF_OFF;
}

static void note_unknown_key(struct conf_reading *reading, const struct conf_yaml *key)
{
    struct names names = all_names();
    conf_table_unknown_key(reading->files, key->pos, "route", key->value, names.all, names.n, true);
    free(names.all);
    reading->unknown_key = true;
}

static void read_pair(struct conf_reading *reading, size_t i)
{
    const struct conf_yaml *key = reading->map->items[i].key, *value = reading->map->items[i].value;
    struct found found = find_key(key->value);
    if (refuse_piece(reading, i))
        return;
    if (found.key == NULL) {
        note_unknown_key(reading, key);
        return;
    }
    if (found.is_first) {
        if (reading->handler_key != NULL) {
            conf_files_error(reading->files, key->pos,
                             "a route has one handler; %s on line %d is one already",
                             reading->handler_key->value, reading->handler_key->pos.line);
            return;
        }
        reading->handler_key = key;
        reading->route->kind = found.kind;
    }
    if (conf_yaml_is_null(value))
        conf_files_error(reading->files, value->pos, "%s has no value", found.key->name);
    else
        found.key->read(reading, found.key->name, value);
}

/* Keys that go with another kind than the route's. */
static void check_foreign_keys(struct conf_reading *reading)
{
    const struct conf_kind *kind = reading->route->kind;
    for (size_t i = 0; i < reading->map->n_items; i++) {
        const struct conf_yaml *key = reading->map->items[i].key;
        struct found found = find_key(key->value);
        if (found.kind != NULL && found.kind != kind && !found.is_first &&
            !conf_images_bring(reading->route, key->value))
            conf_files_error(reading->files, key->pos, "%s goes with %s; this route is answered with %s",
                             key->value, conf_kind_name(found.kind), conf_kind_name(kind));
    }
}

/* What must not be in a route whose answer is the same for all. */
static void check_constant_headers(struct conf_reading *reading)
{
    const struct conf_route *route = reading->route;
    for (size_t i = 0; i < route->n_headers; i++) {
        const char *name = conf_headers_first_name(&route->headers[i]);
        if (name != NULL)
            conf_files_error(reading->files, route->headers[i].pos,
                             "{%s} is a column or a parameter of SQL, and this route is answered with %s; a "
                             "literal brace is `{{`",
                             name, conf_kind_name(route->kind));
    }
}

static void note_no_handler(struct conf_reading *reading)
{
    struct names names = first_names();
    char *choice = conf_hint_choice(names.all, names.n);
    conf_files_error(reading->files, reading->route->pos,
                     "this route does not say how it is answered: it needs %s", choice);
    free(choice);
    free(names.all);
}

static void check_keys(struct conf_reading *reading)
{
    const struct conf_kind *kind = reading->route->kind;
    if (kind == NULL) {
        note_no_handler(reading);
        return;
    }
    check_foreign_keys(reading);
    if (conf_reading_is_for(reading, "OPTIONS") && !kind->takes_options)
        conf_files_error(reading->files, reading->route->pos,
                         "OPTIONS is answered for every path without a route: remove it");
    if (!kind->fills_headers)
        check_constant_headers(reading);
    if (kind->finish != NULL)
        kind->finish(reading);
    if (reading->route->makes_images)
        conf_images_finish(reading);
}

/* Fills in what the route does not say itself. */
static void complete(const struct conf_reading *reading, const struct conf_route *defaults)
{
    struct conf_route *route = reading->route;
    if (route->kind != NULL && route->kind->complete != NULL)
        route->kind->complete(reading, defaults);
    if (conf_reading_key(reading, "unknown_query") == NULL)
        route->ignore_unknown_query = defaults->ignore_unknown_query;
    if (route->deadline == 0)
        route->deadline = defaults->deadline;
    if (conf_reading_key(reading, "on") == NULL)
        conf_listen_inherit_on(route, defaults);
    if (!route->has_server_timing) {
        route->has_server_timing = defaults->has_server_timing;
        route->server_timing = defaults->server_timing;
    }
    conf_access_inherit(&route->access_log, &defaults->access_log);
    conf_access_inherit(&route->access_log, &reading->conf->access_log);
    conf_headers_inherit(&route->headers, &route->n_headers, defaults->headers, defaults->n_headers);
    if (route->kind != NULL && route->kind->check_headers != NULL)
        route->kind->check_headers(reading->files, route);
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
    } else {
        char *choice = conf_hint_choice(methods, N_METHODS - 1);
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
        conf_files_error(files, key->pos, "method and path have one space between them");
    else
        route->path = mem_strdup(blank + 1);
    route->label = mem_strdup(key->value);
}

static void read_route(struct conf *conf, struct conf_route *route, const struct conf_yaml_pair *pair,
                       const struct conf_route *defaults)
{
    struct conf_reading reading = {.conf = conf, .files = conf->files, .route = route};
    const struct conf_yaml *value = pair->value;
    size_t before = conf_files_errors(conf->files);

    route->pos = pair->key->pos;
    read_route_key(conf->files, route, pair->key);
    if (value->kind == CONF_YAML_MAP) {
        reading.map = value;
        for (size_t i = 0; i < value->n_items; i++)
            read_pair(&reading, i);
    } else if (!conf_yaml_is_null(value)) {
        bool sql = value->kind != CONF_YAML_SCALAR || conf_params_looks_like_sql(value->value);
        conf_files_error(conf->files, value->pos,
                         "a route takes a mapping, not %s: write `%s:` on the line below, indented",
                         conf_yaml_what(value), sql ? "sql" : "text");
        reading.unknown_key = true;
    }
    if (!reading.unknown_key && !value->incomplete)
        check_keys(&reading);
    complete(&reading, defaults);
    route->whole = !value->incomplete && conf_files_errors(conf->files) == before;
}

void conf_route_read(struct conf *conf, const struct conf_yaml *node, const struct conf_route *defaults)
{
    if (node->kind != CONF_YAML_MAP) {
        conf_files_error(conf->files, node->pos,
                         "routes takes a mapping, not %s: write `GET /path:` on the line below, indented",
                         conf_yaml_what(node));
        return;
    }
    for (size_t i = 0; i < node->n_items; i++) {
        MEM_GROW(&conf->routes, conf->n_routes);
        struct conf_route *route = &conf->routes[conf->n_routes++];
        *route = (struct conf_route){0};
        read_route(conf, route, &node->items[i], defaults);
    }
}

static void note_no_default(struct conf_files *files, const struct conf_yaml *key)
{
    const char *synonym = conf_hint_synonym("route", key->value);
    const char *near = synonym == NULL ? conf_hint_nearest(key->value, default_keys, N_DEFAULT_KEYS)
                                       : strchr(synonym, '.') + 1;
    char *meaning = NULL;
    for (size_t i = 0; near != NULL && i < N_DEFAULT_KEYS; i++) {
        if (strcmp(near, default_keys[i]) == 0)
            meaning = mem_printf("defaults.%s", near);
    }
    if (find_key(key->value).key != NULL) {
        char *choice = conf_hint_choice(default_keys, N_DEFAULT_KEYS);
        conf_files_error(files, key->pos, "%s has no default: each route has its own; defaults can have %s",
                         key->value, choice);
        free(choice);
    } else {
        conf_hint_unknown(files, key->pos, "defaults", key->value, meaning, default_keys, N_DEFAULT_KEYS);
    }
    free(meaning);
}

void conf_route_read_defaults(struct conf_files *files, const struct conf_yaml *node,
                              struct conf_route *defaults)
{
    struct conf_reading reading = {.files = files, .route = defaults};
    if (node->kind != CONF_YAML_MAP) {
        conf_files_error(
            files, node->pos,
            "defaults takes a mapping, not %s: below it, indented, it can have on, headers, deadline, "
            "access_log, server_timing, unknown_query and merge",
            conf_yaml_what(node));
        return;
    }
    for (size_t i = 0; i < node->n_items; i++) {
        const struct conf_yaml *key = node->items[i].key, *value = node->items[i].value;
        size_t k = 0;
        while (k < N_DEFAULT_KEYS && strcmp(default_keys[k], key->value) != 0)
            k++;
        if (k == N_DEFAULT_KEYS)
            note_no_default(files, key);
        else if (conf_yaml_is_null(value))
            conf_files_error(files, value->pos, "%s has no value", key->value);
        else
            find_key(key->value).key->read(&reading, key->value, value);
    }
    for (size_t i = 0; i < defaults->n_headers; i++) {
        const char *name = conf_headers_first_name(&defaults->headers[i]);
        if (name != NULL)
            conf_files_error(files, defaults->headers[i].pos,
                             "defaults are for all routes, and not every one has {%s}: write this header in "
                             "the route; a literal brace is `{{`",
                             name);
    }
}

void conf_route_free(struct conf_route *route)
{
    conf_params_free(route);
    conf_headers_free(route->headers, route->n_headers);
    conf_headers_free(route->send, route->n_send);
    conf_relay_free_target(route);
    sql_free(&route->statement);
    free(route->method);
    free(route->path);
    free(route->label);
    free(route->sql);
    free(route->body);
    free(route->folder);
    free(route->index);
    free(route->fallback);
    conf_listen_free_on(route);
    conf_images_free(route);
    conf_access_free(&route->access_log);
    free(route->relay);
    free(route->model_name);
}
