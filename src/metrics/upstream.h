/* upstream.h: what a server of relays shows and counts, in the memory that master and workers share. */
#ifndef HAYFORK_METRICS_UPSTREAM_H
#define HAYFORK_METRICS_UPSTREAM_H

#include "metrics/metric.h"

enum { SHM_UPSTREAM_SERVER = '\t' }; /* in a name, between an upstream's and its server's */

/*
 * A server of an upstream, as one worker sees it, or what those of its name have counted in workers that are
 * gone. What is the upstream's, not one server's, has a place whose name has no server.
 */
struct shm_upstream {
    _Atomic uint32_t name; /* in the shared memory; 0 where there is none */
    _Atomic uint64_t values[METRICS_UPSTREAM_MOST];
};

#endif
