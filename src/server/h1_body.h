/* h1_body.h: the body of a request of HTTP/1 (RFC 9112 section 6). */
#ifndef HAYFORK_SERVER_H1_BODY_H
#define HAYFORK_SERVER_H1_BODY_H

#include <h2o.h>
#include <stdbool.h>

#include "conf/conf.h"
#include "http/body.h"
#include "http/http1.h"
#include "server/bodies.h"
#include "server/link.h"

struct h1_body;

/* What its owner does for it. */
struct h1_body_ops {
    /* The client waits for 100 (Continue) (RFC 9110 section 15.2.1), and the body is wanted now. */
    void (*send_continue)(struct h1_body *body);
    /* What is thrown away of it takes too long to come: nothing of the body may be used after the call. */
    void (*skip_failed)(struct h1_body *body);
};

/* What all bodies of a worker share. */
struct h1_body_env {
    h2o_loop_t *loop;
    const struct conf *conf;
    struct bodies bodies;
    h2o_timeout_t *tick_timeout;
};

struct h1_body {
    struct body body;
    const struct h1_body_ops *ops;
    struct h1_body_env *env;
    struct link *link; /* it comes by */
    enum http1_body kind;
    bool is_done;        /* all of it was read, or it broke */
    bool is_reading;     /* its handler wants more */
    bool is_lost;        /* there was no memory for a part of it, while its handler wanted none */
    bool is_skipping;    /* see h1_body_skip */
    bool wants_continue; /* the client waits for 100 (Continue) */
    bool in_event;
    uint64_t left;             /* of a body with Content-Length */
    uint64_t taken;            /* bytes read so far */
    uint64_t since;            /* clock_ms: since when it is awaited, moved on by pauses */
    uint64_t paused_at;        /* clock_ms, 0 if not paused */
    h2o_timeout_entry_t timer; /* ticks while it is awaited */
    struct http1_chunks chunks;
    struct bodies_entry entry;
};

/* All that is pointed to must outlive the bodies. */
void h1_body_env_init(struct h1_body_env *env, h2o_loop_t *loop, struct timeouts *timeouts,
                      const struct conf *conf);

/* For a connection; the body is all zero before. */
void h1_body_init(struct h1_body *body, struct h1_body_env *env, const struct h1_body_ops *ops,
                  struct link *link, struct peer *peer);

/* The body of the request that has just begun with this head. */
void h1_body_begin(struct h1_body *body, const struct http1_head *head);

/* Gives the handler what has come, while it wants it. */
void h1_body_feed(struct h1_body *body);

/* Could what is left be read and thrown away, so that another request can be read after it? */
bool h1_body_can_be_skipped(const struct h1_body *body);

/* From now on what is fed is thrown away. */
void h1_body_skip(struct h1_body *body);

/* After feeding one that is skipped: is there more to skip? */
bool h1_body_goes_on(struct h1_body *body);

/* There is no memory for what has come of it: 503, now or as soon as its handler reads. */
void h1_body_lose(struct h1_body *body);

/* Is it not what it should be? Then nobody can tell what comes after it. */
static inline bool h1_body_is_broken(const struct h1_body *body)
{
    return body->body.status != 0;
}

/* The request ends, or the connection: so does what is kept of the body. What is left may be skipped then. */
void h1_body_end(struct h1_body *body);

#endif
