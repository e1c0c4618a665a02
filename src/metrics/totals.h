/* totals.h: what all processes of all generations have counted and show, those that are gone included. */
#ifndef HAYFORK_METRICS_TOTALS_H
#define HAYFORK_METRICS_TOTALS_H

#include "metrics/shm.h"

/*
 * What was read while the master kept it elsewhere is read once more, so that nothing is missing or counted
 * twice. All of this is as it was a moment ago: who counts does not wait for a reader.
 */
struct totals {
    size_t n_names;         /* element i of the arrays is of the name i + 1, of so many; */
    struct series *series;  /* where it has none, its name is 0 */
    struct shm_lane *lanes; /* their state is of none */
    struct shm_upstream *upstreams;
    _Atomic uint64_t values[METRICS_SERVER_MOST];
};

/* Reads all of it; totals_free frees what it has allocated, which is some kilobyte for each name. */
void totals_read(struct totals *totals, const struct shm *shm);
void totals_free(struct totals *totals);

#endif
