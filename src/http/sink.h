/*
 * sink.h: where a handler puts its answer. server/exchange.c makes one for every request; handlers know
 * nothing else of HTTP.
 *
 * A handler answers exactly once: start, any number of pushes, then finish or abort. Until then the client
 * may go away: `gone` is called, once, and the sink must not be used any longer. `gone` is also called after
 * the answer, when the request's memory is about to be freed, so it is the place to let go of `data`. Stages
 * answer in the same way; other sinks may stand in front of the exchange's (http/layer.h).
 */
#ifndef HAYFORK_HTTP_SINK_H
#define HAYFORK_HTTP_SINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

struct sink;

#define SINK_LENGTH_UNKNOWN SIZE_MAX

/* Up to so many parts in one call cost no memory of the request's. */
enum { SINK_FEW_PARTS = 16 };

struct sink_field {
    struct str name, value;
};

/*
 * The head of an answer. The texts it points to must live as long as the request (sink->arena gives such
 * memory); the struct itself and its array of fields are copied by start.
 */
struct sink_head {
    int status;
    const char *reason;              /* phrase of the status line; NULL for the usual one */
    struct str content_type;         /* empty: none */
    size_t content_length;           /* bytes, or SINK_LENGTH_UNKNOWN. To HEAD, of the body that GET has */
    const struct sink_field *fields; /* more header fields */
    size_t n_fields;
};

/* Who asks. */
struct sink_client {
    /*
     * Stands for the IPv4 address, or for the first 64 bits of the IPv6 address, as one client can have all
     * that begin with these. 0 for a Unix socket and on loopback: a proxy has all its clients come from
     * there.
     */
    uint64_t network;
    struct str address; /* as text, which stays as long as the sink; empty for a Unix socket */
};

/* What whoever answers has found out meanwhile, for the log. */
struct sink_notes {
    bool asked;               /* PostgreSQL was, and these are known: */
    uint64_t queue, database; /* ns until the query was sent, and until its end */
    uint64_t rows;            /* of its result */
    const char *upstream;     /* the server that was asked, or NULL */
};

struct sink_ops {
    /* Says how the answer begins. Nothing is sent yet. */
    void (*start)(struct sink *sink, const struct sink_head *head);
    /* Sends a part of the body. The bytes must stay until `room` is called; no push before that. */
    void (*push)(struct sink *sink, const struct str *parts, size_t n);
    /* Sends the last part (n may be 0), with the head if it is still here, in one write. The bytes must
     * live as long as the request. */
    void (*finish)(struct sink *sink, const struct str *parts, size_t n);
    /* The answer cannot be completed: the client must not take what it has for whole. Also while a part is
     * being sent, whose bytes must then stay until `gone`. */
    void (*abort)(struct sink *sink);
    /* Resets the client's connection at once: `gone` is called before this returns. To be called from a timer
     * alone. */
    void (*cut)(struct sink *sink);
    /* How many bytes its client has taken of what was sent on the connection, of this answer and others. */
    uint64_t (*taken)(struct sink *sink);
    struct sink_client (*client)(struct sink *sink);
    /* The request's id, in X-Request-Id, problem documents and log lines. It stays as long as the request. */
    const char *(*request_id)(struct sink *sink);
    /* The request's traceparent (W3C Trace Context): the client's, or one that is made now. */
    struct str (*trace)(struct sink *sink);
};

struct sink {
    const struct sink_ops *ops;
    struct arena arena; /* memory that lives as long as the request */
    struct sink_notes *notes;
    const char *route; /* its name in log lines, "GET /contacts/{id}"; NULL when none was found */
    void (*room)(struct sink *sink);
    void (*gone)(struct sink *sink); /* may be NULL */
    void *data; /* of whoever answers into the sink, as room and gone are: a handler, a stage, a layer */
};

static inline const char *sink_request_id(struct sink *sink)
{
    return sink->ops->request_id(sink);
}

/* The whole of a short answer in one call. head's content_length is filled in. */
static inline void sink_answer(struct sink *sink, struct sink_head *head, const struct str *parts, size_t n)
{
    head->content_length = 0;
    for (size_t i = 0; i < n; i++)
        head->content_length += parts[i].len;
    sink->ops->start(sink, head);
    sink->ops->finish(sink, parts, n);
}

#endif
