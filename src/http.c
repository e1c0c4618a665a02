/* http.c: from a parsed request to its route's handler, and from a sink to libh2o's response. */
#include "http.h"

#include <stdlib.h>
#include <sys/random.h>

#include "mem.h"
#include "problem.h"
#include "sink.h"

struct http {
    h2o_globalconf_t config;
    h2o_context_t context;
    const struct conf *conf;
    struct handler **handlers;
    struct shm_slot *slot;
    uint64_t id_seed, n_requests;
    size_t n_active;
    bool draining;
};

/* libh2o's handler object, which finds its way back to us. */
struct http_handler {
    h2o_handler_t super;
    struct http *http;
};

/* One request and its answer. It lives in the request's memory; on_dispose is called when that goes. */
struct exchange {
    struct sink sink;
    h2o_generator_t generator;
    h2o_req_t *req;
    struct http *http;
    bool is_head;
    bool started; /* the head has left for libh2o */
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

static void sink_start(struct sink *sink, const struct sink_head *head)
{
    struct exchange *exchange = exchange_of(sink);
    h2o_req_t *req = exchange->req;
    req->res.status = head->status;
    req->res.reason = problem_reason(head->status);
    if (head->content_length != SINK_LENGTH_UNKNOWN)
        req->res.content_length = head->content_length;
    if (head->content_type.len != 0)
        h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, head->content_type.base,
                       head->content_type.len);
    for (size_t i = 0; i < head->n_fields; i++) {
        const struct sink_field *field = &head->fields[i];
        h2o_add_header_by_str(&req->pool, &req->res.headers, field->name.base, field->name.len, 0,
                              field->name.base, field->value.base, field->value.len);
    }
    shm_add(&exchange->http->slot->answers[head->status / 100], 1);
}

static void send_parts(struct exchange *exchange, const struct str *parts, size_t n, h2o_send_state_t state)
{
    h2o_req_t *req = exchange->req;
    if (exchange->is_head)
        n = 0;
    h2o_iovec_t *bufs = h2o_mem_alloc_pool(&req->pool, (n + 1) * sizeof(*bufs));
    for (size_t i = 0; i < n; i++)
        bufs[i] = h2o_iovec_init(parts[i].base, parts[i].len);
    if (exchange->http->draining)
        req->http1_is_persistent = 0;
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

static void *sink_alloc(struct sink *sink, size_t size)
{
    return h2o_mem_alloc_pool(&exchange_of(sink)->req->pool, size);
}

static const struct sink_ops ops = {sink_start, sink_push, sink_finish, sink_abort, sink_alloc};

/* Requests */

static void on_dispose(void *memory)
{
    struct exchange *exchange = memory;
    exchange->http->n_active--;
    if (exchange->sink.gone != NULL)
        exchange->sink.gone(&exchange->sink);
}

/* Ids differ between workers and restarts, and do not tell how many requests there were (splitmix64). */
static uint64_t next_request_id(struct http *http)
{
    uint64_t id = http->id_seed + ++http->n_requests * 0x9e3779b97f4a7c15u;
    id = (id ^ id >> 30) * 0xbf58476d1ce4e5b9u;
    id = (id ^ id >> 27) * 0x94d049bb133111ebu;
    return id ^ id >> 31;
}

static struct exchange *exchange_new(struct http *http, h2o_req_t *req)
{
    struct exchange *exchange = h2o_mem_alloc_shared(&req->pool, sizeof(*exchange), on_dispose);
    *exchange = (struct exchange){
        .sink = {.ops = &ops, .request_id = next_request_id(http)},
        .req = req,
        .http = http,
        .is_head = h2o_memis(req->method.base, req->method.len, H2O_STRLIT("HEAD")),
    };
    http->n_active++;
    return exchange;
}

static void answer_without_route(struct exchange *exchange, enum route_outcome outcome, const char *allow)
{
    h2o_req_t *req = exchange->req;
    if (outcome == ROUTE_NO_PATH) {
        problem_send(&exchange->sink,
                     &(struct problem){.status = 404, .detail = "There is nothing at this path."});
    } else if (h2o_memis(req->method.base, req->method.len, H2O_STRLIT("OPTIONS"))) {
        struct sink_field field = {STR("Allow"), str_of(allow)};
        struct sink_head head = {
            .status = 204, .content_length = SINK_LENGTH_UNKNOWN, .fields = &field, .n_fields = 1};
        sink_start(&exchange->sink, &head);
        sink_finish(&exchange->sink, NULL, 0);
    } else {
        problem_send(&exchange->sink, &(struct problem){.status = 405,
                                                        .detail = "This path does not take this method.",
                                                        .allow = allow});
    }
}

static int on_request(h2o_handler_t *handler, h2o_req_t *req)
{
    struct http *http = ((struct http_handler *)handler)->http;
    struct exchange *exchange = exchange_new(http, req);
    struct str path = {req->path.base, req->path.len}, query = {NULL, 0};
    const char *mark = memchr(path.base, '?', path.len);
    if (mark != NULL) {
        query = (struct str){mark + 1, path.len - (size_t)(mark + 1 - path.base)};
        path.len = (size_t)(mark - path.base);
    }
    struct route_match match;
    struct str method = {req->method.base, req->method.len};
    enum route_outcome outcome = route_match(http->conf->table, method, path, &match);
    if (outcome != ROUTE_FOUND) {
        answer_without_route(exchange, outcome, match.allow);
        return 0;
    }
    const struct conf_route *route = match.route;
    struct handler *to = http->handlers[route - http->conf->routes];
    struct handler_request request = {.captures = match.captures, .query = query, .sink = &exchange->sink};
    exchange->sink.route = route->label;
    atomic_store_explicit(&http->slot->route, route->label, memory_order_relaxed);
    to->handle(to, &request);
    atomic_store_explicit(&http->slot->route, NULL, memory_order_relaxed);
    return 0;
}

struct http *http_new(h2o_loop_t *loop, const struct conf *conf, struct handler **handlers,
                      struct shm_slot *slot)
{
    struct http *http = mem_calloc(1, sizeof(*http));
    http->conf = conf;
    http->handlers = handlers;
    http->slot = slot;
    while (getrandom(&http->id_seed, sizeof(http->id_seed), 0) != sizeof(http->id_seed))
        continue;
    h2o_config_init(&http->config);
    http->config.server_name = h2o_iovec_init(H2O_STRLIT("hayfork"));
    http->config.http1.upgrade_to_http2 = 0; /* its HTTP/2 can be made to abort the process */
    http->config.http1.req_timeout = conf->limits.head_time;
    http->config.max_request_entity_size = conf->limits.body;
    h2o_hostconf_t *host =
        h2o_config_register_host(&http->config, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    h2o_pathconf_t *root = h2o_config_register_path(host, "/", 0);
    struct http_handler *handler = (struct http_handler *)h2o_create_handler(root, sizeof(*handler));
    handler->super.on_req = on_request;
    handler->http = http;
    h2o_context_init(&http->context, loop, &http->config);
    return http;
}

h2o_context_t *http_context(struct http *http)
{
    return &http->context;
}

h2o_hostconf_t **http_hosts(struct http *http)
{
    return http->config.hosts;
}

void http_drain(struct http *http)
{
    http->draining = true;
}

size_t http_active(const struct http *http)
{
    return http->n_active;
}

void http_free(struct http *http)
{
    for (size_t i = 0; i < http->conf->n_routes; i++)
        http->handlers[i]->free(http->handlers[i]);
    free(http->handlers);
    h2o_context_dispose(&http->context);
    h2o_config_dispose(&http->config);
    free(http);
}
