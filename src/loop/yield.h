/* yield.h: when a busy worker lets others have its processor, before it looks for more work. */
#ifndef HAYFORK_LOOP_YIELD_H
#define HAYFORK_LOOP_YIELD_H

#include <stdbool.h>
#include <stdint.h>

/* All zero at first. Times are nanoseconds, those with _at on clock_ns. */
struct yielding {
    uint64_t turn_at;   /* when the present turn began */
    uint64_t resume_at; /* nothing is yielded before */
    uint64_t debt;      /* what long yields took; it is paid off by working */
    uint64_t pause;     /* how long the last pause was, 0 if all went well since */
};

/* Yields the processor between two turns of the loop, if that is due now. */
void yield_between_turns(struct yielding *yielding, uint64_t now);

/* Is nothing yielded for a while, as others keep the processor for long? */
bool yield_is_paused(const struct yielding *yielding, uint64_t now);

/* Its parts: is it due between a turn that ended and one that begins now? */
bool yield_is_due(struct yielding *yielding, uint64_t now);

/* The processor was yielded, and came back. */
void yield_took(struct yielding *yielding, uint64_t from, uint64_t to);

#endif
