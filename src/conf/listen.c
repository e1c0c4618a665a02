/* listen.c: `listen`, and the `on` of routes, which goes by the listeners' names. */
#include "conf/listen.h"

#include <stdlib.h>
#include <string.h>

#include "conf/account.h"
#include "conf/hint.h"
#include "base/mem.h"

/* Where overrides come from, as their positions have it. */
static const char override_file[] = "-o";

static bool is_override(struct conf_pos pos)
{
    return pos.line > 0 && strcmp(pos.file, override_file) == 0;
}

void conf_listen_add(struct conf *conf, struct conf_pos pos, const char *name, const char *address)
{
    MEM_GROW(&conf->listen, conf->n_listen);
    conf->listen[conf->n_listen++] = (struct conf_listen){
        .pos = pos,
        .name = name == NULL ? NULL : mem_strdup(name),
        .address = mem_strdup(address),
        .table = route_table_new(),
    };
}

/* What cannot be the name of a listener, or NULL. */
static const char *check_name(const char *name)
{
    static const char *const others[] = {"addr", "address", "bind", "host", "listen", "port"};
    if (strcmp(name, CONF_ADMIN) == 0)
        return "is the operators' listener, which is beside `listen`: `admin: 127.0.0.1:9180`";
    if (name[0] < 'a' || name[0] > 'z' ||
        name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-")] != '\0')
        return "cannot be a listener's name: that is lower-case letters, digits, `_` and `-`, beginning with "
               "a letter";
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strcmp(name, others[i]) == 0)
            return "would be a listener's name here: write the address alone, `listen: 127.0.0.1:8080`, or "
                   "below listen a name of your own before each, `public: 127.0.0.1:8080`";
    }
    return NULL;
}

/* Takes one key of a listener's mapping. Returns NULL, or what is wrong, to be freed. */
static char *read_key(struct conf_listen *listen, const char *key, const struct conf_yaml *value)
{
    struct conf_socket_rights *rights = &listen->rights;
    char **text = strcmp(key, "address") == 0 ? &listen->address
                  : strcmp(key, "mode") == 0  ? &listen->mode
                  : strcmp(key, "owner") == 0 ? &listen->owner
                                              : &listen->group;
    *text = mem_strdup(value->value);
    if (text == &listen->owner) {
        rights->has_owner = true;
        return conf_account_find_user(value->value, &rights->owner);
    }
    if (text == &listen->group) {
        rights->has_group = true;
        return conf_account_find_group(value->value, &rights->group);
    }
    if (text == &listen->mode) {
        rights->has_mode = true;
        rights->mode = (mode_t)strtoul(value->value, NULL, 8);
        size_t digits = strspn(value->value, "01234567");
        if (digits < 3 || digits > 4 || value->value[digits] != '\0' || rights->mode > 0777)
            return mem_printf("mode is three digits from 0 to 7, such as \"0660\", not \"%.*s\"",
                              CONF_FILES_QUOTE(value->value));
    }
    return NULL;
}

static void note_unknown_key(struct conf *conf, const struct conf_yaml *key)
{
    static const char *const keys[] = {"address", "mode", "owner", "group"};
    char *choice = conf_hint_choice((const char **)keys, 4);
    char *meant = conf_hint_did_you_mean(conf_hint_nearest(key->value, (const char **)keys, 4));
    conf_files_error(conf->files, key->pos, "a listener has no \"%.*s\"; it can have %s%s",
                     CONF_FILES_QUOTE(key->value), choice, meant);
    free(choice);
    free(meant);
}

static bool is_key(const char *key)
{
    return strcmp(key, "address") == 0 || strcmp(key, "mode") == 0 || strcmp(key, "owner") == 0 ||
           strcmp(key, "group") == 0;
}

/* A listener with more than an address. */
static void read_mapping(struct conf *conf, const char *name, const struct conf_yaml *map)
{
    struct conf_listen read = {0};
    for (size_t i = 0; i < map->n_items; i++) {
        const struct conf_yaml *key = map->items[i].key, *value = map->items[i].value;
        char *problem = NULL;
        if (!is_key(key->value))
            note_unknown_key(conf, key);
        else if (value->kind != CONF_YAML_SCALAR || conf_yaml_is_null(value))
            conf_files_error(conf->files, value->pos, "%s takes text, not %s", key->value,
                             conf_yaml_what(value));
        else
            problem = read_key(&read, key->value, value);
        if (problem != NULL)
            conf_files_error(conf->files, value->pos, "%s", problem);
        free(problem);
    }
    bool is_unix = read.address != NULL && strncmp(read.address, "unix:", 5) == 0;
    const struct conf_socket_rights *rights = &read.rights;
    if (read.address == NULL && !map->incomplete)
        conf_files_error(conf->files, map->pos, "%s has no address", name);
    else if (read.address != NULL && !is_unix && (rights->has_mode || rights->has_owner || rights->has_group))
        conf_files_error(conf->files, map->pos, "mode, owner and group are for Unix sockets, unix:/PATH");
    if (read.address != NULL) {
        conf_listen_add(conf, map->pos, name, read.address);
        struct conf_listen *added = &conf->listen[conf->n_listen - 1];
        added->mode = read.mode;
        added->owner = read.owner;
        added->group = read.group;
        added->rights = read.rights;
    } else {
        free(read.mode);
        free(read.owner);
        free(read.group);
    }
    free(read.address);
}

static void read_names(struct conf *conf, const struct conf_yaml *map)
{
    for (size_t i = 0; i < map->n_items; i++) {
        const struct conf_yaml *key = map->items[i].key, *value = map->items[i].value;
        const char *problem = check_name(key->value);
        if (problem != NULL)
            conf_files_error(conf->files, key->pos, "\"%.*s\" %s", CONF_FILES_QUOTE(key->value), problem);
        else if (conf_yaml_is_null(value))
            conf_files_error(conf->files, value->pos, "%s has no address", key->value);
        else if (value->kind == CONF_YAML_MAP)
            read_mapping(conf, key->value, value);
        else if (value->kind != CONF_YAML_SCALAR)
            conf_files_error(conf->files, value->pos,
                             "%s takes one address, not %s; a second one has a name of its own, and a route "
                             "can be `on` both",
                             key->value, conf_yaml_what(value));
        else
            conf_listen_add(conf, value->pos, key->value, value->value);
    }
}

static void read_list(struct conf *conf, const struct conf_yaml *list)
{
    for (size_t i = 0; i < list->n_items; i++) {
        const struct conf_yaml *item = list->items[i].value;
        if (item->kind == CONF_YAML_SCALAR && !conf_yaml_is_null(item))
            conf_listen_add(conf, item->pos, NULL, item->value);
        else
            conf_files_error(conf->files, item->pos,
                             "a list of addresses holds text, not %s; an IPv6 address needs quotes: "
                             "\"[::1]:8080\"; names are written without `-`: `public: 127.0.0.1:8080`",
                             conf_yaml_what(item));
    }
}

void conf_listen_read(struct conf *conf, const struct conf_yaml *node)
{
    size_t before = conf_files_errors(conf->files);
    if (node->kind == CONF_YAML_SCALAR)
        conf_listen_add(conf, node->pos, NULL, node->value);
    else if (node->n_items == 0 && !node->incomplete)
        conf_files_error(conf->files, node->pos, "this %s has no address; remove the line for the default",
                         node->kind == CONF_YAML_MAP ? "mapping" : "list");
    else if (node->kind == CONF_YAML_MAP)
        read_names(conf, node);
    else
        read_list(conf, node);
    conf->listen_unclear = node->incomplete || conf_files_errors(conf->files) > before;
}

bool conf_listen_add_admin(struct conf *conf, const struct conf_yaml *node)
{
    size_t before = conf->n_listen;
    if (node->kind == CONF_YAML_MAP)
        read_mapping(conf, CONF_ADMIN, node);
    else if (conf_yaml_is_null(node))
        conf_files_error(conf->files, node->pos, "admin has no value; remove the line for the default");
    else if (node->kind != CONF_YAML_SCALAR)
        conf_files_error(conf->files, node->pos, "admin takes one address, not %s", conf_yaml_what(node));
    else
        conf_listen_add(conf, node->pos, CONF_ADMIN, node->value);
    for (size_t i = before; i < conf->n_listen; i++)
        conf->listen[i].is_admin = true;
    return conf->n_listen > before;
}

bool conf_listen_check_override(struct conf_files *files, const struct conf_yaml *listen, struct conf_pos pos,
                                const char *name)
{
    if (listen == NULL || listen->kind != CONF_YAML_MAP || is_override(listen->pos) ||
        conf_yaml_get(listen, name) != NULL)
        return true;
    const char **names = mem_alloc((listen->n_items + 1) * sizeof(*names));
    for (size_t i = 0; i < listen->n_items; i++)
        names[i] = listen->items[i].key->value;
    char *choice = conf_hint_choice(names, listen->n_items);
    char *meant = conf_hint_did_you_mean(conf_hint_nearest(name, names, listen->n_items));
    conf_files_error(files, pos, "the conf has no listener \"%.*s\" to replace: it can be %s%s",
                     CONF_FILES_QUOTE(name), choice, meant);
    free(choice);
    free(meant);
    free(names);
    return false;
}

static void add_on(struct conf_route *route, struct conf_pos pos, const char *name)
{
    MEM_GROW(&route->on, route->n_on);
    route->on[route->n_on++] = (struct conf_on){pos, mem_strdup(name)};
}

static const struct conf_on *find_on(const struct conf_route *route, const char *name)
{
    for (size_t i = 0; i < route->n_on; i++) {
        if (strcmp(route->on[i].name, name) == 0)
            return &route->on[i];
    }
    return NULL;
}

void conf_listen_read_on(struct conf_files *files, struct conf_route *route, const struct conf_yaml *value)
{
    size_t n = value->kind == CONF_YAML_LIST ? value->n_items : 1;
    if (n == 0 && !value->incomplete)
        conf_files_error(files, value->pos,
                         "this list names no listener; remove the line for a route on all of them");
    for (size_t i = 0; i < n; i++) {
        const struct conf_yaml *item = value->kind == CONF_YAML_LIST ? value->items[i].value : value;
        if (item->kind != CONF_YAML_SCALAR || conf_yaml_is_null(item))
            conf_files_error(files, item->pos, "on takes the name of a listener or a list of names, not %s",
                             conf_yaml_what(item));
        else if (find_on(route, item->value) != NULL)
            conf_files_error(files, item->pos, "\"%.*s\" is in this list twice",
                             CONF_FILES_QUOTE(item->value));
        else
            add_on(route, item->pos, item->value);
    }
}

void conf_listen_inherit_on(struct conf_route *route, const struct conf_route *defaults)
{
    for (size_t i = 0; i < defaults->n_on; i++)
        add_on(route, defaults->on[i].pos, defaults->on[i].name);
}

/* An `on` that names no listener. */
static void note_unknown(struct conf *conf, const struct conf_on *on)
{
    size_t n = 0;
    const char **names = mem_alloc((conf->n_listen + 1) * sizeof(*names));
    for (size_t i = 0; i < conf->n_listen; i++) {
        if (conf->listen[i].name != NULL && !conf->listen[i].is_admin)
            names[n++] = conf->listen[i].name;
    }
    int len = conf_files_quote_len(on->name);
    if (n > 0) {
        char *choice = conf_hint_choice(names, n);
        char *meant = conf_hint_did_you_mean(conf_hint_nearest(on->name, names, n));
        conf_files_error(conf->files, on->pos, "there is no listener \"%.*s\"; on takes %s%s", len, on->name,
                         choice, meant);
        free(choice);
        free(meant);
    } else if (is_override(conf->listen[0].pos)) {
        conf_files_error(conf->files, on->pos,
                         "there is no listener \"%.*s\": `-o listen=` has taken the place of all of them; to "
                         "replace one, write `-o listen.%.*s=ADDRESS`",
                         len, on->name, len, on->name);
    } else {
        conf_files_error(conf->files, on->pos,
                         "there is no listener \"%.*s\": listen has no names; write `%.*s: ADDRESS` below "
                         "`listen:`",
                         len, on->name, len, on->name);
    }
    free(names);
}

static bool is_name(const struct conf *conf, const char *name)
{
    for (size_t i = 0; i < conf->n_listen; i++) {
        if (conf->listen[i].name != NULL && !conf->listen[i].is_admin &&
            strcmp(conf->listen[i].name, name) == 0)
            return true;
    }
    return false;
}

/* Does an earlier route have the same `on`, from the same defaults? */
static bool was_noted(const struct conf *conf, const struct conf_route *route, const struct conf_on *on)
{
    for (const struct conf_route *earlier = conf->routes; earlier < route; earlier++) {
        const struct conf_on *other = find_on(earlier, on->name);
        if (other != NULL && other->pos.file == on->pos.file && other->pos.line == on->pos.line &&
            other->pos.column == on->pos.column)
            return true;
    }
    return false;
}

void conf_listen_check_on(struct conf *conf)
{
    if (conf->listen_unclear)
        return;
    for (size_t i = 0; i < conf->n_routes; i++) {
        const struct conf_route *route = &conf->routes[i];
        for (size_t j = 0; !route->implied && j < route->n_on; j++) {
            if (!is_name(conf, route->on[j].name) && !was_noted(conf, route, &route->on[j]))
                note_unknown(conf, &route->on[j]);
        }
    }
}

bool conf_listen_has(const struct conf_listen *listen, const struct conf_route *route)
{
    if (route->n_on == 0)
        return !listen->is_admin;
    return listen->name != NULL && find_on(route, listen->name) != NULL;
}

void conf_listen_free_on(struct conf_route *route)
{
    for (size_t i = 0; i < route->n_on; i++)
        free(route->on[i].name);
    free(route->on);
}
