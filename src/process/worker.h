/* worker.h: a worker process: one loop that accepts, routes and answers. */
#ifndef HAYFORK_PROCESS_WORKER_H
#define HAYFORK_PROCESS_WORKER_H

#include <stddef.h>
#include <sys/types.h>

#include "conf/conf.h"
#include "process/handoff.h"
#include "process/listen.h"
#include "metrics/shm.h"

/*
 * Connections of the operators' listener that a worker has at the same time, besides those of clients, which
 * limits.clients counts. For one more, one that is idle is closed, or one that takes long.
 */
enum { WORKER_ADMIN_MOST = 128 };

/* All that a worker gets from its master. Loop and database connection are made after the fork. */
struct worker_inheritance {
    const struct conf *conf;
    struct listener *const *listeners; /* in the order of the conf */
    size_t n_listeners;
    struct shm *shm;
    const struct shm_generation *generation; /* whose worker it is */
    const struct handoff *handoff;
    int images;     /* where helpers for them offer themselves; -1 where there are none */
    int inference;  /* the same for models */
    unsigned index; /* which slot and which sockets are this worker's; counts from 0 */
    int ready_fd;   /* the worker writes a byte here when its state in the shared memory has changed */
    pid_t master;
    const char *commit; /* that this program was built from, or empty */
};

/*
 * Makes ready, and accepts connections once SIGUSR2 has come. Runs until SIGTERM, however often it comes, has
 * drained it (the master's alone, where there is limits.drain_notice) or SIGQUIT stops it, and returns the
 * exit code.
 */
int worker_run(const struct worker_inheritance *inherited);

#endif
