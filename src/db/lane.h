/*
 * lane.h: a lane: PostgreSQL connections with one queue. Many requests share a connection through pipelining
 * (PostgreSQL 15, section 55.2.4); what is in the way of others gets a connection of its own.
 */
#ifndef HAYFORK_DB_LANE_H
#define HAYFORK_DB_LANE_H

#include <h2o.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "pg/pgjson.h"
#include "pg/scan.h"
#include "loop/timeouts.h"

/* A connection's life; the diagram is at the top of db/connection.c. */
enum db_state { DB_CONNECTING, DB_PREPARING, DB_READY, DB_BROKEN, DB_BACKING_OFF, DB_DRAINING };

const char *db_state_name(enum db_state state);

struct shm_lane;

struct db_lane_conf {
    const char *name;          /* "read", for the log */
    const char *connect;       /* libpq conninfo or URI */
    const char *password;      /* for it, or NULL where it is found in another way */
    bool read_only;            /* a read-only session: its queries may be asked again elsewhere */
    unsigned connections;      /* at most */
    unsigned queue;            /* how many queries may wait */
    unsigned deadline;         /* ms: the session's statement_timeout */
    unsigned spill;            /* ms: what runs for so long is in the way of others */
    struct timeouts *timeouts; /* must outlive the lane */
    /* Asks for room in the budget that all workers share for connections beyond each lane's first; gives it
     * back. Both with budget_arg. */
    bool (*budget_take)(void *arg);
    void (*budget_give)(void *arg);
    void *budget_arg;
    const _Atomic bool
        *frugal; /* set while connections beyond the first are wanted elsewhere: idle ones are closed */
    struct shm_lane *shown; /* where the lane shows its state, that of its first connection, and counts */
};

struct db_lane;
struct db_statement;
struct db_query;

enum db_outcome {
    DB_OK,         /* all rows were there; the result has the command's tag */
    DB_REJECTED,   /* the server answered with an error, which the result has */
    DB_NOT_SENT,   /* certainly not done: the deadline or the end of the connection came before it was sent */
    DB_LOST,       /* sent, and no answer by the deadline or by the end of the connection */
    DB_UNUSABLE,   /* certainly not done: the statement can no longer be prepared */
    DB_UNREADABLE, /* done, but a row could not be written: see db_misread */
};

/* Why a query is not taken; DB_UNPREPARED: it is, but only without values. */
enum db_refusal { DB_ACCEPTED, DB_AWAY, DB_FULL, DB_UNPREPARED };

/* How a query ended. What it points to is the lane's, and gone after the call. */
struct db_result {
    const struct pgjson_columns *columns; /* how rows are written; NULL if it was never sent */
    const char *tag;                      /* of DB_OK: "UPDATE 0", or an empty text */
    const char *error;                    /* of DB_REJECTED: for pgwire_error_field */
    bool ran;         /* of DB_REJECTED: all values had been taken, and what was made of them failed */
    uint64_t sent_at; /* clock_turn_ns: when it was sent last; 0: it never was */
    bool stands;      /* of DB_REJECTED: since then, the statement was described without an error */
};

/* Who asks. None of these is called from within db_submit. */
struct db_asker {
    /* A row is there. It and the columns are the lane's, and gone after the call. */
    void (*row)(void *owner, const struct pgjson_columns *columns, struct pgwire_row row);
    /* The rows so far do not count: the query is asked again. */
    void (*again)(void *owner);
    /*
     * The parameters are others than those that its values were made for: the values for these, as db_submit
     * takes them. NULL where there are none: then the query is over, and nothing more is called.
     */
    const struct str *(*values)(void *owner, const struct pgtypes_parameter *parameters);
    /* Called exactly once, unless the query is abandoned. */
    void (*done)(void *owner, enum db_outcome outcome, const struct db_result *result);
    /* Stands for the network that the question came from: see db_lane_is_wanted. */
    uint64_t (*network)(void *owner);
};

/* Can nothing be written by way of the lane? */
bool db_lane_only_reads(const struct db_lane *lane);

/* A lane that is not connected yet. conf is copied, its strings must outlive the lane. */
struct db_lane *db_lane_new(h2o_loop_t *loop, const struct db_lane_conf *conf);

/* What a lane is to prepare. The texts must outlive the lane. */
struct db_statement_conf {
    const char *label; /* its route, for the log */
    const struct sql_statement *statement;
    unsigned deadline;     /* ms: from db_submit to the end of the answer or to db_outgrown */
    enum pgjson_want want; /* of its rows */
    bool streams;          /* its asker calls db_outgrown */
    bool merges;           /* of a result only the first row counts: several queries may be asked as one */
};

/* Adds a statement, to be prepared when the lane connects. To be called before db_lane_start. */
struct db_statement *db_statement_new(struct db_lane *lane, const struct db_statement_conf *conf);

/* What its parameters take. Valid once db_check has accepted it, for the rest of the loop's turn. */
const struct pgtypes_parameter *db_statement_parameters(const struct db_statement *statement);

/* Has its result a column of this name? Valid as db_statement_parameters is. */
bool db_statement_has_column(const struct db_statement *statement, const char *name);

/*
 * The type of a parameter, and the name and type of a column of its result, as PostgreSQL has described them
 * last; i counts from 0. False where there is none of that number, or nothing was described yet.
 */
bool db_statement_parameter_type(const struct db_statement *statement, size_t i, char type[PGCATALOGUE_NAME]);

/* The values of the enum that this parameter is or is made of, for people; NULL where it is none. */
const char *db_statement_labels(const struct db_statement *statement, size_t i);
bool db_statement_column(const struct db_statement *statement, size_t i, const char **name,
                         char type[PGCATALOGUE_NAME]);

/*
 * Begins to connect; returns at once. settled(arg) is called once, when the lane is ready or the first
 * attempt has failed. The lane goes on connecting by itself until db_lane_end.
 */
void db_lane_start(struct db_lane *lane, void (*settled)(void *arg), void *arg);

/*
 * Would a query with this statement be taken now? The parameters are known if so; they are not if it could
 * not be prepared (DB_UNPREPARED). The queue is shared: a statement may have as many queries in it as there
 * are places still free, so that others find some.
 */
enum db_refusal db_check(struct db_lane *lane, struct db_statement *statement);

/* A query was not taken, for that reason. */
void db_refused(struct db_lane *lane, enum db_refusal refusal);

/*
 * Hands a query to the lane. It is sent at the end of the loop's turn, or when there is room. values are
 * the parameters as text (base is NULL for SQL NULL); they must stay until done was called, the asker has
 * given others, or the query is abandoned. Long ones lie in the store, which may be NULL and is kept where
 * they are still needed after that. Without any (values is NULL) the statement is described again, and then
 * the asker is asked for them: that is what to do with a request that does not fit the parameters, since the
 * tables may have changed. To be called only where db_check accepts the statement.
 */
struct db_query *db_submit(struct db_lane *lane, struct db_statement *statement, const struct str *values,
                           struct store *store, const struct db_asker *asker, void *owner);

/*
 * To be called from row: the result is larger than the asker wants to hold. True: what is left may be taken
 * at any pace; the deadline counts no more. False: the rows so far do not count and no more of them will
 * come; the query is asked again on a connection of its own, where this will be true.
 */
bool db_outgrown(struct db_query *query);

/*
 * To be called from row, as the last thing there: pgjson_row could not write it, since a type has changed.
 * The statement is described again. Then a read is asked again, and of a query that may have written
 * something the row is given again. Where that is not possible, there are no more rows, and done is called
 * with DB_UNREADABLE: past db_outgrown, where that was in vain before, and where a query that writes streams.
 */
void db_misread(struct db_query *query);

/* How many connections the lane may have, as far as database.max lets it at present. */
unsigned db_lane_connections(const struct db_lane *lane);

/*
 * Has a query been waiting for lack of a connection for a quarter of a second, and does one wait that comes
 * from another network than this one? With 0, from any.
 */
bool db_lane_is_wanted(const struct db_lane *lane, uint64_t network);

const char *db_lane_name(const struct db_lane *lane);

/* A setting of PostgreSQL's, or one of one's own with a dot in its name. */
struct db_setting {
    const char *name, *value;
};

enum { DB_SETTINGS_MOST = 16 };

/* At most DB_SETTINGS_MOST. */
struct db_settings {
    const struct db_setting *all;
    size_t n;
};

/*
 * To be called directly after db_submit: the query's statement runs with these settings, which hold for its
 * transaction only (PostgreSQL 15, section 9.27.1, set_config with is_local). They must stay as its values
 * do. Only queries with the same settings are merged. One that PostgreSQL does not take is the query's error.
 */
void db_set(struct db_query *query, struct db_settings settings);

/* No more rows after this one, until db_resume. Only once db_outgrown said true. */
void db_pause(struct db_query *query);
void db_resume(struct db_query *query);

/* Nobody waits for the query any longer: nothing of its asker's will be called. The answer of a sent one is
 * thrown away; if it takes long and nobody else waits on its connection, that is closed. Returns when it was
 * sent last, as struct db_result has it. */
uint64_t db_abandon(struct db_query *query);

/*
 * Sends what waits, as far as there is room. The worker calls it at the end of each turn of its loop. Returns
 * true if something is held back for the next turn alone: the worker must not sleep before that.
 */
bool db_lane_turn_end(struct db_lane *lane);

/* Closes the connections for good; whoever waits gets DB_NOT_SENT or DB_LOST. db_check says DB_AWAY from now
 * on. */
void db_lane_end(struct db_lane *lane);

/* Frees a lane that was ended. */
void db_lane_free(struct db_lane *lane);

#endif
