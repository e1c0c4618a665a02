/* clock.h: the project's one source of time. */
#ifndef HAYFORK_BASE_CLOCK_H
#define HAYFORK_BASE_CLOCK_H

#include <stdint.h>

enum { CLOCK_ISO_LEN = 24 }; /* "2026-11-21T22:04:29.123Z" */

/* Milliseconds on CLOCK_MONOTONIC: for deadlines and heartbeats; comparable between processes. */
uint64_t clock_ms(void);

/* Nanoseconds on the same clock: for what lasts less than a millisecond. */
uint64_t clock_ns(void);

/* Writes the time of day in UTC as ISO 8601 with milliseconds, CLOCK_ISO_LEN bytes, not terminated. */
void clock_iso(char out[CLOCK_ISO_LEN]);

#endif
