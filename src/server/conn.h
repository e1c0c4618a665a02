/*
 * conn.h: HTTP/1.1 connections (RFC 9112): strict in what they read, bounded in what they hold.
 *
 * libh2o keeps the loop, the sockets, the request object with its memory, and the output filters.
 */
#ifndef HAYFORK_SERVER_CONN_H
#define HAYFORK_SERVER_CONN_H

#include <h2o.h>

#include "http/body.h"
#include "conf/conf.h"
#include "http/http1.h"
#include "http/sink.h"
#include "loop/outbox.h"
#include "loop/timeouts.h"

struct conn;

/*
 * Memory of requests, some 4 KB each, that is kept. libh2o keeps sixteen; a turn of the loop has more
 * pending requests, and asking the heap took a tenth of the instructions of a contact.
 */
enum { CONN_POOLS = 64 };

/* What all connections of a worker share. The fields are conn*.c's own, but for the first group. */
struct conn_context {
    h2o_context_t *h2o;
    h2o_hostconf_t **hosts;
    const struct conf *conf;
    struct timeouts *timeouts;
    struct outbox *outbox; /* for answers; NULL: they are written at once */
    /* A request has come; its body may still be under way. To be answered through libh2o, now or later. */
    void (*on_request)(void *arg, h2o_req_t *req, struct body *body);
    /* What has come is not a request: to be answered with this status. The connection closes after it. */
    void (*on_reject)(void *arg, h2o_req_t *req, int status, const char *detail);
    /* A request for which conn_keep was called ends, answered or not: its memory goes right after. */
    void (*on_end)(void *kept);
    void *arg;

    h2o_linklist_t connections;
    struct store_limit bodies; /* what all of them take */
    h2o_linklist_t incoming;   /* connections of bodies that are coming in: see server/bodies.c */
    bool is_making_room;
    h2o_linklist_t next_turn; /* connections that wait for a turn of the loop, longest first */
    unsigned n_woken;         /* how many of those before have this turn */
    uint64_t n_pipelined;     /* what others had of this turn: see has_turn in server/conn.c */
    struct conn *reading;     /* whose input lies in the shared buffer; NULL once that connection is closed */
    bool draining;
    struct http1_limits limits;
    struct http1_head head;           /* the head being parsed: most come in one piece */
    char *input;                      /* what one read brought */
    h2o_mem_pool_t pools[CONN_POOLS]; /* of requests that have ended, for the next ones */
    size_t n_pools;
    h2o_timeout_t *head_timeout, *idle_timeout, *body_timeout, *stall_timeout, *linger_timeout, *gone_timeout,
        *watch_timeout;
    char *fields; /* that all answers have: Server, then Date, which is of the second date_at */
    size_t server_len, fields_len;
    time_t date_at;
};

/* Fills in the second group; the first is the caller's, and must be set. */
void conn_context_init(struct conn_context *context);

/* Takes over an accepted socket and serves the requests on it. listen is what conn_listen answers. */
void conn_accept(struct conn_context *context, h2o_socket_t *socket, const struct conf_listen *listen);

/* What context->on_end is told at the end of the request. */
void conn_keep(h2o_req_t *req, void *kept);

/* The listener that the request's connection came by. */
const struct conf_listen *conn_listen(const h2o_req_t *req);

/* A request's field by its name in lower case, or an empty str with base NULL. */
struct str conn_field(h2o_req_t *req, struct str name);

/* The same; where the field stands several times, the values with ", " between them (RFC 9110 section 5.3).
 */
struct str conn_field_list(h2o_req_t *req, struct str name);
/* All fields of a request; their spans point into *bytes. */
size_t conn_fields(h2o_req_t *req, const struct http1_field **fields, const char **bytes);

/* The client's IP address as text, which stays as long as the connection; empty for a Unix socket. */
struct str conn_peer(h2o_req_t *req);

struct sink_client conn_client(h2o_req_t *req);

/*
 * How many bytes the client has acknowledged of what was ever sent on the request's connection; where that is
 * none of TCP, how many of this answer were handed over for sending.
 */
uint64_t conn_taken(h2o_req_t *req);

/* Resets the request's connection at once, from a timer. The request ends before this returns. */
void conn_cut(h2o_req_t *req);

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

/* Closes all connections as they are, and frees what conn_context_init made. */
void conn_context_dispose(struct conn_context *context);

#endif
