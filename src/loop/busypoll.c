/*
 * busypoll.c: whether a worker that finds nothing to do looks again at once, or sleeps.
 *
 * Sleeping is cheap where someone else takes the core meanwhile. A core that goes idle is not: in a virtual
 * machine it takes as long to wake as PostgreSQL takes for a row. So a worker whose work comes in short
 * intervals looks for it for a while before it sleeps. It yields the processor before each look
 * (loop/yield.c), so nobody who can run waits for that. Where intervals have been long, it sleeps at once.
 *
 * The kernel moves tasks that wait for a core to another one when that goes idle, so now and then it has to.
 * Figures are in bench/NOTES.md.
 */
#include "loop/busypoll.h"

enum {
    LOOK_NS = 25000,   /* so long a worker looks for more, */
    USUAL_NS = 100000, /* if turns with something to do are usually no further apart; */
    LONG_NS = 400000,  /* one interval counts as this at most, or a pause would be remembered for long, */
    SHARE = 8,         /* and for the eighth part */
    AWAKE_NS = 300000, /* a worker does not go on for longer without letting itself sleep */
};

bool busypoll_goes_on(struct busypoll *busypoll, bool worked, uint64_t now)
{
    if (worked) {
        uint64_t interval = now - busypoll->worked_at;
        if (interval > LONG_NS)
            interval = LONG_NS;
        busypoll->usual += interval / SHARE - busypoll->usual / SHARE;
        busypoll->worked_at = now;
    }
    if (now - busypoll->worked_at < LOOK_NS && busypoll->usual <= USUAL_NS &&
        now - busypoll->slept_at < AWAKE_NS)
        return true;
    busypoll->slept_at = now;
    return false;
}
