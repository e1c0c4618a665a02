/*
 * db.h: a lane: one PostgreSQL connection with its queue, shared by many requests at once through libpq's
 * pipeline mode (PostgreSQL 15, chapter 34.5).
 */
#ifndef HAYFORK_DB_H
#define HAYFORK_DB_H

#include <h2o.h>
#include <libpq-fe.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "sql.h"

/* The lane's life; the diagram is at the top of db.c. */
enum db_state { DB_CONNECTING, DB_PREPARING, DB_READY, DB_BROKEN, DB_BACKING_OFF, DB_DRAINING };

const char *db_state_name(enum db_state state);

/* What a lane complains about in the log; all workers meet the same trouble at once, and one line is enough.
 */
enum db_complaint { DB_COMPLAINT_LOST, DB_COMPLAINT_CONNECT, DB_COMPLAINTS };

struct db_lane_conf {
    const char *name;    /* "read", for the log */
    const char *connect; /* libpq conninfo or URI */
    bool read_only;      /* a read-only session: its queries may be sent again after a broken connection */
    unsigned queue;      /* how many queries may wait */
    unsigned deadline;   /* ms: the session's statement_timeout */
    _Atomic int *state;  /* where the lane shows its enum db_state */
    _Atomic uint64_t *complaints; /* [DB_COMPLAINTS], shared by all workers: so that one of them logs */
};

struct db_lane;
struct db_statement;
struct db_query;

enum db_outcome {
    DB_OK,       /* result has rows or a command's tag */
    DB_REJECTED, /* the server answered with an error: result has its SQLSTATE */
    DB_NOT_SENT, /* certainly not done: the deadline or the end of the connection came before it was sent */
    DB_LOST,     /* sent, and no answer by the deadline or by the end of the connection */
    DB_UNUSABLE, /* certainly not done: the statement can no longer be prepared */
};

/* Why a query was not taken. */
enum db_refusal { DB_ACCEPTED, DB_AWAY, DB_FULL, DB_UNPREPARED };

/* result belongs to the lane and is gone after the call; it is NULL but for DB_OK and DB_REJECTED. */
typedef void db_done_cb(void *owner, enum db_outcome outcome, const PGresult *result);

/* A field of an error (PG_DIAG_…; PostgreSQL 15, chapter 34.3), or an empty text. Belongs to result. */
const char *db_error_field(const PGresult *result, int field);

/* A lane that is not connected yet. conf is copied, its strings must outlive the lane. */
struct db_lane *db_lane_new(h2o_loop_t *loop, const struct db_lane_conf *conf);

/* What a lane is to prepare. The texts must outlive the lane. */
struct db_statement_conf {
    const char *label; /* its route, for the log */
    const struct sql_statement *statement;
    bool as_text; /* columns are wanted as PostgreSQL's own text, and not as JSON */
};

/* Adds a statement, to be prepared each time the lane connects. To be called before db_lane_start. */
struct db_statement *db_statement_new(struct db_lane *lane, const struct db_statement_conf *conf);

/* The types of its parameters. Valid once db_check has accepted it. */
const uint32_t *db_statement_types(const struct db_statement *statement);

/* How its rows are written; valid likewise. */
const struct pgjson_columns *db_statement_columns(const struct db_statement *statement);

/*
 * Begins to connect; returns at once. settled(arg) is called once, when the lane is ready or the first
 * attempt has failed. The lane goes on connecting by itself until db_lane_free.
 */
void db_lane_start(struct db_lane *lane, void (*settled)(void *arg), void *arg);

/*
 * Would a query with this statement be taken now? Parameter types and columns are known if so. A statement
 * that could not be prepared is tried again, about once a second while it is asked for.
 */
enum db_refusal db_check(struct db_lane *lane, struct db_statement *statement);

/*
 * Hands a query to the lane. It is sent at the end of the loop's turn, or when there is room. values are
 * the parameters as text (NULL is SQL NULL); they must stay until done was called or the query abandoned.
 * deadline is in ms from now. done(owner, …) is called exactly once, never from within db_submit.
 * To be called only where db_check accepts the statement.
 */
struct db_query *db_submit(struct db_lane *lane, struct db_statement *statement, const char *const *values,
                           unsigned deadline, db_done_cb *done, void *owner);

/* Nobody waits for the query any more: done will not be called. The answer of a sent one is thrown away. */
void db_abandon(struct db_query *query);

/* Sends what waits, as far as there is room. The worker calls it at the end of each turn of its loop. */
void db_lane_turn_end(struct db_lane *lane);

/* Closes the connection for good; whoever waits gets DB_NOT_SENT or DB_LOST. db_check says DB_AWAY from now
 * on. */
void db_lane_end(struct db_lane *lane);

/* Frees a lane that was ended. */
void db_lane_free(struct db_lane *lane);

#endif
