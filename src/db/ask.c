/* ask.c: queries on the wire: one by itself, and what becomes of it. */
#include "db/ask.h"

#include <stdlib.h>

#include "base/mem.h"
#include "db/doubt.h"
#include "db/setting.h"

static struct db_ask *ask_of(struct db_flight *flight)
{
    return H2O_STRUCT_FROM_MEMBER(struct db_ask, flight, flight);
}

/* Leaving */

void db_ask_leave(struct db_query *query)
{
    query->ask->queries[query->place] = NULL;
    db_query_set_ask(query, NULL, 0);
}

bool db_ask_is_awaited(const struct db_ask *ask)
{
    for (size_t i = 0; i < ask->n; i++) {
        if (ask->queries[i] != NULL)
            return true;
    }
    return false;
}

void db_ask_abandon(struct db_query *query)
{
    struct db_connection *connection = db_ask_connection(query->ask);
    db_ask_leave(query);
    db_connection_resume_soon(connection);
}

void db_ask_dispose(struct db_ask *ask)
{
    struct db_flight *flight = &ask->flight;
    db_preparation_count(ask->preparation, -1);
    db_flight_clear(flight);
    db_description_drop(ask->description);
    if (db_ask_is_merged(ask))
        free(ask->queries);
    h2o_linklist_insert(&flight->statement->parts.asks->spare, &flight->link);
}

void db_asks_init(struct db_asks *asks)
{
    h2o_linklist_init_anchor(&asks->spare);
}

/* One that has ended, or a new one. */
static struct db_ask *take_spare(struct db_asks *asks)
{
    if (h2o_linklist_is_empty(&asks->spare))
        return mem_alloc(sizeof(struct db_ask));
    struct db_ask *ask = H2O_STRUCT_FROM_MEMBER(struct db_ask, flight.link, asks->spare.next);
    h2o_linklist_unlink(&ask->flight.link);
    return ask;
}

void db_asks_clear(struct db_asks *asks)
{
    while (!h2o_linklist_is_empty(&asks->spare))
        free(take_spare(asks));
}

/* Is it certain that it may be asked again, be it done already? */
static bool is_repeatable(const struct db_ask *ask, const struct db_query *query)
{
    return db_ask_connection(ask)->read_only && !query->streaming;
}

static void lose(struct db_ask *ask, struct db_query *query)
{
    bool undone = is_repeatable(ask, query) && !ask->flight.pipeline->env->ended;
    db_ask_leave(query);
    if (undone && !db_query_has_tried(query, DB_TRIED_AGAIN)) {
        db_query_try(query, DB_TRIED_AGAIN);
        db_env_count(query->statement->env, METRIC_LANE_RETRIED, 1);
        db_query_ask_again(query, ask->gave_rows);
    } else {
        db_query_end(query, undone || !db_flight_was_sent(&ask->flight) ? DB_NOT_SENT : DB_LOST, NULL);
    }
}

/* From the last to the first: order is kept. */
void db_ask_on_lost(struct db_flight *flight)
{
    struct db_ask *ask = ask_of(flight);
    for (size_t i = ask->n; i-- > 0;) {
        if (ask->queries[i] != NULL)
            lose(ask, ask->queries[i]);
    }
    db_ask_dispose(ask);
}

bool db_ask_is_repeated(const struct db_flight *flight)
{
    const struct db_ask *ask = db_ask_of(flight);
    if (!db_ask_connection(ask)->read_only)
        return false;
    return db_ask_is_merged(ask) || (ask->only != NULL && !db_query_has_tried(ask->only, DB_TRIED_AGAIN));
}

/* Asking again */

static void ask_again(struct db_ask *ask, struct db_query *query)
{
    db_query_try(query, DB_TRIED_PREPARED);
    db_ask_leave(query);
    db_query_ask_again(query, ask->gave_rows);
}

/*
 * The tables have changed since the statement was prepared: its result would be another. PostgreSQL finds
 * that out before it executes anything, so the query may go back to the queue while its statement is prepared
 * again, once.
 */
static bool is_outdated(const struct db_ask *ask)
{
    return !db_query_has_tried(ask->only, DB_TRIED_PREPARED) && !ask->gave_rows &&
           pgwire_error_is(ask->flight.error, "0A000", "RevalidateCachedQuery");
}

/*
 * It was found out meanwhile that the tables have changed, and perhaps that was before this query was
 * executed. What cannot have done anything is asked again, once, unless its rows are on their way to the
 * client.
 */
static bool is_overtaken(const struct db_ask *ask, const struct db_query *query)
{
    const struct db_flight *flight = &ask->flight;
    bool is_undone = db_ask_connection(ask)->read_only || (flight->error != NULL && !flight->ran);
    return is_undone && !db_query_has_tried(query, DB_TRIED_PREPARED) && !query->streaming;
}

void db_ask_overtaken(struct db_ask *ask)
{
    if (ask->generation == ask->flight.statement->generation)
        return;
    for (size_t i = ask->n; i-- > 0;) {
        if (ask->queries[i] != NULL && is_overtaken(ask, ask->queries[i]))
            ask_again(ask, ask->queries[i]);
    }
}

void db_ask_expect(struct db_ask *ask, uint64_t digest)
{
    struct db_connection *connection = db_ask_connection(ask);
    if (!connection->pooled)
        return;
    db_flight_expect(&ask->flight, digest);
    pgwire_describe_portal(&connection->pipeline.io.out);
}

bool db_ask_is_misdescribed(struct db_ask *ask)
{
    struct db_flight *flight = &ask->flight;
    if (!flight->misdescribed || flight->error != NULL)
        return false;
    if (ask->generation == flight->statement->generation)
        db_statement_refresh(db_ask_connection(ask), flight->statement);
    return true;
}

/* It has failed, so it has not done anything; but only what reads is asked again without being told to. */
static void renew(struct db_ask *ask, struct db_query *query)
{
    db_query_try(query, DB_TRIED_RENEWED);
    if (is_repeatable(ask, query)) {
        ask_again(ask, query);
    } else {
        db_ask_leave(query);
        db_query_end(query, DB_NOT_SENT, NULL);
    }
}

/* Ending */

static void tell(struct db_ask *ask, struct db_query *query)
{
    const struct db_flight *flight = &ask->flight;
    struct db_result result = {.columns = ask->description->columns,
                               .tag = flight->tag,
                               .error = flight->error,
                               .ran = flight->ran,
                               .stands = db_query_has_tried(query, DB_TRIED_DOUBT)};
    db_ask_leave(query);
    db_query_end(query,
                 flight->error != NULL ? DB_REJECTED
                 : query->misread      ? DB_UNREADABLE
                                       : DB_OK,
                 &result);
}

static bool is_doubtful(const struct db_ask *ask, const struct db_query *query)
{
    const struct db_flight *flight = &ask->flight;
    return !db_query_has_tried(query, DB_TRIED_DOUBT) && !query->streaming &&
           db_doubts_error(flight->error, flight->ran);
}

static void doubt(struct db_ask *ask, struct db_query *query, enum db_doubt_why why)
{
    struct db_flight *flight = &ask->flight;
    struct db_doubt known = {.why = why,
                             .ran = flight->ran,
                             .gave_rows = ask->gave_rows,
                             .may_run_again = !flight->ran || db_ask_connection(ask)->read_only,
                             .error = db_flight_take_error(flight),
                             .digest = ask->description->digest};
    db_ask_leave(query);
    db_doubt_begin(query, known);
}

static void end_query(struct db_ask *ask, struct db_query *query, bool spoilt)
{
    const struct db_flight *flight = &ask->flight;
    struct db_connection *connection = db_ask_connection(ask);
    if (spoilt) { /* perhaps this very answer is in another encoding */
        db_ask_leave(query);
        db_query_end(query, DB_LOST, NULL);
    } else if (flight->error == NULL && query->kept != NULL) {
        doubt(ask, query, DB_MISREAD);
    } else if (flight->error == NULL) {
        tell(ask, query);
    } else if (is_outdated(ask)) {
        ask_again(ask, query);
        db_statement_refresh(connection, flight->statement);
    } else if (!db_query_has_tried(query, DB_TRIED_RENEWED) &&
               db_doubts_renew(connection, flight->statement, flight->error)) {
        renew(ask, query);
    } else if (is_doubtful(ask, query)) {
        doubt(ask, query, flight->ran ? DB_FAILED : DB_REFUSED);
    } else {
        tell(ask, query);
    }
}

static const char *on_end(struct db_flight *flight, bool spoilt)
{
    struct db_ask *ask = ask_of(flight);
    if (db_ask_is_misdescribed(ask) && ask->only != NULL)
        db_query_set_misread(ask->only, true);
    db_ask_overtaken(ask);
    if (ask->only != NULL)
        end_query(ask, ask->only, spoilt);
    db_ask_dispose(ask);
    return NULL;
}

/* Rows after one that was misread are of no use; and who has misread it may not be there any more. */
static const char *on_row(struct db_flight *flight, const struct pgwire_message *message,
                          struct pgwire_row row)
{
    struct db_ask *ask = ask_of(flight);
    struct db_query *query = ask->only;
    if (query == NULL || query->misread)
        return NULL;
    ask->gave_rows = true;
    query->asker->row(query->owner, ask->description->columns, row);
    if (ask->only == NULL || !query->misread)
        return NULL;
    bool has_another_way = db_ask_connection(ask)->read_only || query->statement->conf.streams;
    if (!has_another_way && !db_query_has_tried(query, DB_TRIED_DOUBT))
        db_query_keep_row(query, message);
    return NULL;
}

static const struct db_flight_ops asking_one = {
    .row = on_row,
    .end = on_end,
    .lost = db_ask_on_lost,
    .prefers_to_be_lost = db_ask_is_repeated,
    .asks = true,
};

/* Sending */

static void put(struct db_ask *ask, struct db_query *query, size_t place)
{
    db_query_set_ask(query, ask, place);
    ask->queries[place] = query;
}

/* An ask without queries yet, which are sent with these settings. */
static struct db_ask *begin(struct db_connection *connection, struct db_statement *statement,
                            const struct db_flight_ops *ops, struct db_settings settings, bool unbounded)
{
    struct db_preparation *preparation = db_preparation_of(connection, statement);
    struct db_ask *ask = take_spare(statement->parts.asks);
    db_flight_begin(&ask->flight, &connection->pipeline, ops, statement, DB_AT_BIND);
    db_preparation_count(preparation, 1);
    ask->preparation = preparation;
    ask->description = db_description_keep(preparation->description);
    ask->generation = statement->generation;
    ask->unbounded = unbounded;
    ask->gave_rows = false;
    if (unbounded || settings.n > 0) {
        db_flight_set_prefix(&ask->flight);
        db_settings_write(&connection->pipeline.io.out, settings, unbounded);
    }
    return ask;
}

struct db_ask *db_ask_begin(struct db_connection *connection, struct db_statement *statement,
                            const struct db_flight_ops *ops, size_t n, size_t n_more)
{
    struct db_query *first = db_line_first(statement);
    struct db_ask *ask = begin(connection, statement, ops, first->settings, false);
    db_flight_set_columns(&ask->flight, pgjson_values(ask->description->columns) + n_more);
    ask->only = NULL;
    ask->queries = mem_calloc(n, sizeof(*ask->queries));
    ask->n = n;
    for (size_t i = 0; i < n; i++)
        put(ask, db_line_take(statement), i);
    return ask;
}

void db_ask_send(struct db_connection *connection, struct db_query *query, struct db_ask_how how)
{
    struct db_statement *statement = query->statement;
    struct pgwire_writer *out = &connection->pipeline.io.out;
    struct db_ask *ask = begin(connection, statement, &asking_one, query->settings, how.unbounded);
    db_flight_set_columns(&ask->flight, pgjson_values(ask->description->columns));
    ask->queries = &ask->only;
    ask->n = 1;
    put(ask, query, 0);
    if (how.alone) {
        db_flight_set_alone(&ask->flight);
        db_connection_reserve(connection, false);
    }
    db_ask_expect(ask, ask->preparation->rows_digest);
    pgwire_execute(out, ask->preparation->name, query->values, statement->conf.statement->n_params,
                   query->store);
    pgwire_sync(out);
}

/* For askers, while their query is on the wire */

void db_pause(struct db_query *query)
{
    db_connection_pause(db_ask_connection(query->ask));
}

void db_resume(struct db_query *query)
{
    db_connection_resume(db_ask_connection(query->ask));
}

void db_misread(struct db_query *query)
{
    struct db_ask *ask = query->ask;
    bool reads = ask != NULL && is_repeatable(ask, query) && !db_query_has_tried(query, DB_TRIED_PREPARED);
    if (ask != NULL)
        db_statement_refresh(db_ask_connection(ask), query->statement);
    if (!reads) {
        db_query_set_misread(query, true);
        return;
    }
    db_query_try(query, DB_TRIED_PREPARED);
    db_ask_leave(query);
    db_query_ask_again(query, true);
}
