/* db_private.h: what db.c (the lane) and db_prepare.c (its statements) share. */
#ifndef HAYFORK_DB_PRIVATE_H
#define HAYFORK_DB_PRIVATE_H

#include "db.h"
#include "db_infer.h"

/* On the present connection. */
enum preparation { UNPREPARED, PREPARING, PREPARED };

struct db_statement {
    struct db_lane *lane;
    struct db_statement_conf conf;
    char name[32]; /* of the present preparation; each has one of its own */
    unsigned generation;
    enum preparation preparation;
    bool wrapped;      /* the present preparation leaves some columns to to_json */
    bool complained;   /* it was logged that it cannot be prepared, and has not been since */
    uint64_t tried_at; /* clock_ms of the last preparation */
    uint32_t *types;
    struct pgjson_columns *columns;
    Oid *declared;                  /* types that were found out, 0 for those that PostgreSQL tells */
    struct db_inference *inference; /* while one is being found out */
    size_t inferred;                /* its number, as in $1 */
};

struct deadline {
    struct deadline *next;
    unsigned ms;
    h2o_timeout_t timeout;
};

struct db_query {
    h2o_linklist_t link;
    struct db_lane *lane;
    struct db_statement *statement;
    const char *const *values;
    db_done_cb *done; /* NULL: nobody waits for it, or it prepares the statement */
    void *owner;
    PGresult *result;
    h2o_timeout_entry_t timer;
    bool prepares; /* it prepares and describes its statement */
    bool sent;
    bool again;     /* was sent on a connection that broke, and is sent a second time */
    bool refreshed; /* its statement was prepared anew for it */
};

struct db_lane {
    h2o_loop_t *loop;
    struct db_lane_conf conf;
    enum db_state state;
    PGconn *pg;
    h2o_socket_t *socket; /* watches a duplicate of libpq's descriptor, which is libpq's to close */
    h2o_linklist_t waiting, in_flight;
    size_t n_waiting, n_in_flight;
    struct db_statement **statements;
    size_t n_statements;
    size_t n_unprepared; /* preparations on the wire while PREPARING */
    struct deadline *deadlines;
    h2o_timeout_t tick_timeout;
    h2o_timeout_entry_t tick;
    uint64_t wake_at;  /* clock_ms: when an attempt has failed, or the next one begins */
    unsigned back_off; /* ms */
    int encoding;      /* of the session when it began, as PQclientEncoding has it */
    bool spoilt;       /* a statement has changed it */
    bool unsent;       /* libpq refused what is on the list in flight: answers would be matched wrongly */
    uint64_t heard_at; /* clock_ms: the server last sent something, or had nothing to answer */
    bool hopeful;      /* CONNECTING right after READY: requests wait for it instead of being turned away */
    unsigned seed;     /* for the jitter */
    void (*settled)(void *arg);
    void *settled_arg;
    h2o_linklist_t spare; /* queries to be used again */
};

/* db.c */

/* A query that is not on any list yet. */
struct db_query *db_query_new(struct db_lane *lane);

/* Puts the query on the list of those whose answers are awaited. */
void db_mark_sent(struct db_query *query);

/* Ends what was put on the wire with a Sync. */
bool db_send_sync(struct db_lane *lane);

/* Pushes out what libpq holds. False if the connection is broken. */
bool db_flush(struct db_lane *lane);

/* The connection is broken: what was in flight is taken back or lost, and another one is made. */
void db_broken(struct db_lane *lane, const char *what);

/* All statements were tried: the lane takes queries. */
void db_ready(struct db_lane *lane);

/* db_prepare.c */

/* Prepares and describes a statement. False if the connection is broken. */
bool db_prepare(struct db_lane *lane, struct db_statement *statement);

/* The answer to a preparation has come, in query->result. */
void db_on_prepared(struct db_lane *lane, struct db_query *query);

/* Ends what is known of the present connection's preparations. */
void db_forget_preparations(struct db_lane *lane);

void db_statement_free(struct db_statement *statement);

#endif
