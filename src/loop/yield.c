/*
 * yield.c: when a busy worker lets others have its processor, before it looks for more work.
 *
 * Clients, PostgreSQL and workers often share the cores. A worker that goes straight from one turn of its
 * loop to the next finds one request and wakes one client at a time; if whoever else can run goes first
 * (sched_yield(2)), the worker then finds all that they have to say, answers it in one turn, asks PostgreSQL
 * for it in one statement, and sleeps and wakes less often. Where nobody waits for the processor the call
 * returns at once. Figures are in bench/NOTES.md.
 *
 * Someone who computes without a pause keeps the processor for some milliseconds each time, and what comes
 * in meanwhile waits. So long yields are counted as a debt, which is small change while clients take turns
 * with the worker. Where it grows, nothing is yielded for a while, and for longer each time. A worker whose
 * turns are far apart does not yield either: nothing would be gained by it.
 */
#include "loop/yield.h"

#include <sched.h>

#include "base/clock.h"

enum {
    BUSY_NS = 1000000,       /* turns that are further apart than that are those of an idle worker */
    LONG_NS = 1000000,       /* a yield of that length is a debt: nearly all take less than a quarter */
    DEBT_MOST_NS = 10000000, /* then comes a pause, */
    DEBT_LEFT_NS = 5000000,  /* after which it takes fewer long yields to bring on the next */
    WORK_PER_DEBT = 50,      /* a time so many times as long pays off a debt */
    PAUSE_NS = 100000000,    /* the first pause; each is twice as long as the one before, */
};

static const uint64_t PAUSE_MOST_NS = 5000000000; /* up to this */

bool yield_is_paused(const struct yielding *yielding, uint64_t now)
{
    return now < yielding->resume_at;
}

bool yield_is_due(struct yielding *yielding, uint64_t now)
{
    uint64_t elapsed = now - yielding->turn_at;
    yielding->turn_at = now;
    if (yield_is_paused(yielding, now) || elapsed >= BUSY_NS)
        return false;
    uint64_t paid = elapsed / WORK_PER_DEBT;
    yielding->debt -= paid < yielding->debt ? paid : yielding->debt;
    if (yielding->debt == 0)
        yielding->pause = 0;
    return true;
}

void yield_took(struct yielding *yielding, uint64_t from, uint64_t to)
{
    yielding->turn_at = to;
    if (to - from < LONG_NS)
        return;
    yielding->debt += to - from;
    if (yielding->debt <= DEBT_MOST_NS)
        return;
    yielding->pause = yielding->pause == 0 ? PAUSE_NS : yielding->pause * 2;
    if (yielding->pause > PAUSE_MOST_NS)
        yielding->pause = PAUSE_MOST_NS;
    yielding->resume_at = to + yielding->pause;
    yielding->debt = DEBT_LEFT_NS;
}

void yield_between_turns(struct yielding *yielding, uint64_t now)
{
    if (!yield_is_due(yielding, now))
        return;
    sched_yield();
    yield_took(yielding, now, clock_ns());
}
