/*
 * series.h: what is counted of each route, in the memory that master and workers share (metrics/shm.h).
 *
 * Each worker has a series for each route of its conf, which only it writes. What generations that are gone
 * have counted is kept by name, so that no counter goes back when a worker dies or the conf is reloaded.
 */
#ifndef HAYFORK_METRICS_SERIES_H
#define HAYFORK_METRICS_SERIES_H

#include <stdatomic.h>
#include <stdint.h>

enum {
    SERIES_STATUSES = 64,    /* that are counted separately; the first one stands for all others */
    SERIES_BUCKETS = 17,     /* the last one has no bound */
    SERIES_LISTENERS = '\t', /* in a name, between a route's label and the names of its listeners */
};

/* The place of a status, which is the same in all series. */
unsigned series_place(int status);

/* The status of a place, or 0 for all others. */
unsigned series_status(unsigned place);

/* The upper bounds of all buckets but the last: 100 us to 10 s. */
extern const uint32_t series_bounds_us[SERIES_BUCKETS - 1];

/* The same in seconds, as Prometheus and OpenMetrics write them. */
extern const char *const series_bounds_text[SERIES_BUCKETS];

/* How many took how long. */
struct series_times {
    _Atomic uint64_t buckets[SERIES_BUCKETS];
    _Atomic uint64_t sum_us;
};

struct series {
    _Atomic uint32_t name;                     /* in the shared memory, of the route; 0: nobody counts here */
    _Atomic uint64_t answers[SERIES_STATUSES]; /* by the place of their status */
    _Atomic uint64_t received, sent;           /* bytes of bodies, and of answers with their heads */
    struct series_times total;                 /* from the head of a request to the last byte of its answer */
    struct series_times database; /* of these, in PostgreSQL, waiting included; where it was asked */
};

/* One request was answered, in that time. */
void series_add(struct series *series, int status, uint64_t us);

/* Adds a time to a histogram. */
void series_add_time(struct series_times *times, uint64_t us);

/* Adds all of one series to another one, which nobody else writes. */
void series_fold(struct series *into, const struct series *from);

#endif
