/*
 * doubt.c: queries whose statement may be out of date wait for a description that is newer than they are.
 *
 * PostgreSQL keeps the types that the parameters had when a statement was prepared, whatever becomes of the
 * tables (PostgreSQL 15, PREPARE). So what does not fit may be the client's mistake, or a migration's. Four
 * things are in doubt:
 *
 *     UNFIT    no values could be made of the request: they are not of the parameters' types, or these are
 *              not known because the statement could not be prepared;
 *     REFUSED  PostgreSQL refused the query before it ran;
 *     FAILED   it ran into an error that may be about the tables, or about the text of a value (a tsquery);
 *     MISREAD  it has run, and a type in its row is another than it was.
 *
 * The statement is parsed and described once more, without a name, which is in nobody's way. If that gives
 * the description that there is, it was the client. Otherwise the statement is prepared again, and what is
 * certain not to have done anything is asked again, once, with its values made again. A row that was misread
 * is kept, and read again.
 *
 * Clients can bring that about at any rate. So a description answers for all queries that have come before it
 * began, and a statement is described ten times a second at most; who has to wait for that has made a
 * mistake, mostly.
 */
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "db/db_private.h"

enum {
    INTERVAL_MS = 100,         /* between two descriptions of a statement */
    RENEW_INTERVAL_MS = 10000, /* between two renewals of the sessions */
};

static bool is_class(const char *state, const char *class)
{
    return strncmp(state, class, 2) == 0;
}

/*
 * Functions in PL/pgSQL keep the types that the fields of a record had when they were first called in a
 * session, and fail from then on if these have changed (its plpgsql_param_eval_recfield and the like). Only
 * another session helps.
 */
static bool is_of_session(const char *error)
{
    return strcmp(pgwire_error_field(error, PG_DIAG_SQLSTATE), "42804") == 0 &&
           strncmp(pgwire_error_field(error, PG_DIAG_SOURCE_FUNCTION), "plpgsql_param_eval",
                   strlen("plpgsql_param_eval")) == 0;
}

bool db_renew(struct db_connection *connection, const char *error)
{
    struct db_lane *lane = connection->lane;
    if (!is_of_session(error))
        return false;
    if (connection->retires)
        return true;
    if (lane->renewed_at != 0 && lane->now - lane->renewed_at < RENEW_INTERVAL_MS)
        return false;
    lane->renewed_at = lane->now;
    log_info("lane %s: functions of its sessions have outdated types: they are made again", lane->conf.name);
    for (size_t i = 0; i < lane->n_connections; i++) {
        if (lane->connections[i]->state == DB_READY)
            db_connection_retire(lane->connections[i]);
    }
    return true;
}

bool db_doubts(const struct db_flight *flight)
{
    const struct db_query *query = flight->query;
    const char *state = pgwire_error_field(flight->error, PG_DIAG_SQLSTATE);
    if (query->settled || query->streaming || strcmp(state, "42501") == 0)
        return false;
    /* features that are missing, names, types and syntax; what PostgreSQL has not found in its catalogue */
    if (is_class(state, "0A") || is_class(state, "3F") || is_class(state, "42") || is_class(state, "XX"))
        return true;
    /* values, rules of domains, limits */
    return !flight->ran && (is_class(state, "22") || is_class(state, "23") || is_class(state, "54"));
}

/* Looks at what is in doubt again, after a while. */
static void tick(struct db_lane *lane)
{
    if (!h2o_timeout_is_linked(&lane->doubt) && !lane->ended)
        h2o_timeout_link(lane->loop, lane->tick_timeout, &lane->doubt);
}

static struct db_connection *any_open(const struct db_lane *lane)
{
    for (size_t i = 0; i < lane->n_connections; i++) {
        if (db_is_open_to_others(lane->connections[i]))
            return lane->connections[i];
    }
    return NULL;
}

/* A type that was found out is not told by describing the text of the statement. */
static bool has_declared(const struct db_statement *statement)
{
    for (size_t i = 0; i < statement->conf.statement->n_params; i++) {
        if (statement->declared[i] != 0)
            return true;
    }
    return false;
}

static void send_check(struct db_connection *connection, struct db_statement *statement)
{
    struct pgwire_writer *out = &connection->io.out;
    statement->check = db_flight_new(connection, statement, FLIGHT_CHECKS);
    pgwire_parse(out, "", statement->conf.statement->text, NULL, 0);
    pgwire_describe(out, "");
    pgwire_sync(out);
}

void db_doubts_check(struct db_connection *connection)
{
    struct db_lane *lane = connection->lane;
    for (size_t i = 0; i < lane->n_statements; i++) {
        struct db_statement *statement = lane->statements[i];
        if (connection->preparations[i].state == PREPARED && statement->check == NULL &&
            !has_declared(statement))
            send_check(connection, statement);
    }
}

static struct db_query *query_at(h2o_linklist_t *link)
{
    return H2O_STRUCT_FROM_MEMBER(struct db_query, link, link);
}

/* Describes the statement for those that are in doubt now, unless that has to wait. */
static void start(struct db_statement *statement)
{
    struct db_lane *lane = statement->lane;
    h2o_linklist_t *anchor = &statement->doubts;
    if (h2o_linklist_is_empty(anchor) || statement->check != NULL || lane->ended)
        return;
    tick(lane); /* should it be lost */
    struct db_connection *connection = any_open(lane);
    bool too_soon = statement->checked_at != 0 && lane->now - statement->checked_at < INTERVAL_MS;
    if (connection == NULL || too_soon || db_is_being_prepared(lane, statement))
        return;
    statement->checked_at = lane->now;
    for (h2o_linklist_t *link = anchor->next; link != anchor; link = link->next)
        query_at(link)->in_check = true;
    if (statement->unusable || statement->description == NULL || has_declared(statement))
        db_refresh(connection, statement);
    else
        send_check(connection, statement);
}

void db_doubt(struct db_query *query, enum db_doubt why, struct db_flight *flight)
{
    query->doubt = why;
    query->in_check = false;
    if (flight != NULL) {
        query->error = flight->error;
        query->ran = flight->ran;
        query->gave_rows = flight->gave_rows;
        query->may_run_again = !flight->ran || flight->connection->read_only;
        query->digest = flight->description->digest;
        flight->error = NULL;
        db_leave(query);
    }
    h2o_linklist_insert(&query->statement->doubts, &query->link);
    /* what describes it was sent after the query */
    query->in_check = why == DB_MISREAD && db_is_being_prepared(query->statement->lane, query->statement);
    start(query->statement);
}

void db_doubt_leave(struct db_query *query)
{
    h2o_linklist_unlink(&query->link);
    query->doubt = DB_NO_DOUBT;
    query->settled = true;
}

/* The query ends with its error, and with what is known of its statement since. */
static void tell(struct db_query *query, bool stands)
{
    char *error = query->error;
    struct db_answer answer = {.error = error, .ran = query->ran, .stands = stands};
    query->error = NULL;
    db_query_end(query, DB_REJECTED, &answer);
    free(error);
}

/* To the queue, if values can be made of its request now. */
static void ask_again(struct db_query *query)
{
    if (query->gave_rows)
        query->asker->again(query->owner);
    free(query->error);
    query->error = NULL;
    db_wait_again(query);
}

/* The row that was kept, with what is known of its types now, if it is of the same columns. */
static void read_again(struct db_query *query)
{
    struct db_description *description = db_description_keep(query->statement->description);
    struct pgwire_message message = {PGWIRE_DATA_ROW, query->kept, query->kept_len};
    struct db_answer answer = {.columns = description->columns, .tag = ""};
    struct pgwire_row row;
    bool same = description->digest == query->digest && !pgjson_by_server(description->columns) &&
                pgwire_row(&message, pgjson_values(description->columns), &row);
    query->misread = !same;
    if (same)
        query->asker->row(query->owner, description->columns, row);
    db_query_end(query, query->misread ? DB_UNREADABLE : DB_OK, &answer);
    db_description_drop(description);
}

/* Its statement could be described, and is or is not what it was. */
static void settle(struct db_query *query, bool changed)
{
    enum db_doubt doubt = query->doubt;
    db_doubt_leave(query);
    if (doubt == DB_MISREAD)
        read_again(query);
    else if (doubt == DB_UNFIT || (changed && query->may_run_again))
        ask_again(query);
    else
        tell(query, true);
}

/* Its statement cannot be described: the schema is to blame. */
static void give_up(struct db_query *query)
{
    enum db_doubt doubt = query->doubt;
    db_doubt_leave(query);
    if (doubt == DB_UNFIT)
        db_query_end(query, DB_UNUSABLE, NULL);
    else if (doubt == DB_MISREAD)
        db_query_end(query, DB_UNREADABLE, NULL);
    else
        tell(query, false);
}

/* Ends the doubts that the present description answers for. */
static void settle_all(struct db_statement *statement, bool good, bool changed)
{
    h2o_linklist_t *anchor = &statement->doubts, settling;
    h2o_linklist_init_anchor(&settling);
    for (h2o_linklist_t *link = anchor->next, *next; link != anchor; link = next) {
        next = link->next;
        if (!query_at(link)->in_check)
            continue;
        h2o_linklist_unlink(link);
        h2o_linklist_insert(&settling, link);
    }
    while (!h2o_linklist_is_empty(&settling)) { /* from the last to the first: they go to the queue's head */
        struct db_query *query = query_at(settling.prev);
        if (good)
            settle(query, changed || query->digest != statement->description->digest);
        else
            give_up(query);
    }
}

void db_doubts_checked(struct db_connection *connection, struct db_flight *flight)
{
    struct db_statement *statement = flight->statement;
    bool good = flight->error == NULL;
    statement->check = NULL;
    if (!good && db_is_passing(pgwire_error_field(flight->error, PG_DIAG_SQLSTATE))) {
        tick(statement->lane); /* it could not be looked into now */
    } else if (good && statement->description != NULL &&
               flight->told->digest == statement->description->digest) {
        settle_all(statement, true, false);
        start(statement);
    } else {
        db_refresh(connection, statement);
    }
}

void db_doubts_prepared(struct db_statement *statement, bool good)
{
    if (h2o_linklist_is_empty(&statement->doubts))
        return;
    settle_all(statement, good, true);
    start(statement);
}

void db_doubt_expired(struct db_query *query)
{
    enum db_doubt doubt = query->doubt;
    db_doubt_leave(query);
    if (doubt == DB_FAILED)
        tell(query, false);
    else if (doubt == DB_MISREAD)
        db_query_end(query, DB_UNREADABLE, NULL);
    else
        db_query_end(query, DB_NOT_SENT, NULL);
}

void db_misread(struct db_query *query)
{
    struct db_flight *flight = query->flight;
    bool reads = flight != NULL && flight->connection->read_only && !query->refreshed && !query->streaming;
    if (flight != NULL)
        db_refresh(flight->connection, query->statement);
    if (!reads) {
        query->misread = true;
        return;
    }
    query->refreshed = true;
    db_leave(query);
    query->asker->again(query->owner);
    db_wait_again(query);
}

void db_misread_keep(struct db_query *query, const struct pgwire_message *message)
{
    if (query->flight->connection->read_only || query->settled || query->statement->conf.streams)
        return;
    query->kept = mem_alloc(message->len);
    query->kept_len = message->len;
    memcpy(query->kept, message->body, message->len);
}

void db_doubts_end(struct db_statement *statement)
{
    while (!h2o_linklist_is_empty(&statement->doubts))
        db_doubt_expired(query_at(statement->doubts.next));
}

void db_doubts_on_tick(h2o_timeout_entry_t *entry)
{
    struct db_lane *lane = H2O_STRUCT_FROM_MEMBER(struct db_lane, doubt, entry);
    lane->now = clock_ms();
    for (size_t i = 0; i < lane->n_statements; i++)
        start(lane->statements[i]);
}
