/*
 * exchange.h: one request and its answer, whichever version of HTTP brings them over the link.
 *
 * What speaks that version makes the exchange, and sends the answer that comes out of its sink.
 */
#ifndef HAYFORK_SERVER_EXCHANGE_H
#define HAYFORK_SERVER_EXCHANGE_H

#include <h2o.h>
#include <stdbool.h>
#include <stdint.h>

#include "conf/conf.h"
#include "http/body.h"
#include "http/http1.h"
#include "http/sink.h"
#include "metrics/series.h"
#include "server/ids.h"
#include "server/peer.h"

struct exchange;
struct access_log;

/* Which part of the answer it is. */
enum exchange_part {
    EXCHANGE_MORE,    /* more of the body will follow */
    EXCHANGE_LAST,    /* it is the end */
    EXCHANGE_ABORTED, /* what would follow will not come: the client must not take what it has for whole */
};

struct exchange_ops {
    /* Sends a part of the body, n may be 0; the first time with exchange->head before it. */
    void (*send)(struct exchange *exchange, const struct str *parts, size_t n, enum exchange_part part);
    /* See struct sink_ops. */
    void (*cut)(struct exchange *exchange);
    uint64_t (*taken)(struct exchange *exchange);
};

/* Who answers, whichever version of HTTP has brought the request. */
struct exchanges_ops {
    /* A request has come; its body may still be under way. To be answered by its sink, now or later. */
    void (*request)(struct exchange *exchange);
    /* What has come is not a request: to be answered with this status. */
    void (*reject)(struct exchange *exchange, int status, const char *detail);
    /* One that has an access log, or has taken as long as a slow one, has ended after so many ns. */
    void (*ended)(struct exchange *exchange, uint64_t elapsed);
};

/*
 * Memory of requests, some 4 KB each, that is kept. libh2o keeps sixteen; a turn of the loop has more
 * pending requests, and asking the heap took a tenth of the instructions of a contact.
 */
enum { EXCHANGE_POOLS = 64 };

/* What all exchanges of a worker share. */
struct exchanges {
    const struct exchanges_ops *ops;
    struct series *unrouted;   /* where requests are counted that are for no route; NULL: nowhere */
    struct access_log *access; /* of requests that are for no route; NULL: none */
    uint64_t slow;             /* ns to the first byte of the answer that are slow; UINT64_MAX: none */
    struct ids ids;
    uint64_t n_begun, n_answered, n_ended;
    h2o_mem_pool_t pools[EXCHANGE_POOLS]; /* of exchanges that have ended, for the next ones */
    size_t n_pools;
};

struct exchange {
    const struct exchange_ops *ops;
    struct exchanges *all;
    const struct conf_listen *listen; /* the listener that the client came by */
    struct peer *peer;
    struct body *body;

    bool is_open;              /* begun, not ended; what follows is of this time */
    uint64_t begun_at;         /* clock_turn_ns: when its head had come */
    struct series *series;     /* where it is counted; NULL: nowhere */
    struct access_log *access; /* NULL: none */
    bool tells_times;          /* the answer is to have Server-Timing */
    uint64_t answered_at;      /* clock_turn_ns: when its answer began; 0: not yet */
    uint64_t head_len;         /* bytes of the answer's head */
    struct sink_notes notes;
    uint64_t received; /* bytes of its body, and */
    uint64_t sent;     /* of its answer: filled in before exchange_close */
    h2o_mem_pool_t pool;
    struct st_h2o_mem_pool_chunk_t *first_chunk; /* of the pool */

    /* the request */
    struct str method, path, authority; /* the path with its query */
    int minor_version;
    bool is_head; /* HEAD: an answer without a body */
    uint32_t n_fields;
    const struct http1_field *fields; /* in the pool, and */
    const char *bytes;                /* what they point into */

    struct str id;            /* see exchange_id; base is NULL until it is asked for */
    struct str trace;         /* see exchange_trace; base is NULL until it is asked for */
    char own_id[IDS_LEN + 1]; /* one that was made; the NUL is there from the beginning */

    /* the answer */
    struct sink sink;
    struct sink_head head; /* filled in by the sink's start */
};

/* unrouted is where requests are counted that are for no route; NULL: nowhere. access and slow can be set
 * then. */
void exchanges_init(struct exchanges *exchanges, const struct exchanges_ops *ops, struct series *unrouted);
void exchanges_dispose(struct exchanges *exchanges);

/* What is the same for all exchanges of a connection. The exchange is all zero before. */
void exchange_init(struct exchange *exchange, struct exchanges *all, const struct exchange_ops *ops,
                   const struct conf_listen *listen, struct peer *peer, struct body *body);

/*
 * A request has come, with this head, whose spans point into bytes[0..len). All that the exchange needs of
 * it is copied.
 */
void exchange_begin(struct exchange *exchange, const struct http1_head *head, const char *bytes, size_t len);

/* Counts the request, and calls the sink's gone. The answer is out, or will never be: nothing may come out of
 * the sink any longer. */
void exchange_close(struct exchange *exchange);

/* Frees the exchange's memory, after exchange_close. */
void exchange_end(struct exchange *exchange);

/* What was sent last is with the kernel: the sink has room. */
void exchange_room(struct exchange *exchange);

/* The status that counts: 499, nginx's, where who has asked is gone before there was an answer. */
static inline int exchange_status(const struct exchange *exchange)
{
    return exchange->head.status == 0 ? 499 : exchange->head.status;
}

/*
 * The request's id, which a NUL follows: that of X-Request-Id where it is good, else one of our own. It stays
 * as long as the request.
 */
struct str exchange_id(struct exchange *exchange);

/* The request's traceparent: the client's where it is well-formed, else one that is made. It stays as long as
 * the request. */
struct str exchange_trace(struct exchange *exchange);

/* A request's field by its name in lower case, or an empty str with base NULL. */
struct str exchange_field(const struct exchange *exchange, struct str name);

/* The same; where the field stands several times, the values with ", " between them (RFC 9110 section 5.3).
 */
struct str exchange_field_list(struct exchange *exchange, struct str name);

#endif
