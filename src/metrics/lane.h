/* lane.h: what a lane to PostgreSQL shows and counts, in the memory that master and workers share. */
#ifndef HAYFORK_METRICS_LANE_H
#define HAYFORK_METRICS_LANE_H

#include <stdatomic.h>
#include <stdint.h>

enum shm_lane_count {
    SHM_LANE_QUERIES,        /* that were taken */
    SHM_LANE_REFUSED_AWAY,   /* that were not, as no connection was ready, */
    SHM_LANE_REFUSED_FULL,   /* or as too many waited */
    SHM_LANE_NOT_SENT,       /* that waited until their deadline */
    SHM_LANE_LATE,           /* that were sent, and whose answer had not come by then */
    SHM_LANE_RETRIED,        /* that were sent a second time, after their connection broke */
    SHM_LANE_MERGED,         /* statements that were several queries, */
    SHM_LANE_MERGED_QUERIES, /* and how many these were */
    SHM_LANE_SPILLS,         /* connections that were opened beside the first one */
    SHM_LANE_LOST,           /* connections that broke, */
    SHM_LANE_LOST_QUERIES,   /* and queries that were lost with them, or not sent any longer */
    SHM_LANE_COUNTS,
};

/* A lane of one worker. */
struct shm_lane {
    _Atomic uint32_t name;               /* 0 where there is none */
    _Atomic int state;                   /* enum db_state of its first connection */
    _Atomic unsigned open;               /* connections to PostgreSQL */
    _Atomic unsigned waiting, in_flight; /* queries */
    _Atomic uint64_t counts[SHM_LANE_COUNTS];
};

#endif
