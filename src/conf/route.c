/* route.c: the routes of the conf, each read by itself. */
#include "conf/route.h"

#include <stdlib.h>
#include <string.h>

#include "conf/folder.h"
#include "conf/headers.h"
#include "conf/hint.h"
#include "conf/json.h"
#include "conf/lanes.h"
#include "conf/listen.h"
#include "conf/params.h"
#include "conf/relay.h"
#include "conf/table.h"
#include "base/mem.h"

/* The keys of a route. Those before N_HANDLER_KEYS make it what it is. */
enum route_key_index {
    KEY_SQL,
    KEY_SQL_FILE,
    KEY_JSON,
    KEY_JSON_FILE,
    KEY_TEXT,
    KEY_FILES,
    KEY_RELAY,
    N_HANDLER_KEYS,
    KEY_ANSWER = N_HANDLER_KEYS,
    KEY_QUERY,
    KEY_UNKNOWN_QUERY,
    KEY_BODY,
    KEY_BODY_AS,
    KEY_STATUS,
    KEY_NO_ROW,
    KEY_LANE,
    KEY_MERGE,
    KEY_INDEX,
    KEY_FALLBACK,
    KEY_ON,
    KEY_SEND,
    KEY_FORWARDED,
    KEY_CONNECT_DEADLINE,
    KEY_DEADLINE,
    KEY_HEADERS,
    N_ROUTE_KEYS
};

/* One route while it is being read. */
struct reading {
    const struct conf *conf;
    struct conf_files *files;
    struct conf_route *route;
    const struct conf_yaml *keys[N_ROUTE_KEYS]; /* those that the route has; of the handlers the first one */
    const struct conf_yaml *handler_key;
    bool unknown_key; /* something may be missing only because its name is misspelled */
};

/* Reads the value of a key, which is never nothing. */
typedef void read_value(struct reading *reading, const char *key, const struct conf_yaml *value);

static read_value read_sql, read_sql_file, read_json, read_json_file, read_text, read_files, read_relay,
    read_answer, read_query, read_unknown_query, read_body, read_body_as, read_status, read_no_row, read_lane,
    read_merge, read_index, read_fallback, read_send, read_forwarded, read_connect_deadline, read_on,
    read_deadline, read_headers;

static const struct route_key {
    const char *name;
    enum conf_handler handler; /* that it makes of the route, or that it goes with; NONE goes with all */
    read_value *read;
} route_keys[N_ROUTE_KEYS] = {
    [KEY_SQL] = {"sql", CONF_HANDLER_SQL, read_sql},
    [KEY_SQL_FILE] = {"sql_file", CONF_HANDLER_SQL, read_sql_file},
    [KEY_JSON] = {"json", CONF_HANDLER_JSON, read_json},
    [KEY_JSON_FILE] = {"json_file", CONF_HANDLER_JSON, read_json_file},
    [KEY_TEXT] = {"text", CONF_HANDLER_TEXT, read_text},
    [KEY_FILES] = {"files", CONF_HANDLER_FILES, read_files},
    [KEY_RELAY] = {"relay", CONF_HANDLER_RELAY, read_relay},
    [KEY_ANSWER] = {"answer", CONF_HANDLER_SQL, read_answer},
    [KEY_QUERY] = {"query", CONF_HANDLER_SQL, read_query},
    [KEY_UNKNOWN_QUERY] = {"unknown_query", CONF_HANDLER_SQL, read_unknown_query},
    [KEY_BODY] = {"body", CONF_HANDLER_SQL, read_body},
    [KEY_BODY_AS] = {"body_as", CONF_HANDLER_SQL, read_body_as},
    [KEY_STATUS] = {"status", CONF_HANDLER_SQL, read_status},
    [KEY_NO_ROW] = {"no_row", CONF_HANDLER_SQL, read_no_row},
    [KEY_LANE] = {"lane", CONF_HANDLER_SQL, read_lane},
    [KEY_MERGE] = {"merge", CONF_HANDLER_SQL, read_merge},
    [KEY_INDEX] = {"index", CONF_HANDLER_FILES, read_index},
    [KEY_FALLBACK] = {"fallback", CONF_HANDLER_FILES, read_fallback},
    [KEY_ON] = {"on", CONF_HANDLER_NONE, read_on},
    [KEY_SEND] = {"send", CONF_HANDLER_RELAY, read_send},
    [KEY_FORWARDED] = {"forwarded", CONF_HANDLER_RELAY, read_forwarded},
    [KEY_CONNECT_DEADLINE] = {"connect_deadline", CONF_HANDLER_RELAY, read_connect_deadline},
    [KEY_DEADLINE] = {"deadline", CONF_HANDLER_NONE, read_deadline},
    [KEY_HEADERS] = {"headers", CONF_HANDLER_NONE, read_headers},
};

/* The keys that `defaults` may have. */
static const enum route_key_index default_keys[] = {KEY_ON, KEY_HEADERS, KEY_DEADLINE, KEY_UNKNOWN_QUERY,
                                                    KEY_MERGE};
enum { N_DEFAULT_KEYS = sizeof(default_keys) / sizeof(default_keys[0]) };

/* The last one is for relays alone. */
static const char *const methods[] = {"GET", "POST", "PUT", "PATCH", "DELETE", "ANY", "OPTIONS"};
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

static const char *name_of_handler(enum conf_handler handler)
{
    size_t i = 0;
    while (route_keys[i].handler != handler)
        i++;
    return route_keys[i].name;
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

static void read_files(struct reading *reading, const char *key, const struct conf_yaml *value)
{
    (void)key;
    conf_folder_read(reading->files, reading->route, value);
}

/* Reads one of n words. Returns its index, or n after noting a mistake; choice is how that names the words.
 */
static size_t read_word(struct reading *reading, const char *key, const struct conf_yaml *value,
                        const char *const *words, size_t n, const char *choice)
{
    if (!want_text(reading, key, value))
        return n;
    size_t i = 0;
    while (i < n && strcmp(value->value, words[i]) != 0)
        i++;
    if (i == n)
        conf_files_error(reading->files, value->pos, "%s takes %s, not \"%.*s\"", key, choice,
                         CONF_FILES_QUOTE(value->value));
    return i;
}

static void read_answer(struct reading *reading, const char *key, const struct conf_yaml *value)
{
    static const char *const answers[] = {[CONF_ANSWER_ROW] = "row",
                                          [CONF_ANSWER_ROWS] = "rows",
                                          [CONF_ANSWER_NONE] = "none",
                                          [CONF_ANSWER_VALUE] = "value"};
    size_t i = read_word(reading, key, value, answers, 4,
                         "row (one object), rows (an array), none (no body) or value (the first column as it "
                         "is)");
    if (i < 4)
        reading->route->answer = (enum conf_answer)i;
}

static void read_query(struct reading *reading, const char *key, const struct conf_yaml *value)
{
    (void)key;
    if (!conf_params_read(reading->files, reading->route, PARAMS_QUERY, value))
        reading->unknown_key = true;
}

static void read_unknown_query(struct reading *reading, const char *key, const struct conf_yaml *value)
{
    static const char *const words[] = {"refuse", "ignore"};
    reading->route->ignore_unknown_query =
        read_word(reading, key, value, words, 2, "refuse (answered 400) or ignore") == 1;
}

static void read_merge(struct reading *reading, const char *key, const struct conf_yaml *value)
{
    static const char *const words[] = {"on", "off"};
    reading->route->merge_off = read_word(reading, key, value, words, 2, "on or off") == 1;
}

static void read_body(struct reading *reading, const char *key, const struct conf_yaml *value)
{
    (void)key;
    if (!conf_params_read(reading->files, reading->route, PARAMS_BODY, value))
        reading->unknown_key = true;
}

static void read_body_as(struct reading *reading, const char *key, const struct conf_yaml *value)
{
    (void)key;
    conf_params_read_body_as(reading->files, reading->route, value);
}

/* Returns 0 for what is not a number of three digits. */
static int status_of(const char *text)
{
    return strlen(text) == 3 && strspn(text, "0123456789") == 3 ? atoi(text) : 0;
}

static void read_status(struct reading *reading, const char *key, const struct conf_yaml *value)
{
    if (!want_text(reading, key, value))
        return;
    int status = status_of(value->value);
    if (status >= 200 && status <= 299)
        reading->route->status = status;
    else
        conf_files_error(reading->files, value->pos,
                         "%s is that of a good answer: it takes a number from 200 to 299, not \"%.*s\"", key,
                         CONF_FILES_QUOTE(value->value));
}

static void read_no_row(struct reading *reading, const char *key, const struct conf_yaml *value)
{
    if (!want_text(reading, key, value))
        return;
    int status = status_of(value->value);
    if (status == 204 || (status >= 400 && status <= 499))
        reading->route->no_row = status;
    else
        conf_files_error(reading->files, value->pos,
                         "%s takes 204 (nothing, and that is no error) or a status from 400 to 499, not "
                         "\"%.*s\"",
                         key, CONF_FILES_QUOTE(value->value));
}

static void note_no_lane(struct reading *reading, const struct conf_yaml *value)
{
    const struct conf *conf = reading->conf;
    const char **names = conf_lanes_names(conf);
    char *choice = conf_hint_choice(names, conf->n_lanes);
    const char *near = conf_hint_nearest(value->value, names, conf->n_lanes);
    char *meant = conf_hint_did_you_mean(near);
    conf_files_error(reading->files, value->pos, "lane takes %s, not \"%.*s\"%s", choice,
                     CONF_FILES_QUOTE(value->value),
                     near == NULL ? "; other lanes have to be declared in database.lanes" : meant);
    free(meant);
    free(choice);
    free(names);
}

static void read_lane(struct reading *reading, const char *key, const struct conf_yaml *value)
{
    const struct conf *conf = reading->conf;
    /* After a mistake it is the lane on which everything can run, so that it causes no other. */
    reading->route->lane = CONF_LANE_WRITE;
    if (!want_text(reading, key, value))
        return;
    size_t found = conf_lanes_find(conf, value->value);
    if (found < conf->n_lanes)
        reading->route->lane = (unsigned)found;
    else if (!conf->lanes_incomplete)
        note_no_lane(reading, value);
}

static void read_index(struct reading *reading, const char *key, const struct conf_yaml *value)
{
    (void)key;
    conf_folder_read_index(reading->files, reading->route, value);
}

static void read_fallback(struct reading *reading, const char *key, const struct conf_yaml *value)
{
    (void)key;
    conf_folder_read_fallback(reading->files, reading->route, value);
}

static void read_on(struct reading *reading, const char *key, const struct conf_yaml *value)
{
    (void)key;
    conf_listen_read_on(reading->files, reading->route, value);
}

/* Reads a value of the same type as a directive's. */
static void read_like(struct reading *reading, const char *section, const char *name, void *place,
                      const char *key, const struct conf_yaml *value)
{
    if (!want_text(reading, key, value))
        return;
    struct conf_directive row = *conf_table_find(section, name);
    row.name = key;
    char *problem = conf_table_read(&row, place, value->value);
    if (problem != NULL)
        conf_files_error(reading->files, value->pos, "%s", problem);
    free(problem);
}

static void read_deadline(struct reading *reading, const char *key, const struct conf_yaml *value)
{
    read_like(reading, "limits", "deadline", &reading->route->deadline, key, value);
}

static void read_connect_deadline(struct reading *reading, const char *key, const struct conf_yaml *value)
{
    read_like(reading, "limits", "connect", &reading->route->connect_deadline, key, value);
}

static void read_forwarded(struct reading *reading, const char *key, const struct conf_yaml *value)
{
    reading->route->forwarded_is_set = true;
    read_like(reading, "", "forwarded", &reading->route->forwarded, key, value);
}

static void read_relay(struct reading *reading, const char *key, const struct conf_yaml *value)
{
    if (!want_text(reading, key, value))
        return;
    reading->route->relay = mem_strdup(value->value);
    reading->route->relay_pos = value->pos;
}

static void read_headers(struct reading *reading, const char *key, const struct conf_yaml *value)
{
    conf_headers_read(reading->files, key, value, &reading->route->headers, &reading->route->n_headers);
}

static void read_send(struct reading *reading, const char *key, const struct conf_yaml *value)
{
    conf_headers_read(reading->files, key, value, &reading->route->send, &reading->route->n_send);
}

static void note_unknown_key(struct reading *reading, const struct conf_yaml *key)
{
    const char *names[N_ROUTE_KEYS];
    for (size_t i = 0; i < N_ROUTE_KEYS; i++)
        names[i] = route_keys[i].name;
    conf_table_unknown_key(reading->files, key->pos, "route", key->value, names, N_ROUTE_KEYS, true);
    reading->unknown_key = true;
}

static void read_pair(struct reading *reading, const struct conf_yaml *key, const struct conf_yaml *value)
{
    const struct route_key *row = find_key(key->value);
    if (row == NULL) {
        note_unknown_key(reading, key);
        return;
    }
    if (row < &route_keys[N_HANDLER_KEYS]) {
        if (reading->handler_key != NULL) {
            conf_files_error(reading->files, key->pos,
                             "a route has one handler; %s on line %d is one already",
                             reading->handler_key->value, reading->handler_key->pos.line);
            return;
        }
        reading->handler_key = key;
        reading->route->handler = row->handler;
    }
    reading->keys[row - route_keys] = key;
    if (conf_yaml_is_null(value))
        conf_files_error(reading->files, value->pos, "%s has no value", row->name);
    else
        row->read(reading, row->name, value);
}

/* What goes with what in a route with SQL. */
static void check_sql_keys(struct reading *reading)
{
    const struct conf_route *route = reading->route;
    const struct conf_yaml *status = reading->keys[KEY_STATUS], *no_row = reading->keys[KEY_NO_ROW];
    bool is_get = route->method != NULL && strcmp(route->method, "GET") == 0;
    if (reading->keys[KEY_ANSWER] == NULL) {
        conf_files_error(
            reading->files, route->pos,
            "this route needs an answer: write `answer: row` for one object, `answer: rows` for "
            "an array, `answer: none` for no body, or `answer: value` for the first column as it "
            "is");
    } else if (no_row != NULL && route->answer == CONF_ANSWER_ROWS) {
        conf_files_error(
            reading->files, no_row->pos,
            "with `answer: rows` no row is an empty array; no_row goes with row, value and none");
    } else if (status != NULL && route->answer != CONF_ANSWER_NONE &&
               (route->status == 204 || route->status == 205)) {
        conf_files_error(reading->files, status->pos,
                         "an answer with status %d has no body: write `answer: none`", route->status);
    }
    if (reading->keys[KEY_MERGE] != NULL && reading->keys[KEY_ANSWER] != NULL &&
        route->answer != CONF_ANSWER_ROW)
        conf_files_error(reading->files, reading->keys[KEY_MERGE]->pos,
                         "only reads with `answer: row` are merged; leave this out");
    for (size_t i = KEY_BODY; is_get && i <= KEY_BODY_AS; i++) {
        if (reading->keys[i] != NULL)
            conf_files_error(reading->files, reading->keys[i]->pos,
                             "a GET request has no body: make this route a POST, or take URL parameters by "
                             "`query`");
    }
    conf_params_finish(reading->files, reading->route);
}

/* Keys that go with another handler than the route's. */
static void check_foreign_keys(struct reading *reading)
{
    enum conf_handler handler = reading->route->handler;
    for (size_t i = N_HANDLER_KEYS; i < N_ROUTE_KEYS; i++) {
        enum conf_handler needed = route_keys[i].handler;
        if (reading->keys[i] != NULL && needed != CONF_HANDLER_NONE && needed != handler)
            conf_files_error(reading->files, reading->keys[i]->pos,
                             "%s goes with %s; this route is answered with %s", route_keys[i].name,
                             name_of_handler(needed), name_of_handler(handler));
    }
}

/* What must not be in a route whose answer is the same for all. */
static void check_constant_headers(struct reading *reading)
{
    const struct conf_route *route = reading->route;
    const char *handler = name_of_handler(route->handler);
    for (size_t i = 0; i < route->n_headers; i++) {
        const char *name = conf_headers_first_name(&route->headers[i]);
        if (name != NULL)
            conf_files_error(reading->files, route->headers[i].pos,
                             "{%s} is a column or a parameter of SQL, and this route is answered with %s; a "
                             "brace that stands for itself is `{{`",
                             name, handler);
    }
}

static void check_keys(struct reading *reading)
{
    if (reading->handler_key == NULL) {
        const char *names[N_HANDLER_KEYS];
        for (size_t i = 0; i < N_HANDLER_KEYS; i++)
            names[i] = route_keys[i].name;
        char *choice = conf_hint_choice(names, N_HANDLER_KEYS);
        conf_files_error(reading->files, reading->route->pos,
                         "this route does not say how it is answered: it needs %s", choice);
        free(choice);
        return;
    }
    check_foreign_keys(reading);
    bool is_options = reading->route->method != NULL && strcmp(reading->route->method, "OPTIONS") == 0;
    if (is_options && reading->route->handler != CONF_HANDLER_RELAY)
        conf_files_error(reading->files, reading->route->pos,
                         "OPTIONS is answered for every path without a route: remove it");
    if (reading->route->handler == CONF_HANDLER_SQL)
        check_sql_keys(reading);
    else if (reading->route->handler != CONF_HANDLER_RELAY)
        check_constant_headers(reading);
    if (reading->route->handler == CONF_HANDLER_FILES)
        conf_folder_finish(reading->files, reading->route, reading->handler_key, reading->keys[KEY_FALLBACK]);
}

/* Fills in what the route does not say itself. */
static void complete(const struct reading *reading, const struct conf_route *defaults)
{
    struct conf_route *route = reading->route;
    bool is_get = route->method != NULL && strcmp(route->method, "GET") == 0;
    if (reading->keys[KEY_LANE] == NULL)
        route->lane = is_get ? CONF_LANE_READ : CONF_LANE_WRITE;
    if (reading->keys[KEY_UNKNOWN_QUERY] == NULL)
        route->ignore_unknown_query = defaults->ignore_unknown_query;
    if (reading->keys[KEY_MERGE] == NULL)
        route->merge_off = defaults->merge_off;
    if (route->status == 0)
        route->status = route->handler == CONF_HANDLER_SQL && route->answer == CONF_ANSWER_NONE ? 204 : 200;
    if (route->no_row == 0)
        route->no_row = 404;
    if (route->deadline == 0)
        route->deadline = defaults->deadline;
    if (route->handler == CONF_HANDLER_FILES && route->index == NULL)
        route->index = mem_strdup("index.html");
    if (reading->keys[KEY_ON] == NULL)
        conf_listen_inherit_on(route, defaults);
    conf_headers_inherit(&route->headers, &route->n_headers, defaults->headers, defaults->n_headers);
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
        conf_files_error(files, key->pos, "one blank stands between method and path");
    else
        route->path = mem_strdup(blank + 1);
    route->label = mem_strdup(key->value);
}

static void read_route(struct conf *conf, struct conf_route *route, const struct conf_yaml_pair *pair,
                       const struct conf_route *defaults)
{
    struct reading reading = {.conf = conf, .files = conf->files, .route = route};
    const struct conf_yaml *value = pair->value;
    size_t before = conf_files_errors(conf->files);

    route->pos = pair->key->pos;
    read_route_key(conf->files, route, pair->key);
    if (value->kind == CONF_YAML_MAP) {
        for (size_t i = 0; i < value->n_items; i++)
            read_pair(&reading, value->items[i].key, value->items[i].value);
    } else if (!conf_yaml_is_null(value)) {
        bool sql = value->kind != CONF_YAML_SCALAR || conf_params_looks_like_sql(value->value);
        conf_files_error(conf->files, value->pos,
                         "a route takes a mapping, not %s: write `%s:` in the line below, indented",
                         conf_yaml_what(value), sql ? "sql" : "text");
        reading.unknown_key = true;
    }
    if (!reading.unknown_key && !value->incomplete)
        check_keys(&reading);
    complete(&reading, defaults);
    if (route->handler == CONF_HANDLER_FILES)
        conf_folder_check_headers(conf->files, route);
    route->whole = !value->incomplete && conf_files_errors(conf->files) == before;
}

void conf_route_read(struct conf *conf, const struct conf_yaml *node, const struct conf_route *defaults)
{
    if (node->kind != CONF_YAML_MAP) {
        conf_files_error(conf->files, node->pos,
                         "routes takes a mapping, not %s: write `GET /path:` in the line below, indented",
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
    const char *names[N_DEFAULT_KEYS];
    for (size_t i = 0; i < N_DEFAULT_KEYS; i++)
        names[i] = route_keys[default_keys[i]].name;
    const char *synonym = conf_hint_synonym("route", key->value);
    const char *near =
        synonym == NULL ? conf_hint_nearest(key->value, names, N_DEFAULT_KEYS) : strchr(synonym, '.') + 1;
    char *meaning = NULL;
    for (size_t i = 0; near != NULL && i < N_DEFAULT_KEYS; i++) {
        if (strcmp(near, names[i]) == 0)
            meaning = mem_printf("defaults.%s", near);
    }
    if (find_key(key->value) != NULL) {
        char *choice = conf_hint_choice(names, N_DEFAULT_KEYS);
        conf_files_error(files, key->pos,
                         "%s has no default: each route says it itself; defaults can have %s", key->value,
                         choice);
        free(choice);
    } else {
        conf_hint_unknown(files, key->pos, "defaults", key->value, meaning, names, N_DEFAULT_KEYS);
    }
    free(meaning);
}

void conf_route_read_defaults(struct conf_files *files, const struct conf_yaml *node,
                              struct conf_route *defaults)
{
    struct reading reading = {.files = files, .route = defaults};
    if (node->kind != CONF_YAML_MAP) {
        conf_files_error(
            files, node->pos,
            "defaults takes a mapping, not %s: below it, indented, it can have on, headers, deadline, "
            "unknown_query and merge",
            conf_yaml_what(node));
        return;
    }
    for (size_t i = 0; i < node->n_items; i++) {
        const struct conf_yaml *key = node->items[i].key, *value = node->items[i].value;
        size_t k = 0;
        while (k < N_DEFAULT_KEYS && strcmp(route_keys[default_keys[k]].name, key->value) != 0)
            k++;
        if (k == N_DEFAULT_KEYS)
            note_no_default(files, key);
        else if (conf_yaml_is_null(value))
            conf_files_error(files, value->pos, "%s has no value", key->value);
        else
            route_keys[default_keys[k]].read(&reading, key->value, value);
    }
    for (size_t i = 0; i < defaults->n_headers; i++) {
        const char *name = conf_headers_first_name(&defaults->headers[i]);
        if (name != NULL)
            conf_files_error(files, defaults->headers[i].pos,
                             "defaults are for all routes, and not every one has {%s}: write this header in "
                             "the route; a brace that stands for itself is `{{`",
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
    free(route->relay);
}
