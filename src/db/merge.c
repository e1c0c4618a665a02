/*
 * merge.c: reads of one turn for the same route go out as one statement.
 *
 * A statement of PostgreSQL's costs far more than a row of it. So what waits for the same statement is asked
 * for with arrays of parameters, and each row says by its number whose it is:
 *
 *     SELECT hayfork_k.hayfork_n, hayfork_q.*
 *       FROM unnest((SELECT $1)) WITH ORDINALITY AS hayfork_k(hayfork_p1, hayfork_n)
 *      CROSS JOIN LATERAL (SELECT * FROM (the route's SQL) AS hayfork_r OFFSET 0) AS hayfork_q
 *
 * with (CASE WHEN true THEN hayfork_k.hayfork_p1 END) in the place of $1. The SELECT around $1 hides how long
 * the array is: PostgreSQL 15 would otherwise plan the statement again for each one, which costs more than
 * merging saves (bench/NOTES.md). OFFSET 0 keeps it from joining the keys with the route's tables in another
 * way, so that each key has its rows in the order in which it has them alone. CASE has no name that a column
 * could take from it, as $1 has none. No other name may be one that the route's SQL has: an unqualified one
 * is looked for outside before it is taken for a table's.
 *
 * That gives the same rows where evaluating the SQL once more or less, or in another order, makes no
 * difference: not with volatile functions, row locks, samples, and what is asked of another server.
 * PostgreSQL is asked about that by an EXPLAIN of this form with WITH hayfork_q AS (the SQL) in the place of
 * the SQL: it takes such a query into the one around it only if there are none of the first two (its
 * section 7.8.3), also behind views, for it looks at the query that its rewriter has made; the plan shows the
 * other two. The parameters are columns there, as they are in the merged form: of a parameter's value, be it
 * NULL, PostgreSQL makes a constant, and folds away the conditions on it with all that depends on them.
 * Constants of the SQL's own may still fold a sample away, until a table gets partitions: so its text counts,
 * too.
 *
 * An error may be any one's: then all are asked again, one by one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db/db_private.h"
#include "base/log.h"
#include "base/mem.h"
#include "pg/pgtypes.h"

enum {
    BYTES_MAX = 65536,    /* of all values: longer ones gain nothing by it */
    LEAST = 2,            /* queries in one statement, where more took long together */
    USUAL_ONE = 16,       /* merge_usual of one at a time */
    SEVERAL = 18,         /* merge_usual from which on more are waited for, */
    HELD_MOST = 3,        /* for so many turns */
    PATIENCE = 5,         /* how many times `spill` several may take together */
    REST_MS = 500,        /* without merging, after that was in vain: then each was asked twice */
    REST_MOST_MS = 60000, /* the same, where it took too long again and again */
};

/* Deciding */

static void refuse(struct db_statement *statement, const char *why)
{
    statement->unmergeable = true;
    log_debug("%s: its reads are not merged: %s", statement->conf.label, why);
}

/* "unnest((SELECT $1), …) WITH ORDINALITY AS hayfork_k(hayfork_p1, …, hayfork_n)" */
static char *keys(size_t n)
{
    char *arrays = mem_strdup(""), *names = mem_strdup("");
    for (size_t i = 1; i <= n; i++) {
        char *more_arrays = mem_printf("%s%s(SELECT $%zu)", arrays, i == 1 ? "" : ", ", i);
        char *more_names = mem_printf("%shayfork_p%zu, ", names, i);
        free(arrays);
        free(names);
        arrays = more_arrays;
        names = more_names;
    }
    char *text = mem_printf("unnest(%s) WITH ORDINALITY AS hayfork_k(%shayfork_n)", arrays, names);
    free(arrays);
    free(names);
    return text;
}

/* The route's SQL with the keys in the place of its parameters. */
static char *with_keys(const struct db_statement *statement)
{
    return sql_rename(statement->conf.statement, "(CASE WHEN true THEN hayfork_k.hayfork_p", " END)");
}

/* The same, in the form whose rows PostgreSQL writes if it has to. */
static char *of_one_key(const struct db_statement *statement, const struct db_preparation *preparation)
{
    const struct pgjson_columns *columns = preparation->description->columns;
    char *sql = with_keys(statement);
    if (!pgjson_by_server(columns))
        return sql;
    char *rows = pgjson_rows_sql(columns, sql);
    free(sql);
    return rows;
}

/* The merged form, with something in the place of the route's SQL, and the types of its parameters. */
static char *form(const struct db_description *description, const char *rows, uint32_t *types)
{
    char *from = keys(description->n_types);
    char *sql = mem_printf("SELECT hayfork_k.hayfork_n, hayfork_q.* FROM %s CROSS JOIN LATERAL"
                           " (%s OFFSET 0) AS hayfork_q",
                           from, rows);
    for (size_t i = 0; i < description->n_types; i++)
        types[i] = pgtypes_array(description->types[i]);
    free(from);
    return sql;
}

/* Asks PostgreSQL whether it matters how often the SQL is evaluated. */
static void probe(struct db_connection *connection, struct db_statement *statement,
                  const struct db_preparation *preparation)
{
    static const struct str nothing[SQL_MAX_PARAMS];
    struct pgwire_writer *out = &connection->io.out;
    uint32_t types[SQL_MAX_PARAMS];
    size_t n = preparation->description->n_types;
    char *one = with_keys(statement);
    char *rows = mem_printf("WITH hayfork_q AS (%s\n) SELECT * FROM hayfork_q", one);
    char *merged = form(preparation->description, rows, types);
    char *sql = mem_printf("EXPLAIN (COSTS OFF) %s", merged);
    db_flight_new(connection, statement, FLIGHT_PROBES);
    pgwire_parse(out, "", sql, types, n);
    pgwire_execute(out, "", nothing, n, NULL);
    pgwire_sync(out);
    free(one);
    free(rows);
    free(merged);
    free(sql);
}

static void prepare(struct db_connection *connection, struct db_statement *statement,
                    struct db_preparation *preparation)
{
    const struct db_description *description = preparation->description;
    struct pgwire_writer *out = &connection->io.out;
    uint32_t types[SQL_MAX_PARAMS];
    char *one = of_one_key(statement, preparation);
    char *rows = mem_printf("SELECT * FROM (%s\n) AS hayfork_r", one);
    char *sql = form(description, rows, types);
    struct db_flight *flight = db_flight_new(connection, statement, FLIGHT_PREPARES_MERGED);
    flight->description = db_description_keep(preparation->description);
    snprintf(preparation->merged_name, sizeof(preparation->merged_name), "%sm", preparation->name);
    pgwire_parse(out, preparation->merged_name, sql, types, description->n_types);
    pgwire_describe(out, preparation->merged_name);
    pgwire_sync(out);
    free(one);
    free(rows);
    free(sql);
}

void db_merge_prepare(struct db_connection *connection, struct db_statement *statement)
{
    struct db_preparation *preparation = &connection->preparations[statement->number];
    if (!statement->conf.merges || statement->unmergeable || !connection->read_only)
        return;
    if (strcasestr(statement->conf.statement->text, "hayfork_") != NULL) {
        refuse(statement, "it has a name that begins with hayfork_, like those of the merged form");
        return;
    }
    if (sql_has_word(statement->conf.statement, "tablesample")) {
        refuse(statement, "it takes a sample");
        return;
    }
    for (size_t i = 0; i < preparation->description->n_types; i++) {
        uint32_t type = preparation->description->types[i];
        if (pgtypes_array(type) == 0 || type == PGTYPES_BOX) { /* boxes have a semicolon between them */
            refuse(statement, "a parameter has a type of which there is no plain array");
            return;
        }
    }
    probe(connection, statement, preparation);
}

static bool has(struct pgwire_value line, const char *text)
{
    return line.len > 0 && memmem(line.text, (size_t)line.len, text, strlen(text)) != NULL;
}

void db_merge_probed(struct db_flight *flight, struct pgwire_row row)
{
    struct pgwire_value line = pgwire_row_value(row, 0);
    if (has(line, "CTE hayfork_q"))
        refuse(flight->statement, "it has volatile functions or row locks");
    else if (has(line, "Sampling:"))
        refuse(flight->statement, "it takes a sample");
    else if (has(line, "Foreign Scan"))
        refuse(flight->statement, "it asks another server");
}

/*
 * An answer about a preparation that is no longer the newest one comes before that of the newer one, so it
 * finds the state PREPARING. Returns false there, and after an error.
 */
static bool is_good(struct db_connection *connection, struct db_flight *flight)
{
    struct db_statement *statement = flight->statement;
    if (connection->preparations[statement->number].state != PREPARED)
        return false;
    if (flight->error == NULL)
        return true;
    if (!db_is_passing(pgwire_error_field(flight->error, PG_DIAG_SQLSTATE)))
        refuse(statement, pgwire_error_field(flight->error, PG_DIAG_MESSAGE_PRIMARY));
    return false;
}

void db_merge_asked(struct db_connection *connection, struct db_flight *flight)
{
    struct db_statement *statement = flight->statement;
    if (is_good(connection, flight) && !statement->unmergeable)
        prepare(connection, statement, &connection->preparations[statement->number]);
}

void db_merge_prepared(struct db_connection *connection, struct db_flight *flight)
{
    struct db_statement *statement = flight->statement;
    if (!is_good(connection, flight))
        return;
    if (flight->n_fields > 0 && flight->fields[0].type == PGTYPES_INT8 &&
        pgjson_fits(flight->description->columns, flight->fields + 1, flight->n_fields - 1))
        connection->preparations[statement->number].is_merged = true;
    else
        refuse(statement, "its columns would be others");
}

/* Sending */

static size_t length_of(const struct db_query *query)
{
    size_t len = 0;
    for (size_t i = 0; i < query->statement->conf.statement->n_params; i++)
        len += query->values[i].len;
    return len;
}

bool db_merge_can(const struct db_connection *connection, const struct db_statement *statement)
{
    const struct db_preparation *preparation = &connection->preparations[statement->number];
    return preparation->is_merged && connection->read_only && !db_is_heavy(statement) &&
           statement->lane->now >= statement->merge_not_before;
}

size_t db_merge_count(const struct db_statement *statement)
{
    size_t n = 0, len = 0;
    const h2o_linklist_t *anchor = &statement->waiting;
    for (const h2o_linklist_t *link = anchor->next; link != anchor && n < statement->merge_most;
         link = link->next) {
        const struct db_query *query = H2O_STRUCT_FROM_MEMBER(struct db_query, link, link);
        len += length_of(query);
        if (query->single || len > BYTES_MAX)
            break;
        n++;
    }
    return n;
}

/*
 * Clients that were answered by one statement ask again at about the same time, but not all in one turn. What
 * waits where many go out at a time is held back for a turn, and for another one as long as more come.
 */
bool db_merge_gathers(struct db_statement *statement, size_t n)
{
    bool more_come = statement->merge_held == 0 || n > statement->merge_seen;
    if (statement->merge_usual < SEVERAL || statement->merge_held >= HELD_MOST || !more_come)
        return false;
    statement->merge_seen = n;
    statement->merge_held++;
    statement->lane->gathers = true;
    return true;
}

void db_merge_sends(struct db_statement *statement, size_t n)
{
    statement->merge_held = 0;
    statement->merge_usual = (statement->merge_usual + n * USUAL_ONE) / 2;
}

void db_merge_send(struct db_connection *connection, struct db_statement *statement, size_t n)
{
    const struct db_preparation *preparation = &connection->preparations[statement->number];
    struct db_flight *flight = db_flight_new(connection, statement, FLIGHT_QUERIES);
    const struct str *rows[DB_MERGE_MOST];
    flight->description = db_description_keep(preparation->description);
    flight->generation = statement->generation;
    flight->queries = mem_calloc(n, sizeof(*flight->queries));
    flight->n_queries = n;
    connection->preparations[statement->number].n_in_flight++;
    for (size_t i = 0; i < n; i++) {
        struct db_query *query = db_take_waiting(statement);
        query->flight = flight;
        query->place = i;
        flight->queries[i] = query;
        rows[i] = query->values;
    }
    pgwire_execute_arrays(&connection->io.out, preparation->merged_name, rows, n,
                          statement->conf.statement->n_params);
    pgwire_sync(&connection->io.out);
}

/* Answers */

/* The number of a key, which is that of its query, counted from 1. */
static size_t number_of(struct pgwire_value value)
{
    size_t number = 0;
    for (int32_t i = 0; i < value.len && number <= DB_MERGE_MOST; i++)
        number = number * 10 + (size_t)(value.text[i] - '0');
    return number;
}

bool db_merge_row(struct db_flight *flight, struct pgwire_row row)
{
    size_t number = number_of(pgwire_row_next(&row));
    if (number < 1 || number > flight->n_queries)
        return false;
    struct db_query *query = flight->queries[number - 1];
    flight->gave_rows = true;
    if (query != NULL && !query->misread)
        query->asker->row(query->owner, flight->description->columns, row);
    return true;
}

bool db_merge_is_stuck(const struct db_flight *flight)
{
    const struct db_lane *lane = flight->connection->lane;
    return db_is_merged(flight) &&
           lane->now - flight->connection->head_since >= (uint64_t)lane->conf.spill * PATIENCE;
}

/* Nothing is merged for a while; for longer each time where it took too long. */
static void rest(struct db_statement *statement, bool slow)
{
    if (!slow || statement->merge_rest == 0)
        statement->merge_rest = REST_MS;
    else if (statement->merge_rest < REST_MOST_MS)
        statement->merge_rest *= 2;
    statement->merge_not_before = statement->lane->now + statement->merge_rest;
    if (slow && statement->merge_most > LEAST)
        statement->merge_most /= 2;
}

void db_merge_split(struct db_flight *flight)
{
    struct db_statement *statement = flight->statement;
    rest(statement, db_merge_is_stuck(flight));
    for (size_t i = flight->n_queries; i-- > 0;) {
        struct db_query *query = flight->queries[i];
        if (query == NULL)
            continue;
        db_leave(query);
        query->single = true;
        if (flight->gave_rows)
            query->asker->again(query->owner);
        db_wait_again(query); /* from the last to the first: order is kept */
    }
}

void db_merge_end(struct db_flight *flight)
{
    struct db_answer answer = {.columns = flight->description->columns, .tag = flight->tag};
    if (flight->error != NULL)
        db_merge_split(flight);
    for (size_t i = 0; i < flight->n_queries; i++) {
        struct db_query *query = flight->queries[i];
        if (query == NULL)
            continue;
        db_leave(query);
        db_query_end(query, query->misread ? DB_UNREADABLE : DB_OK, &answer);
    }
}

void db_merge_learn(struct db_flight *flight, uint64_t ms)
{
    struct db_statement *statement = flight->statement;
    uint64_t spill = statement->lane->conf.spill;
    if (ms >= 2 * spill && statement->merge_most > LEAST) {
        statement->merge_most /= 2;
    } else if (ms >= 2 * spill) {
        rest(statement, true);
    } else if (ms < spill / 2) {
        statement->merge_rest = 0;
        if (statement->merge_most < DB_MERGE_MOST)
            statement->merge_most++;
    }
}
