/* exchange.c: from a parsed request to its route's handler, and from a sink to libh2o's response. */
#include "server/exchange.h"

#include <stdlib.h>

#include "server/conn.h"
#include "base/mem.h"
#include "base/speck.h"
#include "http/problem.h"
#include "http/sink.h"

struct http {
    h2o_globalconf_t config;
    h2o_context_t context;
    const struct conf *conf;
    struct handler **handlers;
    struct shm_slot *slot;
    struct speck ids; /* of a key of its own: ids differ between workers and restarts */
    uint64_t n_requests, n_answers;
    struct conn_context connections;
};

/* One request and its answer. It lives in the request's memory; on_end is called before that goes. */
struct exchange {
    struct sink sink;
    h2o_generator_t generator;
    h2o_req_t *req;
    struct http *http;
    uint64_t number; /* among the worker's requests */
    bool started;    /* the head has left for libh2o */
};

static struct exchange *exchange_of(struct sink *sink)
{
    return H2O_STRUCT_FROM_MEMBER(struct exchange, sink, sink);
}

/* Sink */

static void on_proceed(h2o_generator_t *generator, h2o_req_t *req)
{
    struct exchange *exchange = H2O_STRUCT_FROM_MEMBER(struct exchange, generator, generator);
    (void)req;
    if (exchange->sink.room != NULL)
        exchange->sink.room(&exchange->sink);
}

static void add_field(h2o_req_t *req, struct str name, struct str value)
{
    h2o_add_header_by_str(&req->pool, &req->res.headers, name.base, name.len, 0, NULL, value.base, value.len);
}

static void sink_start(struct sink *sink, const struct sink_head *head)
{
    struct exchange *exchange = exchange_of(sink);
    h2o_req_t *req = exchange->req;
    req->res.status = head->status;
    req->res.reason = head->reason != NULL ? head->reason : problem_reason(head->status);
    if (head->content_length != SINK_LENGTH_UNKNOWN)
        req->res.content_length = head->content_length;
    h2o_vector_reserve(&req->pool, &req->res.headers, head->n_fields + 1);
    if (head->content_type.len != 0)
        add_field(req, STR("Content-Type"), head->content_type);
    for (size_t i = 0; i < head->n_fields; i++)
        add_field(req, head->fields[i].name, head->fields[i].value);
    shm_add(&exchange->http->slot->answers[head->status / 100], 1);
    exchange->http->n_answers++;
}

static void send_parts(struct exchange *exchange, const struct str *parts, size_t n, h2o_send_state_t state)
{
    h2o_req_t *req = exchange->req;
    h2o_iovec_t few[SINK_FEW_PARTS], *bufs = few; /* the connection copies them */
    if (n > sizeof(few) / sizeof(few[0]))
        bufs = h2o_mem_alloc_pool(&req->pool, n * sizeof(*bufs));
    for (size_t i = 0; i < n; i++)
        bufs[i] = h2o_iovec_init(parts[i].base, parts[i].len);
    if (!exchange->started) {
        exchange->started = true;
        exchange->generator.proceed = on_proceed;
        h2o_start_response(req, &exchange->generator);
    }
    h2o_send(req, bufs, n, state);
}

static void sink_push(struct sink *sink, const struct str *parts, size_t n)
{
    send_parts(exchange_of(sink), parts, n, H2O_SEND_STATE_IN_PROGRESS);
}

static void sink_finish(struct sink *sink, const struct str *parts, size_t n)
{
    send_parts(exchange_of(sink), parts, n, H2O_SEND_STATE_FINAL);
}

static void sink_abort(struct sink *sink)
{
    send_parts(exchange_of(sink), NULL, 0, H2O_SEND_STATE_ERROR);
}

static void *alloc_in_pool(void *pool, size_t size)
{
    return h2o_mem_alloc_pool(pool, size);
}

/* It tells neither how many requests there were nor which id comes next. */
static uint64_t sink_id(const struct sink *sink)
{
    const struct exchange *exchange = H2O_STRUCT_FROM_MEMBER(const struct exchange, sink, sink);
    return speck_permute(&exchange->http->ids, exchange->number);
}

static void sink_cut(struct sink *sink)
{
    conn_cut(exchange_of(sink)->req);
}

static uint64_t sink_taken(struct sink *sink)
{
    return conn_taken(exchange_of(sink)->req);
}

static struct sink_client sink_client(struct sink *sink)
{
    return conn_client(exchange_of(sink)->req);
}

static const struct sink_ops ops = {
    .start = sink_start,
    .push = sink_push,
    .finish = sink_finish,
    .abort = sink_abort,
    .cut = sink_cut,
    .taken = sink_taken,
    .client = sink_client,
    .request_id = sink_id,
};

/* Requests */

static void on_end(void *kept)
{
    struct exchange *exchange = kept;
    if (exchange->sink.gone != NULL)
        exchange->sink.gone(&exchange->sink);
}

static struct exchange *exchange_new(struct http *http, h2o_req_t *req)
{
    struct exchange *exchange = h2o_mem_alloc_pool(&req->pool, sizeof(*exchange));
    *exchange = (struct exchange){
        .sink = {.ops = &ops, .arena = {alloc_in_pool, &req->pool}},
        .req = req,
        .http = http,
        .number = http->n_requests++,
    };
    conn_keep(req, exchange);
    return exchange;
}

static void answer_without_route(struct exchange *exchange, enum route_outcome outcome, const char *methods)
{
    h2o_req_t *req = exchange->req;
    struct sink_field allow = {STR("Allow"), str_of(methods)};
    struct problem problem = {.field = allow};
    if (outcome == ROUTE_NO_PATH) {
        problem = (struct problem){.status = 404, .detail = "There is nothing at this path."};
    } else if (outcome == ROUTE_UNKNOWN_METHOD) {
        problem.status = 501;
        problem.detail = "This server does not support this method.";
    } else if (h2o_memis(req->method.base, req->method.len, H2O_STRLIT("OPTIONS"))) {
        struct sink_head head = {
            .status = 204, .content_length = SINK_LENGTH_UNKNOWN, .fields = &allow, .n_fields = 1};
        sink_start(&exchange->sink, &head);
        sink_finish(&exchange->sink, NULL, 0);
        return;
    } else {
        problem.status = 405;
        problem.detail = "This path does not support this method.";
    }
    problem_send(&exchange->sink, &problem);
}

static struct str request_field(const struct handler_request *request, struct str name)
{
    return conn_field_list(exchange_of(request->sink)->req, name);
}

static struct handler_message message_of(h2o_req_t *req, const char *allow)
{
    struct handler_message message = {
        .host = {req->authority.base, req->authority.len},
        .peer = conn_peer(req),
        .minor_version = req->version & 1,
        .allow = allow,
    };
    message.n_fields = conn_fields(req, &message.fields, &message.bytes);
    return message;
}

static void on_request(void *arg, h2o_req_t *req, struct body *body)
{
    struct http *http = arg;
    struct exchange *exchange = exchange_new(http, req);
    struct str path = {req->path.base, req->path.len}, query = {NULL, 0};
    const char *mark = memchr(path.base, '?', path.len);
    if (mark != NULL) {
        query = (struct str){mark + 1, path.len - (size_t)(mark + 1 - path.base)};
        path.len = (size_t)(mark - path.base);
    }
    struct route_match match;
    struct str method = {req->method.base, req->method.len};
    enum route_outcome outcome = route_match(conn_listen(req)->table, method, path, &match);
    if (outcome != ROUTE_FOUND) {
        answer_without_route(exchange, outcome, match.allow);
        return;
    }
    const struct conf_route *route = match.route;
    struct handler *to = http->handlers[route - http->conf->routes];
    struct handler_request request = {
        .method = method,
        .path = path,
        .captures = match.captures,
        .query = query,
        .field = request_field,
        .body = body,
        .sink = &exchange->sink,
    };
    if (route->takes_body)
        request.content_type = conn_field(req, STR("content-type"));
    struct handler_message message;
    if (to->wants_message) {
        message = message_of(req, match.allow);
        request.message = &message;
    }
    exchange->sink.route = route->label;
    atomic_store_explicit(&http->slot->route, to->shown_as, memory_order_relaxed);
    to->handle(to, &request);
    atomic_store_explicit(&http->slot->route, 0, memory_order_relaxed);
}

static void on_reject(void *arg, h2o_req_t *req, int status, const char *detail)
{
    struct exchange *exchange = exchange_new(arg, req);
    problem_send(&exchange->sink, &(struct problem){.status = status, .detail = detail});
}

struct http *http_new(h2o_loop_t *loop, const struct conf *conf, struct handler **handlers,
                      struct shm_slot *slot, struct timeouts *timeouts, struct outbox *outbox)
{
    struct http *http = mem_calloc(1, sizeof(*http));
    http->conf = conf;
    http->handlers = handlers;
    http->slot = slot;
    speck_init_random(&http->ids);
    h2o_config_init(&http->config);
    h2o_config_register_host(&http->config, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    h2o_context_init(&http->context, loop, &http->config);
    http->connections = (struct conn_context){
        .h2o = &http->context,
        .hosts = http->config.hosts,
        .conf = conf,
        .timeouts = timeouts,
        .outbox = outbox,
        .on_request = on_request,
        .on_reject = on_reject,
        .on_end = on_end,
        .arg = http,
    };
    conn_context_init(&http->connections);
    return http;
}

void http_accept(struct http *http, h2o_socket_t *socket, const struct conf_listen *listen)
{
    conn_accept(&http->connections, socket, listen);
}

void http_drain(struct http *http)
{
    conn_drain(&http->connections);
}

void http_turn_end(struct http *http)
{
    conn_turn_end(&http->connections);
}

uint64_t http_steps(const struct http *http)
{
    return http->n_requests + http->n_answers;
}

void http_close_idle(struct http *http)
{
    conn_close_idle(&http->connections);
}

void http_free(struct http *http)
{
    conn_context_dispose(&http->connections);
    for (size_t i = 0; i < http->conf->n_routes; i++)
        http->handlers[i]->free(http->handlers[i]);
    free(http->handlers);
    h2o_context_dispose(&http->context);
    h2o_config_dispose(&http->config);
    free(http);
}
