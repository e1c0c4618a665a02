/* env.h: what all parts of a lane share: its loop, its conf and the time. */
#ifndef HAYFORK_DB_ENV_H
#define HAYFORK_DB_ENV_H

#include <h2o.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "db/lane.h"
#include "metrics/lane.h"

struct db_env {
    h2o_loop_t *loop;
    struct db_lane_conf conf;
    uint64_t now; /* clock_ms when the present work began */
    bool ended;   /* the lane was ended: nothing is asked again */
};

/* conf is copied. */
static inline void db_env_init(struct db_env *env, h2o_loop_t *loop, const struct db_lane_conf *conf)
{
    *env = (struct db_env){.loop = loop, .conf = *conf, .now = clock_ms()};
}

/* To be called where the loop calls into a lane. */
static inline void db_env_wake(struct db_env *env)
{
    env->now = clock_ms();
}

/* Counts for the lane. */
static inline void db_env_count(const struct db_env *env, enum metric_of_lane what, uint64_t n)
{
    counter_add(&env->conf.shown->values[what], n);
}

/* Shows how many of something the lane has now. */
static inline void db_env_show(const struct db_env *env, enum metric_of_lane what, uint64_t n)
{
    atomic_store_explicit(&env->conf.shown->values[what], n, memory_order_relaxed);
}

/* No more work begins. */
static inline void db_env_end(struct db_env *env)
{
    env->ended = true;
}

#endif
