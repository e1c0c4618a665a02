/* relay.c: routes with `relay`: another service answers, and what it says is passed on. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "handlers/headers.h"
#include "handlers/make.h"
#include "handlers/relay_head.h"
#include "handlers/relay_stream.h"
#include "upstream/context.h"

enum {
    HELD_MOST = 64 * 1024, /* bytes of a body that are gathered before the upstream is asked */
    LONGEST_REASON = 128,
};

struct handler_relay {
    struct handler super;
    const struct conf_route *route;
    struct upstream *upstream;
    struct readers_source *readers; /* those who take its answers */
    h2o_timeout_t *connect, *deadline;
    bool passes_server; /* the upstream's Server field, where the conf's `server` is empty */
    struct relay_names names;
};

/* A request on its way, in its memory. */
struct relay_call {
    struct upstream_request upstream;
    const struct handler_relay *handler;
    struct sink *sink;
    struct body *body;
    struct relay_head head;
    char *held; /* of the request's body: what has come before there was anybody to send it to */
    size_t held_len, held_capacity;
    bool body_ended;
    bool started;      /* the upstream is asked */
    bool is_gathering; /* body_read has not returned yet */
    bool head_passed;
    struct relay_stream *stream; /* of an answer that does not come at once; else NULL */
};

static struct relay_call *call_of(struct upstream_request *request)
{
    return (struct relay_call *)((char *)request - offsetof(struct relay_call, upstream));
}

/* Answers of our own */

static void refuse(struct relay_call *call, struct problem problem)
{
    struct headers headers = headers_fill(call->handler->route, call->sink, relay_head_find, &call->head);
    problem.fields = headers.fields;
    problem.n_fields = headers.n;
    problem_send(call->sink, &problem);
}

/* The upstream's answer */

static bool is_among(const struct sink_field *fields, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++) {
        if (http1_same(fields[i].name, name))
            return true;
    }
    return false;
}

/* Fields that are for us alone, that the route has a value for, or that say how the body is framed. */
static bool is_passed_on(const struct relay_call *call, const struct sink_head *head, struct str name,
                         enum relay_fate fate, const struct relay_hop *hop)
{
    if (fate == RELAY_NEXT_HOP || fate == RELAY_CONNECTION || fate == RELAY_CONTENT_LENGTH ||
        fate == RELAY_REQUEST_ID || (fate == RELAY_SERVER && !call->handler->passes_server) ||
        (fate == RELAY_CONTENT_TYPE && head->content_type.len > 0))
        return false;
    return !relay_hop_names(hop, name) && !is_among(head->fields, head->n_fields, name);
}

/* The route's fields, then those of the upstream. */
static void add_fields(struct relay_call *call, struct sink_head *head, const struct http1_head *from,
                       const char *bytes)
{
    struct sink *sink = call->sink;
    struct relay_fields sorted = relay_fields_sort(from->fields, from->n_fields, bytes, &sink->arena);
    struct sink_field *fields =
        arena_alloc(&sink->arena, (head->n_fields + from->n_fields + 1) * sizeof(*fields));
    const struct http1_field *last = from->n_fields == 0 ? NULL : &from->fields[from->n_fields - 1];
    size_t len = last == NULL ? 0 : last->value.at + last->value.len, n = head->n_fields;
    const char *copy = arena_copy(&sink->arena, (struct str){bytes, len});
    for (size_t i = 0; i < n; i++)
        fields[i] = head->fields[i];
    for (size_t i = 0; i < from->n_fields; i++) {
        struct str name = http1_str(copy, from->fields[i].name);
        if (is_passed_on(call, head, name, sorted.fates[i], &sorted.hop))
            fields[n++] = (struct sink_field){name, http1_str(copy, from->fields[i].value)};
    }
    head->fields = fields;
    head->n_fields = n;
}

static const char *reason_of(struct sink *sink, struct str reason)
{
    return reason.len == 0 || reason.len > LONGEST_REASON ? NULL : arena_copy(&sink->arena, reason);
}

static void on_head(struct upstream_request *request, const struct http1_response *response,
                    const char *bytes, uint64_t length)
{
    struct relay_call *call = call_of(request);
    struct sink_head head;
    headers_head(&head, response->status, (struct str){NULL, 0}, call->handler->route, call->sink,
                 relay_head_find, &call->head);
    head.reason = reason_of(call->sink, http1_str(bytes, response->reason));
    head.content_length = length == UPSTREAM_LENGTH_UNKNOWN ? SINK_LENGTH_UNKNOWN : (size_t)length;
    add_fields(call, &head, &response->head, bytes);
    call->head_passed = true;
    call->sink->notes->upstream = request->lease.server->conf->address;
    call->sink->ops->start(call->sink, &head);
}

static void on_room(struct sink *sink)
{
    struct relay_call *call = sink->data;
    relay_stream_room(call->stream);
}

static void on_data(struct upstream_request *request, const struct str *parts, size_t n, bool is_last)
{
    struct relay_call *call = call_of(request);
    struct sink *sink = call->sink;
    if (is_last && (call->stream == NULL || relay_stream_is_idle(call->stream))) {
        sink->ops->finish(sink, parts, n);
        return;
    }
    if (call->stream == NULL) {
        call->stream = relay_stream_new(sink, request, call->handler->readers);
        sink->room = on_room;
    }
    relay_stream_data(call->stream, parts, n, is_last);
}

static void on_error(struct upstream_request *request, int status, const char *detail)
{
    struct relay_call *call = call_of(request);
    if (call->stream != NULL)
        relay_stream_break_off(call->stream);
    else if (call->head_passed)
        call->sink->ops->abort(call->sink);
    else
        refuse(call, (struct problem){.status = status, .detail = detail});
}

static void on_sink_gone(struct sink *sink)
{
    struct relay_call *call = sink->data;
    upstream_request_end(&call->upstream);
    if (call->stream != NULL)
        relay_stream_end(call->stream);
}

/* The request's body */

static void on_upstream_room(struct upstream_request *request)
{
    body_read(call_of(request)->body);
}

static const char *id_of(const struct upstream_request *request)
{
    const char *call = (const char *)request - offsetof(struct relay_call, upstream);
    return sink_request_id(((const struct relay_call *)call)->sink);
}

static const struct upstream_ops ops = {on_head, on_data, on_error, on_upstream_room, id_of};

/* Asks the upstream, with as much of the body as is here. */
static void start(struct relay_call *call)
{
    struct upstream_request *upstream = &call->upstream;
    uint64_t length = call->body_ended ? call->held_len : call->body->length;
    call->started = true;
    if (readers_refuse(call->handler->readers, call->sink)) {
        upstream_request_fail(upstream, 503, "Other answers for this address have not been taken yet.");
        return;
    }
    upstream->lease.network = call->sink->ops->client(call->sink).network;
    upstream->is_chunked = length == BODY_LENGTH_UNKNOWN;
    upstream->body = (struct str){call->held, call->held_len};
    upstream->body_is_whole = call->body_ended;
    struct relay_head_text head = relay_head_write(&call->head, length);
    upstream->head = head.text;
    upstream->after_host = head.after_host;
    upstream->host_is_servers = head.host_is_servers;
    upstream_request_start(upstream);
}

/*
 * Before the upstream is asked, a small body is gathered whole, so that a client that sends slowly keeps no
 * connection there busy; of a large one, or one of unknown length, it is the first part.
 */
static void hold(struct relay_call *call, struct str bytes)
{
    uint64_t length = call->body->length;
    bool is_small = length != BODY_LENGTH_UNKNOWN && length <= HELD_MOST;
    if (!body_keep_room(call->body, &call->held, &call->held_capacity, call->held_len + bytes.len)) {
        body_refuse(call->body);
        return;
    }
    memcpy(call->held + call->held_len, bytes.base, bytes.len);
    call->held_len += bytes.len;
    if (call->held_len < HELD_MOST && (is_small || call->is_gathering))
        return;
    body_pause(call->body);
    if (!call->is_gathering)
        start(call);
}

static void on_body(struct body *body, enum body_event event, struct str bytes)
{
    struct relay_call *call = body->data;
    switch (event) {
    case BODY_DATA:
        if (!call->started)
            hold(call, bytes);
        else if (!upstream_send(&call->upstream, bytes, false))
            body_pause(body);
        break;
    case BODY_END:
        call->body_ended = true;
        if (call->started)
            upstream_send(&call->upstream, (struct str){NULL, 0}, true);
        else if (!call->is_gathering)
            start(call);
        break;
    case BODY_BROKEN:
        call->started = true;
        upstream_request_fail(&call->upstream, body->status, body->detail);
        break;
    }
}

static void take_body(struct relay_call *call)
{
    struct body *body = call->body;
    body->on_event = on_body;
    body->data = call;
    call->is_gathering = true;
    body_read(body);
    call->is_gathering = false;
    bool is_small = body->length != BODY_LENGTH_UNKNOWN && body->length <= HELD_MOST;
    if (call->started || (!call->body_ended && (call->held_len == 0 || is_small)))
        return;
    if (!call->body_ended)
        body_pause(body);
    start(call);
}

/* Requests */

/* It may not be passed on: this server is the last one, and tells what it knows (section 9.3.7). */
static void send_options(struct relay_call *call)
{
    struct sink_field allow = {STR("Allow"), str_of(call->head.message.allow)};
    struct sink_head head = {
        .status = 204, .content_length = SINK_LENGTH_UNKNOWN, .fields = &allow, .n_fields = 1};
    call->sink->ops->start(call->sink, &head);
    call->sink->ops->finish(call->sink, NULL, 0);
}

static bool is_safe(struct str method)
{
    return str_equal(method, STR("GET")) || str_equal(method, STR("HEAD")) ||
           str_equal(method, STR("OPTIONS"));
}

static struct relay_call *call_new(const struct handler_relay *self, const struct request *request)
{
    struct sink *sink = request->sink;
    struct relay_call *call = arena_alloc(&sink->arena, sizeof(*call));
    *call = (struct relay_call){
        .handler = self,
        .sink = sink,
        .body = request->body,
        .body_ended = request->body->length == 0,
        .upstream = {.ops = &ops,
                     .is_head = str_equal(request->method, STR("HEAD")),
                     .is_safe = is_safe(request->method),
                     .deadline = self->deadline,
                     .lease = {.upstream = self->upstream,
                               .label = self->route->label,
                               .connect = self->connect}},
    };
    sink->data = call;
    sink->gone = on_sink_gone;
    return call;
}

static void handle(struct handler *handler, const struct request *request)
{
    const struct handler_relay *self = (const struct handler_relay *)handler;
    struct relay_call *call = call_new(self, request);
    struct problem problem = relay_head_init(&call->head, self->route, &self->names, request);
    if (problem.status != 0)
        refuse(call, problem);
    else if (relay_head_ends_here(&call->head))
        send_options(call);
    else if (call->body_ended)
        start(call);
    else
        take_body(call);
}

static void dispose(struct handler *handler)
{
    free(handler);
}

struct handler *handler_relay_new(const struct conf_route *route, const struct handler_env *env)
{
    struct handler_relay *self = mem_calloc(1, sizeof(*self));
    self->super = (struct handler){.handle = handle, .free = dispose, .wants_message = true};
    self->route = route;
    self->upstream = upstream_get(env->upstreams, route->upstream);
    self->readers = relay_stream_source(env->readers, self->upstream);
    self->connect = upstream_timeout(env->upstreams, route->connect_deadline);
    self->deadline = upstream_timeout(env->upstreams, route->deadline);
    self->passes_server = route->passes_server;
    relay_names_init(&self->names, route);
    return &self->super;
}
