/*
 * db_private.h: what the files of a lane share.
 *
 * db/lane.c has the queue and decides what goes where, db/place.c sees to those that are in the way of
 * others, db/merge.c asks for several reads as one, db/connection.c is one connection, db/flight.c what is in
 * flight on it, db/answers.c the answers to that, db/statement.c its statements, db/types.c their types,
 * db/doubt.c and db/schema.c find out whether these are still what they were, db/session.c is what a
 * connection begins with, db/io.c its bytes.
 */
#ifndef HAYFORK_DB_DB_PRIVATE_H
#define HAYFORK_DB_DB_PRIVATE_H

#include <libpq-fe.h>

#include "db/lane.h"
#include "db/infer.h"
#include "db/io.h"

/* What PostgreSQL said of a statement. Kept by those who have to read rows by it. */
struct db_description {
    unsigned references;
    uint32_t *types; /* of the parameters */
    size_t n_types;
    struct pgtypes_parameter *parameters; /* what these take */
    struct pgjson_columns *columns;
    uint64_t digest; /* of the server's words */
};

/* Something that is forgotten in time: its level falls by one at each step since it was set. */
struct db_memory {
    unsigned level;
    uint64_t at; /* clock_ms */
};

struct db_statement {
    struct db_lane *lane;
    struct db_statement_conf conf;
    h2o_timeout_t *deadline;            /* of its queries */
    size_t number;                      /* in the lane */
    uint64_t hash;                      /* of the SQL text: a part of the names on the server */
    struct db_description *description; /* the newest; NULL before there was one */
    uint32_t *declared;                 /* types that were found out, 0 for those that PostgreSQL tells */
    unsigned generation;                /* counts up when older preparations are not to be used any longer */
    unsigned fit;                       /* counts up when the parameters are of other types */
    bool unusable;                      /* the last attempt to prepare it failed */
    bool unmergeable;                   /* its merged form would be something else, or does not work */
    size_t merge_most;                  /* at most so many queries in one; fewer if they take long together */
    unsigned merge_rest;        /* ms: the present or last pause without merging, 0 if it went well since */
    uint64_t merge_not_before;  /* clock_ms: the end of that pause */
    size_t merge_usual;         /* how many have gone out at a time lately, in sixteenths */
    size_t merge_seen;          /* how many waited when they were held back last */
    unsigned merge_held;        /* turns for which they have been held back */
    bool complained;            /* it was logged that it cannot be prepared, and has not been since */
    h2o_linklist_t doubts;      /* queries that wait for a newer description */
    struct db_flight *check;    /* describes it for these; NULL: nothing does */
    uint64_t checked_at;        /* clock_ms: when that was last begun, 0 for never */
    struct db_memory slow, big; /* see db/place.c */
    unsigned n_holding;         /* those of it that are in the way of others now */
    h2o_linklist_t waiting;     /* its queries that are not sent */
    size_t n_waiting;
    h2o_linklist_t turn; /* linked in lane->turns while any may be waiting */
};

/* A statement on one connection. */
enum preparation { UNPREPARED, PREPARING, PREPARED };

struct db_preparation {
    enum preparation state;
    char name[64];
    unsigned generation; /* of the statement when it began */
    char merged_name[72];
    bool is_merged;       /* its merged form is prepared, too, and has the columns of description */
    uint64_t not_before;  /* clock_ms: when to try again */
    unsigned attempts;    /* each has a name of its own */
    unsigned n_in_flight; /* of its queries, those asked as one counted once */
    struct db_description *description;
    struct pgwire_field *fields; /* while its types are asked for: its columns, their names in fields_text */
    size_t n_fields;
    char *fields_text;
    bool wants_types;                    /* they are to be asked for, */
    const struct db_flight *types_asked; /* and this asks for them */
    bool by_server;    /* what is being prepared is the form whose rows PostgreSQL writes (pg/pgjson.h) */
    unsigned restarts; /* in a row: the tables had changed before that form was described */
    struct db_inference *inference; /* while a type is being found out */
    size_t inferred;                /* the parameter's number, as in $1 */
};

/* Why a query waits for a newer description: see db/doubt.c. */
enum db_doubt { DB_NO_DOUBT, DB_UNFIT, DB_REFUSED, DB_FAILED, DB_MISREAD };

struct db_query {
    h2o_linklist_t link; /* in its statement's waiting or doubts, or lane->spare_queries */
    struct db_statement *statement;
    struct db_flight *flight; /* NULL while it waits */
    const struct str *values;
    struct store *store; /* where they lie, as far as they are long; may be NULL */
    unsigned fit; /* they are for the parameters that the statement had then */
    const struct db_asker *asker;
    void *owner;
    h2o_timeout_entry_t timer;
    bool again;     /* was sent on a connection that broke, and is sent a second time */
    unsigned moves; /* how often it stood after a slow one, and was sent elsewhere */
    bool refreshed; /* its statement was prepared again for it */
    bool renewed;   /* so was the session */
    bool single;    /* was merged with others, and is asked again by itself */
    size_t place;   /* in flight->queries */
    bool streaming; /* its asker takes the rows at its own pace */
    enum db_doubt doubt;
    bool in_check;      /* the description that it waits for has begun */
    bool settled;       /* it was in doubt; it is no more, whatever comes */
    char *error;        /* while in doubt: its error; owned */
    bool ran;           /* likewise, of struct db_flight */
    bool gave_rows;     /* likewise */
    bool may_run_again; /* it has certainly not done anything */
    uint64_t digest;    /* of the description that it was sent with */
    bool misread;       /* its asker could not write a row: see db_misread */
    char *kept;         /* that row, as the body of its message, to be given again; owned */
    size_t kept_len;
};

enum { DB_MERGE_MOST = 32 }; /* queries in one statement */

enum flight_kind {
    FLIGHT_QUERIES,
    FLIGHT_LOOKS, /* at the session: db/session.c */
    FLIGHT_PREPARES,
    FLIGHT_TYPES,           /* asks for the types of what was prepared */
    FLIGHT_CHECKS,          /* describes a statement once more: db/doubt.c */
    FLIGHT_SCHEMA,          /* looks whether what the statements name has changed: db/schema.c */
    FLIGHT_PROBES,          /* whether a statement may be merged */
    FLIGHT_PREPARES_MERGED, /* … and its merged form */
};

/* What may come next for what was sent. */
enum flight_phase { AT_PARSE, AT_TYPES, AT_FIELDS, AT_BIND, AT_ROWS, AT_END, AT_FAILED };

/* Something on the wire, with a Sync after it. */
struct db_flight {
    h2o_linklist_t link; /* in connection->in_flight, or lane->spare_flights */
    struct db_connection *connection;
    enum flight_kind kind;
    struct db_statement *statement; /* NULL for FLIGHT_LOOKS, FLIGHT_TYPES and FLIGHT_SCHEMA */
    struct db_query **queries; /* of FLIGHT_QUERIES, by their place; NULL: nobody waits for it any longer */
    size_t n_queries;          /* several went out as one statement: then queries is owned */
    struct db_query *query;    /* where queries points if it is only one */
    struct db_description *description;
    unsigned generation; /* of the statement when it was sent */
    enum flight_phase phase;
    bool unbounded;     /* sent after a step that lifts statement_timeout for its transaction */
    bool in_prefix;     /* the answer to that step is still to come */
    uint64_t begins_at; /* place in the stream of bytes to the server */
    bool alone;         /* nothing is to be sent after it */
    bool holds;         /* it is counted in its statement's n_holding */
    bool gave_rows;     /* its query's asker was called */
    bool ran;           /* all values were taken before its error */
    char *error;        /* an ErrorResponse's body; owned */
    char tag[32];
    struct db_description *told; /* of a preparation: what it described so far */
    struct pgwire_field *fields; /* likewise; names in fields_text */
    size_t n_fields;
    char *fields_text;
    struct pgcatalogue *catalogue; /* of FLIGHT_TYPES: what has come so far */
};

enum {
    DB_SESSION_PARAMETERS = 8,
    DB_SESSION_LEFT = 8,   /* settings that are the database's own */
    DB_IN_FLIGHT_MAX = 32, /* queries on one connection; what comes on top waits, where it can be moved */
    DB_PREPARE_AGAIN_MS = 1000, /* what could not be prepared just now is tried again after so long */
};

struct db_connection {
    struct db_lane *lane;
    unsigned number; /* for the log: the lane's first, second, … since it began */
    enum db_state state;
    PGconn *pg;
    struct db_io io;
    h2o_linklist_t in_flight; /* in the order of the answers */
    size_t n_in_flight;
    struct db_preparation *preparations;     /* by statement number */
    size_t n_unprepared;                     /* preparations to wait for while PREPARING */
    char *parameters[DB_SESSION_PARAMETERS]; /* what the session began with; owned */
    bool changed[DB_SESSION_PARAMETERS];     /* a statement has changed it */
    uint64_t head_since;                     /* clock_ms: its first one in flight runs since then */
    uint64_t heard_at;    /* clock_ms: the server last sent something, or had nothing to answer */
    uint64_t ready_at;    /* clock_ms */
    unsigned short_lives; /* sessions in a row that were soon lost */
    uint64_t idle_since;  /* clock_ms: nothing is in flight since then */
    uint64_t began_at;    /* clock_ms: the attempt to connect */
    uint64_t wake_at;     /* clock_ms: when an attempt has failed, or the next one begins */
    unsigned back_off;    /* ms */
    unsigned n_alone;     /* flights that nothing is to be sent after */
    bool wants_types;     /* of some preparations, at the end of the turn */
    bool knows_schema;    /* the statement of db/schema.c is prepared */
    unsigned waited;      /* those who had to wait for the present head, for the log */
    bool paused;
    bool has_rest;   /* bytes came before the pause that no event will tell of */
    bool reserved;   /* for a heavy statement that waits: others stay away */
    bool supersedes; /* once it is ready, the lane's others retire */
    bool retires;    /* it takes no more queries, and is closed when it has answered those that it has */
    bool ends;       /* to be closed soon */
    bool quietly;    /* and that is nothing to complain of */
    char why[512];   /* else the reason */
    bool read_only;  /* the session is known to be */
};

struct db_lane {
    h2o_loop_t *loop;
    struct db_lane_conf conf;
    /* [0] is always there and tried again when it is lost; the others are opened on demand. */
    struct db_connection **connections;
    size_t n_connections;
    unsigned n_opened; /* so far */
    struct db_statement **statements;
    size_t n_statements;
    h2o_linklist_t turns; /* statements with queries that wait, in the order of their turns */
    size_t n_turns;
    bool gathers;                /* something is held back until the next turn */
    char *left[DB_SESSION_LEFT]; /* settings of the last session that began; owned, see db/session.c */
    size_t n_waiting;
    h2o_timeout_t *tick_timeout; /* while some connection is neither ready nor gone */
    h2o_timeout_entry_t tick;
    h2o_timeout_t *watch_timeout; /* while anything is in flight */
    h2o_timeout_entry_t watch;
    h2o_timeout_t *soon_timeout; /* for what must not be done from where it is noticed */
    h2o_timeout_entry_t soon;
    h2o_timeout_t *idle_timeout; /* while there is more than one connection */
    h2o_timeout_entry_t idle;
    h2o_timeout_entry_t doubt; /* of tick_timeout, while anything is in doubt */
    struct db_schema *schema;  /* what the statements name, as it was last seen; NULL before */
    uint64_t look_at;          /* clock_ms: when it is to be looked at again, */
    bool asked;                /* if there was a query since */
    uint64_t renewed_at;       /* clock_ms: when all sessions were last made again, 0 for never */
    uint64_t now;              /* clock_ms when the present work began */
    uint64_t spill_not_before; /* clock_ms: when another connection may be tried */
    unsigned spill_back_off;   /* ms */
    bool capped;               /* database.max allows it no more connections, when it last wanted one */
    bool lacks_place;          /* something has found no place in this turn */
    uint64_t lacking_since;    /* clock_ms: since when that is so in each turn; 0 if it is not */
    bool heavy_waits;          /* some statement that is to run alone has found no place in this turn */
    bool may_write;            /* a session that was to be read-only is not */
    bool hopeful;              /* the last ready connection is being made again: requests wait for it */
    bool ended;
    unsigned seed; /* for the jitter */
    void (*settled)(void *arg);
    void *settled_arg;
    h2o_linklist_t spare_queries, spare_flights; /* to be used again */
};

/* Did several queries go out as one? */
static inline bool db_is_merged(const struct db_flight *flight)
{
    return flight->n_queries > 1;
}

static inline struct db_flight *db_head(const struct db_connection *connection)
{
    return H2O_STRUCT_FROM_MEMBER(struct db_flight, link, connection->in_flight.next);
}

/* db/lane.c */

/* Tells whoever waits for the query and frees it. It is on no list but that of those in flight, perhaps. */
void db_query_end(struct db_query *query, enum db_outcome outcome, const struct db_answer *answer);

/*
 * Puts a query that is on no list at the head of those that wait; or ends it, where the parameters are others
 * meanwhile and its asker has no values for these.
 */
void db_wait_again(struct db_query *query);

/* The statement's parameters are others: the same for each of its queries that wait. */
void db_fit_waiting(struct db_statement *statement);

/*
 * Will the statement be prepared in a moment? Not if what prepares it is seen to hold its connection: then it
 * is heavy, and may try another one without taking all of them.
 */
bool db_is_being_prepared(const struct db_lane *lane, const struct db_statement *statement);

/* Takes the statement's next query, of which there is one, out of those that wait. */
struct db_query *db_take_waiting(struct db_statement *statement);

/* Ends all queries that wait: they were not sent. */
void db_end_waiting(struct db_lane *lane);

/* Something has to be done from a timer: a connection ends, or a statement is found to be unusable. */
void db_soon(struct db_lane *lane);

/* A connection's state has changed. */
void db_connection_changed(struct db_connection *connection);

/* What a lane complains about. The first two are over once it is connected. */
#define DB_LOST_CONNECTION   "lost the connection to the database"
#define DB_CANNOT_CONNECT    "cannot connect to the database"
#define DB_CANNOT_SPILL      "cannot open another connection"
#define DB_DIFFERENT_SESSION "the session is not as it was asked for"
#define DB_DIFFERENT_SETTING "a setting is another in new sessions"

/* Logs an error of the lane, which has this trouble, as complain_in_words does. */
void db_complain(const struct db_lane *lane, const char *trouble, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* db/connection.c */

/* A connection that begins to connect. */
struct db_connection *db_connection_new(struct db_lane *lane);

/* To be closed soon, with a complaint. */
void db_connection_fail(struct db_connection *connection, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* To be closed soon: nobody needs it any longer. */
void db_connection_close(struct db_connection *connection);

/* To be closed when nothing is in flight any more; nothing is sent on it from now on. */
void db_connection_retire(struct db_connection *connection);

/* Closes it now, and does what follows from that. */
void db_connection_end(struct db_connection *connection);

/* Sends what is to be sent. */
void db_connection_flush(struct db_connection *connection);

/* Reads on after a pause. To be called where callbacks may be. */
void db_connection_receive_rest(struct db_connection *connection);

/* Nobody waits for a query in flight any longer. */
void db_abandon_sent(struct db_query *query);

/* What was to be done at a time: an attempt to connect has taken too long, or the next one is due. */
void db_connection_tick(struct db_connection *connection);

/* One of the things to wait for was tried. After the last one the connection takes queries. */
void db_connection_prepared(struct db_connection *connection);

/* Closes and frees it. What is in flight is told DB_LOST. */
void db_connection_free(struct db_connection *connection);

/* db/flight.c */

/* Puts something on the list in flight. The bytes go to connection->io.out; they leave at the turn's end. */
struct db_flight *db_flight_new(struct db_connection *connection, struct db_statement *statement,
                                enum flight_kind kind);

/* Sends a query. alone: nothing is sent after it before it has ended. */
void db_send(struct db_connection *connection, struct db_query *query, bool alone);

void db_flight_free(struct db_flight *flight);

/* The query is no longer waited for where it is in flight. */
void db_leave(struct db_query *query);

/* Does anybody wait for a query in it? */
bool db_flight_is_awaited(const struct db_flight *flight);

/*
 * Ends all that was in flight on a connection that is gone. Reads are asked once more (a second time they are
 * given up, and may safely be asked again); of the others nobody knows whether they were done.
 */
void db_take_back(struct db_connection *connection);

/* db/answers.c */

/* Takes the messages that are there, until one is not complete, a query pauses or the connection ends. */
void db_take_messages(struct db_connection *connection);

/* db/statement.c */

struct db_description *db_description_keep(struct db_description *description);
void db_description_drop(struct db_description *description);

/* Prepares and describes a statement on a connection. */
void db_prepare(struct db_connection *connection, struct db_statement *statement);

/* The answer to a preparation has come. */
void db_on_prepared(struct db_connection *connection, struct db_flight *flight);

/* So have the types that it needs; or an error's body instead. */
void db_on_types(struct db_connection *connection, struct db_statement *statement,
                 struct pgcatalogue *catalogue, const char *error);

/* It is not to be used any longer as it was prepared, on any connection. */
void db_outdate(struct db_statement *statement);

/* The same; it is prepared again on this connection at once. */
void db_refresh(struct db_connection *connection, struct db_statement *statement);

/* Ends what is known of the connection's preparations. */
void db_forget_preparations(struct db_connection *connection);

void db_statement_free(struct db_statement *statement);

/* Was it the database that could not look into a statement now (PostgreSQL 15, appendix A)? */
bool db_is_passing(const char *state);

/* db/doubt.c */

/*
 * Did a query fail because its session is out of date, and not its statement? Then all sessions of the lane
 * are made again, unless that was done lately, and in vain. Returns whether it may be asked again after that.
 */
bool db_renew(struct db_connection *connection, const char *error);

/* May the error of a single query be due to a change of the tables? */
bool db_doubts(const struct db_flight *flight);

/* Puts a query in doubt. flight is what it failed on, and loses it and its error; NULL for DB_UNFIT. */
void db_doubt(struct db_query *query, enum db_doubt why, struct db_flight *flight);

/* Keeps the row that was just misread, if it can be given again. */
void db_misread_keep(struct db_query *query, const struct pgwire_message *message);

/* Takes it out of those in doubt. */
void db_doubt_leave(struct db_query *query);

/* The answer to a description has come; a preparation of the statement has ended, well or not. */
void db_doubts_checked(struct db_connection *connection, struct db_flight *flight);
void db_doubts_prepared(struct db_statement *statement, bool good);

/* Describes all statements that are prepared on the connection once more, in case they have changed. */
void db_doubts_check(struct db_connection *connection);

/* Its deadline has come; there is no connection any more. */
void db_doubt_expired(struct db_query *query);
void db_doubts_end(struct db_statement *statement);

void db_doubts_on_tick(h2o_timeout_entry_t *entry);

/* db/schema.c */

/* Looks for the first time what the statements name, on a connection where they are prepared. */
void db_schema_begin(struct db_connection *connection);

/*
 * Looks whether that has changed, before queries are sent, if it is overdue; and if it is due, where nothing
 * is in flight. lane->now is the present.
 */
void db_schema_before_queries(struct db_lane *lane);
void db_schema_when_idle(struct db_lane *lane);

enum { DB_SCHEMA_COLUMNS = 2 };

/* The answer: a row, false if it is not well formed; its end; or there will be none. */
bool db_schema_take(struct db_lane *lane, struct pgwire_row row);
void db_schema_looked(struct db_connection *connection, const char *error);
void db_schema_lost(struct db_lane *lane);

void db_schema_free(struct db_schema *schema);

/* db/types.c */

/* Notes that a described statement needs types that are not built in. Returns false if it does not. */
bool db_types_wanted(struct db_connection *connection, struct db_statement *statement);

/* Asks for all that is needed. To be called at the end of a turn, if connection->wants_types. */
void db_types_ask(struct db_connection *connection);

/* The answer: a row, false if it is not well formed; and its end. */
bool db_types_take(struct db_flight *flight, struct pgwire_row row);
void db_types_answered(struct db_connection *connection, struct db_flight *flight);

/* db/merge.c */

/* A statement was prepared on a connection: so is its merged form, if it may have one. */
void db_merge_prepare(struct db_connection *connection, struct db_statement *statement);

/* The answers to that: a row of the probe, its end, and the end of the preparation. */
void db_merge_probed(struct db_flight *flight, struct pgwire_row row);
void db_merge_asked(struct db_connection *connection, struct db_flight *flight);
void db_merge_prepared(struct db_connection *connection, struct db_flight *flight);

/* Can queries of the statement be merged on the connection now? */
bool db_merge_can(const struct db_connection *connection, const struct db_statement *statement);

/* How many of those that wait can go out as one. */
size_t db_merge_count(const struct db_statement *statement);

/* Are those n held back until the next turn, because more will come? */
bool db_merge_gathers(struct db_statement *statement, size_t n);

/* Notes that n of them go out. */
void db_merge_sends(struct db_statement *statement, size_t n);

/* Sends that many of them. */
void db_merge_send(struct db_connection *connection, struct db_statement *statement, size_t n);

/* A row has come, the number of its query before its columns. False if there is no such query. */
bool db_merge_row(struct db_flight *flight, struct pgwire_row row);

/* Is it merged, and takes so long that its queries had better be asked one by one? */
bool db_merge_is_stuck(const struct db_flight *flight);

/* All queries of it wait again, each to be asked by itself; their statement is not merged for a while. */
void db_merge_split(struct db_flight *flight);

/* It was answered: tells whoever waits. */
void db_merge_end(struct db_flight *flight);

/* It took that many ms at the head. */
void db_merge_learn(struct db_flight *flight, uint64_t ms);

/* db/place.c */

/* Does it take queries of others now, and soon? */
bool db_is_open_to_others(const struct db_connection *connection);

/* Is it to run on a connection of its own? */
bool db_is_heavy(const struct db_statement *statement);

/* May its result be of any size, at the pace of whoever takes it? Then it runs without statement_timeout. */
bool db_is_unbounded(const struct db_statement *statement);

/* The connection's head has run for so long that others should not wait for it. */
bool db_is_held(const struct db_connection *connection);

/* Looks which statements are in the way now, before places are given out. */
void db_spill_notice(struct db_lane *lane);

/* A connection for the statement's next query, or NULL if it has to wait; another one is opened if needed. */
struct db_connection *db_place_for(struct db_lane *lane, struct db_statement *statement);

/* What was sent has ended, after that many ms at the head. */
void db_spill_learn(struct db_statement *statement, uint64_t ms);

/* The head that was in the way has gone: says who it was, if others had to wait. */
void db_spill_release(struct db_connection *connection, const struct db_statement *statement, uint64_t ms);

/* For the lane's timers. */
void db_spill_watch(struct db_lane *lane);
void db_spill_close_idle(struct db_lane *lane);

/* Another connection could not be had: there is a pause before it is tried again. */
void db_spill_failed(struct db_lane *lane);

#endif
