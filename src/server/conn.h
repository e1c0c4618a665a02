/* conn.h: connections of HTTP/1.1 (RFC 9112): strict in what they read, bounded in what they hold. */
#ifndef HAYFORK_SERVER_CONN_H
#define HAYFORK_SERVER_CONN_H

#include <h2o.h>
#include <stdbool.h>

#include "conf/conf.h"
#include "http/http1.h"
#include "loop/timeouts.h"
#include "server/exchange.h"
#include "server/h1_answer.h"
#include "server/h1_body.h"
#include "server/link.h"

/* What all connections of a worker share. The fields are conn.c's own, but for the first group. */
struct conn_context {
    h2o_loop_t *loop;
    const struct conf *conf;
    struct timeouts *timeouts;
    struct outbox *outbox; /* for answers; NULL: they are written at once */
    struct exchanges *exchanges;

    h2o_linklist_t connections;
    h2o_linklist_t next_turn; /* connections that wait for a turn of the loop, longest first */
    unsigned n_woken;         /* how many of those before have this turn */
    uint64_t n_pipelined;     /* what others had of this turn: see has_turn in server/conn.c */
    bool draining;
    struct http1_limits limits;
    struct http1_head head; /* the head being parsed: most come in one piece */
    struct link_env links;
    struct h1_body_env bodies;
    struct h1_fields fields;
    h2o_timeout_t *head_timeout, *idle_timeout, *linger_timeout, *gone_timeout, *watch_timeout, *now_timeout;
};

/* Fills in the second group; the first is the caller's, and must be set. */
void conn_context_init(struct conn_context *context);

/* Takes over an accepted socket and serves the requests on it, each with listen in its exchange. */
void conn_accept(struct conn_context *context, h2o_socket_t *socket, const struct conf_listen *listen);

/*
 * To be called between two turns of the loop. Connections that had their part of the last one, and have sent
 * more requests, go on in the next, which does not wait then.
 */
void conn_turn_end(struct conn_context *context);

/* From now on every answer closes its connection. */
void conn_drain(struct conn_context *context);

/* Closes the connections on which no request has begun. For a second after conn_drain it is too early: a
 * client may just be using one again. */
void conn_close_idle(struct conn_context *context);

/*
 * Closes the oldest connection of that listener on which no request is under way, or has been for a second.
 * Returns whether there was one.
 */
bool conn_make_way(struct conn_context *context, const struct conf_listen *listen);

/* Closes all connections as they are, and frees what conn_context_init made. */
void conn_context_dispose(struct conn_context *context);

#endif
