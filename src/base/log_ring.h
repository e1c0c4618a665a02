/* log_ring.h: the last lines of the log, in memory that processes share, for who has no log to look at. */
#ifndef HAYFORK_BASE_LOG_RING_H
#define HAYFORK_BASE_LOG_RING_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/str.h"

enum { LOG_RING_LINES = 100, LOG_RING_TEXT = 400, LOG_RING_PROCESS = 32 };

/* A line; its texts end with NUL, and are escaped as log.h says. */
struct log_ring_line {
    char time[CLOCK_ISO_LEN + 1]; /* of day, in UTC, as ISO 8601 */
    int pid;
    char process[LOG_RING_PROCESS]; /* as log_open has it */
    char text[LOG_RING_TEXT];       /* what is longer is cut */
};

/* Zeroed at first. */
struct log_ring {
    _Atomic uint64_t n; /* lines that were ever begun */
    struct log_ring_place {
        _Atomic uint64_t number; /* of the line, from 1 on; 0 while it is written */
        uint64_t hash;           /* of the line */
        struct log_ring_line line;
    } places[LOG_RING_LINES];
};

/* The last errors and the last warnings: many of these do not hide those. */
struct log_rings {
    struct log_ring errors, warnings;
};

/*
 * Puts a line into the ring, in place of the oldest one. Any process may do so at any time, and may be killed
 * meanwhile: then that line is missing.
 */
void log_ring_add(struct log_ring *ring, const char *process, struct str text);

/* Copies the lines, the newest one first, into an array of LOG_RING_LINES. Returns how many there are. */
size_t log_ring_read(const struct log_ring *ring, struct log_ring_line *lines);

#endif
