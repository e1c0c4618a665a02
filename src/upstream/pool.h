/*
 * pool.h: which server a request goes to, and on which connection.
 *
 * A lease is what a request has of the pool: a place among those that wait, then a connection.
 *
 *     +------+          +---------+  a connection is free   +------------+  connected  +------+
 *     | NONE | -------> | WAITING | ----------------------> | CONNECTING | ----------> | HELD |
 *     +------+  acquire +---------+                         +------------+             +------+
 *                         a name is looked up (RESOLVING) ----^
 */
#ifndef HAYFORK_UPSTREAM_POOL_H
#define HAYFORK_UPSTREAM_POOL_H

#include "base/str.h"
#include "metrics/upstream.h"
#include "upstream/connection.h"
#include "upstream/env.h"

struct upstream_pool_ops {
    /* lease->connection is there, to lease->server. */
    void (*ready)(struct upstream_lease *lease);
    /* There will be none: status is 502 or 503. */
    void (*failed)(struct upstream_lease *lease, int status, const char *detail);
    /* There is something to be read on the connection. */
    void (*readable)(struct upstream_lease *lease, const char *error);
    /* The client's request's id, for log lines. */
    const char *(*id)(const struct upstream_lease *lease);
};

enum upstream_lease_state {
    UPSTREAM_LEASE_NONE,
    UPSTREAM_LEASE_WAITING,    /* for one of the connections to be free */
    UPSTREAM_LEASE_RESOLVING,  /* the server's name */
    UPSTREAM_LEASE_CONNECTING, /* nothing is sent yet */
    UPSTREAM_LEASE_HELD,
};

/* Whoever wants a connection fills in the first group and clears the rest, which pool.c alone writes. */
struct upstream_lease {
    const struct upstream_pool_ops *ops;
    struct upstream *upstream;
    const char *label;      /* for log lines: the route's name */
    uint64_t network;       /* that the client's request came from: see upstream_is_wanted */
    h2o_timeout_t *connect; /* how long to wait and to connect */
    bool may_repeat;        /* what will be asked can be asked again */

    enum upstream_lease_state state;
    struct upstream_connection *connection;
    struct upstream_server *server; /* that is tried, or asked; or NULL */
    uint64_t servers_tried;         /* bits, by index */
    size_t first_address, addresses_tried;
    bool lacks;     /* a server could not be tried, for lack of a descriptor or the like */
    bool wants_new; /* an idle connection was closed in the instant of its reuse: only a new one will do */
    h2o_timeout_entry_t timer;
    h2o_linklist_t link; /* among those that wait */
};

struct upstream_server {
    struct upstream *upstream;
    struct shm_upstream *shown; /* what it counts */
    const struct conf_server *conf;
    struct str authority; /* for Host */
    unsigned in_hand;     /* leases */
    bool recovers;        /* it works again, but not for long */
    unsigned failures;    /* in a row */
    uint64_t answered_at; /* of the loop's clock: the last answer */
    uint64_t rests_until; /* clock_ms, while there are failures */
    h2o_linklist_t idle;  /* connections, the one used last in front */
    struct upstream_addresses addresses;
    h2o_linklist_t resolving; /* leases that wait for these */
};

/* One or more servers that answer the same, and a worker's connections to them. */
struct upstream {
    const struct upstream_env *env;
    const struct conf_upstream *conf;
    struct shm_upstream *shown; /* what is no one server's */
    struct upstream_server *servers;
    size_t n_servers;
    size_t turn; /* who is asked first among equals */
    unsigned n_open, n_idle;
    h2o_linklist_t waiting; /* leases */
    uint64_t waiting_since; /* clock_ms: since when there are some */
    bool is_serving;        /* those that wait */
    h2o_timeout_t *idle;
    uint64_t chance; /* so that servers do not rest in step */
};

/* conf must outlive it. */
void upstream_pool_init(struct upstream *upstream, const struct upstream_env *env,
                        const struct conf_upstream *conf);

/* Where the server, or the upstream where that is NULL, is counted from now on. */
void upstream_pool_show(struct upstream *upstream, struct upstream_server *server,
                        struct shm_upstream *shown);

/* Counts for the server. */
static inline void upstream_pool_count(const struct upstream_server *server, enum metric_of_upstream what)
{
    counter_add(&server->shown->values[what], 1);
}

/* A request was refused, as all connections are in use. */
static inline void upstream_pool_count_full(const struct upstream *upstream)
{
    counter_add(&upstream->shown->values[METRIC_UPSTREAM_FULL], 1);
}

/* Closes all connections; no lease may be left. */
void upstream_pool_dispose(struct upstream *upstream);

/* The worker ends: 503 for those that wait for a connection. */
void upstream_pool_give_up_waiting(struct upstream *upstream);

/* Finds a connection for a lease that has none, or makes one, or has it wait, or fails it. */
void upstream_pool_acquire(struct upstream_lease *lease);

/* Takes the lease from its connection, which is returned, its server and whatever it waits for. */
struct upstream_connection *upstream_pool_leave(struct upstream_lease *lease);

/* Nobody has the connection any longer: the next lease may have it, or it is closed. */
void upstream_pool_release(struct upstream_connection *connection, bool reusable);

/* The connection, which had been idle, turned out to be closed: makes another one. */
void upstream_pool_acquire_new(struct upstream_lease *lease);

/* The server failed before it processed what was asked: it rests, and another server is tried. */
void upstream_pool_server_failed(struct upstream_lease *lease);

/* The server rests for a while. */
void upstream_pool_server_rest(struct upstream_server *server);

/* The server has answered. */
void upstream_pool_server_works(struct upstream_server *server);

/*
 * Have there been leases that wait for a connection for a quarter of a second, and is one of them for another
 * network than this one? With 0, for any.
 */
bool upstream_pool_is_wanted(const struct upstream *upstream, uint64_t network);

#endif
