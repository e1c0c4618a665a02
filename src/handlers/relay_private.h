/* relay_private.h: what the parts of the relay's handler share. Private to handlers/relay*.c. */
#ifndef HAYFORK_HANDLERS_RELAY_PRIVATE_H
#define HAYFORK_HANDLERS_RELAY_PRIVATE_H

#include "handlers/handler.h"
#include "handlers/relay_fields.h"
#include "handlers/stream.h"
#include "upstream/request.h"

/* What Via says of us. */
#define RELAY_NAME "hayfork"

struct handler_relay {
    struct handler super;
    const struct conf_route *route;
    struct upstream *upstream;
    struct readers_source *readers; /* those who take its answers */
    h2o_timeout_t *connect, *deadline;
    bool passes_server; /* the upstream's Server field, where the conf's `server` is empty */
    bool has_names;     /* `headers` or `send` hold a {name} */
    struct str names[ROUTE_MAX_CAPTURES];
    size_t n_names;
};

/* One exchange. It lives in the request's memory. */
struct relay_call {
    struct upstream_request upstream;
    const struct handler_relay *handler;
    struct sink *sink;
    struct body *body;
    struct request_message message;
    struct str method, path, query; /* raw */
    struct relay_fields fields;     /* of the request, sorted */
    bool counts_forwards;           /* it has a Max-Forwards that counts: */
    uint64_t max_forwards;
    struct str *captures; /* as they came */
    struct str *decoded;  /* the same, percent-decoded; only where the handler has_names */
    char *held;           /* of the request's body: what has come before there was anybody to send it to */
    size_t held_len, held_capacity;
    bool body_ended;
    bool started;      /* the upstream is asked */
    bool is_gathering; /* body_read has not returned yet */
    bool head_passed;
    struct stream *stream;   /* of an answer that does not come at once; else NULL */
    struct json_writer text; /* what of it is copied */
    bool is_resuming, wants_more;
};

/* handlers/relay_stream.c: the body of an answer. */

/* A part of it has come: see upstream_ops. */
void handler_relay_data(struct relay_call *call, const struct str *parts, size_t n, bool is_last);

/* It breaks off. */
void handler_relay_break_off(struct relay_call *call);

/* The upstream, as something that readers hold. */
struct readers_source *handler_relay_source(struct readers *readers, const struct upstream *upstream);

/* handlers/relay_head.c */

/* For headers_fill: what a {name} of the path stands for, percent-decoded. arg is the call. */
bool handler_relay_lookup(void *arg, const char *name, struct str *value);

/*
 * Writes the head of the request to the upstream, in memory of the sink's request, into call->upstream.
 * length is the body's, or BODY_LENGTH_UNKNOWN for a chunked one.
 */
void handler_relay_write_head(struct relay_call *call, uint64_t length);

#endif
