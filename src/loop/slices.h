/*
 * slices.h: work that would hold up the loop, cut into turns of it.
 *
 * Whoever has such work does it in steps. In each turn of the loop there is time for some steps, of all who
 * have any in turns; the rest waits until everybody else has had the next turn. So nobody waits for another's
 * long work, and short work is soon done.
 */
#ifndef HAYFORK_LOOP_SLICES_H
#define HAYFORK_LOOP_SLICES_H

#include <stdbool.h>
#include <stdint.h>

enum {
    SLICES_STEP = 8 * 1024,  /* bytes that a step looks at, about: that takes some 10 to 200 microseconds */
    SLICES_TURN_NS = 500000, /* then no other step begins in this turn */
};

/* One that has work, in its owner's memory; all zero at first. */
struct slice {
    /* Does a step. Calls slices_add again if that was not all. The slice may be gone after it. */
    void (*step)(struct slice *slice);
    struct slice *next, *previous; /* NULL while it has no work */
};

/* All who have work, in a ring. */
struct slices {
    struct slice ring;
};

void slices_init(struct slices *slices);

/* The slice has work from now on: its step will be called at the end of this turn or of a later one. */
void slices_add(struct slices *slices, struct slice *slice);

/* It has none any longer, if it had any. */
void slices_remove(struct slice *slice);

/* To be called at the end of each turn of the loop. Returns whether some is left: then the loop must not
 * sleep. */
bool slices_run(struct slices *slices);

#endif
