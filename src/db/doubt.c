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
 * Clients can bring that about at any rate. So a description decides about all queries that have come before
 * it began, and a statement is described ten times a second at most; who has to wait for that has made a
 * mistake, mostly.
 */
#include "db/doubt.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

enum {
    INTERVAL_MS = 100,         /* between two descriptions of a statement */
    RENEW_INTERVAL_MS = 10000, /* between two renewals of the sessions */
};

static bool is_class(const char *state, const char *class)
{
    return strncmp(state, class, 2) == 0;
}

bool db_doubts_error(const char *error, bool ran)
{
    const char *state = pgwire_error_field(error, PG_DIAG_SQLSTATE);
    if (strcmp(state, "42501") == 0)
        return false;
    /* features that are missing, names, types and syntax; what PostgreSQL has not found in its catalogue */
    if (is_class(state, "0A") || is_class(state, "3F") || is_class(state, "42") || is_class(state, "XX"))
        return true;
    /* values, rules of domains, limits */
    return !ran && (is_class(state, "22") || is_class(state, "23") || is_class(state, "54"));
}

/* Looks at what is in doubt again, after a while. */
static void tick(struct db_doubts *doubts)
{
    if (!h2o_timeout_is_linked(&doubts->tick) && !doubts->env->ended)
        h2o_timeout_link(doubts->env->loop, doubts->tick_timeout, &doubts->tick);
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

static struct db_doubted *doubted_of(const struct db_statement *statement)
{
    return statement->parts.doubted;
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

bool db_doubts_renew(struct db_connection *connection, const struct db_statement *statement,
                     const char *error)
{
    struct db_doubts *doubts = doubted_of(statement)->doubts;
    uint64_t now = doubts->env->now;
    if (!is_of_session(error))
        return false;
    if (connection->retires)
        return true;
    if (doubts->renewed_at != 0 && now - doubts->renewed_at < RENEW_INTERVAL_MS)
        return false;
    doubts->renewed_at = now;
    log_info("lane %s: functions of its sessions have outdated types: they are made again",
             doubts->env->conf.name);
    db_pool_renew(doubts->pool);
    return true;
}

static const char *on_checked(struct db_flight *flight, bool spoilt);

static void dispose(struct db_flight *flight)
{
    struct db_doubted *doubted = doubted_of(flight->statement);
    if (doubted->check == flight)
        doubted->check = NULL;
    db_flight_clear(flight);
    free(flight);
}

static const struct db_flight_ops checking = {.end = on_checked, .lost = dispose, .describes = true};

static void send_check(struct db_connection *connection, struct db_statement *statement)
{
    struct pgwire_writer *out = &connection->pipeline.io.out;
    struct db_flight *flight = mem_alloc(sizeof(*flight));
    db_flight_begin(flight, &connection->pipeline, &checking, statement, DB_AT_PARSE);
    doubted_of(statement)->check = flight;
    pgwire_parse(out, "", statement->conf.statement->text, NULL, 0);
    pgwire_describe(out, "");
    pgwire_sync(out);
}

void db_doubt_check_all(struct db_connection *connection)
{
    const struct db_preparations *preparations = connection->preparations;
    for (size_t i = 0; i < preparations->statements->n; i++) {
        struct db_statement *statement = preparations->statements->all[i];
        if (preparations->of[i].state == DB_PREPARED && doubted_of(statement)->check == NULL &&
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
    struct db_doubted *doubted = doubted_of(statement);
    struct db_doubts *doubts = doubted->doubts;
    uint64_t now = doubts->env->now;
    h2o_linklist_t *anchor = &doubted->queries;
    if (h2o_linklist_is_empty(anchor) || doubted->check != NULL || doubts->env->ended)
        return;
    tick(doubts); /* should it be lost */
    struct db_connection *connection = db_pool_first_open(doubts->pool);
    bool too_soon = doubted->checked_at != 0 && now - doubted->checked_at < INTERVAL_MS;
    if (connection == NULL || too_soon || db_pool_prepares(doubts->pool, statement))
        return;
    doubted->checked_at = now;
    for (h2o_linklist_t *link = anchor->next; link != anchor; link = link->next)
        query_at(link)->doubt->in_check = true;
    if (statement->unusable || statement->description == NULL || has_declared(statement))
        db_statement_refresh(connection, statement);
    else
        send_check(connection, statement);
}

void db_doubt_begin(struct db_query *query, struct db_doubt why)
{
    struct db_statement *statement = query->statement;
    struct db_doubted *doubted = doubted_of(statement);
    struct db_doubt *doubt = mem_alloc(sizeof(*doubt));
    *doubt = why;
    /* what describes it was sent after the query */
    doubt->in_check = why.why == DB_MISREAD && db_pool_prepares(doubted->doubts->pool, statement);
    db_query_set_doubt(query, doubt);
    h2o_linklist_insert(&doubted->queries, &query->link);
    start(statement);
}

/* What was known of it; it is not in doubt any longer. */
static struct db_doubt take(struct db_query *query)
{
    struct db_doubt doubt = *query->doubt;
    h2o_linklist_unlink(&query->link);
    free(query->doubt);
    db_query_set_doubt(query, NULL);
    db_query_try(query, DB_TRIED_DOUBT);
    return doubt;
}

void db_doubt_leave(struct db_query *query)
{
    struct db_doubt doubt = take(query);
    free(doubt.error);
}

/* The query ends with its error, and with what is known of its statement since. */
static void tell(struct db_query *query, const struct db_doubt *doubt, bool stands)
{
    struct db_result result = {.error = doubt->error, .ran = doubt->ran, .stands = stands};
    db_query_end(query, DB_REJECTED, &result);
}

/* The row that was kept, with what is known of its types now, if it is of the same columns. */
static void read_again(struct db_query *query, const struct db_doubt *doubt)
{
    struct db_description *description = db_description_keep(query->statement->description);
    struct pgwire_message message = {PGWIRE_DATA_ROW, query->kept, query->kept_len};
    struct db_result result = {.columns = description->columns, .tag = ""};
    struct pgwire_row row;
    bool same = description->digest == doubt->digest && !pgjson_by_server(description->columns) &&
                pgwire_row(&message, pgjson_values(description->columns), &row);
    db_query_set_misread(query, !same);
    if (same)
        query->asker->row(query->owner, description->columns, row);
    db_query_end(query, query->misread ? DB_UNREADABLE : DB_OK, &result);
    db_description_drop(description);
}

/* Its statement could be described, and is or is not what it was. */
static void settle(struct db_query *query, bool changed)
{
    struct db_doubt doubt = take(query);
    if (doubt.why == DB_MISREAD)
        read_again(query, &doubt);
    else if (doubt.why == DB_UNFIT || (changed && doubt.may_run_again))
        db_query_ask_again(query, doubt.gave_rows);
    else
        tell(query, &doubt, true);
    free(doubt.error);
}

/* Its statement cannot be described: the schema is to blame. */
static void give_up(struct db_query *query)
{
    struct db_doubt doubt = take(query);
    if (doubt.why == DB_UNFIT)
        db_query_end(query, DB_UNUSABLE, NULL);
    else if (doubt.why == DB_MISREAD)
        db_query_end(query, DB_UNREADABLE, NULL);
    else
        tell(query, &doubt, false);
    free(doubt.error);
}

/* Ends the doubts that the present description decides. */
static void settle_all(struct db_statement *statement, bool good, bool changed)
{
    h2o_linklist_t *anchor = &doubted_of(statement)->queries, settling;
    h2o_linklist_init_anchor(&settling);
    for (h2o_linklist_t *link = anchor->next, *next; link != anchor; link = next) {
        next = link->next;
        if (!query_at(link)->doubt->in_check)
            continue;
        h2o_linklist_unlink(link);
        h2o_linklist_insert(&settling, link);
    }
    while (!h2o_linklist_is_empty(&settling)) { /* from the last to the first: they go to the queue's head */
        struct db_query *query = query_at(settling.prev);
        if (good)
            settle(query, changed || query->doubt->digest != statement->description->digest);
        else
            give_up(query);
    }
}

static const char *on_checked(struct db_flight *flight, bool spoilt)
{
    struct db_statement *statement = flight->statement;
    struct db_doubted *doubted = doubted_of(statement);
    bool good = flight->error == NULL;
    (void)spoilt;
    doubted->check = NULL;
    if (!good && db_is_passing(pgwire_error_field(flight->error, PG_DIAG_SQLSTATE))) {
        tick(doubted->doubts); /* it could not be looked into now */
    } else if (good && statement->description != NULL &&
               flight->told->digest == statement->description->digest) {
        settle_all(statement, true, false);
        start(statement);
    } else {
        db_statement_refresh(db_connection_of_flight(flight), statement);
    }
    dispose(flight);
    return NULL;
}

void db_doubt_prepared(struct db_statement *statement, bool good)
{
    if (h2o_linklist_is_empty(&doubted_of(statement)->queries))
        return;
    settle_all(statement, good, true);
    start(statement);
}

void db_doubt_expire(struct db_query *query)
{
    struct db_doubt doubt = take(query);
    if (doubt.why == DB_FAILED)
        tell(query, &doubt, false);
    else if (doubt.why == DB_MISREAD)
        db_query_end(query, DB_UNREADABLE, NULL);
    else
        db_query_end(query, DB_NOT_SENT, NULL);
    free(doubt.error);
}

void db_doubt_expire_all(struct db_statement *statement)
{
    h2o_linklist_t *anchor = &doubted_of(statement)->queries;
    while (!h2o_linklist_is_empty(anchor))
        db_doubt_expire(query_at(anchor->next));
}

static void on_tick(h2o_timeout_entry_t *entry)
{
    struct db_doubts *doubts = H2O_STRUCT_FROM_MEMBER(struct db_doubts, tick, entry);
    db_env_wake(doubts->env);
    for (size_t i = 0; i < doubts->statements->n; i++)
        start(doubts->statements->all[i]);
}

void db_doubts_init(struct db_doubts *doubts, struct db_env *env, struct db_pool *pool,
                    const struct db_statements *statements, h2o_timeout_t *tick_timeout)
{
    *doubts = (struct db_doubts){
        .env = env, .pool = pool, .statements = statements, .tick_timeout = tick_timeout, .tick.cb = on_tick};
}

void db_doubted_init(struct db_doubted *doubted, struct db_doubts *doubts)
{
    *doubted = (struct db_doubted){.doubts = doubts};
    h2o_linklist_init_anchor(&doubted->queries);
}

void db_doubts_end(struct db_doubts *doubts)
{
    h2o_timeout_unlink(&doubts->tick);
}
