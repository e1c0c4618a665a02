/*
 * pipeline.h: what is in flight on a connection to PostgreSQL: sent, and not answered completely
 * (PostgreSQL 15, section 55.2.4). Everything in flight has a Sync of its own: it is a transaction of its
 * own, and its error is nobody else's (section 55.2.3).
 *
 * Who sends something makes a flight for it and says by a struct db_flight_ops what is done with what comes.
 */
#ifndef HAYFORK_DB_PIPELINE_H
#define HAYFORK_DB_PIPELINE_H

#include "db/description.h"
#include "db/env.h"
#include "db/io.h"
#include "db/session.h"

enum {
    DB_PIPELINE_MOST = 32
}; /* queries on one connection; what comes on top waits, where it can be moved */

struct db_flight;
struct db_pipeline;
struct db_statement;

struct db_flight_ops {
    /* A row has come, of flight->n_columns. It is gone after the call. */
    const char *(*row)(struct db_flight *flight, const struct pgwire_message *message, struct pgwire_row row);
    /*
     * All has been answered, perhaps with flight->error. Frees the flight. spoilt: the session is not as it
     * began, and is closed; perhaps the answer is in another encoding.
     *
     * row and end return NULL, or why the connection has to be closed; db_flight_failure makes such a text.
     */
    const char *(*end)(struct db_flight *flight, bool spoilt);
    /* The connection is gone. Frees the flight. */
    void (*lost)(struct db_flight *flight);
    /* The session is spoilt, perhaps by another one: is this one to be lost instead? NULL: never. */
    bool (*prefers_to_be_lost)(const struct db_flight *flight);
    bool describes;    /* it is parsed and described; others are executed */
    bool asks;         /* it is a struct db_ask */
    unsigned patience; /* ms: it is not in the way of others before that, be `spill` shorter */
};

/* What may come next. */
enum db_phase { DB_AT_PARSE, DB_AT_TYPES, DB_AT_FIELDS, DB_AT_BIND, DB_AT_ROWS, DB_AT_END, DB_AT_FAILED };

struct db_flight {
    h2o_linklist_t link; /* in pipeline->flights */
    struct db_pipeline *pipeline;
    const struct db_flight_ops *ops;
    struct db_statement *statement; /* NULL if it is of none */
    uint64_t begins_at;             /* place in the stream of bytes to the server */
    size_t n_columns;
    uint64_t
        expects; /* the digest of its row's description, which comes before the rows; 0 if that does not */
    enum db_phase phase;
    enum db_phase after_settings; /* its phase after those of the pipeline */
    unsigned n_closes;            /* Close messages in front of it */
    bool in_settings;             /* the answer to the pipeline's settings is still to come */
    bool in_prefix;               /* the answer to its own settings is still to come */
    bool alone;                   /* nothing is to be sent after it */
    bool parsed;                  /* the server has what was to be parsed */
    bool ran;                     /* all values were taken before its error */
    bool misdescribed;            /* its rows are not what it expects: they are passed over */
    char *error;                  /* an ErrorResponse's body; owned */
    char tag[32];
    struct db_description *told; /* of one that describes: what it was told so far */
    struct db_fields fields;     /* likewise */
};

struct db_pipeline_ops {
    /* The first one, which is of a statement, was answered completely after that many ms at the head. */
    void (*head_ended)(struct db_pipeline *pipeline, const struct db_flight *head, uint64_t ms);
};

struct db_pipeline {
    struct db_env *env;
    const struct db_pipeline_ops *ops;
    struct db_io io;
    struct db_parameters parameters; /* of the session */
    const char *settings;            /* SQL in front of each transaction, or NULL */
    bool settings_parsed;            /* the server was given it */
    h2o_linklist_t flights;          /* in the order of the answers */
    size_t n;
    unsigned n_alone;
    uint64_t head_since; /* clock_ms: its first one is at the head since then */
    uint64_t heard_at;   /* clock_ms: the server last sent something, or had nothing to answer */
    uint64_t idle_since; /* clock_ms: nothing is in flight since then */
    bool paused;         /* no more is read */
    bool ends;           /* nor taken: the connection is to be closed */
    char why[512];       /* then the reason */
};

void db_pipeline_init(struct db_pipeline *pipeline, struct db_env *env, const struct db_pipeline_ops *ops);

/* The session begins that libpq has made. False if its bytes cannot be had. */
bool db_pipeline_begin(struct db_pipeline *pipeline, PGconn *pg);

/* It is over. What is in flight stays until db_pipeline_lose. */
void db_pipeline_close(struct db_pipeline *pipeline);

/*
 * From now on each flight begins with these settings, an SQL statement with one row, because the server does
 * not have them for the session. The text stays the caller's, and is to be there as long as the session.
 */
void db_pipeline_set_settings(struct db_pipeline *pipeline, const char *sql);

/* It is idle since now. */
void db_pipeline_set_idle(struct db_pipeline *pipeline);

/* Stops to read, and goes on; a pause is not the server's. */
void db_pipeline_pause(struct db_pipeline *pipeline);
void db_pipeline_go_on(struct db_pipeline *pipeline, h2o_socket_cb on_readable);

/* Nothing is taken any more: the connection is to be closed, for that reason, or an earlier one. */
void db_pipeline_end(struct db_pipeline *pipeline, const char *why);

/* Takes the messages that are there, until one is not complete, it is paused, or it ends. */
void db_pipeline_take(struct db_pipeline *pipeline);

/* Reads what has come, and takes it. Ends the pipeline where nothing can come any longer. */
void db_pipeline_read(struct db_pipeline *pipeline);

/* Nothing in flight will be answered: each is told so, from the last to the first. */
void db_pipeline_lose(struct db_pipeline *pipeline);

/*
 * Puts a flight in flight. Its messages are to be written to pipeline->io.out after that, with a Sync; they
 * leave at the end of the turn. Its memory is the caller's.
 */
void db_flight_begin(struct db_flight *flight, struct db_pipeline *pipeline, const struct db_flight_ops *ops,
                     struct db_statement *statement, enum db_phase phase);

/* Its rows have so many columns. */
static inline void db_flight_set_columns(struct db_flight *flight, size_t n)
{
    flight->n_columns = n;
}

/* Its rows are described before they come, and wanted only if that has this digest. */
static inline void db_flight_expect(struct db_flight *flight, uint64_t digest)
{
    flight->expects = digest;
}

/* A Close message goes in front of it. */
void db_flight_add_close(struct db_flight *flight);

/* Nothing is to be sent after it. */
void db_flight_set_alone(struct db_flight *flight);

/* A step with settings goes in front of it, which is parsed. */
void db_flight_set_prefix(struct db_flight *flight);

/* Takes it off its pipeline, and frees what it owns. For end and lost. */
void db_flight_clear(struct db_flight *flight);

/* Its error, which is the caller's then; NULL if it has none. */
char *db_flight_take_error(struct db_flight *flight);

/* What an error of the connection says: for row and end. */
const char *db_flight_failure(struct db_flight *flight, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Was any of it sent? */
static inline bool db_flight_was_sent(const struct db_flight *flight)
{
    return flight->begins_at < flight->pipeline->io.n_sent;
}

/* The first one. There must be one. */
static inline struct db_flight *db_pipeline_head(const struct db_pipeline *pipeline)
{
    return H2O_STRUCT_FROM_MEMBER(struct db_flight, link, pipeline->flights.next);
}

#endif
