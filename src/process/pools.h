/* pools.h: a worker's jobs for helpers, of each kind. */
#ifndef HAYFORK_PROCESS_POOLS_H
#define HAYFORK_PROCESS_POOLS_H

#include "conf/conf.h"
#include "helpers/pool.h"
#include "metrics/shm.h"

struct pools {
    struct helpers_pool *images;    /* NULL where no route makes any */
    struct helpers_pool *inference; /* NULL where no route uses a model */
    struct shm *shm;                /* where the master finds whom to kill, */
    int ready_fd;                   /* once a byte came here */
};

/*
 * Makes the pools. images and inference are where helpers of that kind offer themselves, or -1; they are the
 * pools' from now on. pools has shm and ready_fd, and stays where it is.
 */
void pools_open(struct pools *pools, h2o_loop_t *loop, struct timeouts *timeouts, const struct conf *conf,
                int images, int inference);

/* No job may be wanted any longer. */
void pools_close(struct pools *pools);

#endif
