/*
 * pool.h: a worker's jobs for helpers: a bounded queue, from which whichever helper offers itself gets the
 * next one (helpers/link.h).
 *
 * Nothing here blocks. A job that takes too long costs its helper's life: the master is told to kill it.
 */
#ifndef HAYFORK_HELPERS_POOL_H
#define HAYFORK_HELPERS_POOL_H

#include <h2o.h>
#include <stdbool.h>
#include <stddef.h>

#include "helpers/link.h"
#include "loop/timeouts.h"

/* How a job ended. */
enum helpers_end {
    HELPERS_ANSWERED,
    HELPERS_WAITED, /* no helper was free in time: nothing was done */
    HELPERS_LATE,   /* it took too long, and was killed */
    HELPERS_DIED,   /* its helper has ended over it */
};

struct helpers_job;

struct helpers_job_ops {
    /* Called once, from the loop; answer is what the helper has sent, and gone afterwards. The job is freed.
     */
    void (*done)(void *arg, enum helpers_end end, const void *answer, size_t len);
};

/* What a pool is made of. All of it must outlive it. */
struct helpers_pool_conf {
    h2o_loop_t *loop;
    struct timeouts *timeouts;
    int offers;                               /* where helpers offer themselves: the pool closes it */
    unsigned queue;                           /* jobs that may wait */
    unsigned time;                            /* ms that a helper has for one */
    void (*condemn)(void *arg, pid_t helper); /* has a helper killed */
    void *arg;                                /* of condemn */
};

struct helpers_pool;

struct helpers_pool *helpers_pool_new(const struct helpers_pool_conf *conf);

/* No job may be wanted any longer. */
void helpers_pool_free(struct helpers_pool *pool);

/* Would another job be refused? */
bool helpers_pool_is_full(const struct helpers_pool *pool);

/*
 * Takes a job: a message of HELPERS_MESSAGE bytes at most, which is copied, and the descriptors that go with
 * it, which are the pool's from now on; it may wait so many ms for a helper. Nothing is called from within.
 * Returns NULL, and closes them, where the queue is full.
 */
struct helpers_job *helpers_pool_add(struct helpers_pool *pool, const void *message, size_t len,
                                     const int fds[HELPERS_FDS], unsigned wait,
                                     const struct helpers_job_ops *ops, void *arg);

/* Does it still wait for a helper? What goes with it may be added to until then, by a descriptor of one's
 * own. */
bool helpers_job_waits(const struct helpers_job *job);

/* Nobody wants the answer any longer: nothing is called. What waits leaves its place. */
void helpers_pool_abandon(struct helpers_pool *pool, struct helpers_job *job);

#endif
