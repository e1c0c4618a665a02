/* server.c: what a worker serves: its connections, and which handler answers a request. */
#include "server/server.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/complain.h"
#include "base/mem.h"
#include "http/problem.h"
#include "server/access.h"
#include "server/conn.h"
#include "server/exchange.h"

struct server {
    const struct conf *conf;
    struct handler **handlers;
    struct shm_slot *slot;
    struct exchanges exchanges;
    struct conn_context connections;
    struct access_log **access; /* access[i] is that of conf->routes[i], or NULL */
};

static void answer_without_route(struct exchange *exchange, enum route_outcome outcome, const char *methods)
{
    struct sink *sink = &exchange->sink;
    struct sink_field allow = {STR("Allow"), str_of(methods)};
    struct problem problem = {.field = allow};
    if (outcome == ROUTE_NO_PATH) {
        problem = (struct problem){.status = 404, .detail = "There is nothing at this path."};
    } else if (outcome == ROUTE_UNKNOWN_METHOD) {
        problem.status = 501;
        problem.detail = "This server does not support this method.";
    } else if (str_equal(exchange->method, STR("OPTIONS"))) {
        exchange->series = NULL; /* neither a route's request nor an error */
        struct sink_head head = {
            .status = 204, .content_length = SINK_LENGTH_UNKNOWN, .fields = &allow, .n_fields = 1};
        sink->ops->start(sink, &head);
        sink->ops->finish(sink, NULL, 0);
        return;
    } else {
        problem.status = 405;
        problem.detail = "This path does not support this method.";
    }
    problem_send(sink, &problem);
}

static struct str request_field(const struct request *request, struct str name)
{
    return exchange_field_list(request->of, name);
}

static struct request_message message_of(const struct exchange *exchange, const char *allow)
{
    return (struct request_message){
        .host = exchange->authority,
        .peer = peer_client(exchange->peer).address,
        .minor_version = exchange->minor_version,
        .allow = allow,
        .fields = exchange->fields,
        .n_fields = exchange->n_fields,
        .bytes = exchange->bytes,
    };
}

static void on_request(struct exchange *exchange)
{
    struct server *server = H2O_STRUCT_FROM_MEMBER(struct server, exchanges, exchange->all);
    struct str path = exchange->path, query = {NULL, 0};
    const char *mark = memchr(path.base, '?', path.len);
    if (mark != NULL) {
        query = (struct str){mark + 1, path.len - (size_t)(mark + 1 - path.base)};
        path.len = (size_t)(mark - path.base);
    }
    struct route_match match;
    enum route_outcome outcome = route_match(exchange->listen->table, exchange->method, path, &match);
    if (outcome != ROUTE_FOUND) {
        answer_without_route(exchange, outcome, match.allow);
        return;
    }
    const struct conf_route *route = match.route;
    struct handler *to = server->handlers[route - server->conf->routes];
    struct request request = {
        .method = exchange->method,
        .path = path,
        .captures = match.captures,
        .n_captures = match.n_captures,
        .query = query,
        .field = request_field,
        .of = exchange,
        .body = exchange->body,
        .sink = &exchange->sink,
    };
    if (route->takes_body)
        request.content_type = exchange_field(exchange, STR("content-type"));
    struct request_message message;
    if (to->wants_message) {
        message = message_of(exchange, match.allow);
        request.message = &message;
    }
    exchange->sink.route = route->label;
    exchange->series = to->series;
    exchange->tells_times = route->has_server_timing && route->server_timing == CONF_ON;
    exchange->access = server->access[route - server->conf->routes];
    atomic_store_explicit(&server->slot->route, to->shown_as, memory_order_relaxed);
    to->handle(to, &request);
    atomic_store_explicit(&server->slot->route, 0, memory_order_relaxed);
}

static void on_reject(struct exchange *exchange, int status, const char *detail)
{
    problem_send(&exchange->sink, &(struct problem){.status = status, .detail = detail});
}

static unsigned ms(uint64_t ns)
{
    return (unsigned)(ns / 1000000);
}

static void complain_of_slow(struct exchange *exchange, uint64_t waited)
{
    const struct sink_notes *notes = &exchange->notes;
    const char *route = exchange->sink.route == NULL ? "no route" : exchange->sink.route;
    char *about = mem_printf("%s: slow", route);
    char *database = notes->asked
                         ? mem_printf(", of which %u ms waiting and %u ms in PostgreSQL, %" PRIu64 " rows",
                                      ms(notes->queue), ms(notes->database), notes->rows)
                         : mem_strdup("");
    complain(LOG_LEVEL_WARN, about, "%s: slow: %d after %u ms%s%s%s, %" PRIu64 " bytes (request %s)", route,
             exchange_status(exchange), ms(waited), database, notes->upstream == NULL ? "" : ", asked ",
             notes->upstream == NULL ? "" : notes->upstream, exchange->sent, exchange_id(exchange).base);
    free(about);
    free(database);
}

/* Slow is what counts in limits.deadline, too: the time to the first byte. The rest depends on the client. */
static void on_ended(struct exchange *exchange, uint64_t elapsed)
{
    uint64_t waited = exchange->answered_at == 0 ? elapsed : exchange->answered_at - exchange->begun_at;
    bool is_slow = waited >= exchange->all->slow;
    if (exchange->access != NULL)
        access_add(exchange->access, exchange, elapsed, is_slow);
    if (is_slow)
        complain_of_slow(exchange, waited);
}

struct server *server_new(h2o_loop_t *loop, const struct conf *conf, struct handler **handlers,
                          struct shm_slot *slot, struct series *unrouted, struct timeouts *timeouts,
                          struct outbox *outbox, struct access *access)
{
    static const struct exchanges_ops ops = {.request = on_request, .reject = on_reject, .ended = on_ended};
    struct server *server = mem_calloc(1, sizeof(*server));
    server->conf = conf;
    server->handlers = handlers;
    server->slot = slot;
    exchanges_init(&server->exchanges, &ops, unrouted);
    if (conf->log.slow > 0)
        server->exchanges.slow = conf->log.slow * UINT64_C(1000000);
    server->access = mem_calloc(conf->n_routes + 1, sizeof(struct access_log *));
    for (size_t i = 0; access != NULL && i < conf->n_routes; i++)
        server->access[i] = access_of_route(access, i);
    if (access != NULL)
        server->exchanges.access = access_of_others(access);
    server->connections = (struct conn_context){
        .loop = loop,
        .conf = conf,
        .timeouts = timeouts,
        .outbox = outbox,
        .exchanges = &server->exchanges,
    };
    conn_context_init(&server->connections);
    return server;
}

void server_accept(struct server *server, h2o_socket_t *socket, const struct conf_listen *listen)
{
    conn_accept(&server->connections, socket, listen);
}

void server_drain(struct server *server)
{
    conn_drain(&server->connections);
}

void server_turn_end(struct server *server)
{
    conn_turn_end(&server->connections);
}

uint64_t server_steps(const struct server *server)
{
    return server->exchanges.n_begun + server->exchanges.n_answered;
}

bool server_make_way(struct server *server, const struct conf_listen *listen)
{
    return conn_make_way(&server->connections, listen);
}

uint64_t server_in_flight(const struct server *server)
{
    return server->exchanges.n_begun - server->exchanges.n_ended;
}

void server_close_idle(struct server *server)
{
    conn_close_idle(&server->connections);
}

void server_free(struct server *server)
{
    conn_context_dispose(&server->connections);
    exchanges_dispose(&server->exchanges);
    for (size_t i = 0; i < server->conf->n_routes; i++)
        server->handlers[i]->free(server->handlers[i]);
    free(server->handlers);
    free(server->access);
    free(server);
}
