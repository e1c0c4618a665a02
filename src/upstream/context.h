/* context.h: all upstreams of a worker: made when it starts, ended with it. */
#ifndef HAYFORK_UPSTREAM_CONTEXT_H
#define HAYFORK_UPSTREAM_CONTEXT_H

#include <h2o.h>
#include <stddef.h>

#include "conf/conf.h"
#include "loop/outbox.h"
#include "loop/timeouts.h"

struct shm;
struct shm_generation;
struct upstream;
struct upstream_context;

/* Where servers are counted: as those of this worker of the generation. */
struct upstream_counted {
    struct shm *shm;
    const struct shm_generation *generation;
    unsigned index;
};

/* Makes conf->n_upstreams upstreams; conf and timeouts must outlive the context. outbox may be NULL. */
struct upstream_context *upstream_context_new(h2o_loop_t *loop, const struct conf *conf,
                                              struct timeouts *timeouts, struct outbox *outbox,
                                              struct upstream_counted counted);

/* The upstream of conf->upstreams[i]. */
struct upstream *upstream_get(struct upstream_context *context, size_t i);

/* timeouts_get, for those who have the context. */
h2o_timeout_t *upstream_timeout(struct upstream_context *context, unsigned ms);

/*
 * The worker ends: from now on no request is sent to a server; the next turn of the loop answers 503 to those
 * that wait for a connection.
 */
void upstream_context_end(struct upstream_context *context);

/* Closes all connections. No request may be left. */
void upstream_context_free(struct upstream_context *context);

#endif
