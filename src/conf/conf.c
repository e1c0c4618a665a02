/* conf.c: the conf file and the command line's overrides as struct conf. */
#include "conf/conf.h"

#include <stdlib.h>
#include <string.h>

#include "conf/access.h"
#include "conf/account.h"
#include "conf/admin.h"
#include "conf/check.h"
#include "conf/credential.h"
#include "conf/conninfo.h"
#include "conf/env.h"
#include "conf/files.h"
#include "conf/hint.h"
#include "conf/include.h"
#include "conf/lanes.h"
#include "conf/models.h"
#include "conf/listen.h"
#include "conf/relay.h"
#include "conf/route.h"
#include "conf/table.h"
#include "conf/yaml.h"
#include "base/mem.h"

enum { MAX_KEYS = 32 }; /* in one section */

/* The keys of a section; on the top level the sections, too. Returns how many there are. */
static size_t list_keys(const char *section, const char *keys[MAX_KEYS])
{
    size_t n = 0;
    for (size_t i = 0; i < conf_table_rows && n < MAX_KEYS; i++) {
        const struct conf_directive *row = &conf_table[i];
        const char *inner = conf_table_inner(section, row->section);
        if (strcmp(row->section, section) == 0)
            keys[n++] = row->name;
        else if (inner != NULL && (i == 0 || strcmp(row->section, conf_table[i - 1].section) != 0))
            keys[n++] = inner;
    }
    return n;
}

/* What a dotted name whose section does not exist was meant to be; the caller frees it. NULL for no idea. */
static char *guess_dotted(const char *name, const char *dot, const char *const *keys, size_t n)
{
    char *section = mem_strndup(name, (size_t)(dot - name)), *meaning = NULL;
    const char *guess = conf_hint_synonym("", section);
    if (guess == NULL)
        guess = conf_hint_nearest(section, keys, n);
    if (guess != NULL && conf_table_find(guess, dot + 1) != NULL)
        meaning = mem_printf("%s%s", guess, dot);
    free(section);
    return meaning;
}

/* What an unknown key of a section was meant to be, as a dotted name that the caller frees, or NULL. */
static char *guess_meaning(const char *section, const char *key, const char *const *keys, size_t n)
{
    const char *dot = strchr(key, '.');
    const char *synonym = conf_hint_synonym(section, key);
    if (synonym != NULL)
        return mem_strdup(synonym);
    char *elsewhere = conf_table_anywhere(key);
    if (elsewhere != NULL)
        return elsewhere;
    if (dot != NULL)
        return guess_dotted(key, dot, keys, n);
    if (conf_route_has_key(key))
        return mem_printf("route.%s", key);
    const char *near = conf_hint_nearest(key, keys, n);
    if (near == NULL)
        return NULL;
    return mem_printf("%s%s%s", section, section[0] == '\0' ? "" : ".", near);
}

static void note_unknown(struct conf *conf, const char *section, struct conf_pos pos, const char *key)
{
    const char *keys[MAX_KEYS];
    size_t n = list_keys(section, keys);
    if (section[0] == '\0' && (key[0] == '/' || strstr(key, " /") != NULL)) {
        conf_files_error(conf->files, pos, "a route belongs below \"routes\", indented");
        return;
    }
    char *meaning = guess_meaning(section, key, keys, n);
    conf_hint_unknown(conf->files, pos, section, key, meaning, keys, n);
    free(meaning);
}

/* A connection string is looked at as libpq does, and what is secret in it is not shown with any mistake. */
static void read_connect(struct conf *conf, const struct conf_directive *row, const struct conf_yaml *node)
{
    char *mask = mem_calloc(strlen(node->value) + 1, 1);
    size_t at;
    conf_conninfo_mark(node->value, mask);
    conf_files_hide(conf->files, node->pos, node->end_line, node->value, mask);
    char *problem = conf_conninfo_check(node->value, &at);
    if (problem != NULL)
        conf_files_error(conf->files, conf_files_place(conf->files, node->pos, node->value, at), "%s",
                         problem);
    free(conf_table_set(row, conf, node->value));
    free(problem);
    free(mask);
}

/* A relative path is of the file that names it. */
static void read_path(struct conf *conf, const struct conf_directive *row, const struct conf_yaml *node)
{
    bool is_word = false;
    for (size_t i = 0; row->words[i] != NULL; i++)
        is_word = is_word || strcmp(row->words[i], node->value) == 0;
    bool is_none = node->value[0] == '\0';
    if (is_none && row->default_text[0] != '\0') {
        conf_files_error(conf->files, node->pos, "%s is the name of a file", row->name);
        return;
    }
    char *path =
        is_word || is_none ? mem_strdup(node->value) : conf_files_resolve(node->pos.file, node->value);
    free(conf_table_set(row, conf, path));
    free(path);
}

static void read_directive(struct conf *conf, const struct conf_directive *row, const struct conf_yaml *node)
{
    if (row->type == CONF_TYPE_LANES) {
        conf_lanes_read(conf, node);
        return;
    }
    if (row->type == CONF_TYPE_ADMIN)
        return; /* it follows all other listeners: see conf_admin_read */
    if (row->type != CONF_TYPE_LISTEN && row->type != CONF_TYPE_UPSTREAMS && row->type != CONF_TYPE_MODELS &&
        row->type != CONF_TYPE_ACCESS_LOG && row->type != CONF_TYPE_ENV_FILE && !conf_table_is_scalar(row))
        return; /* they belong together: see conf_include_read */
    if (conf_yaml_is_null(node)) {
        conf_files_error(conf->files, node->pos, "%s has no value; remove the line for the default",
                         row->name);
    } else if (row->type == CONF_TYPE_LISTEN) {
        conf_listen_read(conf, node);
    } else if (row->type == CONF_TYPE_UPSTREAMS) {
        conf_relay_read_upstreams(conf, node);
    } else if (row->type == CONF_TYPE_ACCESS_LOG) {
        conf_access_read(conf->files, node, &conf->access_log);
    } else if (row->type == CONF_TYPE_MODELS) {
        conf_models_read(conf, node);
    } else if (node->kind != CONF_YAML_SCALAR) {
        conf_files_error(
            conf->files, node->pos, "%s takes a single value, not %s%s", row->name, conf_yaml_what(node),
            row->type == CONF_TYPE_CONNECT ? ": write host=db1.example.org dbname=contacts" : "");
    } else if (row->type == CONF_TYPE_CONNECT) {
        read_connect(conf, row, node);
    } else if (row->type == CONF_TYPE_CREDENTIAL) {
        char *problem, *name = conf_credential_name(node->pos.file, node->value, &problem);
        if (problem != NULL)
            conf_files_error(conf->files, node->pos, "%s", problem);
        else
            problem = conf_table_set(row, conf, name);
        free(name);
        free(problem);
    } else if (row->type == CONF_TYPE_PATH) {
        read_path(conf, row, node);
    } else if (row->type == CONF_TYPE_ENV_FILE) {
        if (node->value[0] == '\0') /* else it was read before all others */
            conf_files_error(conf->files, node->pos, "%s is the name of a file", row->name);
    } else {
        char *problem = conf_table_set(row, conf, node->value);
        if (problem != NULL)
            conf_files_error(conf->files, node->pos, "%s", problem);
        free(problem);
    }
}

/* An option of libpq that stands in the section database by itself, as if it were a directive. */
static bool is_option(const char *section, const struct conf_yaml_pair *item)
{
    return strcmp(section, "database") == 0 && conf_table_find(section, item->key->value) == NULL &&
           item->value->kind == CONF_YAML_SCALAR && conf_conninfo_has_option(item->key->value);
}

/* All such options are one mistake: it shows them as the connection string that they belong in. */
static void refuse_options(struct conf *conf, const char *section, const struct conf_yaml *map)
{
    const struct conf_yaml *first = NULL;
    bool secret = false;
    char *text = mem_strdup("");
    for (size_t i = 0; i < map->n_items; i++) {
        const struct conf_yaml_pair *item = &map->items[i];
        if (!is_option(section, item))
            continue;
        first = first == NULL ? item->key : first;
        char *pair = conf_yaml_is_null(item->value)
                         ? NULL
                         : conf_conninfo_pair(item->key->value, item->value->value, &secret);
        if (pair == NULL)
            continue;
        char *longer = mem_printf("%s%s%s", text, text[0] == '\0' ? "" : " ", pair);
        free(text);
        free(pair);
        text = longer;
    }
    bool any = text[0] != '\0';
    if (first != NULL)
        conf_files_error(conf->files, first->pos, "options of libpq belong in the connection string%s%s%s%s",
                         any ? ": write `connect: " : "", text, any ? "`" : "",
                         secret ? "; a password belongs in password_file or ~/.pgpass" : "");
    free(text);
}

/* A section as a single value. */
static void read_short_form(struct conf *conf, const struct conf_yaml *key, const struct conf_yaml *value)
{
    struct conf_directive row = *conf_table_short_form(key->value);
    row.name = key->value; /* in messages */
    read_directive(conf, &row, value);
}

static void read_section(struct conf *conf, const char *section, const struct conf_yaml *map)
{
    refuse_options(conf, section, map);
    conf->lanes_incomplete = conf->lanes_incomplete || map->incomplete;
    for (size_t i = 0; i < map->n_items; i++) {
        const struct conf_yaml *key = map->items[i].key, *value = map->items[i].value;
        const struct conf_directive *row = conf_table_find(section, key->value);
        char *inner = mem_printf("%s%s%s", section, section[0] == '\0' ? "" : ".", key->value);
        if (row != NULL) {
            read_directive(conf, row, value);
        } else if (is_option(section, &map->items[i])) {
            /* it was refused with its like */
        } else if (strchr(key->value, '.') != NULL || !conf_table_has_section(inner)) {
            note_unknown(conf, section, key->pos, key->value);
            if (value->kind == CONF_YAML_MAP)
                conf->lanes_incomplete = true; /* they may stand below a name that is misspelled */
        } else if (value->kind == CONF_YAML_MAP) {
            read_section(conf, inner, value);
        } else if (conf_table_short_form(inner) != NULL) {
            read_short_form(conf, key, value);
        } else if (!conf_yaml_is_null(value)) {
            const char *keys[MAX_KEYS];
            char *choice = conf_hint_choice(keys, list_keys(inner, keys));
            conf_files_error(conf->files, value->pos, "%s is a mapping: below it, indented, it can have %s",
                             key->value, choice);
            free(choice);
        }
        free(inner);
    }
}

static void read_defaults(struct conf *conf)
{
    for (size_t i = 0; i < conf_table_rows; i++) {
        const struct conf_directive *row = &conf_table[i];
        if (conf_table_is_scalar(row))
            free(conf_table_set(row, conf, row->default_text));
    }
}

static struct conf_yaml *new_key(struct conf_pos pos, const char *text, size_t len)
{
    struct conf_yaml *key = mem_calloc(1, sizeof(*key));
    key->pos = pos;
    key->one_line = true;
    key->value = mem_strndup(text, len);
    return key;
}

/*
 * The mapping of a section, "limits.images" in that of "limits"; made where it is not there. A single value
 * stays where it can stand for the section.
 */
static struct conf_yaml *put_section(struct conf_yaml *root, struct conf_pos pos, const char *section)
{
    struct conf_yaml *map = root;
    for (const char *at = section; *at != '\0'; at += strspn(at, ".")) {
        size_t len = strcspn(at, ".");
        char *name = mem_strndup(at, len);
        struct conf_yaml *outer = map, *value = conf_yaml_get(outer, name);
        const struct conf_directive *row = conf_table_short_form(section);
        at += len;
        map = value;
        if (value == NULL || value->kind != CONF_YAML_MAP) {
            map = conf_yaml_new_map(pos);
            if (row != NULL && value != NULL && value->kind == CONF_YAML_SCALAR) {
                struct conf_yaml *kept = new_key(value->pos, value->value, strlen(value->value));
                kept->style = value->style;
                conf_yaml_put(map, new_key(pos, row->name, strlen(row->name)), kept);
            }
            conf_yaml_put(outer, new_key(pos, name, len), map);
        }
        free(name);
    }
    return map;
}

/* Puts value, which it takes over, in the place of the dotted name; makes the section if it is not there. */
static void put_override(struct conf *conf, struct conf_yaml *root, struct conf_pos pos, const char *name,
                         struct conf_yaml *value)
{
    const char *dot = strrchr(name, '.');
    char *section = mem_strndup(name, dot == NULL ? 0 : (size_t)(dot - name));
    const char *last = dot == NULL ? name : dot + 1;
    struct conf_yaml *map = dot == NULL ? root : conf_yaml_get(root, section);
    bool names_listener = strcmp(section, "listen") == 0;

    if (names_listener && !conf_listen_check_override(conf->files, map, pos, last)) {
        conf_yaml_free(value);
    } else if (!names_listener && conf_table_find(section, last) == NULL &&
               (dot != NULL || !conf_table_has_section(last))) {
        if (dot == NULL || conf_table_has_section(section))
            note_unknown(conf, section, pos, last);
        else
            note_unknown(conf, "", pos, name);
        conf_yaml_free(value);
    } else {
        map = put_section(root, pos, section);
        conf_yaml_put(map, new_key(pos, last, strlen(last)), value);
    }
    free(section);
}

/*
 * The overrides become a file "-o" of one line each, so that mistakes in them are shown as all others are.
 * Returns NULL after noting a mistake.
 */
static const struct conf_file *add_override_file(struct conf *conf, const struct conf_override *overrides,
                                                 size_t n)
{
    char *text = mem_strdup("");
    for (size_t i = 0; i < n; i++) {
        char *longer = mem_printf("%s%s=%s\n", text, overrides[i].key, overrides[i].value);
        free(text);
        text = longer;
    }
    const struct conf_file *file = conf_files_add(conf->files, "-o", text);
    for (size_t i = 0; file != NULL && i < n; i++) {
        if (strpbrk(overrides[i].key, "\r\n") != NULL || strpbrk(overrides[i].value, "\r\n") != NULL) {
            conf_files_error(conf->files, (struct conf_pos){file->name, 0, 0},
                             "an override is a single line");
            return NULL;
        }
    }
    return file;
}

static void apply_overrides(struct conf *conf, struct conf_yaml *root, const struct conf_override *overrides,
                            size_t n)
{
    const struct conf_file *file = n == 0 ? NULL : add_override_file(conf, overrides, n);
    for (size_t i = 0; file != NULL && i < n; i++) {
        struct conf_pos key_pos = {file->name, (int)i + 1, 1}, pos = key_pos;
        struct str line = conf_files_line(conf->files, file->name, pos.line);
        size_t before = conf_files_errors(conf->files), skip = strlen(overrides[i].key) + 1;
        pos.column = (int)skip + 1;
        struct conf_yaml *value =
            conf_yaml_read(conf->files, pos, (struct str){line.base + skip, line.len - skip});
        if (value == NULL && conf_files_errors(conf->files) == before)
            value = new_key(pos, "", 0);
        if (value != NULL)
            put_override(conf, root, key_pos, overrides[i].key, value);
    }
}

/* Reads all routes, and says so if there are none, unless mistakes may be the reason. */
static void read_routes(struct conf *conf, const char *path, const struct conf_yaml *root, bool readable)
{
    size_t before = conf_files_errors(conf->files);
    conf_include_read(conf, path, root);
    const struct conf_yaml *routes = conf_yaml_get(root, "routes");
    if (!readable || root->incomplete || conf->n_routes > 0 || conf_files_errors(conf->files) > before ||
        (routes != NULL && routes->incomplete))
        return;
    conf_files_error(conf->files, routes == NULL ? (struct conf_pos){root->pos.file, 0, 0} : routes->pos,
                     "there is nothing to serve: the conf needs `routes:` with at least one route%s",
                     conf_yaml_get(root, "include") == NULL ? "" : ", and what it includes has none either");
}

/* A number of workers that would need too many connections. Where it is not in the conf, see main.c. */
static void check_workers(struct conf *conf, const struct conf_yaml *root)
{
    const struct conf_yaml *database = conf_yaml_get(root, "database"), *at = NULL;
    char *problem = conf->workers == 0 ? NULL : conf_refuse_workers(conf, conf->workers);
    if (database != NULL && database->kind == CONF_YAML_MAP)
        at = conf_yaml_get(database, "max");
    if (at == NULL)
        at = conf_yaml_get(root, "workers");
    if (problem != NULL)
        conf_files_error(conf->files, at->pos, "%s", problem);
    free(problem);
}

/* Less for all bodies than one may have. */
static void check_bodies(struct conf *conf, const struct conf_yaml *root)
{
    const struct conf_yaml *limits = conf_yaml_get(root, "limits");
    if (conf->limits.body_total == 0 || conf->limits.body_total >= conf->limits.body)
        return;
    conf_files_error(
        conf->files, conf_yaml_get(limits, "body_total")->pos,
        "limits.body_total, for all bodies in a worker, is less than limits.body, which one may have");
}

bool conf_makes_images(const struct conf *conf)
{
    for (size_t i = 0; i < conf->n_routes; i++) {
        if (conf->routes[i].makes_images)
            return true;
    }
    return false;
}

size_t conf_body_total(const struct conf *conf)
{
    enum { USUAL = 64 * 1024 * 1024, BODIES = 4 };
    size_t several = conf->limits.body > SIZE_MAX / BODIES ? SIZE_MAX : conf->limits.body * BODIES;
    if (conf->limits.body_total != 0)
        return conf->limits.body_total;
    return several > USUAL ? several : USUAL;
}

/* files become the conf's. */
static struct conf *load(struct conf_files *files, const char *path, const struct conf_override *overrides,
                         size_t n_overrides, FILE *errors)
{
    struct conf *conf = mem_calloc(1, sizeof(*conf));
    conf->files = files;
    read_defaults(conf);
    conf_lanes_init(conf);

    struct conf_yaml *root = conf_yaml_read_file(conf->files, path, (struct conf_pos){NULL, 0, 0});
    bool readable = conf_files_errors(conf->files) == 0 || root->n_items > 0;
    apply_overrides(conf, root, overrides, n_overrides);
    conf->env = conf_env_new(conf->files, root);
    conf_env_expand(conf->files, conf->env, root);
    read_section(conf, "", root);
    conf_access_complete(&conf->access_log);
    conf_account_read(conf, root);
    conf_lanes_complete(conf);
    bool directives_are_sound = conf_files_errors(conf->files) == 0;
    read_routes(conf, path, root, readable);
    if (conf->n_listen == 0)
        conf_listen_add(conf, (struct conf_pos){root->pos.file, 0, 0}, NULL,
                        conf_table_find("", "listen")->default_text);
    conf_admin_read(conf, root);
    conf_access_number_files(conf);
    conf_check(conf);
    conf_models_check(conf);
    if (directives_are_sound)
        check_workers(conf, root);
    if (directives_are_sound)
        check_bodies(conf, root);
    conf_yaml_free(root);
    conf_env_free(conf->env);
    conf->env = NULL;

    if (conf_files_errors(conf->files) == 0)
        return conf;
    conf_files_print(conf->files, errors);
    conf_free(conf);
    return NULL;
}

bool conf_may_hold_secret(const char *key)
{
    const char *dot = strrchr(key, '.');
    char *section = mem_strndup(key, dot == NULL ? 0 : (size_t)(dot - key));
    const struct conf_directive *row = conf_table_find(section, dot == NULL ? key : dot + 1);
    if (dot == NULL && row == NULL)
        row = conf_table_short_form(key);
    bool is_listener = strcmp(section, "listen") == 0 ||
                       (row != NULL && (row->type == CONF_TYPE_LISTEN || row->type == CONF_TYPE_ADMIN));
    free(section);
    return !is_listener && (row == NULL || !conf_table_is_scalar(row) || row->type == CONF_TYPE_CONNECT);
}

struct conf *conf_load(const char *path, const struct conf_override *overrides, size_t n_overrides,
                       FILE *errors)
{
    struct conf *conf = load(conf_files_new(), path, overrides, n_overrides, errors);
    if (conf != NULL)
        conf_files_print(conf->files, errors); /* what was only warned of */
    return conf;
}

struct conf *conf_load_snapshot(struct str snapshot, const char *path, const struct conf_override *overrides,
                                size_t n_overrides, FILE *errors)
{
    return load(conf_files_new_from(snapshot), path, overrides, n_overrides, errors);
}

void conf_snapshot(const struct conf *conf, struct pack *out)
{
    conf_files_pack(conf->files, out);
}

char *conf_open_secrets(struct conf *conf)
{
    char *problem = NULL;
    if (conf->database.password_file[0] == '\0' || conf->database.password != NULL)
        return NULL;
    conf->database.password = conf_credential_open(conf->database.password_file, &problem);
    char *message = problem == NULL ? NULL : mem_printf("database.password_file: %s", problem);
    free(problem);
    return message;
}

void conf_free(struct conf *conf)
{
    if (conf == NULL)
        return;
    if (conf->database.password != NULL)
        explicit_bzero(conf->database.password, strlen(conf->database.password));
    free(conf->database.password);
    conf_access_free(&conf->access_log);
    free(conf->access_files);
    for (size_t i = 0; i < conf->n_listen; i++) {
        free(conf->listen[i].name);
        free(conf->listen[i].address);
        free(conf->listen[i].mode);
        free(conf->listen[i].owner);
        free(conf->listen[i].group);
        route_table_free(conf->listen[i].table);
    }
    for (size_t i = 0; i < conf->n_upstreams; i++)
        conf_relay_free_upstream(&conf->upstreams[i]);
    for (size_t i = 0; i < conf->n_routes; i++)
        conf_route_free(&conf->routes[i]);
    for (size_t i = 0; i < conf_table_rows; i++) {
        if (conf_table_is_string(&conf_table[i]))
            free(*(char **)((char *)conf + conf_table[i].offset));
    }
    conf_account_free(conf);
    conf_lanes_free(conf);
    conf_models_free(conf);
    conf_files_free(conf->files);
    free(conf->listen);
    free(conf->upstreams);
    free(conf->routes);
    free(conf);
}
