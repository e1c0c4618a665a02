/* statement.c: preparing a lane's statements: describe, find out the types of parameters and columns. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "db/db_private.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"

enum {
    RESTARTS_MAX = 5, /* how often tables may change between the steps of a preparation */
};

static bool take_error(struct db_connection *connection, struct db_statement *statement,
                       const struct db_report *report);

struct db_statement *db_statement_new(struct db_lane *lane, const struct db_statement_conf *conf)
{
    struct db_statement *statement = mem_calloc(1, sizeof(*statement));
    *statement = (struct db_statement){.lane = lane,
                                       .conf = *conf,
                                       .deadline = timeouts_get(lane->conf.timeouts, conf->deadline),
                                       .number = lane->n_statements,
                                       .hash = hash_64_text(HASH_64, conf->statement->text),
                                       .merge_most = DB_MERGE_MOST};
    statement->declared = mem_calloc(conf->statement->n_params, sizeof(*statement->declared));
    h2o_linklist_init_anchor(&statement->waiting);
    h2o_linklist_init_anchor(&statement->doubts);
    MEM_GROW(&lane->statements, lane->n_statements);
    lane->statements[lane->n_statements++] = statement;
    return statement;
}

void db_statement_free(struct db_statement *statement)
{
    db_description_drop(statement->description);
    free(statement->declared);
    free(statement);
}

const struct pgtypes_parameter *db_statement_parameters(const struct db_statement *statement)
{
    return statement->description->parameters;
}

bool db_statement_has_column(const struct db_statement *statement, const char *name)
{
    return pgjson_find(statement->description->columns, name) >= 0;
}

struct db_description *db_description_keep(struct db_description *description)
{
    description->references++;
    return description;
}

void db_description_drop(struct db_description *description)
{
    if (description == NULL || --description->references > 0)
        return;
    pgjson_columns_free(description->columns);
    free(description->parameters);
    free(description->types);
    free(description);
}

static struct db_preparation *preparation_of(struct db_connection *connection, struct db_statement *statement)
{
    return &connection->preparations[statement->number];
}

/*
 * Puts a preparation on the wire, under a name that this session does not know yet, and lets the server
 * forget the older one, which nothing names that comes after this. The name tells the SQL, so that no session
 * that a pooler hands to several clients runs another statement under it.
 */
static void send_preparation(struct db_connection *connection, struct db_statement *statement,
                             const char *sql, size_t n_types, const uint32_t *types)
{
    struct db_preparation *preparation = preparation_of(connection, statement);
    struct pgwire_writer *out = &connection->io.out;
    db_flight_new(connection, statement, FLIGHT_PREPARES);
    if (preparation->name[0] != '\0')
        pgwire_close(out, preparation->name);
    if (preparation->merged_name[0] != '\0')
        pgwire_close(out, preparation->merged_name);
    preparation->merged_name[0] = '\0';
    snprintf(preparation->name, sizeof(preparation->name), "h%016llx_%zu_%u",
             (unsigned long long)statement->hash, statement->number, ++preparation->attempts);
    pgwire_parse(out, preparation->name, sql, types, n_types);
    pgwire_describe(out, preparation->name);
    pgwire_sync(out);
}

void db_prepare(struct db_connection *connection, struct db_statement *statement)
{
    struct db_preparation *preparation = preparation_of(connection, statement);
    const struct sql_statement *sql = statement->conf.statement;
    preparation->state = PREPARING;
    preparation->by_server = preparation->is_merged = false;
    preparation->generation = statement->generation;
    send_preparation(connection, statement, sql->text, sql->n_params, statement->declared);
}

static void forget_fields(struct db_preparation *preparation)
{
    free(preparation->fields);
    free(preparation->fields_text);
    preparation->fields = NULL;
    preparation->fields_text = NULL;
    preparation->n_fields = 0;
}

static void forget(struct db_preparation *preparation)
{
    forget_fields(preparation);
    preparation->wants_types = false;
    preparation->types_asked = NULL;
    preparation->state = UNPREPARED;
    preparation->is_merged = false;
    db_infer_free(preparation->inference);
    preparation->inference = NULL;
    db_description_drop(preparation->description);
    preparation->description = NULL;
}

void db_forget_preparations(struct db_connection *connection)
{
    for (size_t i = 0; i < connection->lane->n_statements; i++) {
        forget(&connection->preparations[i]);
        connection->preparations[i].not_before = 0;
        connection->preparations[i].name[0] = connection->preparations[i].merged_name[0] = '\0';
    }
}

/*
 * The newest description is the statement's. If it is not what it was, those on other connections are out of
 * date, and values may be, too.
 */
static void describe(struct db_statement *statement, struct db_preparation *preparation)
{
    struct db_description *old = statement->description, *new = preparation->description;
    bool first = old == NULL;
    bool changed = !first && old->digest != new->digest;
    bool fits =
        first || (old->n_types ==
                  new->n_types &&memcmp(old->types, new->types, new->n_types * sizeof(*new->types)) == 0);
    statement->description = db_description_keep(new);
    db_description_drop(old);
    if (changed && preparation->generation == statement->generation) {
        preparation->generation = ++statement->generation;
        statement->unmergeable = false;
    }
    if (fits)
        return;
    statement->fit++;
    db_fit_waiting(statement);
}

/* Each of the functions below returns true when there is nothing more to prepare for the statement. */

static bool is_prepared(struct db_connection *connection, struct db_statement *statement)
{
    struct db_preparation *preparation = preparation_of(connection, statement);
    preparation->state = PREPARED;
    preparation->restarts = 0;
    statement->unusable = statement->complained = false;
    describe(statement, preparation);
    db_merge_prepare(connection, statement);
    db_doubts_prepared(statement, true);
    return true;
}

/*
 * What the parameters take and how the columns are written is known. Where PostgreSQL itself has to write the
 * rows, the form of the statement for that is still to be prepared.
 */
static bool take_types(struct db_connection *connection, struct db_statement *statement,
                       struct pgcatalogue *catalogue)
{
    struct db_preparation *preparation = preparation_of(connection, statement);
    struct db_description *description = preparation->description;
    description->parameters = mem_calloc(description->n_types, sizeof(*description->parameters));
    for (size_t i = 0; i < description->n_types; i++)
        description->parameters[i] = pgtypes_parameter(pgcatalogue_find(catalogue, description->types[i]));
    description->columns =
        pgjson_columns_new(preparation->fields, preparation->n_fields, statement->conf.want, catalogue);
    forget_fields(preparation);
    if (!pgjson_by_server(description->columns))
        return is_prepared(connection, statement);
    char *sql = pgjson_rows_sql(description->columns, statement->conf.statement->text);
    preparation->by_server = true;
    send_preparation(connection, statement, sql, description->n_types, description->types);
    free(sql);
    return false;
}

/* The form whose rows PostgreSQL writes; unless the tables have changed since the statement was described. */
static bool take_by_server(struct db_connection *connection, struct db_flight *flight)
{
    struct db_statement *statement = flight->statement;
    struct db_preparation *preparation = preparation_of(connection, statement);
    if (pgjson_fits(preparation->description->columns, flight->fields, flight->n_fields))
        return is_prepared(connection, statement);
    if (++preparation->restarts > RESTARTS_MAX) {
        struct db_report report = {.state = "42804", .message = "its columns change with each preparation"};
        return take_error(connection, statement, &report);
    }
    db_prepare(connection, statement);
    return false;
}

static bool take_description(struct db_connection *connection, struct db_flight *flight)
{
    struct db_statement *statement = flight->statement;
    struct db_preparation *preparation = preparation_of(connection, statement);
    if (preparation->by_server)
        return take_by_server(connection, flight);
    if (flight->told->n_types != statement->conf.statement->n_params) {
        db_connection_fail(connection, "PostgreSQL has described another statement than it was asked for");
        return true;
    }
    db_description_drop(preparation->description);
    preparation->description = flight->told;
    preparation->fields = flight->fields;
    preparation->n_fields = flight->n_fields;
    preparation->fields_text = flight->fields_text;
    flight->told = NULL;
    flight->fields = NULL;
    flight->fields_text = NULL;
    return !db_types_wanted(connection, statement) && take_types(connection, statement, NULL);
}

static void complain(struct db_statement *statement, const struct db_report *report)
{
    size_t number = db_infer_complaint(report);
    const struct sql_statement *sql = statement->conf.statement;
    if (statement->complained)
        return;
    statement->complained = true;
    if (number >= 1 && number <= sql->n_params)
        log_errorx("%s will answer 500: cannot tell the type of :%s; write :%s::text", statement->conf.label,
                   sql->names[number - 1], sql->names[number - 1]);
    else
        log_errorx("%s cannot be prepared and will answer 500: SQLSTATE %s: %s", statement->conf.label,
                   report->state, report->message);
}

bool db_is_passing(const char *state)
{
    static const char *const classes[] = {"08", "40", "53", "55", "57"};
    for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
        if (strncmp(state, classes[i], 2) == 0)
            return true;
    }
    return false;
}

/* It cannot be prepared; or perhaps it can, once the type of a parameter is known. */
static bool take_error(struct db_connection *connection, struct db_statement *statement,
                       const struct db_report *report)
{
    struct db_preparation *preparation = preparation_of(connection, statement);
    const struct sql_statement *sql = statement->conf.statement;
    size_t number = db_infer_complaint(report);
    if (number >= 1 && number <= sql->n_params && statement->declared[number - 1] == 0) {
        const uint32_t *types;
        preparation->inferred = number;
        preparation->inference = db_infer_new(sql, number, statement->declared);
        size_t n = db_infer_types(preparation->inference, &types);
        send_preparation(connection, statement, db_infer_sql(preparation->inference), n, types);
        return false;
    }
    forget(preparation);
    preparation->not_before = clock_ms() + DB_PREPARE_AGAIN_MS;
    memset(statement->declared, 0, /* the tables may be others */
           sql->n_params * sizeof(*statement->declared));
    if (statement->description != NULL && db_is_passing(report->state))
        return true; /* those who wait may still be lucky */
    statement->unusable = true;
    db_soon(statement->lane);
    complain(statement, report);
    db_doubts_prepared(statement, false);
    return true;
}

static bool take_inference(struct db_connection *connection, struct db_statement *statement,
                           const struct db_report *report)
{
    struct db_preparation *preparation = preparation_of(connection, statement);
    const uint32_t *types;
    uint32_t type = 0;
    enum db_inferred inferred = db_infer_take(preparation->inference, report, &type);
    if (inferred == DB_INFER_AGAIN) {
        size_t n = db_infer_types(preparation->inference, &types);
        send_preparation(connection, statement, db_infer_sql(preparation->inference), n, types);
        return false;
    }
    db_infer_free(preparation->inference);
    preparation->inference = NULL;
    if (inferred == DB_INFER_FOUND) {
        statement->declared[preparation->inferred - 1] = type;
        db_prepare(connection, statement);
        return false;
    }
    const char *name = statement->conf.statement->names[preparation->inferred - 1];
    forget(preparation);
    preparation->not_before = clock_ms() + DB_PREPARE_AGAIN_MS;
    statement->unusable = true;
    db_soon(statement->lane);
    if (!statement->complained)
        log_errorx("%s will answer 500: cannot tell the type of :%s; write :%s::text", statement->conf.label,
                   name, name);
    statement->complained = true;
    db_doubts_prepared(statement, false);
    return true;
}

static struct db_report report_of(const char *error)
{
    return (struct db_report){
        .state = pgwire_error_field(error, PG_DIAG_SQLSTATE),
        .message = pgwire_error_field(error, PG_DIAG_MESSAGE_PRIMARY),
        .has_detail = pgwire_error_field(error, PG_DIAG_MESSAGE_DETAIL)[0] != '\0',
    };
}

void db_on_prepared(struct db_connection *connection, struct db_flight *flight)
{
    struct db_statement *statement = flight->statement;
    struct db_report report = {0};
    bool done;
    if (flight->error != NULL) {
        report = report_of(flight->error);
    } else {
        report.types = flight->told->types;
        report.n_types = flight->told->n_types;
    }
    if (preparation_of(connection, statement)->inference != NULL)
        done = take_inference(connection, statement, &report);
    else if (flight->error == NULL)
        done = take_description(connection, flight);
    else
        done = take_error(connection, statement, &report);
    if (done)
        db_connection_prepared(connection);
}

void db_on_types(struct db_connection *connection, struct db_statement *statement,
                 struct pgcatalogue *catalogue, const char *error)
{
    bool done;
    if (error == NULL) {
        done = take_types(connection, statement, catalogue);
    } else {
        struct db_report report = report_of(error);
        done = take_error(connection, statement, &report);
    }
    if (done)
        db_connection_prepared(connection);
}

void db_outdate(struct db_statement *statement)
{
    statement->generation++; /* connections prepare it again when it is their turn */
    statement->unmergeable = false;
    memset(statement->declared, 0, statement->conf.statement->n_params * sizeof(*statement->declared));
}

void db_refresh(struct db_connection *connection, struct db_statement *statement)
{
    const struct db_preparation *preparation = preparation_of(connection, statement);
    if (preparation->state == PREPARING)
        return;
    if (preparation->state == PREPARED && preparation->generation == statement->generation)
        db_outdate(statement);
    db_prepare(connection, statement);
}
