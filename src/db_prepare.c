/* db_prepare.c: preparing a lane's statements: describe, wrap what needs to_json, find out types. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "db_private.h"
#include "log.h"
#include "mem.h"
#include "pgjson.h"

struct db_statement *db_statement_new(struct db_lane *lane, const struct db_statement_conf *conf)
{
    struct db_statement *statement = mem_calloc(1, sizeof(*statement));
    *statement = (struct db_statement){.lane = lane, .conf = *conf};
    statement->declared = mem_calloc(conf->statement->n_params, sizeof(*statement->declared));
    MEM_GROW(&lane->statements, lane->n_statements);
    lane->statements[lane->n_statements++] = statement;
    return statement;
}

void db_statement_free(struct db_statement *statement)
{
    db_infer_free(statement->inference);
    pgjson_columns_free(statement->columns);
    free(statement->declared);
    free(statement->types);
    free(statement);
}

const uint32_t *db_statement_types(const struct db_statement *statement)
{
    return statement->types;
}

const struct pgjson_columns *db_statement_columns(const struct db_statement *statement)
{
    return statement->columns;
}

const char *db_error_field(const PGresult *result, int field)
{
    const char *text = PQresultErrorField(result, field);
    return text == NULL ? "" : text;
}

/*
 * Puts a preparation on the wire, under a name that this connection does not know yet: the old one may still
 * be named by queries that are on their way.
 */
static bool send_preparation(struct db_lane *lane, struct db_statement *statement, const char *sql,
                             int n_types, const Oid *types)
{
    struct db_query *query = db_query_new(lane);
    query->statement = statement;
    query->prepares = true;
    db_mark_sent(query);
    snprintf(statement->name, sizeof(statement->name), "s%p_%u", (void *)statement, ++statement->generation);
    lane->unsent = PQsendPrepare(lane->pg, statement->name, sql, n_types, types) != 1 ||
                   PQsendDescribePrepared(lane->pg, statement->name) != 1 || !db_send_sync(lane);
    return !lane->unsent;
}

bool db_prepare(struct db_lane *lane, struct db_statement *statement)
{
    const struct sql_statement *sql = statement->conf.statement;
    statement->preparation = PREPARING;
    statement->wrapped = false;
    statement->tried_at = clock_ms();
    return send_preparation(lane, statement, sql->text, (int)sql->n_params, statement->declared);
}

void db_forget_preparations(struct db_lane *lane)
{
    for (size_t i = 0; i < lane->n_statements; i++) {
        struct db_statement *statement = lane->statements[i];
        statement->preparation = UNPREPARED;
        db_infer_free(statement->inference);
        statement->inference = NULL;
    }
}

static void take_types(struct db_statement *statement, const PGresult *description)
{
    size_t n = (size_t)PQnparams(description);
    free(statement->types);
    statement->types = mem_calloc(n, sizeof(*statement->types));
    for (size_t i = 0; i < n; i++)
        statement->types[i] = PQparamtype(description, (int)i);
}

/* Each of the functions below returns true when there is nothing more to prepare for the statement. */

/* The statement can be used; unless it has columns that need PostgreSQL's own to_json, then in its wrapped
 * form. */
static bool take_description(struct db_lane *lane, struct db_statement *statement,
                             const PGresult *description)
{
    bool wrap_wanted;
    statement->preparation = PREPARED;
    statement->complained = false;
    if (statement->wrapped) /* the columns are those of the first description */
        return true;
    take_types(statement, description);
    pgjson_columns_free(statement->columns);
    statement->columns = pgjson_columns_new(description, statement->conf.as_text, &wrap_wanted);
    if (!wrap_wanted)
        return true;
    const struct sql_statement *sql = statement->conf.statement;
    char *wrapped = pgjson_wrap(statement->columns, sql->text);
    statement->preparation = PREPARING;
    statement->wrapped = true;
    bool sent = send_preparation(lane, statement, wrapped, (int)sql->n_params, statement->declared);
    free(wrapped);
    return !sent; /* where it was not, the lane gives the connection up */
}

static void complain(struct db_statement *statement, const PGresult *result)
{
    size_t number = db_infer_complaint(result);
    const struct sql_statement *sql = statement->conf.statement;
    if (statement->complained)
        return;
    statement->complained = true;
    if (number >= 1 && number <= sql->n_params)
        log_errorx("%s will answer 500: cannot tell the type of :%s; write :%s::text", statement->conf.label,
                   sql->names[number - 1], sql->names[number - 1]);
    else
        log_errorx("%s cannot be prepared and will answer 500: SQLSTATE %s: %s", statement->conf.label,
                   db_error_field(result, PG_DIAG_SQLSTATE), db_error_field(result, PG_DIAG_MESSAGE_PRIMARY));
}

/* It cannot be prepared; or perhaps it can, once the type of a parameter is known. */
static bool take_error(struct db_lane *lane, struct db_statement *statement, const PGresult *error)
{
    const struct sql_statement *sql = statement->conf.statement;
    size_t number = db_infer_complaint(error);
    if (number >= 1 && number <= sql->n_params && statement->declared[number - 1] == 0) {
        const Oid *types;
        statement->inferred = number;
        statement->inference = db_infer_new(sql, number, statement->declared);
        int n = db_infer_types(statement->inference, &types);
        return !send_preparation(lane, statement, db_infer_sql(statement->inference), n, types);
    }
    statement->preparation = UNPREPARED;
    memset(statement->declared, 0,
           sql->n_params * sizeof(*statement->declared)); /* the tables may be others */
    complain(statement, error);
    return true;
}

static bool take_inference(struct db_lane *lane, struct db_statement *statement, const PGresult *result)
{
    const Oid *types;
    Oid type = 0;
    enum db_inferred inferred = db_infer_take(statement->inference, result, &type);
    if (inferred == DB_INFER_AGAIN) {
        int n = db_infer_types(statement->inference, &types);
        return !send_preparation(lane, statement, db_infer_sql(statement->inference), n, types);
    }
    db_infer_free(statement->inference);
    statement->inference = NULL;
    if (inferred == DB_INFER_FOUND) {
        statement->declared[statement->inferred - 1] = type;
        return !db_prepare(lane, statement);
    }
    const char *name = statement->conf.statement->names[statement->inferred - 1];
    statement->preparation = UNPREPARED;
    if (!statement->complained)
        log_errorx("%s will answer 500: cannot tell the type of :%s; write :%s::text", statement->conf.label,
                   name, name);
    statement->complained = true;
    return true;
}

void db_on_prepared(struct db_lane *lane, struct db_query *query)
{
    struct db_statement *statement = query->statement;
    bool done;
    if (statement->inference != NULL)
        done = take_inference(lane, statement, query->result);
    else if (PQresultStatus(query->result) == PGRES_COMMAND_OK)
        done = take_description(lane, statement, query->result);
    else
        done = take_error(lane, statement, query->result);
    if (done && !lane->unsent && lane->state == DB_PREPARING && --lane->n_unprepared == 0)
        db_ready(lane);
}
