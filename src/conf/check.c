/* check.c: the rules of the conf that span several directives. */
#include "conf/check.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "conf/files.h"
#include "conf/kind.h"
#include "conf/listen.h"
#include "base/mem.h"

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

/* For what is not an address: what it should have been. */
static char *explain_address(const char *text, const char *port)
{
    static const char *const forms =
        "such as 127.0.0.1:8080, 8080 (on every address), \"[::1]:8080\", unix:/PATH or systemd";
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
    if (strncmp(text, "systemd", 7) == 0 && (text[7] == '\0' || text[7] == ':')) {
        address->path = text;
        return text[7] == '\0' || text[8] != '\0'
                   ? NULL
                   : mem_strdup("after systemd: comes the name of a socket, as in FileDescriptorName=");
    }
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
    if (a->path != NULL || b->path != NULL)
        return a->family == b->family && a->path != NULL && b->path != NULL && strcmp(a->path, b->path) == 0;
    if (a->port != b->port)
        return false;
    if (a->family == AF_UNSPEC || (a->family == AF_INET6 && is_zero(a->bytes, sizeof(a->bytes))))
        return true;
    return a->family == b->family &&
           (is_zero(a->bytes, sizeof(a->bytes)) || memcmp(a->bytes, b->bytes, sizeof(a->bytes)) == 0);
}

/* Does it take connections of this machine alone? What the service manager passes is its business. */
static bool is_local(const struct address *address)
{
    static const unsigned char loopback[sizeof(struct in6_addr)] = {[15] = 1};
    return address->path != NULL || (address->family == AF_INET && address->bytes[0] == 127) ||
           (address->family == AF_INET6 && memcmp(address->bytes, loopback, sizeof(loopback)) == 0);
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
        if (sound[i] && listen->is_admin && !is_local(&addresses[i]))
            conf_files_warn(
                conf->files, listen->pos,
                "whoever reaches this address sees the routes, the load and the state of the server");
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

/* Puts the route into the tables of its listeners. On none of them can it be beside one that takes the same.
 */
static void add_to_tables(struct conf *conf, struct conf_route *route)
{
    for (size_t i = 0; i < conf->n_listen; i++) {
        const struct conf_listen *listen = &conf->listen[i];
        if (!conf_listen_has(listen, route))
            continue;
        const struct conf_route *other = route_add(listen->table, route->method, route->path, route);
        if (other == NULL)
            continue;
        bool same_file = other->pos.file == route->pos.file;
        conf_files_error(
            conf->files, route->pos,
            "this takes the same requests as \"%s\" on line %d%s%s; only one of them can be %s%s",
            other->label, other->pos.line, same_file ? "" : " of ", same_file ? "" : other->pos.file,
            listen->name == NULL ? "there" : "on ", listen->name == NULL ? "" : listen->name);
        return;
    }
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
    add_to_tables(conf, route);
    return true;
}

void conf_check(struct conf *conf)
{
    check_listen(conf);
    conf_listen_check_on(conf);
    for (size_t i = 0; i < conf->n_routes; i++) {
        struct conf_route *route = &conf->routes[i];
        struct str names[ROUTE_MAX_CAPTURES];
        size_t n_names = 0;
        if (route->path == NULL || !check_path(conf, route, names, &n_names))
            n_names = SIZE_MAX;
        if (route->kind != NULL && route->kind->check != NULL)
            route->kind->check(conf, route, names, n_names);
        if (route->deadline == 0)
            route->deadline = conf->limits.deadline;
    }
}
