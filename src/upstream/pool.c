/* pool.c: which server a request goes to, and on which connection. */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "upstream/upstream_private.h"

enum { REST_MS = 1000, LONGEST_REST_MS = 30000 };

static void connect_next(struct upstream_request *request);
static void serve_waiting(struct upstream *upstream);

/* Servers */

void upstream_server_rest(struct upstream_server *server)
{
    struct upstream_context *context = server->upstream->context;
    uint64_t now = clock_ms();
    if (server->failures > 0 && now < server->rests_until)
        return; /* it fails all that it has in hand, and that is one failure */
    unsigned doublings = server->failures < 5 ? server->failures : 5;
    uint64_t rest = (uint64_t)REST_MS << doublings;
    if (rest > LONGEST_REST_MS)
        rest = LONGEST_REST_MS;
    context->chance = context->chance * 6364136223846793005u + 1442695040888963407u;
    server->rests_until = now + rest - rest / 5 + (context->chance >> 33) % (rest * 2 / 5);
    server->failures++;
}

void upstream_server_works(struct upstream_server *server)
{
    server->answered_at = h2o_now(server->upstream->context->loop);
    if (server->failures == 0 && !server->recovers)
        return;
    server->failures = 0;
    uint32_t left_out = 0;
    enum complain_past connecting = upstream_forget_complaint(server, UPSTREAM_CANNOT_CONNECT, &left_out);
    enum complain_past answering = upstream_forget_complaint(server, UPSTREAM_NO_ANSWER, &left_out);
    server->recovers = connecting == COMPLAIN_FRESH || answering == COMPLAIN_FRESH;
    if (!server->recovers && (connecting == COMPLAIN_OVER || answering == COMPLAIN_OVER))
        log_info("upstream server %s answers again%s", server->conf->address, complain_left_out(left_out));
}

/*
 * Of those that were not tried, the one with the fewest requests in hand. One that rests is not asked, and
 * when its rest is over one request finds out how it is. If all rest, it is the one that rests least.
 */
static struct upstream_server *choose(const struct upstream_request *request)
{
    struct upstream *upstream = request->upstream;
    struct upstream_server *best = NULL;
    bool best_works = false;
    uint64_t now = 0;
    size_t first = upstream->n_servers > 1 ? upstream->turn++ : 0;
    for (size_t i = 0; i < upstream->n_servers; i++) {
        size_t at = (first + i) % upstream->n_servers;
        struct upstream_server *server = &upstream->servers[at];
        if ((request->servers_tried >> at & 1) != 0)
            continue;
        if (server->failures > 0 && now == 0)
            now = clock_ms();
        bool works = server->failures == 0 || (now >= server->rests_until && server->in_hand == 0);
        if (best == NULL || (works && !best_works) ||
            (works && best_works && server->in_hand < best->in_hand) ||
            (!works && !best_works && server->rests_until < best->rests_until)) {
            best = server;
            best_works = works;
        }
    }
    return best;
}

/* Connections */

static void close_connection(struct upstream_connection *connection)
{
    struct upstream *upstream = connection->server->upstream;
    if (h2o_linklist_is_linked(&connection->link)) {
        h2o_linklist_unlink(&connection->link);
        upstream->n_idle--;
    }
    h2o_timeout_unlink(&connection->timer);
    h2o_socket_close(connection->socket);
    upstream->n_open--;
    free(connection);
}

static void on_idle_timeout(h2o_timeout_entry_t *entry)
{
    upstream_release(H2O_STRUCT_FROM_MEMBER(struct upstream_connection, timer, entry), false);
}

void upstream_release(struct upstream_connection *connection, bool reusable)
{
    struct upstream_server *server = connection->server;
    struct upstream *upstream = server->upstream;
    if (!reusable || clock_ms() - connection->since >= upstream->conf->age) {
        close_connection(connection);
    } else {
        if (!h2o_socket_is_reading(connection->socket))
            h2o_socket_read_start(connection->socket, upstream_on_readable);
        h2o_linklist_insert(server->idle.next, &connection->link);
        upstream->n_idle++;
        connection->timer.cb = on_idle_timeout;
        h2o_timeout_link(upstream->context->loop, upstream->idle, &connection->timer);
    }
    serve_waiting(upstream);
}

static bool is_quiet(const struct upstream_connection *connection)
{
    char c;
    return recv(h2o_socket_get_fd(connection->socket), &c, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
           (errno == EAGAIN || errno == EINTR);
}

/*
 * The idle connection that was used last, or NULL. It is looked at once more: the server may have closed it
 * just now, or have sent what nobody asked for, which would be taken for the next one's answer. One that was
 * read to the end within this millisecond was looked at; but what cannot be asked twice makes sure.
 */
static struct upstream_connection *take_idle(struct upstream_server *server, bool may_repeat)
{
    uint64_t now = h2o_now(server->upstream->context->loop);
    while (!h2o_linklist_is_empty(&server->idle)) {
        struct upstream_connection *connection =
            H2O_STRUCT_FROM_MEMBER(struct upstream_connection, link, server->idle.next);
        if (!(may_repeat && connection->quiet_at == now) && !is_quiet(connection)) {
            close_connection(connection);
            continue;
        }
        h2o_linklist_unlink(&connection->link);
        server->upstream->n_idle--;
        h2o_timeout_unlink(&connection->timer);
        connection->reused = true;
        return connection;
    }
    return NULL;
}

/* Makes room for a connection to another server. */
static void close_some_idle(struct upstream *upstream)
{
    for (size_t i = 0; i < upstream->n_servers; i++) {
        h2o_linklist_t *idle = &upstream->servers[i].idle;
        if (!h2o_linklist_is_empty(idle)) {
            close_connection(H2O_STRUCT_FROM_MEMBER(struct upstream_connection, link, idle->prev));
            return;
        }
    }
}

/* Requests and what they have */

struct upstream_connection *upstream_detach(struct upstream_request *request)
{
    struct upstream_connection *connection = request->connection;
    if (connection != NULL)
        connection->request = NULL;
    request->connection = NULL;
    outbox_take_back(request->message);
    request->message = NULL;
    if (request->server != NULL)
        request->server->in_hand--;
    request->server = NULL;
    if (h2o_linklist_is_linked(&request->link))
        h2o_linklist_unlink(&request->link);
    h2o_timeout_unlink(&request->timer);
    return connection;
}

static void give_up_server(struct upstream_request *request)
{
    struct upstream_server *server = request->server;
    request->servers_tried |= (uint64_t)1 << (server - server->upstream->servers);
    upstream_server_rest(server);
    struct upstream_connection *connection = upstream_detach(request);
    if (connection != NULL)
        upstream_release(connection, false);
}

void upstream_server_failed(struct upstream_request *request)
{
    give_up_server(request);
    upstream_acquire(request);
}

static void on_waited_too_long(h2o_timeout_entry_t *entry)
{
    struct upstream_request *request = H2O_STRUCT_FROM_MEMBER(struct upstream_request, timer, entry);
    struct upstream_server *server = &request->upstream->servers[0];
    if (request->phase == UPSTREAM_WAITING) {
        upstream_complain(server, request, UPSTREAM_FULL, "%s: all %u connections to upstream %s are in use",
                          request->label, request->upstream->conf->connections,
                          request->upstream->conf->name);
        upstream_fail(request, 503, "The service behind this one has too much to do.");
    } else {
        upstream_complain(request->server, request, UPSTREAM_CANNOT_LOOK_UP,
                          "%s: cannot look up %s: no answer", request->label, request->server->conf->host);
        upstream_server_failed(request);
    }
}

static void queue_up(struct upstream_request *request, enum upstream_phase phase, h2o_linklist_t *list)
{
    request->phase = phase;
    h2o_linklist_insert(list, &request->link); /* at its end */
    request->timer.cb = on_waited_too_long;
    h2o_timeout_link(request->upstream->context->loop, request->connect, &request->timer);
}

/* Goes on with those that wait, as far as there is something for them. */
static void serve_waiting(struct upstream *upstream)
{
    if (upstream->context->is_over)
        return;
    if (upstream->is_serving)
        return;
    upstream->is_serving = true;
    while (!h2o_linklist_is_empty(&upstream->waiting) &&
           (upstream->n_idle > 0 || upstream->n_open < upstream->conf->connections)) {
        struct upstream_request *request =
            H2O_STRUCT_FROM_MEMBER(struct upstream_request, link, upstream->waiting.next);
        upstream_detach(request);
        upstream_acquire(request);
    }
    upstream->is_serving = false;
}

/* Connecting */

static void attach(struct upstream_request *request, struct upstream_connection *connection)
{
    connection->request = request;
    request->connection = connection;
}

static void connected(struct upstream_request *request)
{
    struct upstream_server *server = request->server;
    h2o_timeout_unlink(&request->timer);
    server->address = (request->first_address + request->addresses_tried) % server->n_addresses;
    upstream_begin(request);
}

/* This address does not work: the next one, or the next server. */
static void connect_failed(struct upstream_request *request, const char *why)
{
    struct upstream_server *server = request->server;
    if (request->addresses_tried + 1 >= server->n_addresses) /* a name may have some that never work here */
        upstream_complain(server, request, UPSTREAM_CANNOT_CONNECT, "%s: cannot connect to %s: %s",
                          request->label, server->conf->address, why);
    h2o_timeout_unlink(&request->timer);
    if (request->connection != NULL) {
        struct upstream_connection *connection = request->connection;
        connection->request = NULL;
        request->connection = NULL;
        close_connection(connection);
    }
    request->addresses_tried++;
}

static void on_connect_timeout(h2o_timeout_entry_t *entry)
{
    struct upstream_request *request = H2O_STRUCT_FROM_MEMBER(struct upstream_request, timer, entry);
    connect_failed(request, "no answer");
    connect_next(request);
}

static void on_connected(h2o_socket_t *socket, const char *error)
{
    struct upstream_connection *connection = socket->data;
    struct upstream_request *request = connection->request;
    int code = 0;
    socklen_t len = sizeof(code);
    if (getsockopt(h2o_socket_get_fd(socket), SOL_SOCKET, SO_ERROR, &code, &len) != 0)
        code = errno;
    if (code == 0 && error == NULL) {
        connected(request);
    } else {
        connect_failed(request, code != 0 ? strerror(code) : error);
        connect_next(request);
    }
}

/* Returns 0 where the connection is there or under way, or an error number. */
static int open_connection(struct upstream_request *request, const struct upstream_address *address,
                           bool *under_way)
{
    struct upstream_server *server = request->server;
    int family = address->socket.ss_family, on = 1;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return errno;
    if (family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    *under_way = connect(fd, (const struct sockaddr *)&address->socket, address->len) != 0;
    if (*under_way && errno != EINPROGRESS) {
        int code = errno;
        close(fd);
        return code;
    }
    struct upstream_connection *connection = mem_calloc(1, sizeof(*connection));
    connection->socket = h2o_evloop_socket_create(server->upstream->context->loop, fd, 0);
    connection->socket->data = connection;
    connection->server = server;
    connection->since = clock_ms();
    h2o_socket_dont_read(connection->socket, 1); /* upstream_on_readable reads */
    server->upstream->n_open++;
    attach(request, connection);
    return 0;
}

/* Tries the addresses that are left of the request's server. */
static bool connect_some(struct upstream_request *request)
{
    struct upstream_server *server = request->server;
    request->phase = UPSTREAM_CONNECTING;
    for (; request->addresses_tried < server->n_addresses; connect_failed(request, strerror(errno))) {
        bool under_way;
        size_t at = (request->first_address + request->addresses_tried) % server->n_addresses;
        errno = open_connection(request, &server->addresses[at], &under_way);
        if (errno != 0)
            continue;
        if (under_way) {
            request->timer.cb = on_connect_timeout;
            h2o_timeout_link(server->upstream->context->loop, request->connect, &request->timer);
            h2o_socket_notify_write(request->connection->socket, on_connected);
        } else {
            connected(request);
        }
        return true;
    }
    return false;
}

static void connect_next(struct upstream_request *request)
{
    struct upstream *upstream = request->upstream;
    if (!connect_some(request))
        upstream_server_failed(request);
    serve_waiting(upstream);
}

/* Returns false where the request's server has failed. */
static bool try_server(struct upstream_request *request)
{
    struct upstream_server *server = request->server;
    struct upstream *upstream = server->upstream;
    struct upstream_connection *idle =
        request->wants_new ? NULL : take_idle(server, request->is_safe && request->body_is_whole);
    if (idle != NULL) {
        attach(request, idle);
        upstream_begin(request);
        return true;
    }
    upstream_resolve(server);
    if (server->n_addresses == 0 && server->lookup == NULL)
        return false;
    if (server->n_addresses == 0) {
        queue_up(request, UPSTREAM_RESOLVING, &server->resolving);
        return true;
    }
    if (upstream->n_open >= upstream->conf->connections && upstream->n_idle > 0)
        close_some_idle(upstream);
    if (upstream->n_open >= upstream->conf->connections) {
        upstream_detach(request);
        queue_up(request, UPSTREAM_WAITING, &upstream->waiting);
        return true;
    }
    request->addresses_tried = 0;
    request->first_address = server->address;
    return connect_some(request);
}

void upstream_give_up_waiting(struct upstream *upstream)
{
    while (!h2o_linklist_is_empty(&upstream->waiting))
        upstream_fail(H2O_STRUCT_FROM_MEMBER(struct upstream_request, link, upstream->waiting.next), 503,
                      "This server is stopping.");
}

void upstream_acquire(struct upstream_request *request)
{
    if (request->upstream->context->is_over) {
        upstream_fail(request, 503, "This server is stopping.");
        return;
    }
    do {
        struct upstream_server *server = choose(request);
        if (server == NULL) {
            upstream_fail(request, 502, "The service behind this one could not be reached.");
            return;
        }
        request->server = server;
        server->in_hand++;
        if (try_server(request))
            return;
        give_up_server(request);
    } while (true);
}
