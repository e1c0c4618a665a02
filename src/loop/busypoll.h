/* busypoll.h: whether a worker that finds nothing to do looks again at once, or sleeps. */
#ifndef HAYFORK_LOOP_BUSYPOLL_H
#define HAYFORK_LOOP_BUSYPOLL_H

#include <stdbool.h>
#include <stdint.h>

/* All zero at first. Times are nanoseconds, those with _at on clock_ns. */
struct busypoll {
    uint64_t worked_at; /* when the last turn ended that had something to do */
    uint64_t slept_at;  /* when the worker last let itself sleep */
    uint64_t usual;     /* how far turns with something to do have been apart lately */
};

/*
 * A turn of the loop has ended now, which had something to do or had not. Returns whether the next one looks
 * for work without waiting for it.
 */
bool busypoll_goes_on(struct busypoll *busypoll, bool worked, uint64_t now);

#endif
