/* sums.h: what all workers of all generations have counted by route, and which workers there are. */
#ifndef HAYFORK_METRICS_SUMS_H
#define HAYFORK_METRICS_SUMS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"
#include "metrics/totals.h"

/* What a route has counted. The texts are those of its name in the shared memory, and stay. */
struct sums_route {
    const struct series *series;
    struct str method, path; /* method is empty where the name is not "METHOD /path" */
    struct str listeners;    /* with commas; empty for a route that is on all of the conf's */
};

/* All routes that have counted something, and what was for none. */
struct sums_routes {
    struct sums_route *all;
    size_t n;
    const struct series *unrouted; /* NULL where there is nothing yet */
    struct totals totals;          /* which the above points into */
};

/* Freed with sums_routes_free. */
struct sums_routes sums_routes_read(const struct shm *shm);
void sums_routes_free(struct sums_routes *routes);

/* Has anything been counted in it? */
bool sums_any_time(const struct series_times *times);

/* A worker that is there. */
struct sums_worker {
    const struct shm_slot *slot;
    unsigned index, generation; /* both count from 1 */
};

struct sums_workers {
    struct sums_worker *all;
    size_t n;
};

/* Freed with sums_workers_free. */
struct sums_workers sums_workers_read(const struct shm *shm);
void sums_workers_free(struct sums_workers *workers);

/* What such a state is called: "ready". */
const char *sums_state_name(enum shm_worker_state state);

/* Open connections of clients. */
uint64_t sums_connections(const struct sums_workers *workers);

#endif
