/* sql.c: routes with `sql`: values in, a query on the route's lane, its result out. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "handlers/json_body.h"
#include "handlers/make.h"
#include "handlers/sql_error.h"
#include "handlers/sql_answer.h"
#include "handlers/sql_stream.h"

struct handler_sql {
    struct handler super;
    struct sql_route route;
};

/* Why there is no result */

static void refuse(struct sql_call *call, int status, const char *detail)
{
    sql_call_refuse(call, (struct problem){.status = status, .detail = detail});
}

/* The body is not to be had: the connection says why. */
static void refuse_body(struct sql_call *call)
{
    const struct body *body = call->values.body.body;
    refuse(call, body->status, body->detail);
}

/* The values are not to be had. */
static void refuse_values(struct sql_call *call, const struct params_problem *problem)
{
    if (problem->is_of_memory) {
        sql_values_forget(&call->values);
        body_refuse(call->values.body.body);
        refuse_body(call);
        return;
    }
    sql_call_refuse(
        call, (struct problem){.status = 400, .detail = problem->detail, .parameter = problem->parameter});
}

/* Says why there can be no query now; false if there can. */
static bool refuse_query(struct sql_call *call, enum db_refusal refusal)
{
    const struct sql_route *route = call->route;
    if (refusal == DB_AWAY || refusal == DB_FULL)
        db_refused(route->lane, refusal);
    if (refusal == DB_AWAY)
        refuse(call, 503, "The database is not available.");
    else if (refusal == DB_FULL)
        refuse(call, 503, "Too many queries are waiting already.");
    else if (route->conf->answer == CONF_ANSWER_ROWS && readers_refuse(route->readers, call->sink))
        refuse(call, 503, "Other answers for this address have not been taken yet.");
    else
        return false;
    return true;
}

/* The query */

static void on_row(void *owner, const struct pgjson_columns *columns, struct pgwire_row row)
{
    struct sql_call *call = owner;
    const struct sql_route *route = call->route;
    if (call->drops_rows)
        return;
    if (!sql_rows_add(&call->rows, route, &call->sink->arena, columns, row)) {
        db_misread(call->pending);
        return;
    }
    size_t enough = call->stream == NULL ? route->part : call->stream->enough;
    if (route->conf->answer == CONF_ANSWER_ROWS && call->rows.text.len >= enough)
        sql_stream_rows(call, columns);
}

/* The parameters are others than they were, or are known now. */
static const struct str *on_values(void *owner, const struct pgtypes_parameter *types)
{
    struct sql_call *call = owner;
    struct params_problem problem = {0};
    bool is_long = sql_values_are_long(&call->values);
    if (!is_long && sql_values_read(&call->values, types, &problem))
        return call->values.texts;
    sql_call_query_ended(call, 0);
    if (is_long)
        sql_values_read_in_steps(&call->values, types, true);
    else
        refuse_values(call, &problem);
    return NULL;
}

static void on_done(void *owner, enum db_outcome outcome, const struct db_result *result)
{
    struct sql_call *call = owner;
    sql_call_query_ended(call, result->sent_at);
    if (outcome == DB_OK)
        sql_values_release(&call->values); /* the client may take its time to read the answer */
    if (sql_stream_has_begun(call)) {
        sql_stream_end(call, outcome == DB_OK);
        if (outcome != DB_OK)
            sql_error_broke_off(call, outcome, result->error);
        return;
    }
    switch (outcome) {
    case DB_OK:
        sql_answer_send(call, result);
        break;
    case DB_REJECTED:
        sql_error_send(call, result);
        break;
    case DB_NOT_SENT:
        refuse(call, 503, "The database could not be asked; nothing was done.");
        break;
    case DB_UNUSABLE:
        refuse(call, 500, "The query of this route could not be prepared.");
        break;
    case DB_UNREADABLE:
        sql_error_unreadable(call);
        break;
    case DB_LOST:
        refuse(
            call, 504,
            "The database did not answer in time, or the connection to it broke; this may have been done.");
        break;
    }
}

static uint64_t network_of(void *owner)
{
    struct sink *sink = ((struct sql_call *)owner)->sink;
    return sink->ops->client(sink).network;
}

static const struct db_asker asker = {on_row, sql_call_again, on_values, on_done, network_of};

/*
 * Values are here, or the request has none: what is wrong may be so because of a parameter's type. Such a
 * request is refused when it is certain that the types are still what they were; so the lane may be given no
 * values.
 */
static void submit(struct sql_call *call, bool is_certain, const struct params_problem *problem)
{
    if (problem != NULL && (is_certain || !problem->is_of_type)) {
        refuse_values(call, problem);
        return;
    }
    if (problem != NULL)
        sql_values_forget(&call->values);
    sql_call_submit(call, &asker);
}

/* The values of a long body. Meanwhile much may have changed. */
static void on_values_end(struct sql_values *values, enum sql_values_end end,
                          const struct params_problem *problem)
{
    struct sql_call *call = H2O_STRUCT_FROM_MEMBER(struct sql_call, values, values);
    const struct sql_route *route = call->route;
    enum db_refusal refusal = db_check(route->lane, route->statement);
    if (end == SQL_VALUES_LATE) {
        refuse(call, 503, "There was no time to read all of the body.");
    } else if (refuse_query(call, refusal)) {
        return;
    } else if (refusal != DB_ACCEPTED) {
        sql_values_forget(values);
        sql_call_submit(call, &asker);
    } else if (!sql_values_are_for(values, db_statement_parameters(route->statement))) {
        sql_values_read_in_steps(values, db_statement_parameters(route->statement), false);
    } else {
        submit(call, sql_values_are_certain(values), problem);
    }
}

static const struct sql_values_ops values_ops = {on_values_end};

static void ask(struct sql_call *call)
{
    const struct sql_route *route = call->route;
    enum db_refusal refusal = db_check(route->lane, route->statement);
    struct params_problem problem = {0};
    if (refuse_query(call, refusal))
        return;
    if (refusal != DB_ACCEPTED) {
        sql_call_submit(call, &asker);
        return;
    }
    const struct pgtypes_parameter *types = db_statement_parameters(route->statement);
    if (sql_values_are_long(&call->values))
        sql_values_read_in_steps(&call->values, types, false);
    else if (sql_values_read(&call->values, types, &problem))
        sql_call_submit(call, &asker);
    else
        submit(call, false, &problem);
}

/* Requests */

static void on_body(struct body_whole *body, bool complete)
{
    struct sql_values *values = H2O_STRUCT_FROM_MEMBER(struct sql_values, body, body);
    struct sql_call *call = H2O_STRUCT_FROM_MEMBER(struct sql_call, values, values);
    if (complete)
        ask(call);
    else
        refuse_body(call);
}

static void handle(struct handler *handler, const struct request *request)
{
    const struct handler_sql *self = (const struct handler_sql *)handler;
    struct sql_call *call = sql_call_new(&self->route, request, &values_ops);
    struct problem problem;
    if (!self->route.conf->takes_body)
        ask(call);
    else if (!json_body_is_taken(request, &problem))
        sql_call_refuse(call, problem);
    else
        sql_values_collect_body(&call->values, request->body, on_body);
}

static void dispose(struct handler *handler)
{
    struct handler_sql *self = (struct handler_sql *)handler;
    sql_route_dispose(&self->route);
    free(self);
}

struct handler *handler_sql_new(const struct conf_route *route, const struct handler_env *env)
{
    struct handler_sql *self = mem_calloc(1, sizeof(*self));
    self->super = (struct handler){.handle = handle, .free = dispose};
    sql_route_init(&self->route, route, env);
    self->super.statement = self->route.statement;
    return &self->super;
}
