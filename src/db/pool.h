/* pool.h: the connections of a lane. */
#ifndef HAYFORK_DB_POOL_H
#define HAYFORK_DB_POOL_H

#include "db/statement.h"

struct db_pool {
    struct db_env *env;
    const struct db_connection_ops *ops;
    struct db_lane *lane; /* for ops */
    const struct db_statements *statements;
    struct db_connection **all; /* [0] is always there and tried again when it is lost; others on demand */
    size_t n;
    unsigned n_opened; /* so far */
    unsigned seed;     /* for the jitter */
    bool hopeful;      /* the last ready connection is being made again: requests wait for it */
    bool capped;       /* database.max allows it no more connections, when it last wanted one */
};

void db_pool_init(struct db_pool *pool, struct db_env *env, const struct db_connection_ops *ops,
                  struct db_lane *lane, const struct db_statements *statements);

/* Shows how many connections are open. */
void db_pool_show(const struct db_pool *pool);

/* Closes all connections for good. */
void db_pool_end(struct db_pool *pool);
void db_pool_clear(struct db_pool *pool);

/* Opens the first one. */
void db_pool_start(struct db_pool *pool);

enum db_pool_growth { DB_POOL_GROWS, DB_POOL_FULL, DB_POOL_CAPPED };

/* Opens another one: not if the lane has all that it may, or all lanes together have all that they may. */
enum db_pool_growth db_pool_grow(struct db_pool *pool);

enum db_pool_closed {
    DB_POOL_GONE,
    DB_POOL_UNOPENED, /* gone as well, and it had never been ready */
    DB_POOL_BEGINS,   /* it connects again */
    DB_POOL_WAITS,    /* it does so later: there is no other one that is ready */
};

/* Closes a connection whose pipeline ends, and does what follows from that. */
enum db_pool_closed db_pool_close(struct db_pool *pool, struct db_connection *connection);

/* For a timer, while any is not ready. */
void db_pool_tick(struct db_pool *pool);

/* A connection has become ready: the others retire, if it supersedes them. */
void db_pool_on_ready(struct db_pool *pool, struct db_connection *connection);

/* All that are ready retire. */
void db_pool_renew(struct db_pool *pool);

/* Will queries be taken soon, though no connection is ready now? */
bool db_pool_is_hopeful(const struct db_pool *pool);

bool db_pool_any_ready(const struct db_pool *pool);
bool db_pool_any_unsettled(const struct db_pool *pool);

/* Of those that take queries, the first one, and the one that has least in flight. NULL if there is none. */
struct db_connection *db_pool_first_open(const struct db_pool *pool);
struct db_connection *db_pool_least_busy(const struct db_pool *pool);

/*
 * Will the statement be prepared in a moment? Not if what prepares it is seen to hold its connection: then it
 * is heavy, and may try another one without taking all of them.
 */
bool db_pool_prepares(const struct db_pool *pool, const struct db_statement *statement);

/* What is preferred over the others when it is lost. */
static inline bool db_pool_is_first(const struct db_pool *pool, const struct db_connection *connection)
{
    return pool->all[0] == connection;
}

#endif
