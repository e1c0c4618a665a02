/* pools.c: a worker's pools of helpers, and how it has one killed. */
#include "process/pools.h"

#include <errno.h>
#include <unistd.h>

#include "base/log.h"

/* Has the master kill a helper. There are as many places as a conf can have helpers. */
static void condemn(void *arg, pid_t helper)
{
    const struct pools *pools = arg;
    for (unsigned i = 0; helper != 0 && i < SHM_CONDEMNED; i++) {
        pid_t none = 0;
        if (atomic_compare_exchange_strong(&pools->shm->condemned[i], &none, helper))
            break;
    }
    if (write(pools->ready_fd, "", 1) < 0 && errno != EAGAIN)
        log_warn("cannot tell the master that a helper is overdue");
}

void pools_open(struct pools *pools, h2o_loop_t *loop, struct timeouts *timeouts, const struct conf *conf,
                int images, int inference)
{
    struct helpers_pool_conf pool = {.loop = loop, .timeouts = timeouts, .condemn = condemn, .arg = pools};
    pool.offers = images;
    pool.queue = conf->images.queue;
    pool.time = conf->images.time;
    pools->images = images < 0 ? NULL : helpers_pool_new(&pool);
    pool.offers = inference;
    pool.queue = conf->inference.queue;
    pool.time = conf->inference.time;
    pools->inference = inference < 0 ? NULL : helpers_pool_new(&pool);
}

void pools_close(struct pools *pools)
{
    helpers_pool_free(pools->images);
    helpers_pool_free(pools->inference);
}
