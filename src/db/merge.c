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
#include "db/merge.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "db/setting.h"

enum {
    BYTES_MAX = 65536,      /* of all values: longer ones gain nothing by it */
    IN_FLIGHT_TO_MERGE = 2, /* while so many of a statement are on the wire, more gather for the next one */
    LEAST = 2,              /* queries in one statement, where more took long together */
    USUAL_ONE = 16,         /* merge->usual of one at a time */
    SEVERAL = 18,           /* merge->usual from which on more are waited for, */
    HELD_MOST = 3,          /* for so many turns */
    PATIENCE = 5,           /* how many times `spill` several may take together */
    REST_MS = 500,          /* without merging, after that was in vain: then each was asked twice */
    REST_MOST_MS = 60000,   /* the same, where it took too long again and again */
};

/* Deciding */

static void refuse(struct db_statement *statement, const char *why)
{
    struct db_merge *merge = statement->parts.merge;
    merge->refused = true;
    merge->generation = statement->generation;
    log_debug("%s: its reads are not merged: %s", statement->conf.label, why);
}

static bool is_refused(const struct db_statement *statement)
{
    const struct db_merge *merge = statement->parts.merge;
    return merge->refused && merge->generation == statement->generation;
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

static const char *on_probe_row(struct db_flight *flight, const struct pgwire_message *message,
                                struct pgwire_row row);
static const char *on_probed(struct db_flight *flight, bool spoilt);
static const char *on_prepared(struct db_flight *flight, bool spoilt);

static void dispose(struct db_flight *flight)
{
    db_flight_clear(flight);
    free(flight);
}

static const struct db_flight_ops probing = {.row = on_probe_row, .end = on_probed, .lost = dispose};
static const struct db_flight_ops preparing = {.end = on_prepared, .lost = dispose, .describes = true};

/* Asks PostgreSQL whether it matters how often the SQL is evaluated. */
static void probe(struct db_connection *connection, struct db_statement *statement,
                  const struct db_preparation *preparation)
{
    static const struct str nothing[SQL_MAX_PARAMS];
    struct pgwire_writer *out = &connection->pipeline.io.out;
    uint32_t types[SQL_MAX_PARAMS];
    size_t n = preparation->description->n_types;
    char *one = with_keys(statement);
    char *rows = mem_printf("WITH hayfork_q AS (%s\n) SELECT * FROM hayfork_q", one);
    char *merged = form(preparation->description, rows, types);
    char *sql = mem_printf("EXPLAIN (COSTS OFF) %s", merged);
    struct db_flight *flight = mem_alloc(sizeof(*flight));
    db_flight_begin(flight, &connection->pipeline, &probing, statement, DB_AT_PARSE);
    db_flight_set_columns(flight, 1);
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
    struct pgwire_writer *out = &connection->pipeline.io.out;
    uint32_t types[SQL_MAX_PARAMS];
    char *one = of_one_key(statement, preparation);
    char *rows = mem_printf("SELECT * FROM (%s\n) AS hayfork_r", one);
    char *sql = form(description, rows, types);
    const char *name = db_preparation_name_merged(preparation);
    struct db_flight *flight = mem_alloc(sizeof(*flight));
    db_flight_begin(flight, &connection->pipeline, &preparing, statement, DB_AT_PARSE);
    char *tagged = mem_printf("%s%s", sql, preparation->tag);
    pgwire_parse(out, name, tagged, types, description->n_types);
    pgwire_describe(out, name);
    pgwire_sync(out);
    free(one);
    free(rows);
    free(sql);
    free(tagged);
}

void db_merge_prepare(struct db_connection *connection, struct db_statement *statement)
{
    struct db_preparation *preparation = db_preparation_of(connection, statement);
    if (!statement->conf.merges || is_refused(statement) || !connection->read_only)
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

static const char *on_probe_row(struct db_flight *flight, const struct pgwire_message *message,
                                struct pgwire_row row)
{
    struct pgwire_value line = pgwire_row_value(row, 0);
    (void)message;
    if (has(line, "CTE hayfork_q"))
        refuse(flight->statement, "it has volatile functions or row locks");
    else if (has(line, "Sampling:"))
        refuse(flight->statement, "it takes a sample");
    else if (has(line, "Foreign Scan"))
        refuse(flight->statement, "it asks another server");
    return NULL;
}

/*
 * An answer about a preparation that is no longer the newest one comes before that of the newer one, so it
 * finds the state PREPARING. Returns false there, and after an error.
 */
static bool is_good(const struct db_preparation *preparation, const struct db_flight *flight)
{
    if (preparation->state != DB_PREPARED)
        return false;
    if (flight->error == NULL)
        return true;
    if (!db_is_passing(pgwire_error_field(flight->error, PG_DIAG_SQLSTATE)))
        refuse(flight->statement, pgwire_error_field(flight->error, PG_DIAG_MESSAGE_PRIMARY));
    return false;
}

static const char *on_probed(struct db_flight *flight, bool spoilt)
{
    struct db_connection *connection = db_connection_of_flight(flight);
    struct db_preparation *preparation = db_preparation_of(connection, flight->statement);
    (void)spoilt;
    if (is_good(preparation, flight) && !is_refused(flight->statement))
        prepare(connection, flight->statement, preparation);
    dispose(flight);
    return NULL;
}

/* Its columns: the number, and those of the statement itself. */
static bool has_same_columns(const struct db_preparation *preparation, const struct db_fields *fields)
{
    return fields->n > 0 && fields->all[0].type == PGTYPES_INT8 &&
           pgjson_fits(preparation->description->columns, fields->all + 1, fields->n - 1);
}

static const char *on_prepared(struct db_flight *flight, bool spoilt)
{
    struct db_preparation *preparation =
        db_preparation_of(db_connection_of_flight(flight), flight->statement);
    (void)spoilt;
    if (is_good(preparation, flight)) {
        if (has_same_columns(preparation, &flight->fields))
            db_preparation_set_merged(preparation, flight->fields.digest);
        else
            refuse(flight->statement, "its columns would be others");
    }
    dispose(flight);
    return NULL;
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
    return db_preparation_of(connection, statement)->is_merged && connection->read_only &&
           statement->env->now >= statement->parts.merge->not_before;
}

/* May the query go out as one with the first of those that wait, so many bytes of values with it? */
static bool goes_with(const struct db_query *query, const struct db_query *first, size_t len)
{
    bool both_without = query->settings.n == 0 && first->settings.n == 0;
    return !db_query_has_tried(query, DB_TRIED_SINGLE) && len <= BYTES_MAX &&
           (both_without || db_settings_are_equal(&query->settings, &first->settings));
}

static size_t count(const struct db_statement *statement)
{
    const h2o_linklist_t *anchor = &statement->parts.line->waiting;
    const struct db_query *first = db_line_first(statement);
    size_t most = statement->parts.merge->most, n = 0, len = 0;
    for (const h2o_linklist_t *link = anchor->next; link != anchor && n < most; link = link->next) {
        const struct db_query *query = H2O_STRUCT_FROM_MEMBER(struct db_query, link, link);
        len += length_of(query);
        if (!goes_with(query, first, len))
            break;
        n++;
    }
    return n;
}

/*
 * Clients that were answered by one statement ask again at about the same time, but not all in one turn. What
 * waits where many go out at a time is held back for a turn, and for another one as long as more come.
 */
static bool hold_back(struct db_merge *merge, size_t n)
{
    bool more_come = merge->held == 0 || n > merge->seen;
    if (merge->usual < SEVERAL || merge->held >= HELD_MOST || !more_come)
        return false;
    merge->seen = n;
    merge->held++;
    return true;
}

size_t db_merge_plan(struct db_statement *statement, size_t n_in_flight, bool *gathers)
{
    struct db_merge *merge = statement->parts.merge;
    size_t n = count(statement);
    if (n > 0 && n < merge->most) {
        if (n_in_flight >= IN_FLIGHT_TO_MERGE)
            return 0;
        if (hold_back(merge, n)) {
            *gathers = true;
            return 0;
        }
    }
    merge->held = 0;
    merge->usual = (merge->usual + n * USUAL_ONE) / 2;
    return n == 0 ? 1 : n; /* the first one goes by itself, if none goes with it */
}

static const char *on_row(struct db_flight *flight, const struct pgwire_message *message,
                          struct pgwire_row row);
static const char *on_end(struct db_flight *flight, bool spoilt);

static const struct db_flight_ops asking = {
    .row = on_row,
    .end = on_end,
    .lost = db_ask_on_lost,
    .prefers_to_be_lost = db_ask_is_repeated,
    .asks = true,
};

void db_merge_send(struct db_connection *connection, struct db_statement *statement, size_t n)
{
    struct pgwire_writer *out = &connection->pipeline.io.out;
    struct db_ask *ask = db_ask_begin(connection, statement, &asking, n, 1);
    db_env_count(statement->env, METRIC_LANE_MERGED, 1);
    db_env_count(statement->env, METRIC_LANE_MERGED_QUERIES, n);
    db_ask_expect(ask, ask->preparation->merged_digest);
    const struct str *rows[DB_MERGE_MOST];
    for (size_t i = 0; i < n; i++)
        rows[i] = ask->queries[i]->values;
    pgwire_execute_arrays(out, ask->preparation->merged_name, rows, n, statement->conf.statement->n_params);
    pgwire_sync(out);
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

/* The number of its query comes before its columns. */
static const char *on_row(struct db_flight *flight, const struct pgwire_message *message,
                          struct pgwire_row row)
{
    struct db_ask *ask = db_ask_of(flight);
    size_t number = number_of(pgwire_row_next(&row));
    (void)message;
    if (number < 1 || number > ask->n)
        return "PostgreSQL sent a row that was not asked for";
    struct db_query *query = ask->queries[number - 1];
    db_ask_set_gave_rows(ask);
    if (query != NULL && !query->misread)
        query->asker->row(query->owner, ask->description->columns, row);
    return NULL;
}

bool db_merge_is_stuck(const struct db_ask *ask)
{
    const struct db_pipeline *pipeline = ask->flight.pipeline;
    const struct db_env *env = pipeline->env;
    return db_ask_is_merged(ask) && env->now - pipeline->head_since >= (uint64_t)env->conf.spill * PATIENCE;
}

/* Nothing is merged for a while; for longer each time where it took too long. */
static void rest(struct db_statement *statement, bool slow)
{
    struct db_merge *merge = statement->parts.merge;
    if (!slow || merge->rest == 0)
        merge->rest = REST_MS;
    else if (merge->rest < REST_MOST_MS)
        merge->rest *= 2;
    merge->not_before = statement->env->now + merge->rest;
    if (slow && merge->most > LEAST)
        merge->most /= 2;
}

void db_merge_split(struct db_ask *ask)
{
    rest(ask->flight.statement, db_merge_is_stuck(ask));
    for (size_t i = ask->n; i-- > 0;) {
        struct db_query *query = ask->queries[i];
        if (query == NULL)
            continue;
        db_ask_leave(query);
        db_query_try(query, DB_TRIED_SINGLE);
        db_query_ask_again(query, ask->gave_rows); /* from the last to the first: order is kept */
    }
}

static const char *on_end(struct db_flight *flight, bool spoilt)
{
    struct db_ask *ask = db_ask_of(flight);
    struct db_result result = {.columns = ask->description->columns, .tag = flight->tag};
    (void)spoilt; /* then it is lost */
    bool misdescribed = db_ask_is_misdescribed(ask);
    db_ask_overtaken(ask);
    if (flight->error != NULL)
        db_merge_split(ask);
    for (size_t i = 0; i < ask->n; i++) {
        struct db_query *query = ask->queries[i];
        if (query == NULL)
            continue;
        db_ask_leave(query);
        db_query_end(query, query->misread || misdescribed ? DB_UNREADABLE : DB_OK, &result);
    }
    db_ask_dispose(ask);
    return NULL;
}

void db_merge_learn(struct db_statement *statement, uint64_t ms)
{
    struct db_merge *merge = statement->parts.merge;
    uint64_t spill = statement->env->conf.spill;
    if (ms >= 2 * spill && merge->most > LEAST) {
        merge->most /= 2;
    } else if (ms >= 2 * spill) {
        rest(statement, true);
    } else if (ms < spill / 2) {
        merge->rest = 0;
        if (merge->most < DB_MERGE_MOST)
            merge->most++;
    }
}

void db_merge_init(struct db_merge *merge)
{
    *merge = (struct db_merge){.most = DB_MERGE_MOST};
}
