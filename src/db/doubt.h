/* doubt.h: queries whose statement may be out of date wait for a description that is newer than they are. */
#ifndef HAYFORK_DB_DOUBT_H
#define HAYFORK_DB_DOUBT_H

#include "db/pool.h"
#include "db/queue.h"

/* Why: see db/doubt.c. */
enum db_doubt_why { DB_UNFIT, DB_REFUSED, DB_FAILED, DB_MISREAD };

/* What is known of a query in doubt. */
struct db_doubt {
    enum db_doubt_why why;
    bool in_check;      /* the description that it waits for has begun */
    bool ran;           /* likewise, of struct db_flight */
    bool gave_rows;     /* its asker has had some */
    bool may_run_again; /* it has certainly not done anything */
    char *error;        /* an ErrorResponse's body; owned */
    uint64_t digest;    /* of the description that it was sent with */
};

/* Of a lane. */
struct db_doubts {
    struct db_env *env;
    struct db_pool *pool;
    const struct db_statements *statements;
    uint64_t renewed_at; /* clock_ms: when all sessions were last made again, 0 for never */
    h2o_timeout_t *tick_timeout;
    h2o_timeout_entry_t tick; /* while anything is in doubt */
};

/* Of a statement. */
struct db_doubted {
    struct db_doubts *doubts;
    h2o_linklist_t queries;  /* that wait for a newer description */
    struct db_flight *check; /* describes it for these; NULL: nothing does */
    uint64_t checked_at;     /* clock_ms: when that was last begun, 0 for never */
};

void db_doubts_init(struct db_doubts *doubts, struct db_env *env, struct db_pool *pool,
                    const struct db_statements *statements, h2o_timeout_t *tick_timeout);
void db_doubted_init(struct db_doubted *doubted, struct db_doubts *doubts);

/* No more descriptions begin. */
void db_doubts_end(struct db_doubts *doubts);

/* May the error of a query that has not been in doubt yet be due to a change of the tables? */
bool db_doubts_error(const char *error, bool ran);

/*
 * Did a query fail because its session is out of date, and not its statement? Then all sessions of the lane
 * are made again, unless that was done lately, and in vain. Returns whether it may be asked again after that.
 */
bool db_doubts_renew(struct db_connection *connection, const struct db_statement *statement,
                     const char *error);

/* Puts a query that is on no list in doubt. why.error is taken over. */
void db_doubt_begin(struct db_query *query, struct db_doubt why);

/* Takes it out of those in doubt. */
void db_doubt_leave(struct db_query *query);

/* A preparation of the statement has ended, well or not. */
void db_doubt_prepared(struct db_statement *statement, bool good);

/* Describes all statements that are prepared on the connection once more, in case they have changed. */
void db_doubt_check_all(struct db_connection *connection);

/* Its deadline has come; there is no connection any more. */
void db_doubt_expire(struct db_query *query);
void db_doubt_expire_all(struct db_statement *statement);

#endif
