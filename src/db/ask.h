/* ask.h: queries on the wire: one by itself, or several of a statement as one. */
#ifndef HAYFORK_DB_ASK_H
#define HAYFORK_DB_ASK_H

#include "db/queue.h"

/* Queries that were sent as one flight. */
struct db_ask {
    struct db_flight flight; /* its link: in asks->spare, too */
    struct db_preparation *preparation;
    struct db_query **queries; /* by their place; NULL: nobody waits for it any longer */
    size_t n;                  /* of several queries is owned */
    struct db_query *only;     /* where queries points if it is only one */
    struct db_description *description;
    unsigned generation; /* of the statement when it was sent */
    bool unbounded;      /* sent without statement_timeout */
    bool gave_rows;      /* an asker was called */
};

/* Those of a lane that have ended: to be used again. */
struct db_asks {
    h2o_linklist_t spare;
};

void db_asks_init(struct db_asks *asks);
void db_asks_clear(struct db_asks *asks);

/* What a query is sent with. */
struct db_ask_how {
    bool alone;     /* nothing is sent after it before it has ended */
    bool unbounded; /* without statement_timeout */
};

/* Sends a query, which is on no list. */
void db_ask_send(struct db_connection *connection, struct db_query *query, struct db_ask_how how);

/*
 * Begins to send n of the statement's queries, those that wait first and have the same settings, as one.
 * Their statement, whose rows have so many columns more than the statement's own, is the caller's to write.
 */
struct db_ask *db_ask_begin(struct db_connection *connection, struct db_statement *statement,
                            const struct db_flight_ops *ops, size_t n, size_t n_more);

/* For ops: its end, and that it is lost. Reads are asked once more; of others nobody knows if they were done.
 */
void db_ask_dispose(struct db_ask *ask);
void db_ask_on_lost(struct db_flight *flight);

/* Is it such that its queries are asked again elsewhere, should it be lost? */
bool db_ask_is_repeated(const struct db_flight *flight);

/*
 * Its rows are to be as they were described, with that digest. PostgreSQL sees to that in a session that has
 * prepared the statement; a pooler may have prepared it in another session, and since then. To be called
 * before it is executed.
 */
void db_ask_expect(struct db_ask *ask, uint64_t digest);

/* Were they not? Then they were passed over, and the statement is prepared again. */
bool db_ask_is_misdescribed(struct db_ask *ask);

/*
 * Asks again those that were sent before it was found out that the statement is out of date, as far as that
 * can be done.
 */
void db_ask_overtaken(struct db_ask *ask);

/* The query is no longer waited for where it is in flight. */
void db_ask_leave(struct db_query *query);

/* Nobody waits for it any longer. */
void db_ask_abandon(struct db_query *query);

/* Does anybody wait for a query in it? */
bool db_ask_is_awaited(const struct db_ask *ask);

/* NULL if the flight is of another kind. */
static inline struct db_ask *db_ask_of(const struct db_flight *flight)
{
    return flight->ops->asks ? H2O_STRUCT_FROM_MEMBER(struct db_ask, flight, flight) : NULL;
}

/* Did several queries go out as one? */
static inline bool db_ask_is_merged(const struct db_ask *ask)
{
    return ask->n > 1;
}

static inline struct db_connection *db_ask_connection(const struct db_ask *ask)
{
    return db_connection_of_flight(&ask->flight);
}

/* What others note about it. */

static inline void db_ask_set_gave_rows(struct db_ask *ask)
{
    ask->gave_rows = true;
}

#endif
