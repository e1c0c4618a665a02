/* relay.c: `upstreams`, and where `relay` leads. */
#include "conf/relay.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "conf/headers.h"
#include "conf/hint.h"
#include "conf/secret.h"
#include "conf/table.h"
#include "base/mem.h"

enum {
    SECOND = 1000,
    MINUTE = 60 * SECOND,
    HOUR = 60 * MINUTE,
    MOST_SERVERS = 64, /* as many as there are bits to remember which ones were tried */
    HTTP_PORT = 80,
    LONGEST_HOST = 253, /* RFC 1035 section 2.3.4, as text */
};

const struct conf_directive conf_relay_options[] = {
    {"upstream",
     "connections",
     CONF_TYPE_UNSIGNED,
     offsetof(struct conf_upstream, connections),
     1,
     65535,
     {NULL},
     "64",
     "connections in each worker; what needs one more waits"},
    {"upstream",
     "idle",
     CONF_TYPE_TIME,
     offsetof(struct conf_upstream, idle),
     10,
     HOUR,
     {NULL},
     "30s",
     "time that a connection waits to be used again; less than the servers' own"},
    {"upstream",
     "age",
     CONF_TYPE_TIME,
     offsetof(struct conf_upstream, age),
     100,
     24 * HOUR,
     {NULL},
     "10m",
     "time after which a connection is not used again"},
};
const size_t conf_relay_n_options = sizeof(conf_relay_options) / sizeof(conf_relay_options[0]);

static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";

static struct conf_upstream *add_upstream(struct conf *conf, struct conf_pos pos, const char *name)
{
    MEM_GROW(&conf->upstreams, conf->n_upstreams);
    struct conf_upstream *upstream = &conf->upstreams[conf->n_upstreams++];
    *upstream = (struct conf_upstream){.pos = pos, .name = mem_strdup(name)};
    for (size_t i = 0; i < conf_relay_n_options; i++) {
        const struct conf_directive *row = &conf_relay_options[i];
        free(conf_table_read(row, (char *)upstream + row->offset, row->default_text));
    }
    return upstream;
}

static bool find_upstream(const struct conf *conf, struct str name, bool implied, size_t *at)
{
    for (*at = 0; *at < conf->n_upstreams; ++*at) {
        const struct conf_upstream *upstream = &conf->upstreams[*at];
        if (upstream->implied == implied && str_equal(str_of(upstream->name), name))
            return true;
    }
    return false;
}

/* Addresses of servers */

static void free_server(struct conf_server *server)
{
    free(server->address);
    free(server->path);
    free(server->host);
    free(server->authority);
}

/* Returns 0 for what is not a port. */
static unsigned read_port(struct str text)
{
    unsigned port = 0;
    if (text.len == 0 || text.len > 5 || text.base[0] == '0')
        return 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.base[i] < '0' || text.base[i] > '9')
            return 0;
        port = port * 10 + (unsigned)(text.base[i] - '0');
    }
    return port > 65535 ? 0 : port;
}

/* HOST[:PORT]. Returns NULL, or what is wrong, to be freed. */
static char *read_authority(struct str text, struct conf_server *server)
{
    struct in6_addr v6;
    bool brackets = text.len > 0 && text.base[0] == '[';
    const char *end = text.base + text.len;
    const char *close = brackets ? memchr(text.base, ']', text.len) : NULL;
    const char *colon = brackets ? close == NULL || close + 1 == end || close[1] != ':' ? NULL : close + 1
                                 : memchr(text.base, ':', text.len);
    const char *host_end = brackets ? close : colon != NULL ? colon : end;
    server->authority = mem_strndup(text.base, text.len);
    if (memchr(text.base, '@', text.len) != NULL)
        return mem_strdup("a URL has no user here: the service gets its password by "
                          "`send: { Authorization: … }`");
    if (memchr(text.base, '{', text.len) != NULL)
        return mem_strdup("the server is the same for all requests; a {name} can be after it, in the path");
    if (brackets && (close == NULL || (colon == NULL && close + 1 != end)))
        return mem_strdup("an IPv6 address needs brackets: write http://[::1]:3000");
    server->host = brackets ? mem_strndup(text.base + 1, (size_t)(close - text.base - 1))
                            : mem_strndup(text.base, (size_t)(host_end - text.base));
    size_t len = strlen(server->host), good = 0;
    while (good < len &&
           (strchr(letters, server->host[good]) != NULL || strchr(".-_", server->host[good]) != NULL))
        good++;
    if (brackets ? inet_pton(AF_INET6, server->host, &v6) != 1 : len == 0 || good < len || len > LONGEST_HOST)
        return mem_printf("\"%.*s\" is not a host: write a name such as api.example.org, 127.0.0.1 or [::1]",
                          CONF_FILES_QUOTE(server->host));
    server->port = HTTP_PORT;
    if (colon == NULL)
        return NULL;
    server->port = read_port((struct str){colon + 1, (size_t)(end - colon - 1)});
    /* it is not quoted: it may be the beginning of a password with a `/` in it */
    return server->port == 0 ? mem_strdup("a port is a number from 1 to 65535") : NULL;
}

/*
 * Reads the address at the beginning of text: http://HOST[:PORT] or unix:/PATH. rest is what follows: a
 * path, or nothing. Returns NULL, or what is wrong, to be freed.
 */
static char *read_server(const char *text, struct conf_server *server, const char **rest)
{
    struct sockaddr_un limit;
    *server = (struct conf_server){.address = NULL};
    if (strncmp(text, "unix:", 5) == 0) {
        const char *path = text + 5, *colon = strstr(path, ":/");
        *rest = colon == NULL ? path + strlen(path) : colon + 1;
        size_t len = (size_t)((colon == NULL ? *rest : colon) - path);
        server->address = mem_strndup(text, len + 5);
        server->path = mem_strndup(path, len);
        server->authority = mem_strdup("localhost");
        if (path[0] != '/')
            return mem_strdup(
                "unix: needs a path from the root, such as unix:/run/api.sock, or with a path to "
                "ask for unix:/run/api.sock:/v1/avatar");
        if (len >= sizeof(limit.sun_path))
            return mem_printf("this path is too long for a socket: it may have %zu bytes",
                              sizeof(limit.sun_path) - 1);
        return NULL;
    }
    if (strncmp(text, "https://", 8) == 0)
        return mem_strdup(
            "a relay uses HTTP without TLS: write http://, or use a program in between that adds TLS");
    if (strncmp(text, "http://", 7) != 0) {
        char *shown = conf_secret_hide(text);
        char *problem =
            mem_printf("\"%.*s\" is not the address of a server: that is http://HOST:PORT or unix:/PATH",
                       CONF_FILES_QUOTE(shown));
        free(shown);
        return problem;
    }
    size_t len = strcspn(text + 7, "/?#");
    *rest = text + 7 + len;
    server->address = mem_strndup(text, len + 7);
    return read_authority((struct str){text + 7, len}, server);
}

/* `upstreams` */

static void read_one_server(struct conf *conf, struct conf_upstream *upstream, const struct conf_yaml *node)
{
    if (node->kind != CONF_YAML_SCALAR || conf_yaml_is_null(node)) {
        conf_files_error(conf->files, node->pos,
                         "a server is its address, such as http://127.0.0.1:3000, not %s",
                         conf_yaml_what(node));
        return;
    }
    struct conf_server server;
    const char *rest = "";
    char *problem = read_server(node->value, &server, &rest);
    if (problem == NULL && *rest != '\0')
        problem = mem_strdup("a server of an upstream has no path: it belongs in the route, as in "
                             "`relay: http://NAME/PATH`");
    for (size_t i = 0; problem == NULL && i < upstream->n_servers; i++) {
        if (strcmp(upstream->servers[i].address, server.address) == 0)
            problem = mem_strdup("this server is in the list twice");
    }
    if (problem == NULL && upstream->n_servers == MOST_SERVERS)
        problem = mem_printf("an upstream has at most %d servers", MOST_SERVERS);
    if (problem != NULL) {
        conf_files_error(conf->files, node->pos, "%s", problem);
        free(problem);
        free_server(&server);
        return;
    }
    MEM_GROW(&upstream->servers, upstream->n_servers);
    upstream->servers[upstream->n_servers++] = server;
}

static void read_servers(struct conf *conf, struct conf_upstream *upstream, const struct conf_yaml *node)
{
    if (node->kind != CONF_YAML_LIST) {
        read_one_server(conf, upstream, node);
        return;
    }
    for (size_t i = 0; i < node->n_items; i++)
        read_one_server(conf, upstream, node->items[i].value);
    if (node->n_items == 0 && !node->incomplete)
        conf_files_error(conf->files, node->pos, "this list has no server");
}

static void note_unknown_option(struct conf *conf, const struct conf_yaml *key)
{
    const char *names[8] = {"servers"};
    size_t n = 1;
    while (n <= conf_relay_n_options) {
        names[n] = conf_relay_options[n - 1].name;
        n++;
    }
    conf_table_unknown_key(conf->files, key->pos, "upstream", key->value, names, n, false);
}

static void read_option(struct conf *conf, struct conf_upstream *upstream, const struct conf_yaml *key,
                        const struct conf_yaml *value)
{
    size_t i = 0;
    while (i < conf_relay_n_options && strcmp(conf_relay_options[i].name, key->value) != 0)
        i++;
    if (i == conf_relay_n_options) {
        note_unknown_option(conf, key);
        return;
    }
    const struct conf_directive *row = &conf_relay_options[i];
    char *problem = value->kind != CONF_YAML_SCALAR
                        ? mem_printf("%s takes a single value, not %s", row->name, conf_yaml_what(value))
                        : conf_table_read(row, (char *)upstream + row->offset, value->value);
    if (problem != NULL)
        conf_files_error(conf->files, value->pos, "%s", problem);
    free(problem);
}

static bool is_name(const char *text)
{
    size_t len = strlen(text), good = 0;
    while (good < len && (strchr(letters, text[good]) != NULL || strchr("_-", text[good]) != NULL))
        good++;
    return len > 0 && good == len && strchr("0123456789-", text[0]) == NULL;
}

static void read_upstream(struct conf *conf, const struct conf_yaml *key, const struct conf_yaml *value)
{
    if (!is_name(key->value))
        conf_files_error(
            conf->files, key->pos,
            "\"%.*s\" cannot be the name of an upstream: that is letters, digits, `_` and `-`, such "
            "as backend",
            CONF_FILES_QUOTE(key->value));
    struct conf_upstream *upstream = add_upstream(conf, key->pos, key->value);
    if (value->kind != CONF_YAML_MAP) {
        read_servers(conf, upstream, value);
        return;
    }
    bool has_servers = false;
    for (size_t i = 0; i < value->n_items; i++) {
        const struct conf_yaml *option = value->items[i].key, *what = value->items[i].value;
        bool is_servers = strcmp(option->value, "servers") == 0;
        has_servers = has_servers || is_servers;
        if (is_servers)
            read_servers(conf, upstream, what);
        else
            read_option(conf, upstream, option, what);
    }
    if (!has_servers && !value->incomplete)
        conf_files_error(conf->files, key->pos,
                         "this upstream has no servers: write `servers: [ http://127.0.0.1:3000 ]` below it");
}

void conf_relay_read_upstreams(struct conf *conf, const struct conf_yaml *node)
{
    if (node->kind != CONF_YAML_MAP) {
        conf_files_error(conf->files, node->pos,
                         "upstreams takes a mapping from names to servers, not %s: write `backend: [ "
                         "http://127.0.0.1:3000 ]` on the line below, indented",
                         conf_yaml_what(node));
        return;
    }
    for (size_t i = 0; i < node->n_items; i++)
        read_upstream(conf, node->items[i].key, node->items[i].value);
}

/* `relay` */

static void note(struct conf *conf, const struct conf_route *route, size_t at, const char *problem)
{
    conf_files_error(conf->files, conf_files_place(conf->files, route->relay_pos, route->relay, at), "%s",
                     problem);
}

/* Adds a piece to the route's target. */
static void add_piece(struct conf_route *route, bool name, const char *text, size_t len)
{
    MEM_GROW(&route->target, route->n_target);
    route->target[route->n_target++] = (struct conf_piece){name, mem_strndup(text, len)};
}

static const char *check_byte(char c)
{
    if (c == '#')
        return "a URL's fragment (#) is never sent: remove it";
    if (c == ' ')
        return "a space in a URL is written %20";
    if (c <= ' ' || c > '~' || strchr("\"<>\\^`|}", c) != NULL)
        return "this character is written %XX in a URL";
    return NULL;
}

/* Takes path and query apart; dots may follow a {name}, as they may in the route's path. */
static void read_target(struct conf *conf, struct conf_route *route, size_t at)
{
    const char *text = route->relay;
    while (text[at] != '\0') {
        size_t len = strcspn(text + at, "{");
        for (size_t i = 0; i < len; i++) {
            const char *problem = check_byte(text[at + i]);
            if (problem != NULL) {
                note(conf, route, at + i, problem);
                return;
            }
        }
        if (len > 0) {
            add_piece(route, false, text + at, len);
            at += len;
            continue;
        }
        const char *close = strchr(text + at, '}');
        if (close == NULL) {
            note(conf, route, at, "this brace is not closed; a literal one is %7B");
            return;
        }
        size_t name = (size_t)(close - text) - at - 1;
        add_piece(route, true, text + at + 1,
                  name >= 3 && memcmp(close - 3, "...", 3) == 0 ? name - 3 : name);
        at += name + 2;
    }
}

static bool is_among(const char *name, const struct str *names, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (str_equal(str_of(name), names[i]))
            return true;
    }
    return n == SIZE_MAX;
}

/* Every {name} is one of the path's. */
static void check_names(struct conf *conf, const struct conf_route *route, const struct str *names,
                        size_t n_names)
{
    if (n_names == SIZE_MAX)
        return;
    for (size_t i = 0; i < route->n_target; i++) {
        const struct conf_piece *piece = &route->target[i];
        if (piece->is_name && !is_among(piece->text, names, n_names))
            conf_files_error(conf->files, route->relay_pos, "there is no {%.*s} in the path of this route",
                             CONF_FILES_QUOTE(piece->text));
    }
    for (size_t i = 0; i < route->n_headers + route->n_send; i++) {
        const struct conf_header *header =
            i < route->n_headers ? &route->headers[i] : &route->send[i - route->n_headers];
        for (size_t j = 0; j < header->n_pieces; j++) {
            if (header->pieces[j].is_name && !is_among(header->pieces[j].text, names, n_names))
                conf_files_error(conf->files, header->pos,
                                 "there is no {%s} in the path of this route; a literal brace is "
                                 "`{{`",
                                 header->pieces[j].text);
        }
    }
}

/* What is neither a URL nor the name of an upstream. */
static void note_no_upstream(struct conf *conf, const struct conf_route *route)
{
    const char **names = mem_calloc(conf->n_upstreams + 1, sizeof(*names));
    size_t n = 0;
    while (n < conf->n_upstreams && !conf->upstreams[n].implied) {
        names[n] = conf->upstreams[n].name;
        n++;
    }
    const char *text = route->relay;
    size_t len = strcspn(text, "/");
    char *word = mem_strndup(text, len), *shown = conf_secret_hide(text);
    size_t at;
    const char *near = conf_hint_nearest(text, names, n);
    char *meant = conf_hint_did_you_mean(near);
    if (strstr(text, "://") != NULL && strncmp(text, "https://", 8) != 0)
        conf_files_error(conf->files, route->relay_pos,
                         "a relay uses HTTP only: write http://HOST:PORT/PATH");
    else if (strncmp(text, "https://", 8) == 0)
        conf_files_error(
            conf->files, route->relay_pos,
            "a relay uses HTTP without TLS: write http://, or use a program in between that adds TLS");
    else if (find_upstream(conf, str_of(word), false, &at) || strpbrk(text, ":/.") != NULL)
        conf_files_error(conf->files, route->relay_pos,
                         "with a port or a path this is a URL: write http://%.*s", CONF_FILES_QUOTE(shown));
    else
        conf_files_error(conf->files, route->relay_pos, "there is no upstream \"%.*s\"%s",
                         CONF_FILES_QUOTE(shown),
                         near != NULL ? meant : "; a server is http://HOST:PORT/PATH or unix:/SOCKET:/PATH");
    free(meant);
    free(shown);
    free(word);
    free(names);
}

/* Finds the route's upstream, or adds one for the server that it names. */
static void find_target(struct conf *conf, struct conf_route *route)
{
    const char *text = route->relay, *rest = "";
    bool is_url = strncmp(text, "http://", 7) == 0, is_unix = strncmp(text, "unix:", 5) == 0;
    struct str name = is_url ? (struct str){text + 7, strcspn(text + 7, "/?#")} : str_of(text);
    if (find_upstream(conf, name, false, &route->upstream)) {
        read_target(conf, route, (size_t)(name.base + name.len - text));
        return;
    }
    if (!is_url && !is_unix) {
        note_no_upstream(conf, route);
        return;
    }
    struct conf_server server;
    char *problem = read_server(text, &server, &rest);
    if (problem != NULL) {
        conf_files_error(conf->files, route->relay_pos, "%s", problem);
        free(problem);
        free_server(&server);
        return;
    }
    if (find_upstream(conf, str_of(server.address), true, &route->upstream)) {
        free_server(&server);
    } else {
        struct conf_upstream *upstream = add_upstream(conf, route->relay_pos, server.address);
        upstream->implied = true;
        upstream->servers = mem_alloc(sizeof(server));
        upstream->servers[0] = server;
        upstream->n_servers = 1;
    }
    if (*rest == '?' || *rest == '#')
        note(conf, route, (size_t)(rest - text), "there has to be a path before this: write / for the root");
    else
        read_target(conf, route, (size_t)(rest - text));
}

void conf_relay_check(struct conf *conf, struct conf_route *route, const struct str *names, size_t n_names)
{
    if (!route->forwarded_is_set)
        route->forwarded = conf->forwarded;
    if (route->connect_deadline == 0)
        route->connect_deadline = conf->limits.connect;
    route->passes_server = conf->server[0] == '\0';
    find_target(conf, route);
    check_names(conf, route, names, n_names);
}

void conf_relay_free_target(struct conf_route *route)
{
    for (size_t i = 0; i < route->n_target; i++)
        free(route->target[i].text);
    free(route->target);
}

void conf_relay_free_upstream(struct conf_upstream *upstream)
{
    for (size_t i = 0; i < upstream->n_servers; i++)
        free_server(&upstream->servers[i]);
    free(upstream->servers);
    free(upstream->name);
}

size_t conf_servers(const struct conf *conf)
{
    size_t n = conf->n_upstreams;
    for (size_t i = 0; i < conf->n_upstreams; i++)
        n += conf->upstreams[i].n_servers;
    return n;
}
