/* resolve.h: the addresses of a server, looked up off the loop where it has a name. */
#ifndef HAYFORK_UPSTREAM_RESOLVE_H
#define HAYFORK_UPSTREAM_RESOLVE_H

#include <h2o.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "conf/conf.h"

struct upstream_address {
    socklen_t len;
    struct sockaddr_storage socket;
};

struct upstream_addresses;
struct upstream_resolver;

struct upstream_resolve_ops {
    /* A look-up is over. n is 0 where no address was ever found. */
    void (*looked_up)(struct upstream_addresses *addresses);
};

/* The addresses of one server. */
struct upstream_addresses {
    const struct upstream_resolve_ops *ops;
    struct upstream_resolver *resolver;
    const struct conf_upstream *upstream; /* for log lines */
    const struct conf_server *conf;
    struct upstream_address *at;
    size_t n;
    size_t works; /* the one that worked last */
    bool is_name;
    bool lacks;                     /* they could not be looked up for lack of a descriptor or the like */
    uint64_t again_at;              /* clock_ms: not looked up again before */
    struct upstream_lookup *lookup; /* NULL while there is none */
};

/* What looks up the names of a worker. conf must outlive it. */
struct upstream_resolver *upstream_resolver_new(h2o_loop_t *loop, const struct conf *conf);

/* Whoever has addresses has disposed of them. A look-up that is still running keeps some of the memory. */
void upstream_resolver_free(struct upstream_resolver *resolver);

/* Fills in the address of a server that has no name, and looks up the name of one that has. */
void upstream_resolve_init(struct upstream_addresses *addresses, struct upstream_resolver *resolver,
                           const struct conf_upstream *upstream, const struct conf_server *server,
                           const struct upstream_resolve_ops *ops);

/* Looks the name up again if it is time to. */
void upstream_resolve(struct upstream_addresses *addresses);

/* The address at[i] works: it is the first to be tried from now on. */
void upstream_resolve_works(struct upstream_addresses *addresses, size_t i);

void upstream_resolve_dispose(struct upstream_addresses *addresses);

#endif
