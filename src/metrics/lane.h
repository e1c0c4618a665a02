/* lane.h: what a lane to PostgreSQL shows and counts, in the memory that master and workers share. */
#ifndef HAYFORK_METRICS_LANE_H
#define HAYFORK_METRICS_LANE_H

#include "metrics/metric.h"

/* A lane of one worker, or what those of its name have counted in workers that are gone. */
struct shm_lane {
    _Atomic uint32_t name; /* in the shared memory; 0 where there is none */
    _Atomic int state;     /* enum db_state of its first connection */
    _Atomic uint64_t values[METRICS_LANE_MOST];
};

#endif
