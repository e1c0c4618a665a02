/* queue.h: a lane's queries; those that are not sent yet wait in the line of their statement. */
#ifndef HAYFORK_DB_QUEUE_H
#define HAYFORK_DB_QUEUE_H

#include "base/clock.h"
#include "db/statement.h"

struct db_ask;
struct db_doubt;

/* What was tried for a query once, and is not tried again. */
enum db_tried {
    DB_TRIED_AGAIN = 1,    /* it was sent on a connection that broke, and sent a second time */
    DB_TRIED_PREPARED = 2, /* its statement was prepared again */
    DB_TRIED_RENEWED = 4,  /* so was the session */
    DB_TRIED_SINGLE = 8,   /* it was asked as one with others, and is asked by itself */
    DB_TRIED_DOUBT = 16,   /* it was in doubt; it is no more, whatever comes */
};

struct db_query {
    h2o_linklist_t link; /* in its line's waiting, in its statement's doubts, or in queue->spare */
    struct db_statement *statement;
    struct db_ask *ask; /* what it is in flight with; NULL while it waits */
    size_t place;       /* in ask->queries */
    const struct str *values;
    unsigned turn;               /* of the loop, in which it came: see struct db_queue */
    struct store *store;         /* where they lie, as far as they are long; may be NULL */
    unsigned fit;                /* they are for the parameters that the statement had then */
    unsigned moves;              /* how often it stood after a slow one, and was sent elsewhere */
    struct db_settings settings; /* that it is sent with */
    const struct db_asker *asker;
    void *owner;
    h2o_timeout_entry_t timer;
    uint64_t sent_at; /* see struct db_result */
    unsigned tried;   /* enum db_tried */
    bool streaming;   /* its asker takes the rows at its own pace */
    bool misread;     /* its asker could not write a row: see db_misread */
    char *kept;       /* that row, as the body of its message, to be given again; owned */
    size_t kept_len;
    struct db_doubt *doubt; /* while it waits for a newer description; owned */
};

/* The queries of a statement that wait. */
struct db_line {
    struct db_queue *queue;
    struct db_statement *statement;
    h2o_linklist_t waiting;
    size_t n;
    h2o_linklist_t turn; /* linked in queue->turns while any may be waiting */
};

struct db_queue {
    struct db_env *env;
    h2o_linklist_t turns; /* lines with queries that wait, in the order of their turns */
    size_t n_turns;
    size_t n_waiting;
    unsigned turn;        /* of the loop, counted */
    h2o_linklist_t spare; /* queries, to be used again */
};

void db_queue_init(struct db_queue *queue, struct db_env *env);
void db_queue_clear(struct db_queue *queue);
void db_line_init(struct db_line *line, struct db_queue *queue, struct db_statement *statement);

/* A query that is on no list, with values and store as db_submit has them. Its deadline begins. */
struct db_query *db_query_new(struct db_statement *statement, const struct str *values, struct store *store,
                              const struct db_asker *asker, void *owner, h2o_timeout_cb on_deadline);

/* Tells whoever waits for it and frees it. It is on no list. */
void db_query_end(struct db_query *query, enum db_outcome outcome, const struct db_result *result);

/* The same by its deadline: DB_NOT_SENT or DB_LOST. */
void db_query_end_late(struct db_query *query, enum db_outcome outcome);

/* Frees it; nobody waits for it. */
void db_query_free(struct db_query *query);

/* To the end of those that wait, and out of them. */
void db_query_wait(struct db_query *query);
void db_query_wait_no_more(struct db_query *query);

/*
 * Puts a query that is on no list at the head of those that wait; or ends it, where the parameters are others
 * meanwhile and its asker has no values for these.
 */
void db_query_wait_again(struct db_query *query);

/* Its rows so far do not count; then the same. */
void db_query_ask_again(struct db_query *query, bool gave_rows);

/* The statement's parameters are others: so are the values of each of its queries that wait. */
void db_line_fit(struct db_statement *statement);

/* The first of those that wait, of which there is one. */
static inline struct db_query *db_line_first(const struct db_statement *statement)
{
    return H2O_STRUCT_FROM_MEMBER(struct db_query, link, statement->parts.line->waiting.next);
}

/* Takes it out of them. */
struct db_query *db_line_take(struct db_statement *statement);

/* All that wait are not asked. */
void db_line_end(struct db_statement *statement, enum db_outcome outcome);

/* The statement whose turn it is: it has none any longer. There must be one. */
struct db_statement *db_queue_next(struct db_queue *queue);

/* It gets another turn, after those of the others. */
void db_line_take_turn(struct db_statement *statement);

/* What waits now has waited. */
static inline void db_queue_end_turn(struct db_queue *queue)
{
    queue->turn++;
}

/* Does a query wait that comes from another network than this one? With 0, from any. */
bool db_line_is_wanted(const struct db_statement *statement, uint64_t network);

static inline bool db_line_is_empty(const struct db_statement *statement)
{
    return statement->parts.line->n == 0;
}

static inline bool db_query_has_tried(const struct db_query *query, enum db_tried what)
{
    return (query->tried & what) != 0;
}

/* The asker takes the rows at its own pace: the deadline counts no more. */
void db_query_stream(struct db_query *query);

/* Keeps the row that was just misread. */
void db_query_keep_row(struct db_query *query, const struct pgwire_message *message);

/* What others note about it. */

static inline void db_query_set_ask(struct db_query *query, struct db_ask *ask, size_t place)
{
    query->ask = ask;
    query->place = place;
    if (ask != NULL)
        query->sent_at = clock_turn_ns();
}

static inline void db_query_set_doubt(struct db_query *query, struct db_doubt *doubt)
{
    query->doubt = doubt;
}

static inline void db_query_set_misread(struct db_query *query, bool misread)
{
    query->misread = misread;
}

static inline void db_query_count_move(struct db_query *query)
{
    query->moves++;
}

static inline void db_query_try(struct db_query *query, enum db_tried what)
{
    query->tried |= what;
}

#endif
