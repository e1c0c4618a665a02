/*
 * timeouts.c: the timeouts of a loop, one for each duration.
 *
 * libh2o's timeouts are lists of entries with one duration each, and it looks at every one of them twice in
 * each turn. What a worker waits for has some twenty names and half as many durations. An entry that is late
 * holds up all after it, so the clock must not go back: base/clock.c sees to that.
 */
#include "loop/timeouts.h"

#include <stdlib.h>

#include "base/mem.h"

struct timeouts {
    h2o_loop_t *loop;
    h2o_timeout_t **all;
    size_t n;
};

struct timeouts *timeouts_new(h2o_loop_t *loop)
{
    struct timeouts *timeouts = mem_calloc(1, sizeof(*timeouts));
    timeouts->loop = loop;
    return timeouts;
}

h2o_timeout_t *timeouts_get(struct timeouts *timeouts, uint64_t ms)
{
    for (size_t i = 0; i < timeouts->n; i++) {
        if (timeouts->all[i]->timeout == ms)
            return timeouts->all[i];
    }
    MEM_GROW(&timeouts->all, timeouts->n);
    h2o_timeout_t *timeout = mem_alloc(sizeof(*timeout));
    h2o_timeout_init(timeouts->loop, timeout, ms);
    timeouts->all[timeouts->n++] = timeout;
    return timeout;
}

void timeouts_free(struct timeouts *timeouts)
{
    for (size_t i = 0; i < timeouts->n; i++) {
        h2o_timeout_dispose(timeouts->loop, timeouts->all[i]);
        free(timeouts->all[i]);
    }
    free(timeouts->all);
    free(timeouts);
}
