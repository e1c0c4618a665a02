/* timeouts.h: the timeouts of a loop, one for each duration. */
#ifndef HAYFORK_LOOP_TIMEOUTS_H
#define HAYFORK_LOOP_TIMEOUTS_H

#include <h2o.h>

struct timeouts;

struct timeouts *timeouts_new(h2o_loop_t *loop);

/* The timeout of so many ms, shared by all who ask for the same; it stays until timeouts_free. */
h2o_timeout_t *timeouts_get(struct timeouts *timeouts, uint64_t ms);

/* Nobody may be linked to any of them. */
void timeouts_free(struct timeouts *timeouts);

#endif
