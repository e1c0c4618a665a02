/* flight.c: what is in flight on a connection: sent, and its answer not complete. */
#include <stdlib.h>

#include "base/clock.h"
#include "db/db_private.h"
#include "base/mem.h"

struct db_flight *db_flight_new(struct db_connection *connection, struct db_statement *statement,
                                enum flight_kind kind)
{
    struct db_lane *lane = connection->lane;
    struct db_flight *flight;
    if (h2o_linklist_is_empty(&lane->spare_flights)) {
        flight = mem_alloc(sizeof(*flight));
    } else {
        flight = H2O_STRUCT_FROM_MEMBER(struct db_flight, link, lane->spare_flights.next);
        h2o_linklist_unlink(&flight->link);
    }
    *flight = (struct db_flight){.connection = connection,
                                 .statement = statement,
                                 .kind = kind,
                                 .phase = kind == FLIGHT_QUERIES ? AT_BIND : AT_PARSE};
    h2o_linklist_insert(&connection->in_flight, &flight->link);
    flight->begins_at = db_io_position(&connection->io);
    if (connection->n_in_flight++ == 0)
        connection->head_since = connection->heard_at = lane->now = clock_ms();
    if (!h2o_timeout_is_linked(&lane->watch))
        h2o_timeout_link(lane->loop, lane->watch_timeout, &lane->watch);
    return flight;
}

void db_flight_free(struct db_flight *flight)
{
    struct db_connection *connection = flight->connection;
    h2o_linklist_unlink(&flight->link);
    connection->n_in_flight--;
    connection->n_alone -= flight->alone;
    if (flight->holds)
        flight->statement->n_holding--;
    if (flight->kind == FLIGHT_SCHEMA)
        db_schema_lost(connection->lane);
    if (flight->kind == FLIGHT_CHECKS && flight->statement->check == flight)
        flight->statement->check = NULL;
    if (flight->kind == FLIGHT_QUERIES)
        connection->preparations[flight->statement->number].n_in_flight--;
    db_description_drop(flight->description);
    db_description_drop(flight->told);
    if (flight->catalogue != NULL)
        pgcatalogue_drop(flight->catalogue);
    free(flight->fields);
    free(flight->fields_text);
    free(flight->error);
    if (db_is_merged(flight))
        free(flight->queries);
    h2o_linklist_insert(&connection->lane->spare_flights, &flight->link);
}

void db_leave(struct db_query *query)
{
    query->flight->queries[query->place] = NULL;
    query->flight = NULL;
}

bool db_flight_is_awaited(const struct db_flight *flight)
{
    for (size_t i = 0; i < flight->n_queries; i++) {
        if (flight->queries[i] != NULL)
            return true;
    }
    return false;
}

void db_send(struct db_connection *connection, struct db_query *query, bool alone)
{
    static const char lift[] = "SELECT pg_catalog.set_config('statement_timeout', '0', true)";
    struct db_statement *statement = query->statement;
    const struct db_preparation *preparation = &connection->preparations[statement->number];
    struct pgwire_writer *out = &connection->io.out;
    struct db_flight *flight = db_flight_new(connection, statement, FLIGHT_QUERIES);
    flight->query = query;
    flight->queries = &flight->query;
    flight->n_queries = 1;
    query->flight = flight;
    query->place = 0;
    connection->preparations[statement->number].n_in_flight++;
    flight->description = db_description_keep(preparation->description);
    flight->generation = statement->generation;
    flight->alone = alone;
    connection->n_alone += alone;
    connection->reserved = connection->reserved && !alone;
    if (alone && db_is_unbounded(statement)) {
        flight->unbounded = flight->in_prefix = true;
        flight->phase = AT_PARSE;
        pgwire_parse(out, "", lift, NULL, 0);
        pgwire_execute(out, "", NULL, 0, NULL);
    }
    pgwire_execute(out, preparation->name, query->values, statement->conf.statement->n_params, query->store);
    pgwire_sync(out);
}

static void take_back(struct db_query *query)
{
    const struct db_flight *flight = query->flight;
    const struct db_connection *connection = flight->connection;
    bool sent = flight->begins_at < connection->io.n_sent;
    bool undone = connection->read_only && !query->streaming && !connection->lane->ended;
    db_leave(query);
    if (undone && !query->again) {
        query->again = true;
        if (flight->gave_rows)
            query->asker->again(query->owner);
        db_wait_again(query);
    } else {
        db_query_end(query, undone || !sent ? DB_NOT_SENT : DB_LOST, NULL);
    }
}

/* From the last to the first: order is kept. */
void db_take_back(struct db_connection *connection)
{
    while (!h2o_linklist_is_empty(&connection->in_flight)) {
        struct db_flight *flight = H2O_STRUCT_FROM_MEMBER(struct db_flight, link, connection->in_flight.prev);
        for (size_t i = flight->n_queries; i-- > 0;) {
            if (flight->queries[i] != NULL)
                take_back(flight->queries[i]);
        }
        db_flight_free(flight);
    }
}
