/*
 * queue.c: a lane's queries; those that are not sent yet wait in the line of their statement.
 *
 * Statements of which any wait take turns, so that each gets its share.
 */
#include "db/queue.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static struct db_line *line_of(const struct db_query *query)
{
    return query->statement->parts.line;
}

static struct db_query *query_at(h2o_linklist_t *link)
{
    return H2O_STRUCT_FROM_MEMBER(struct db_query, link, link);
}

/* Queries */

struct db_query *db_query_new(struct db_statement *statement, const struct str *values, struct store *store,
                              const struct db_asker *asker, void *owner, h2o_timeout_cb on_deadline)
{
    struct db_queue *queue = statement->parts.line->queue;
    struct db_query *query;
    if (h2o_linklist_is_empty(&queue->spare)) {
        query = mem_alloc(sizeof(*query));
    } else {
        query = query_at(queue->spare.next);
        h2o_linklist_unlink(&query->link);
    }
    *query = (struct db_query){.statement = statement,
                               .values = values,
                               .turn = queue->turn,
                               .store = store,
                               .fit = statement->fit,
                               .asker = asker,
                               .owner = owner,
                               .timer.cb = on_deadline};
    h2o_timeout_link(queue->env->loop, statement->deadline, &query->timer);
    return query;
}

void db_query_free(struct db_query *query)
{
    h2o_timeout_unlink(&query->timer);
    free(query->kept);
    query->kept = NULL;
    h2o_linklist_insert(&line_of(query)->queue->spare, &query->link);
}

static void end(struct db_query *query, enum db_outcome outcome, const struct db_result *result)
{
    struct db_result told = result == NULL ? (struct db_result){.sent_at = 0} : *result;
    const struct db_asker *asker = query->asker;
    void *owner = query->owner;
    told.sent_at = query->sent_at;
    db_query_free(query);
    asker->done(owner, outcome, &told);
}

void db_query_end(struct db_query *query, enum db_outcome outcome, const struct db_result *result)
{
    if (outcome == DB_NOT_SENT || outcome == DB_LOST)
        db_env_count(query->statement->env, METRIC_LANE_LOST_QUERIES, 1);
    end(query, outcome, result);
}

void db_query_end_late(struct db_query *query, enum db_outcome outcome)
{
    db_env_count(query->statement->env, outcome == DB_NOT_SENT ? METRIC_LANE_NOT_SENT : METRIC_LANE_LATE, 1);
    end(query, outcome, NULL);
}

void db_set(struct db_query *query, struct db_settings settings)
{
    query->settings = settings;
}

void db_query_stream(struct db_query *query)
{
    query->streaming = true;
    h2o_timeout_unlink(&query->timer);
}

void db_query_keep_row(struct db_query *query, const struct pgwire_message *message)
{
    free(query->kept);
    query->kept = mem_alloc(message->len);
    query->kept_len = message->len;
    memcpy(query->kept, message->body, message->len);
}

/*
 * Sees to it that the query's values are for the parameters that there are. False, and it is gone, where its
 * asker has none for these.
 */
static bool fit(struct db_query *query)
{
    const struct db_statement *statement = query->statement;
    if (query->fit == statement->fit && query->values != NULL)
        return true;
    query->fit = statement->fit;
    query->values = query->asker->values(query->owner, db_statement_parameters(statement));
    if (query->values == NULL)
        db_query_free(query);
    return query->values != NULL;
}

/* Waiting */

static void wait_at(struct db_query *query, h2o_linklist_t *place)
{
    struct db_line *line = line_of(query);
    h2o_linklist_insert(place, &query->link);
    line->n++;
    line->queue->n_waiting++;
    db_line_take_turn(query->statement);
}

void db_query_wait(struct db_query *query)
{
    wait_at(query, &line_of(query)->waiting);
}

void db_query_wait_no_more(struct db_query *query)
{
    struct db_line *line = line_of(query);
    h2o_linklist_unlink(&query->link);
    line->n--;
    line->queue->n_waiting--;
}

void db_query_wait_again(struct db_query *query)
{
    query->turn = line_of(query)->queue->turn;
    query->ask = NULL;
    query->misread = false;
    if (fit(query))
        wait_at(query, line_of(query)->waiting.next);
}

void db_query_ask_again(struct db_query *query, bool gave_rows)
{
    if (gave_rows)
        query->asker->again(query->owner);
    db_query_wait_again(query);
}

/* Lines */

void db_line_fit(struct db_statement *statement)
{
    h2o_linklist_t *anchor = &statement->parts.line->waiting;
    for (h2o_linklist_t *link = anchor->next, *next; link != anchor; link = next) {
        struct db_query *query = query_at(link);
        next = link->next;
        db_query_wait_no_more(query);
        if (fit(query))
            wait_at(query, next);
    }
}

struct db_query *db_line_take(struct db_statement *statement)
{
    struct db_query *query = db_line_first(statement);
    struct db_queue *queue = line_of(query)->queue;
    if (query->turn != queue->turn)
        db_env_count(queue->env, METRIC_LANE_WAITS, 1);
    db_query_wait_no_more(query);
    return query;
}

void db_line_end(struct db_statement *statement, enum db_outcome outcome)
{
    while (!db_line_is_empty(statement))
        db_query_end(db_line_take(statement), outcome, NULL);
}

void db_line_take_turn(struct db_statement *statement)
{
    struct db_line *line = statement->parts.line;
    if (h2o_linklist_is_linked(&line->turn))
        return;
    h2o_linklist_insert(&line->queue->turns, &line->turn);
    line->queue->n_turns++;
}

struct db_statement *db_queue_next(struct db_queue *queue)
{
    struct db_line *line = H2O_STRUCT_FROM_MEMBER(struct db_line, turn, queue->turns.next);
    h2o_linklist_unlink(&line->turn);
    queue->n_turns--;
    return line->statement;
}

bool db_line_is_wanted(const struct db_statement *statement, uint64_t network)
{
    const h2o_linklist_t *anchor = &statement->parts.line->waiting;
    for (const h2o_linklist_t *link = anchor->next; link != anchor; link = link->next) {
        const struct db_query *query = H2O_STRUCT_FROM_MEMBER(struct db_query, link, link);
        if (network == 0 || query->asker->network(query->owner) != network)
            return true;
    }
    return false;
}

/* The queue */

void db_line_init(struct db_line *line, struct db_queue *queue, struct db_statement *statement)
{
    *line = (struct db_line){.queue = queue, .statement = statement};
    h2o_linklist_init_anchor(&line->waiting);
}

void db_queue_init(struct db_queue *queue, struct db_env *env)
{
    *queue = (struct db_queue){.env = env};
    h2o_linklist_init_anchor(&queue->turns);
    h2o_linklist_init_anchor(&queue->spare);
}

void db_queue_clear(struct db_queue *queue)
{
    while (!h2o_linklist_is_empty(&queue->spare)) {
        struct db_query *query = query_at(queue->spare.next);
        h2o_linklist_unlink(&query->link);
        free(query);
    }
}
