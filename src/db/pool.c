/* pool.c: the connections of a lane. */
#include "db/pool.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "db/trouble.h"

/* What there is */

bool db_pool_any_ready(const struct db_pool *pool)
{
    for (size_t i = 0; i < pool->n; i++) {
        if (db_connection_is_ready(pool->all[i]))
            return true;
    }
    return false;
}

/* One that retires, and is to be closed now, begins again at once. */
bool db_pool_is_hopeful(const struct db_pool *pool)
{
    const struct db_connection *first = pool->n == 0 ? NULL : pool->all[0];
    return pool->hopeful || (first != NULL && first->state == DB_READY && first->retires && first->quietly);
}

bool db_pool_any_unsettled(const struct db_pool *pool)
{
    bool any = false;
    for (size_t i = 0; i < pool->n; i++)
        any |= pool->all[i]->state != DB_READY;
    return any;
}

struct db_connection *db_pool_first_open(const struct db_pool *pool)
{
    for (size_t i = 0; i < pool->n; i++) {
        if (db_connection_is_open(pool->all[i]))
            return pool->all[i];
    }
    return NULL;
}

struct db_connection *db_pool_least_busy(const struct db_pool *pool)
{
    struct db_connection *least = NULL;
    for (size_t i = 0; i < pool->n; i++) {
        struct db_connection *connection = pool->all[i];
        if (db_connection_is_open(connection) &&
            (least == NULL || connection->pipeline.n < least->pipeline.n))
            least = connection;
    }
    return least;
}

bool db_pool_prepares(const struct db_pool *pool, const struct db_statement *statement)
{
    bool any = false;
    for (size_t i = 0; i < pool->n; i++)
        any |= db_preparation_of(pool->all[i], statement)->state == DB_BEING_PREPARED &&
               !db_connection_is_held(pool->all[i]);
    return any;
}

/* Opening */

void db_pool_show(const struct db_pool *pool)
{
    unsigned n = 0;
    for (size_t i = 0; i < pool->n; i++) {
        enum db_state state = pool->all[i]->state;
        n += state == DB_PREPARING || state == DB_READY || state == DB_DRAINING;
    }
    db_env_show(pool->env, METRIC_LANE_OPEN, n);
}

/* The first one has its name looked up, others are told where it is: libpq would have us wait. */
static void begin(struct db_pool *pool, struct db_connection *connection)
{
    const struct db_connection *first = pool->all[0];
    db_connection_begin(connection, first->state == DB_READY ? first->pg : NULL);
}

static void add(struct db_pool *pool)
{
    struct db_connection *connection = db_connection_new(pool->env, pool->ops, pool->lane, ++pool->n_opened,
                                                         db_preparations_new(pool->statements));
    MEM_GROW(&pool->all, pool->n);
    pool->all[pool->n++] = connection;
    begin(pool, connection);
}

void db_pool_start(struct db_pool *pool)
{
    add(pool);
}

enum db_pool_growth db_pool_grow(struct db_pool *pool)
{
    const struct db_lane_conf *conf = &pool->env->conf;
    if (pool->n >= conf->connections)
        return DB_POOL_FULL;
    pool->capped = !conf->budget_take(conf->budget_arg);
    if (pool->capped)
        return DB_POOL_CAPPED;
    add(pool);
    db_env_count(pool->env, METRIC_LANE_SPILLS, 1);
    return DB_POOL_GROWS;
}

void db_pool_tick(struct db_pool *pool)
{
    for (size_t i = 0; i < pool->n; i++) {
        if (db_connection_tick(pool->all[i]))
            begin(pool, pool->all[i]);
    }
}

void db_pool_on_ready(struct db_pool *pool, struct db_connection *connection)
{
    if (db_pool_is_first(pool, connection))
        pool->hopeful = false;
    for (size_t i = 0; connection->supersedes && i < pool->n; i++) {
        if (pool->all[i] != connection && pool->all[i]->state == DB_READY)
            db_connection_retire(pool->all[i]);
    }
}

void db_pool_renew(struct db_pool *pool)
{
    for (size_t i = 0; i < pool->n; i++) {
        if (pool->all[i]->state == DB_READY)
            db_connection_retire(pool->all[i]);
    }
}

/* Closing */

static void complain(const struct db_pool *pool, const struct db_connection *connection)
{
    const struct db_env *env = pool->env;
    const char *lane = env->conf.name, *why = connection->pipeline.why;
    if (connection->quietly)
        log_debug("lane %s: a connection on which nobody waits any longer is closed", lane);
    else if (connection->state == DB_READY)
        db_trouble(env, DB_LOST_CONNECTION, "lost the connection to the database (lane %s): %s", lane, why);
    else if (db_pool_is_first(pool, connection))
        db_trouble(env, DB_CANNOT_CONNECT, "cannot connect to the database (lane %s): %s", lane, why);
    else
        db_trouble(env, DB_CANNOT_SPILL, "cannot open another connection (lane %s): %s", lane, why);
}

/* The first one's place goes to another that is ready, if there is one. Returns whether this one is in it. */
static bool keeps_first_place(struct db_pool *pool, struct db_connection *connection)
{
    if (!db_pool_is_first(pool, connection))
        return false;
    for (size_t i = 1; i < pool->n; i++) {
        if (db_connection_is_ready(pool->all[i])) {
            pool->all[0] = pool->all[i];
            pool->all[i] = connection;
            return false;
        }
    }
    return true;
}

/* Closes its session, which is lost or not needed any longer; what is in flight is told so. */
static void end_session(struct db_connection *connection, enum db_state state)
{
    db_connection_break(connection, state);
    db_preparations_forget(connection->preparations);
}

static void remove_from(struct db_pool *pool, struct db_connection *connection)
{
    const struct db_lane_conf *conf = &pool->env->conf;
    size_t place = 0;
    while (pool->all[place] != connection)
        place++;
    memmove(&pool->all[place], &pool->all[place + 1], (--pool->n - place) * sizeof(*pool->all));
    if (pool->n > 0)
        conf->budget_give(conf->budget_arg);
    db_pool_show(pool);
    db_preparations_free(connection->preparations);
    db_connection_free(connection);
}

enum db_pool_closed db_pool_close(struct db_pool *pool, struct db_connection *connection)
{
    bool was_ready = connection->state == DB_READY;
    bool at_once = was_ready && db_connection_may_begin_at_once(connection);
    if (was_ready)
        db_env_count(pool->env, METRIC_LANE_LOST, 1);
    complain(pool, connection);
    bool stays = keeps_first_place(pool, connection);
    end_session(connection, DB_BROKEN);
    if (stays && at_once)
        pool->hopeful = true;
    db_pipeline_lose(&connection->pipeline);
    if (!stays) {
        remove_from(pool, connection);
        return was_ready ? DB_POOL_GONE : DB_POOL_UNOPENED;
    }
    if (at_once) {
        begin(pool, connection);
        return DB_POOL_BEGINS;
    }
    pool->hopeful = false;
    db_connection_back_off(connection, &pool->seed);
    return DB_POOL_WAITS;
}

void db_pool_end(struct db_pool *pool)
{
    pool->hopeful = false;
    while (pool->n > 0) {
        struct db_connection *last = pool->all[pool->n - 1];
        end_session(last, DB_DRAINING);
        db_pipeline_lose(&last->pipeline);
        remove_from(pool, last);
    }
}

void db_pool_init(struct db_pool *pool, struct db_env *env, const struct db_connection_ops *ops,
                  struct db_lane *lane, const struct db_statements *statements)
{
    *pool = (struct db_pool){
        .env = env, .ops = ops, .lane = lane, .statements = statements, .seed = (unsigned)getpid()};
}

void db_pool_clear(struct db_pool *pool)
{
    free(pool->all);
}
