/* relay.c: routes with `relay`: another service answers, and what it says is passed on. */
#include <inttypes.h>
#include <stdlib.h>

#include "handlers/relay_private.h"
#include "handlers/headers.h"
#include "handlers/make.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/percent.h"
#include "http/problem.h"
#include "upstream/context.h"

enum {
    HELD_MOST = 64 * 1024, /* bytes of a body that are gathered before the upstream is asked */
    LONGEST_REASON = 128,
    MOST_FORWARDS = 1000000,
    MOST_ROUNDS = 8,
};

static struct relay_call *call_of(struct upstream_request *request)
{
    return (struct relay_call *)((char *)request - offsetof(struct relay_call, upstream));
}

/* Answers of our own */

static void answer_problem(struct relay_call *call, struct problem problem)
{
    struct headers headers = headers_fill(call->handler->route, call->sink, handler_relay_lookup, call);
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
        (fate == RELAY_SERVER && !call->handler->passes_server) ||
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
                 handler_relay_lookup, call);
    head.reason = reason_of(call->sink, http1_str(bytes, response->reason));
    head.content_length = length == UPSTREAM_LENGTH_UNKNOWN ? SINK_LENGTH_UNKNOWN : (size_t)length;
    add_fields(call, &head, &response->head, bytes);
    call->head_passed = true;
    call->sink->ops->start(call->sink, &head);
}

static void on_data(struct upstream_request *request, const struct str *parts, size_t n, bool is_last)
{
    handler_relay_data(call_of(request), parts, n, is_last);
}

static void on_error(struct upstream_request *request, int status, const char *detail)
{
    struct relay_call *call = call_of(request);
    if (call->head_passed)
        handler_relay_break_off(call);
    else
        answer_problem(call, (struct problem){.status = status, .detail = detail});
}

static void on_sink_gone(struct sink *sink)
{
    struct relay_call *call = sink->data;
    upstream_request_end(&call->upstream);
    if (call->stream != NULL)
        stream_dispose(call->stream);
}

/* The request's body */

static void on_upstream_room(struct upstream_request *request)
{
    body_read(call_of(request)->body);
}

static uint64_t id_of(const struct upstream_request *request)
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
    handler_relay_write_head(call, length);
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

/*
 * Is a segment of the path "." or "..", whoever decodes it? Our routes compare the path as it stands, but
 * the upstream may resolve such segments, and so serve what no route lets out.
 */
static bool has_dot_segment(struct str path)
{
    size_t dots = 0;
    bool only_dots = true;
    for (size_t i = 0; i <= path.len; i++) {
        char c = i == path.len ? '/' : path.base[i];
        int byte = c == '%' ? percent_byte(path, i) : -1;
        if (byte == '.' || byte == '/' || byte == '\\') {
            c = (char)byte;
            i += PERCENT_LEN - 1;
        }
        if (c == '/' || c == '\\') {
            if (only_dots && (dots == 1 || dots == 2))
                return true;
            dots = 0;
            only_dots = true;
        } else if (c == '.') {
            dots++;
        } else if (c == ';' && only_dots && (dots == 1 || dots == 2)) {
            return true; /* some servers cut off what follows it */
        } else {
            only_dots = false;
        }
    }
    return false;
}

/* For header fields. A '%' that begins no code stands for itself. */
static struct str decode(struct sink *sink, struct str text)
{
    char *to = arena_alloc(&sink->arena, text.len + 1);
    struct str decoded = {to, 0};
    for (size_t i = 0; i < text.len;) {
        int c = percent_next(text, &i);
        to[decoded.len++] = (char)(c < 0 ? text.base[i++] : c);
    }
    return decoded;
}

/* Keeps what the path's names stand for. */
static void take_captures(struct relay_call *call, const struct str *captures)
{
    const struct handler_relay *self = call->handler;
    if (self->n_names == 0)
        return;
    call->captures = arena_alloc(&call->sink->arena, self->n_names * sizeof(*call->captures));
    memcpy(call->captures, captures, self->n_names * sizeof(*call->captures));
    if (!self->has_names)
        return;
    call->decoded = arena_alloc(&call->sink->arena, self->n_names * sizeof(*call->decoded));
    for (size_t i = 0; i < self->n_names; i++)
        call->decoded[i] = decode(call->sink, captures[i]);
}

/* The name of a part of the path that cannot go into a header field that has it, or NULL. */
static const char *find_refused(struct relay_call *call)
{
    const struct conf_route *route = call->handler->route;
    if (!call->handler->has_names)
        return NULL;
    const char *name = headers_find_refused(route->headers, route->n_headers, handler_relay_lookup, call);
    return name != NULL ? name : headers_find_refused(route->send, route->n_send, handler_relay_lookup, call);
}

/*
 * Max-Forwards of OPTIONS (RFC 9110 section 7.6.2): how many may still pass the request on. Returns false
 * where that cannot be told.
 */
static bool read_max_forwards(struct relay_call *call)
{
    const struct request_message *message = &call->message;
    struct str value = {NULL, 0};
    unsigned n = 0;
    if (!relay_fields_has(&call->fields, RELAY_MAX_FORWARDS) || !str_equal(call->method, STR("OPTIONS")))
        return true;
    for (size_t i = 0; i < message->n_fields; i++) {
        if (call->fields.fates[i] == RELAY_MAX_FORWARDS) {
            value = http1_str(message->bytes, message->fields[i].value);
            n++;
        }
    }
    for (size_t i = 0; i < value.len; i++) {
        if (value.base[i] < '0' || value.base[i] > '9')
            return false;
        if (call->max_forwards < MOST_FORWARDS) /* there never are so many */
            call->max_forwards = call->max_forwards * 10 + (uint64_t)(value.base[i] - '0');
    }
    call->counts_forwards = true;
    return n == 1 && value.len > 0;
}

/*
 * Does the request come round in a circle (RFC 9110 section 7.6)? Each time it has passed here, Via has got
 * one item more: its second word is our name, unless `send` says something else.
 */
static bool is_circling(const struct relay_call *call)
{
    const struct request_message *message = &call->message;
    struct str name = STR(RELAY_NAME);
    unsigned n = 0;
    if (!relay_fields_has(&call->fields, RELAY_VIA))
        return false;
    for (size_t i = 0; i < message->n_fields; i++) {
        if (call->fields.fates[i] != RELAY_VIA)
            continue;
        struct str via = http1_str(message->bytes, message->fields[i].value);
        while (via.len > 0) {
            struct str item = http1_next_item(&via);
            const char *blank = item.len == 0 ? NULL : memchr(item.base, ' ', item.len);
            struct str by = {blank, blank == NULL ? 0 : item.len - (size_t)(blank - item.base)};
            n += by.len == name.len + 1 && memcmp(by.base + 1, name.base, name.len) == 0;
        }
    }
    return n >= MOST_ROUNDS;
}

/* It may not be passed on: this server is the last one, and tells what it knows (section 9.3.7). */
static void answer_options(struct relay_call *call)
{
    struct sink_field allow = {STR("Allow"), str_of(call->message.allow)};
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
        .message = *request->message,
        .method = request->method,
        .path = request->path,
        .query = request->query,
        .fields = relay_fields_sort(request->message->fields, request->message->n_fields,
                                    request->message->bytes, &sink->arena),
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
    struct relay_call *call = call_new((struct handler_relay *)handler, request);
    take_captures(call, request->captures);
    const char *refused = find_refused(call);
    if (refused != NULL)
        answer_problem(call,
                       (struct problem){.status = 400,
                                        .detail = arena_printf(&call->sink->arena, HEADERS_REFUSED, refused),
                                        .parameter = refused});
    else if (has_dot_segment(call->path))
        upstream_request_fail(&call->upstream, 400, "The path has a segment of dots.");
    else if (is_circling(call))
        upstream_request_fail(&call->upstream, 508, "This request has come round several times already.");
    else if (!read_max_forwards(call))
        upstream_request_fail(&call->upstream, 400, "Max-Forwards must be one whole number.");
    else if (call->counts_forwards && call->max_forwards == 0)
        answer_options(call);
    else if (call->body_ended)
        start(call);
    else
        take_body(call);
}

static void dispose(struct handler *handler)
{
    free(handler);
}

static bool any_has_name(const struct conf_header *headers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < headers[i].n_pieces; j++) {
            if (headers[i].pieces[j].is_name)
                return true;
        }
    }
    return false;
}

struct handler *handler_relay_new(const struct conf_route *route, const struct handler_env *env)
{
    struct handler_relay *self = mem_calloc(1, sizeof(*self));
    size_t error_at;
    self->super = (struct handler){.handle = handle, .free = dispose, .wants_message = true};
    self->route = route;
    self->upstream = upstream_get(env->upstreams, route->upstream);
    self->readers = handler_relay_source(env->readers, self->upstream);
    self->connect = upstream_timeout(env->upstreams, route->connect_deadline);
    self->deadline = upstream_timeout(env->upstreams, route->deadline);
    self->passes_server = route->passes_server;
    self->has_names =
        any_has_name(route->headers, route->n_headers) || any_has_name(route->send, route->n_send);
    route_check_pattern(str_of(route->path), self->names, &self->n_names, &error_at);
    return &self->super;
}
