/* statement.h: a lane's statements, and what they are on each connection: prepared, with a description. */
#ifndef HAYFORK_DB_STATEMENT_H
#define HAYFORK_DB_STATEMENT_H

#include "db/connection.h"
#include "db/infer.h"

struct db_statement_ops {
    /* Its parameters are of other types than those that its queries have values for. */
    void (*refitted)(struct db_statement *statement);
    /* It was described, and needs types that are to be asked for at the end of the turn: see db/types.h. */
    void (*wants_types)(struct db_connection *connection);
    /* It was prepared on the connection. */
    void (*prepared)(struct db_connection *connection, struct db_statement *statement);
    /* It cannot be prepared. */
    void (*failed)(struct db_statement *statement);
};

/* What the files above this one know of a statement. */
struct db_statement_parts {
    struct db_line *line;       /* db/queue.h */
    struct db_asks *asks;       /* db/ask.h; all of a lane have the same */
    struct db_doubted *doubted; /* db/doubt.h */
    struct db_merge *merge;     /* db/merge.h */
    struct db_manners *manners; /* db/place.h */
};

struct db_statement {
    struct db_env *env;
    const struct db_statement_ops *ops;
    struct db_statement_conf conf;
    struct db_statement_parts parts;
    h2o_timeout_t *deadline;            /* of its queries */
    size_t number;                      /* in the lane */
    uint64_t hash;                      /* of the SQL text: a part of the names on the server */
    struct db_description *description; /* the newest; NULL before there was one */
    uint32_t *declared;                 /* types that were found out, 0 for those that PostgreSQL tells */
    unsigned generation;                /* counts up when older preparations are not to be used any longer */
    unsigned fit;                       /* counts up when the parameters are of other types */
    bool unusable;                      /* the last attempt to prepare it failed */
    bool complained;                    /* it was logged that it cannot be prepared, and has not been since */
};

/* All of a lane. */
struct db_statements {
    struct db_statement **all;
    size_t n;
};

/* A statement on one connection. */
enum db_preparation_state { DB_NOT_PREPARED, DB_BEING_PREPARED, DB_PREPARED };

struct db_preparation {
    enum db_preparation_state state;
    char name[64];
    unsigned generation; /* of the statement when it began */
    char merged_name[72];
    char tag[64];         /* a comment at the end of its SQL, or nothing */
    bool is_merged;       /* its merged form is prepared, too, and has the columns of description */
    uint64_t not_before;  /* clock_ms: when to try again */
    unsigned attempts;    /* each has a name of its own */
    unsigned n_in_flight; /* of its queries, those asked as one counted once */
    struct db_description *description;
    uint64_t rows_digest;                /* of what is prepared, see db_fields_digest, */
    uint64_t merged_digest;              /* and of its merged form */
    struct db_fields fields;             /* while its types are asked for */
    bool wants_types;                    /* they are to be asked for, */
    const struct db_flight *types_asked; /* and this asks for them */
    bool by_server;    /* what is being prepared is the form whose rows PostgreSQL writes (pg/pgjson.h) */
    unsigned restarts; /* in a row: the tables had changed before that form was described */
    struct db_inference *inference; /* while a type is being found out */
    size_t inferred;                /* the parameter's number, as in $1 */
};

struct db_preparations {
    const struct db_statements *statements;
    struct db_preparation of[];
};

/* Makes a statement of the lane, with that number. conf is copied, its texts must outlive it. */
void db_statement_init(struct db_statement *statement, struct db_env *env, const struct db_statement_ops *ops,
                       const struct db_statement_conf *conf, size_t number, struct db_statement_parts parts);
void db_statement_clear(struct db_statement *statement);

/* For a connection on which nothing is prepared. */
struct db_preparations *db_preparations_new(const struct db_statements *statements);
void db_preparations_free(struct db_preparations *preparations);

/* The session is gone, with all that was prepared. */
void db_preparations_forget(struct db_preparations *preparations);

/* Prepares and describes a statement on a connection. */
void db_prepare(struct db_connection *connection, struct db_statement *statement);

/* The types that it needs have come; or an error's body instead. */
void db_prepare_with_types(struct db_connection *connection, struct db_statement *statement,
                           struct pgcatalogue *catalogue, const char *error);

/* It is not to be used any longer as it was prepared, on any connection. */
void db_statement_outdate(struct db_statement *statement);

/* The same; it is prepared again on this connection at once. */
void db_statement_refresh(struct db_connection *connection, struct db_statement *statement);

/* Was it the database that could not look into a statement now (PostgreSQL 15, appendix A)? */
bool db_is_passing(const char *state);

/* Its merged form gets a name on the connection; and is prepared there. */
const char *db_preparation_name_merged(struct db_preparation *preparation);
void db_preparation_set_merged(struct db_preparation *preparation, uint64_t digest);

static inline struct db_preparation *db_preparation_of(const struct db_connection *connection,
                                                       const struct db_statement *statement)
{
    return &connection->preparations->of[statement->number];
}

/* Can queries be sent with it? */
static inline bool db_preparation_is_usable(const struct db_preparation *preparation,
                                            const struct db_statement *statement)
{
    return preparation->state == DB_PREPARED && preparation->generation == statement->generation;
}

/* Something with its queries was sent, or has ended. */
static inline void db_preparation_count(struct db_preparation *preparation, int more)
{
    preparation->n_in_flight += (unsigned)more;
}

/* That flight asks for its types. */
static inline void db_preparation_set_types_asked(struct db_preparation *preparation,
                                                  const struct db_flight *flight)
{
    preparation->wants_types = false;
    preparation->types_asked = flight;
}

#endif
