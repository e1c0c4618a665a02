/*
 * complain.h: what would be logged again and again is logged at once, then once a minute.
 *
 * All workers meet the same trouble at the same time, and one line is enough. What was logged about a trouble
 * is kept in a table that processes can share; what is left out is counted, and the count is logged. The
 * table is bounded: while it is full of fresh entries, what has none is left out, and complain_sum_up says
 * how many of these there were.
 */
#ifndef HAYFORK_BASE_COMPLAIN_H
#define HAYFORK_BASE_COMPLAIN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"

enum {
    COMPLAIN_INTERVAL_S = 60, /* the same is logged again after so long */
    COMPLAIN_CHANGED_S = 5,   /* and other words about it: a trouble has many words for one thing */
    COMPLAIN_PLACES = 512,
};

/* What was logged about one trouble; all zero at first. */
struct complaint {
    _Atomic uint64_t stamp;    /* 0 for nothing, else its key and, in the lower half, the second */
    _Atomic uint32_t words;    /* what it said then, as a hash; 0 where they do not count */
    _Atomic uint32_t left_out; /* lines since then that complain did not write */
    _Atomic int level;         /* enum log_level */
    char about[236];           /* for the line that says how many; a longer one is cut */
};

struct complaints {
    struct complaint places[COMPLAIN_PLACES];
    _Atomic uint32_t left_out; /* for lack of a place */
    _Atomic uint64_t told_at;  /* clock_ms: when that was logged last */
};

/*
 * From now on this process keeps what it logs in that table, cleared at first, which other processes may use
 * at the same time. It must stay. Until then each process has a table of its own.
 */
void complain_share(struct complaints *shared);

/*
 * Logs a line, at once the first time and then as complain_sum_up does: "ABOUT: 1005 more in the last
 * minute". about is what such lines have in common, and their key: "GET /contacts: 500: SQLSTATE 53100". A
 * client must have no part in it, or it could fill the table. Lines that are left out are still written where
 * the log takes LOG_LEVEL_DEBUG.
 */
void complain(enum log_level level, const char *about, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The same for a trouble that has many words: a line that is not like the last one is written after seconds.
 */
void complain_in_words(enum log_level level, const char *about, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * Is a line about that to be logged now, by this process? For those whose lines say themselves how often it
 * happened: nothing is counted, and the same is due again after a minute, in any of the processes.
 */
bool complain_is_due(const char *about);

enum complain_past {
    COMPLAIN_NONE,  /* nothing was logged */
    COMPLAIN_FRESH, /* it was less than steady_s seconds ago: the trouble may come and go */
    COMPLAIN_OVER,  /* it was, and is forgotten now */
};

/*
 * There is no trouble just now: forgets what was logged about it, if that is some time ago. What was left out
 * of it is added to *left_out then, for the line that says that it is over.
 */
enum complain_past complain_forget(const char *about, unsigned steady_s, uint32_t *left_out);

/* What such a line says at its end: "; 7 more lines about it were left out", or nothing. In static memory. */
const char *complain_left_out(uint32_t left_out);

/* Logs how many lines were left out where that is due. To be called about once a second, by any of those who
 * share the table. */
void complain_sum_up(void);

/* The same at the end of the last of them, whether it is due or not. */
void complain_sum_up_all(void);

#endif
