/* conf_check.c: the rules of the conf that span several directives. */
#include "conf_check.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "conf_files.h"
#include "conf_hint.h"
#include "mem.h"

/* A listen address in a form that can be compared. */
struct address {
    int family; /* AF_UNIX, AF_INET, AF_INET6; AF_UNSPEC for a port alone, on every address */
    unsigned port;
    unsigned char bytes[sizeof(struct in6_addr)];
    const char *path;
};

/* Returns 0 for what is not a port. */
static unsigned read_port(const char *text)
{
    unsigned port = 0;
    if (text[0] == '0' || strlen(text) > 5)
        return 0;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return 0;
        port = port * 10 + (unsigned)(*text - '0');
    }
    return port > 65535 ? 0 : port;
}

static char *read_unix_address(const char *text, struct address *address)
{
    struct sockaddr_un limit;
    address->family = AF_UNIX;
    address->path = text + strlen("unix:");
    if (address->path[0] != '/')
        return mem_strdup("unix: needs a path from the root, such as unix:/run/hayfork/http.sock");
    if (strlen(address->path) >= sizeof(limit.sun_path))
        return mem_printf("this path is too long for a socket: it may have %zu bytes",
                          sizeof(limit.sun_path) - 1);
    return NULL;
}

/* For what is no address: what it should have been. */
static char *explain_address(const char *text, const char *port)
{
    static const char *const forms =
        "such as 127.0.0.1:8080, 8080 (on every address), \"[::1]:8080\" or unix:/PATH";
    struct in6_addr ignored;
    if (strstr(text, "://") != NULL)
        return mem_printf("an address has no scheme: write it %s", forms);
    if (inet_pton(AF_INET, text, &ignored) == 1)
        return mem_printf("the port is missing: write %s:8080", text);
    if (text[0] == '[' && text[strlen(text) - 1] == ']')
        return mem_printf("the port is missing: write \"%.*s:8080\"", CONF_FILES_QUOTE(text));
    if (inet_pton(AF_INET6, text, &ignored) == 1)
        return mem_strdup("an IPv6 address needs brackets and quotes: write \"[::1]:8080\"");
    if (port != NULL && (port == text || strncmp(text, "*:", 2) == 0))
        return mem_printf("every address is the port alone: write %s", port + 1);
    if (port != NULL && strncmp(text, "localhost:", 10) == 0)
        return mem_printf("write the address, not its name: 127.0.0.1%s or \"[::1]%s\"", port, port);
    return mem_printf("\"%.*s\" is not an address: write it %s", CONF_FILES_QUOTE(text), forms);
}

/* Returns NULL, or what is wrong, to be freed. */
static char *read_address(const char *text, struct address *address)
{
    *address = (struct address){.family = AF_UNSPEC};
    if (strncmp(text, "unix:", 5) == 0)
        return read_unix_address(text, address);
    size_t digits = strspn(text, "0123456789");
    const char *colon = strrchr(text, ':');
    const char *port = digits > 0 && text[digits] == '\0' ? text : colon == NULL ? NULL : colon + 1;
    bool known = port == text;
    if (!known && port != NULL) {
        bool brackets = text[0] == '[' && colon[-1] == ']';
        char *host = brackets ? mem_strndup(text + 1, (size_t)(colon - text - 2))
                              : mem_strndup(text, (size_t)(colon - text));
        address->family = brackets ? AF_INET6 : AF_INET;
        known = inet_pton(address->family, host, address->bytes) == 1;
        free(host);
    }
    if (!known)
        return explain_address(text, colon);
    address->port = read_port(port);
    if (address->port == 0)
        return mem_printf("\"%.*s\" is not a port: that is a number from 1 to 65535", CONF_FILES_QUOTE(port));
    return NULL;
}

static bool is_zero(const unsigned char *bytes, size_t n)
{
    while (n > 0 && bytes[n - 1] == 0)
        n--;
    return n == 0;
}

/* Does listening on a leave nothing of b? A port alone, and [::], take IPv4 and IPv6. */
static bool covers(const struct address *a, const struct address *b)
{
    if (a->family == AF_UNIX || b->family == AF_UNIX)
        return a->family == b->family && strcmp(a->path, b->path) == 0;
    if (a->port != b->port)
        return false;
    if (a->family == AF_UNSPEC || (a->family == AF_INET6 && is_zero(a->bytes, sizeof(a->bytes))))
        return true;
    return a->family == b->family &&
           (is_zero(a->bytes, sizeof(a->bytes)) || memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0);
}

static void check_listen(struct conf *conf)
{
    struct address *addresses = mem_calloc(conf->n_listen, sizeof(*addresses));
    bool *sound = mem_calloc(conf->n_listen, sizeof(*sound));
    for (size_t i = 0; i < conf->n_listen; i++) {
        const struct conf_listen *listen = &conf->listen[i];
        char *problem = read_address(listen->address, &addresses[i]);
        sound[i] = problem == NULL;
        if (problem != NULL)
            conf_files_error(conf->files, listen->pos, "%s", problem);
        free(problem);
        for (size_t j = 0; sound[i] && j < i; j++) {
            if (sound[j] && (covers(&addresses[j], &addresses[i]) || covers(&addresses[i], &addresses[j]))) {
                conf_files_error(conf->files, listen->pos,
                                 "%s and %s take the same connections; remove one of them",
                                 conf->listen[j].address, listen->address);
                break;
            }
        }
    }
    free(addresses);
    free(sound);
}

/* The place of a byte of a route's path, which is the second word of its key. */
static struct conf_pos path_pos(const struct conf *conf, const struct conf_route *route, size_t offset)
{
    return conf_files_place(conf->files, route->pos, route->path, strlen(route->method) + 1 + offset);
}

static bool check_path(struct conf *conf, struct conf_route *route, struct str names[ROUTE_MAX_CAPTURES],
                       size_t *n_names)
{
    size_t error_at = 0;
    const char *problem = route_check_pattern(str_of(route->path), names, n_names, &error_at);
    if (problem != NULL) {
        conf_files_error(conf->files, path_pos(conf, route, error_at), "%s", problem);
        return false;
    }
    const struct conf_route *other = route_add(conf->table, route->method, route->path, route);
    if (other != NULL)
        conf_files_error(conf->files, route->pos,
                         "this takes the same requests as \"%s\" on line %d; only one of them can be there",
                         other->label, other->pos.line);
    return true;
}

static bool check_sql(struct conf *conf, struct conf_route *route)
{
    size_t error_at = 0;
    const char *problem = sql_scan(str_of(route->sql), &route->statement, &error_at);
    if (problem != NULL)
        conf_files_error(conf->files, conf_files_place(conf->files, route->sql_pos, route->sql, error_at),
                         "%s", problem);
    return problem == NULL;
}

static size_t find_capture(const struct str *names, size_t n_names, const char *name)
{
    size_t i = 0;
    while (i < n_names && !str_equal(names[i], str_of(name)))
        i++;
    return i;
}

static size_t find_query(const struct conf_route *route, const char *name)
{
    size_t i = 0;
    while (i < route->n_query && strcmp(route->query[i].name, name) != 0)
        i++;
    return i;
}

static bool sql_uses(const struct conf_route *route, struct str name)
{
    for (size_t i = 0; i < route->statement.n_params; i++) {
        if (str_equal(str_of(route->statement.names[i]), name))
            return true;
    }
    return false;
}

/* An SQL parameter that neither the path nor `query` has. */
static void note_sourceless(struct conf *conf, const struct conf_route *route, const struct str *names,
                            size_t n_names, size_t parameter)
{
    const char *name = route->statement.names[parameter];
    char *copies[ROUTE_MAX_CAPTURES];
    const char **declared = mem_alloc((n_names + route->n_query) * sizeof(*declared));
    for (size_t i = 0; i < n_names; i++)
        declared[i] = copies[i] = mem_strndup(names[i].base, names[i].len);
    for (size_t i = 0; i < route->n_query; i++)
        declared[n_names + i] = route->query[i].name;
    const char *near = conf_hint_nearest(name, declared, n_names + route->n_query);
    struct conf_pos pos =
        conf_files_place(conf->files, route->sql_pos, route->sql, route->statement.name_offsets[parameter]);
    if (near != NULL)
        conf_files_error(conf->files, pos, ":%s comes from nowhere; did you mean :%s?", name, near);
    else
        conf_files_error(conf->files, pos,
                         ":%s comes from nowhere; put {%s} into the path, or %s under query", name, name,
                         name);
    for (size_t i = 0; i < n_names; i++)
        free(copies[i]);
    free(declared);
}

/* Every parameter of the SQL comes from exactly one place, and nothing is declared in vain. */
static void check_params(struct conf *conf, struct conf_route *route, const struct str *names, size_t n_names)
{
    const struct sql_statement *statement = &route->statement;
    route->params = mem_calloc(statement->n_params, sizeof(*route->params));
    for (size_t i = 0; i < statement->n_params; i++) {
        struct params_spec *spec = &route->params[i];
        size_t capture = find_capture(names, n_names, statement->names[i]);
        size_t query = find_query(route, statement->names[i]);
        spec->name = statement->names[i];
        if (capture < n_names) {
            spec->source = PARAMS_PATH;
            spec->capture = capture;
        } else if (query < route->n_query) {
            spec->source = PARAMS_QUERY;
            spec->default_text = route->query[query].default_text;
        } else {
            note_sourceless(conf, route, names, n_names, i);
        }
    }
    for (size_t i = 0; i < route->n_query; i++) {
        const struct conf_query *query = &route->query[i];
        if (find_capture(names, n_names, query->name) < n_names)
            conf_files_error(conf->files, query->pos,
                             "%s comes from the path already; a parameter has one source", query->name);
        else if (!sql_uses(route, str_of(query->name)))
            conf_files_error(conf->files, query->pos, "%s is declared, but the SQL has no :%s", query->name,
                             query->name);
    }
    for (size_t i = 0; i < n_names; i++) {
        if (!sql_uses(route, names[i]))
            conf_files_error(conf->files, path_pos(conf, route, (size_t)(names[i].base - route->path)),
                             "the path has {%.*s}, but the SQL has no :%.*s", (int)names[i].len,
                             names[i].base, (int)names[i].len, names[i].base);
    }
}

void conf_check(struct conf *conf)
{
    check_listen(conf);
    for (size_t i = 0; i < conf->n_routes; i++) {
        struct conf_route *route = &conf->routes[i];
        struct str names[ROUTE_MAX_CAPTURES];
        size_t n_names = 0;
        bool path_is_sound = route->path != NULL && check_path(conf, route, names, &n_names);
        bool sql_is_sound = route->sql != NULL && check_sql(conf, route);
        if (route->whole && path_is_sound && sql_is_sound)
            check_params(conf, route, names, n_names);
    }
}
