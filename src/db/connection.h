/* connection.h: one PostgreSQL connection of a lane: its life; its bytes are db/pipeline.h's. */
#ifndef HAYFORK_DB_CONNECTION_H
#define HAYFORK_DB_CONNECTION_H

#include <libpq-fe.h>

#include "db/pipeline.h"

struct db_connection;
struct db_preparations;

/* What a connection tells the lane whose it is. */
struct db_connection_ops {
    struct db_pipeline_ops pipeline;
    /* Its state is another one. */
    void (*changed)(struct db_connection *connection);
    /* The session is there. To be sent now: a look at it, which is counted by db_connection_await. */
    void (*connected)(struct db_connection *connection);
    /* It is as it was asked for. To be sent now: what has to be tried before it takes queries, each of it
     * counted likewise. */
    void (*seen)(struct db_connection *connection);
    /* From a timer: db_connection_receive_rest, if it has_rest; and it is to be closed, if its pipeline ends.
     */
    void (*soon)(struct db_connection *connection);
};

struct db_connection {
    struct db_pipeline pipeline;
    const struct db_connection_ops *ops;
    struct db_lane *lane; /* for ops */
    unsigned number;      /* for the log: the lane's first, second, … since it began */
    enum db_state state;
    PGconn *pg;
    struct db_preparations *preparations; /* see db/statement.h */
    size_t n_awaited;                     /* while PREPARING */
    uint64_t ready_at;                    /* clock_ms */
    uint64_t began_at;                    /* clock_ms: the attempt to connect */
    uint64_t wake_at;                     /* clock_ms: when an attempt has failed, or the next one begins */
    unsigned back_off;                    /* ms */
    unsigned short_lives;                 /* sessions in a row that were soon lost */
    const struct db_statement *holder;    /* of the head, if that is in the way of others: see db/place.c */
    uint64_t left_at;                     /* clock_ms: since then nobody has waited for the head; or 0 */
    unsigned waited;                      /* those who had to wait for the present head, for the log */
    bool has_rest;                        /* bytes came before a pause that no event will tell of */
    bool reserved;                        /* for a heavy statement that waits: others stay away */
    bool supersedes;                      /* once it is ready, the lane's others retire */
    bool retires;      /* it takes no more queries, and is closed when it has answered those that it has */
    bool cancels;      /* the server was asked to give up the head */
    bool quietly;      /* it is closed, and that is nothing to complain of */
    bool pooled;       /* a pooler may give each transaction another session */
    bool read_only;    /* the session is known to be */
    bool knows_schema; /* the statement of db/schema.c is prepared */
};

/* One that is in no state yet. ops, preparations and lane are the caller's. */
struct db_connection *db_connection_new(struct db_env *env, const struct db_connection_ops *ops,
                                        struct db_lane *lane, unsigned number,
                                        struct db_preparations *preparations);

/* It has been broken, or is drained now: what is in flight is lost. */
void db_connection_free(struct db_connection *connection);

/* Begins to connect. like is a session to the same server, or NULL. */
void db_connection_begin(struct db_connection *connection, const PGconn *like);

/* A while goes by before it begins again: longer each time. seed is for the jitter. */
void db_connection_back_off(struct db_connection *connection, unsigned *seed);

/* What was to be done at a time: an attempt to connect has taken too long; or true, and the next one is due.
 */
bool db_connection_tick(struct db_connection *connection);

/* One more thing to wait for before it takes queries; and one of them was tried. */
void db_connection_await(struct db_connection *connection);
void db_connection_prepared(struct db_connection *connection);

/* To be closed soon, with a complaint. */
void db_connection_fail(struct db_connection *connection, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* To be closed soon: nobody needs it any longer. */
void db_connection_close(struct db_connection *connection);

/* To be closed when nothing is in flight any more; nothing is sent on it from now on. */
void db_connection_retire(struct db_connection *connection);

/* To be closed when the server has given up what is in flight: it is asked to. Nobody waits for that. */
void db_connection_cancel(struct db_connection *connection);

/*
 * Closes the session now; what is in flight stays until db_pipeline_lose. Its state is BROKEN, or DRAINING
 * if it is not to begin again.
 */
void db_connection_break(struct db_connection *connection, enum db_state state);

/* It was ready and is lost: may it begin again without a pause? */
bool db_connection_may_begin_at_once(struct db_connection *connection);

/* Sends what is to be sent. */
void db_connection_flush(struct db_connection *connection);

/* Reads no more, until it reads on. The latter is to be called where callbacks may be. */
void db_connection_pause(struct db_connection *connection);
void db_connection_resume(struct db_connection *connection);
void db_connection_receive_rest(struct db_connection *connection);

/* Reads on soon, if it has paused: may be called from within the callback for a row. */
void db_connection_resume_soon(struct db_connection *connection);

/* The head has run for so long that others should not wait for it. */
static inline bool db_connection_is_held(const struct db_connection *connection)
{
    const struct db_pipeline *pipeline = &connection->pipeline;
    if (pipeline->n == 0)
        return false;
    unsigned spill = pipeline->env->conf.spill, patience = db_pipeline_head(pipeline)->ops->patience;
    return pipeline->env->now - pipeline->head_since >= (spill < patience ? patience : spill);
}

/* Does it take queries of others now, and soon? */
static inline bool db_connection_is_open(const struct db_connection *connection)
{
    return connection->state == DB_READY && !connection->pipeline.ends && !connection->retires &&
           connection->pipeline.n_alone == 0 && !db_connection_is_held(connection);
}

/* Is it ready, and will stay so as far as is known? */
static inline bool db_connection_is_ready(const struct db_connection *connection)
{
    return connection->state == DB_READY && !connection->pipeline.ends;
}

static inline struct db_connection *db_connection_of(const struct db_pipeline *pipeline)
{
    return H2O_STRUCT_FROM_MEMBER(struct db_connection, pipeline, pipeline);
}

static inline struct db_connection *db_connection_of_flight(const struct db_flight *flight)
{
    return db_connection_of(flight->pipeline);
}

/* What others note about it. */

static inline void db_connection_reserve(struct db_connection *connection, bool reserved)
{
    connection->reserved = reserved;
}

static inline void db_connection_set_read_only(struct db_connection *connection, bool read_only)
{
    connection->read_only = read_only;
}

static inline void db_connection_set_pooled(struct db_connection *connection)
{
    connection->pooled = true;
}

static inline void db_connection_supersede(struct db_connection *connection)
{
    connection->supersedes = true;
}

static inline void db_connection_set_knows_schema(struct db_connection *connection)
{
    connection->knows_schema = true;
}

static inline void db_connection_set_left(struct db_connection *connection, uint64_t left_at)
{
    connection->left_at = left_at;
}

/* The next one is the head: nothing is known of it yet. */
static inline void db_connection_next_head(struct db_connection *connection)
{
    connection->left_at = 0;
    connection->cancels = false;
}

static inline void db_connection_set_holder(struct db_connection *connection,
                                            const struct db_statement *holder)
{
    connection->holder = holder;
}

static inline void db_connection_set_waited(struct db_connection *connection, size_t n)
{
    connection->waited = (unsigned)n;
}

#endif
