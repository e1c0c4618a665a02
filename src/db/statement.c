/* statement.c: preparing a lane's statements: describe, find out the types of parameters and columns. */
#include "db/statement.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"

enum {
    RESTARTS_MAX = 5,    /* how often tables may change between the steps of a preparation */
    TRY_AGAIN_MS = 1000, /* what could not be prepared just now is tried again after so long */
};

static bool take_error(struct db_connection *connection, struct db_statement *statement,
                       const struct db_report *report);
static const char *on_end(struct db_flight *flight, bool spoilt);
static void dispose(struct db_flight *flight);

static const struct db_flight_ops preparing = {.end = on_end, .lost = dispose, .describes = true};

void db_statement_init(struct db_statement *statement, struct db_env *env, const struct db_statement_ops *ops,
                       const struct db_statement_conf *conf, size_t number, struct db_statement_parts parts)
{
    *statement = (struct db_statement){.env = env,
                                       .ops = ops,
                                       .conf = *conf,
                                       .parts = parts,
                                       .deadline = timeouts_get(env->conf.timeouts, conf->deadline),
                                       .number = number,
                                       .hash = hash_64_text(HASH_64, conf->statement->text)};
    statement->declared = mem_calloc(conf->statement->n_params, sizeof(*statement->declared));
}

void db_statement_clear(struct db_statement *statement)
{
    db_description_drop(statement->description);
    free(statement->declared);
}

const struct pgtypes_parameter *db_statement_parameters(const struct db_statement *statement)
{
    return statement->description->parameters;
}

bool db_statement_has_column(const struct db_statement *statement, const char *name)
{
    return pgjson_find(statement->description->columns, name) >= 0;
}

bool db_statement_parameter_type(const struct db_statement *statement, size_t i, char type[PGCATALOGUE_NAME])
{
    const struct db_description *description = statement->description;
    if (description == NULL || description->parameters == NULL || i >= description->n_types)
        return false;
    pgcatalogue_name(description->catalogue, description->types[i], type);
    return true;
}

const char *db_statement_labels(const struct db_statement *statement, size_t i)
{
    const struct db_description *description = statement->description;
    if (description == NULL || i >= description->n_types)
        return NULL;
    return pgcatalogue_labels(description->catalogue, description->types[i]);
}

bool db_statement_column(const struct db_statement *statement, size_t i, const char **name,
                         char type[PGCATALOGUE_NAME])
{
    const struct db_description *description = statement->description;
    if (description == NULL || description->columns == NULL ||
        i >= pgjson_columns_count(description->columns))
        return false;
    *name = pgjson_name(description->columns, i);
    pgcatalogue_name(description->catalogue, pgjson_type(description->columns, i), type);
    return true;
}

static void close_older(struct db_flight *flight, struct pgwire_writer *out, char *name)
{
    if (name[0] == '\0')
        return;
    pgwire_close(out, name);
    db_flight_add_close(flight);
    name[0] = '\0';
}

/*
 * Puts a preparation on the wire, under a name that this session does not know yet, and lets the server
 * forget the older one, which nothing names that comes after this. The name tells the SQL, so that no session
 * that a pooler hands to several clients runs another statement under it.
 */
static void send_preparation(struct db_connection *connection, struct db_statement *statement,
                             const char *sql, size_t n_types, const uint32_t *types)
{
    struct db_preparation *preparation = db_preparation_of(connection, statement);
    struct pgwire_writer *out = &connection->pipeline.io.out;
    struct db_flight *flight = mem_alloc(sizeof(*flight));
    db_flight_begin(flight, &connection->pipeline, &preparing, statement, DB_AT_PARSE);
    close_older(flight, out, preparation->name);
    close_older(flight, out, preparation->merged_name);
    snprintf(preparation->name, sizeof(preparation->name), "h%016llx_%zu_%u",
             (unsigned long long)statement->hash, statement->number, ++preparation->attempts);
    char *tagged = mem_printf("%s%s", sql, preparation->tag);
    pgwire_parse(out, preparation->name, tagged, types, n_types);
    free(tagged);
    pgwire_describe(out, preparation->name);
    pgwire_sync(out);
}

/*
 * A pooler that knows prepared statements does not prepare the same text again in a session that has it, and
 * what is prepared there may have become out of date. So what is prepared again is another text.
 */
static void choose_tag(struct db_connection *connection, const struct db_statement *statement)
{
    struct db_preparation *preparation = db_preparation_of(connection, statement);
    bool again = preparation->name[0] != '\0' || statement->generation > 0;
    preparation->tag[0] = '\0';
    if (connection->pooled && again)
        snprintf(preparation->tag, sizeof(preparation->tag), "\n/* %d.%u.%llu */", (int)getpid(),
                 preparation->attempts, (unsigned long long)clock_ms());
}

void db_prepare(struct db_connection *connection, struct db_statement *statement)
{
    struct db_preparation *preparation = db_preparation_of(connection, statement);
    choose_tag(connection, statement);
    const struct sql_statement *sql = statement->conf.statement;
    preparation->state = DB_BEING_PREPARED;
    preparation->by_server = preparation->is_merged = false;
    preparation->generation = statement->generation;
    send_preparation(connection, statement, sql->text, sql->n_params, statement->declared);
}

static void forget(struct db_preparation *preparation)
{
    db_fields_clear(&preparation->fields);
    preparation->wants_types = false;
    preparation->types_asked = NULL;
    preparation->state = DB_NOT_PREPARED;
    preparation->is_merged = false;
    db_infer_free(preparation->inference);
    preparation->inference = NULL;
    db_description_drop(preparation->description);
    preparation->description = NULL;
}

struct db_preparations *db_preparations_new(const struct db_statements *statements)
{
    struct db_preparations *preparations = NULL;
    preparations = mem_calloc(1, sizeof(*preparations) + statements->n * sizeof(preparations->of[0]));
    preparations->statements = statements;
    return preparations;
}

void db_preparations_forget(struct db_preparations *preparations)
{
    for (size_t i = 0; i < preparations->statements->n; i++) {
        struct db_preparation *preparation = &preparations->of[i];
        forget(preparation);
        preparation->not_before = 0;
        preparation->name[0] = preparation->merged_name[0] = '\0';
    }
}

void db_preparations_free(struct db_preparations *preparations)
{
    free(preparations);
}

/*
 * The newest description is the statement's. If it is not what it was, those on other connections are out of
 * date, and values may be, too.
 */
static void describe(struct db_statement *statement, struct db_preparation *preparation)
{
    struct db_description *old = statement->description, *new = preparation->description;
    bool changed = old != NULL && old->digest != new->digest;
    bool fits = old == NULL || db_description_takes_the_same(old, new);
    statement->description = db_description_keep(new);
    db_description_drop(old);
    if (changed && preparation->generation == statement->generation)
        preparation->generation = ++statement->generation;
    if (fits)
        return;
    statement->fit++;
    statement->ops->refitted(statement);
}

/* Each of the functions below returns true when there is nothing more to prepare for the statement. */

static bool is_prepared(struct db_connection *connection, struct db_statement *statement)
{
    struct db_preparation *preparation = db_preparation_of(connection, statement);
    preparation->state = DB_PREPARED;
    preparation->restarts = 0;
    statement->unusable = statement->complained = false;
    describe(statement, preparation);
    statement->ops->prepared(connection, statement);
    return true;
}

/*
 * What the parameters take and how the columns are written is known. Where PostgreSQL itself has to write the
 * rows, the form of the statement for that is still to be prepared.
 */
static bool take_types(struct db_connection *connection, struct db_statement *statement,
                       struct pgcatalogue *catalogue)
{
    struct db_preparation *preparation = db_preparation_of(connection, statement);
    struct db_description *description = preparation->description;
    db_description_complete(description, &preparation->fields, statement->conf.want, catalogue);
    db_fields_clear(&preparation->fields);
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
    struct db_preparation *preparation = db_preparation_of(connection, statement);
    if (pgjson_fits(preparation->description->columns, flight->fields.all, flight->fields.n))
        return is_prepared(connection, statement);
    if (++preparation->restarts > RESTARTS_MAX) {
        struct db_report report = {.state = "42804", .message = "its columns change with each preparation"};
        return take_error(connection, statement, &report);
    }
    db_prepare(connection, statement);
    return false;
}

/* Does it need types that are not built in? The columns of which only the text is wanted need not be known.
 */
static bool wants_types(const struct db_statement *statement, const struct db_preparation *preparation)
{
    const struct db_description *description = preparation->description;
    bool any = false;
    for (size_t i = 0; i < description->n_types; i++)
        any |= pgtypes_builtin(description->types[i]) == NULL;
    for (size_t i = 0; statement->conf.want != PGJSON_TEXTS && i < preparation->fields.n; i++)
        any |= pgtypes_builtin(preparation->fields.all[i].type) == NULL;
    return any;
}

static bool take_description(struct db_connection *connection, struct db_flight *flight)
{
    struct db_statement *statement = flight->statement;
    struct db_preparation *preparation = db_preparation_of(connection, statement);
    if (preparation->by_server)
        return take_by_server(connection, flight);
    if (flight->told->n_types != statement->conf.statement->n_params) {
        db_connection_fail(connection, "PostgreSQL has described another statement than it was asked for");
        return true;
    }
    db_description_drop(preparation->description);
    preparation->description = db_description_keep(flight->told);
    db_fields_clear(&preparation->fields);
    preparation->fields = db_fields_take(&flight->fields);
    preparation->wants_types = wants_types(statement, preparation);
    if (!preparation->wants_types)
        return take_types(connection, statement, NULL);
    statement->ops->wants_types(connection);
    return false;
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
    struct db_preparation *preparation = db_preparation_of(connection, statement);
    const struct sql_statement *sql = statement->conf.statement;
    size_t number = db_infer_complaint(report);
    if (connection->pooled && preparation->tag[0] == '\0' && strcmp(report->state, "0A000") == 0) {
        db_prepare(connection, statement); /* what a session of the pooler's has is out of date */
        return false;
    }
    if (number >= 1 && number <= sql->n_params && statement->declared[number - 1] == 0) {
        const uint32_t *types;
        preparation->inferred = number;
        preparation->inference = db_infer_new(sql, number, statement->declared);
        size_t n = db_infer_types(preparation->inference, &types);
        send_preparation(connection, statement, db_infer_sql(preparation->inference), n, types);
        return false;
    }
    forget(preparation);
    preparation->not_before = clock_ms() + TRY_AGAIN_MS;
    memset(statement->declared, 0, /* the tables may be others */
           sql->n_params * sizeof(*statement->declared));
    if (statement->description != NULL && db_is_passing(report->state))
        return true; /* those who wait may still be lucky */
    statement->unusable = true;
    complain(statement, report);
    statement->ops->failed(statement);
    return true;
}

static bool take_inference(struct db_connection *connection, struct db_statement *statement,
                           const struct db_report *report)
{
    struct db_preparation *preparation = db_preparation_of(connection, statement);
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
    preparation->not_before = clock_ms() + TRY_AGAIN_MS;
    statement->unusable = true;
    if (!statement->complained)
        log_errorx("%s will answer 500: cannot tell the type of :%s; write :%s::text", statement->conf.label,
                   name, name);
    statement->complained = true;
    statement->ops->failed(statement);
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

/* The answer to a preparation has come. Returns whether that was all. */
static bool take_answer(struct db_connection *connection, struct db_flight *flight)
{
    struct db_statement *statement = flight->statement;
    struct db_report report = {0};
    if (flight->error != NULL) {
        report = report_of(flight->error);
    } else {
        report.types = flight->told->types;
        report.n_types = flight->told->n_types;
        db_preparation_of(connection, statement)->rows_digest = flight->fields.digest;
    }
    if (db_preparation_of(connection, statement)->inference != NULL)
        return take_inference(connection, statement, &report);
    if (flight->error == NULL)
        return take_description(connection, flight);
    return take_error(connection, statement, &report);
}

static void dispose(struct db_flight *flight)
{
    db_flight_clear(flight);
    free(flight);
}

static const char *on_end(struct db_flight *flight, bool spoilt)
{
    struct db_connection *connection = db_connection_of_flight(flight);
    (void)spoilt;
    if (take_answer(connection, flight))
        db_connection_prepared(connection);
    dispose(flight);
    return NULL;
}

void db_prepare_with_types(struct db_connection *connection, struct db_statement *statement,
                           struct pgcatalogue *catalogue, const char *error)
{
    bool done;
    db_preparation_of(connection, statement)->types_asked = NULL;
    if (error == NULL) {
        done = take_types(connection, statement, catalogue);
    } else {
        struct db_report report = report_of(error);
        done = take_error(connection, statement, &report);
    }
    if (done)
        db_connection_prepared(connection);
}

const char *db_preparation_name_merged(struct db_preparation *preparation)
{
    snprintf(preparation->merged_name, sizeof(preparation->merged_name), "%sm", preparation->name);
    return preparation->merged_name;
}

void db_preparation_set_merged(struct db_preparation *preparation, uint64_t digest)
{
    preparation->merged_digest = digest;
    preparation->is_merged = true;
}

void db_statement_outdate(struct db_statement *statement)
{
    statement->generation++; /* connections prepare it again when it is their turn */
    memset(statement->declared, 0, statement->conf.statement->n_params * sizeof(*statement->declared));
}

void db_statement_refresh(struct db_connection *connection, struct db_statement *statement)
{
    const struct db_preparation *preparation = db_preparation_of(connection, statement);
    if (preparation->state == DB_BEING_PREPARED)
        return;
    if (db_preparation_is_usable(preparation, statement))
        db_statement_outdate(statement);
    db_prepare(connection, statement);
}
