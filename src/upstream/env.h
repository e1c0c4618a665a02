/* env.h: what all parts of the HTTP client of a worker have in common. upstream/context.c alone writes it. */
#ifndef HAYFORK_UPSTREAM_ENV_H
#define HAYFORK_UPSTREAM_ENV_H

#include <h2o.h>
#include <stdbool.h>

#include "conf/conf.h"
#include "loop/outbox.h"
#include "loop/timeouts.h"

struct upstream_reader;
struct upstream_resolver;

struct upstream_env {
    h2o_loop_t *loop;
    const struct conf *conf;
    struct timeouts *timeouts;
    struct outbox *outbox; /* or NULL */
    struct upstream_resolver *resolver;
    struct upstream_reader *reader;
    bool is_over; /* the worker ends: nothing is sent any longer */
};

#endif
