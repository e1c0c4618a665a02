/* clock.h: the project's one source of time. */
#ifndef HAYFORK_BASE_CLOCK_H
#define HAYFORK_BASE_CLOCK_H

#include <stdint.h>

enum { CLOCK_ISO_LEN = 24 }; /* "2026-11-21T22:04:29.123Z" */

/* Milliseconds on CLOCK_MONOTONIC: for deadlines and heartbeats; comparable between processes. */
uint64_t clock_ms(void);

/* Nanoseconds on the same clock: for what lasts less than a millisecond. */
uint64_t clock_ns(void);

/*
 * The same, as it was when it was first asked for in this turn of the loop: for what is counted of each
 * request, where many are answered in a turn. Whoever runs the loop begins its turns.
 */
extern uint64_t clock_turn; /* 0: nobody has asked yet */

static inline uint64_t clock_turn_ns(void)
{
    if (clock_turn == 0)
        clock_turn = clock_ns();
    return clock_turn;
}

static inline void clock_begin_turn(void)
{
    clock_turn = 0;
}

/* Writes the time of day in UTC as ISO 8601 with milliseconds, CLOCK_ISO_LEN bytes, not terminated. */
void clock_iso(char out[CLOCK_ISO_LEN]);

#endif
