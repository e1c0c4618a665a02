/* handler_sql.c: routes with `sql`: parameters in, a query on the route's lane, its rows out as JSON. */
#include <inttypes.h>
#include <stdlib.h>

#include "handler.h"
#include "log.h"
#include "mem.h"
#include "params.h"
#include "pgjson.h"
#include "problem.h"

enum { FIRST_BODY_SIZE = 1024 }; /* bytes taken from the request's memory before the heap is asked */

struct handler_sql {
    struct handler super;
    const struct conf_route *route;
    struct db_lane *lane;
    struct db_statement *statement;
    unsigned deadline;
};

/* A request that waits for its query. It lives in the request's memory, so it is gone with the client. */
struct call {
    const struct handler_sql *handler;
    struct sink *sink;
    struct db_query *query; /* NULL once it is answered */
    char *body;             /* an answer that outgrew the request's memory, or NULL */
};

static void refuse(struct sink *sink, int status, const char *detail)
{
    problem_send(sink, &(struct problem){.status = status, .detail = detail});
}

static void answer_rows(struct call *call, const PGresult *result)
{
    const struct handler_sql *self = call->handler;
    const struct pgjson_columns *columns = db_statement_columns(self->statement);
    struct sink *sink = call->sink;
    if (self->route->answer == CONF_ANSWER_ROW && PQntuples(result) == 0) {
        refuse(sink, 404, "There is no such row.");
        return;
    }
    struct json_writer body = json_writer_on(sink->ops->alloc(sink, FIRST_BODY_SIZE), FIRST_BODY_SIZE);
    if (self->route->answer == CONF_ANSWER_ROW)
        pgjson_row(&body, columns, result, 0);
    else
        pgjson_rows(&body, columns, result);
    if (body.owned)
        call->body = body.base;
    struct str part = {body.base, body.len};
    sink_answer(sink, 200, STR("application/json"), &part, 1);
}

/* What the server's error means for the client; the log line has what the client is not told. */
static void answer_error(struct call *call, const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (state == NULL)
        state = "";
    if (strcmp(state, "57014") == 0) { /* statement_timeout */
        refuse(call->sink, 504, "The database did not answer in time.");
        return;
    }
    log_errorx("%s: SQLSTATE %s: %s (request %016" PRIx64 ")", call->sink->route, state,
               PQresultErrorMessage(result), call->sink->request_id);
    bool transient = strncmp(state, "08", 2) == 0 || strncmp(state, "53", 2) == 0 ||
                     strncmp(state, "57P", 3) == 0 || strcmp(state, "40001") == 0 ||
                     strcmp(state, "40P01") == 0;
    if (transient)
        refuse(call->sink, 503, "The database could not do this now; nothing was changed.");
    else
        refuse(call->sink, 500, "The database refused the query of this route.");
}

static void on_done(void *owner, enum db_outcome outcome, const PGresult *result)
{
    struct call *call = owner;
    call->query = NULL;
    switch (outcome) {
    case DB_OK:
        answer_rows(call, result);
        break;
    case DB_REJECTED:
        answer_error(call, result);
        break;
    case DB_NOT_SENT:
        refuse(call->sink, 503, "The database could not be asked in time; nothing was done.");
        break;
    case DB_LOST:
        refuse(call->sink, 504, "The database did not answer in time.");
        break;
    }
}

/* The client has left, or the answer is out: the query, if it is under way, goes on without us. */
static void on_gone(struct sink *sink)
{
    struct call *call = sink->data;
    if (call->query != NULL)
        db_abandon(call->query);
    free(call->body);
}

static void *arena_alloc(void *arg, size_t size)
{
    struct sink *sink = arg;
    return sink->ops->alloc(sink, size);
}

/* Gathers the values; NULL after the request has been answered with what is wrong. */
static const char **gather(const struct handler_sql *self, const struct handler_request *request)
{
    struct sink *sink = request->sink;
    const struct conf_route *route = self->route;
    const uint32_t *types = db_statement_types(self->statement);
    size_t n = route->statement.n_params;
    struct params_arena arena = {arena_alloc, sink};
    struct params_problem wrong;
    const char **values = sink->ops->alloc(sink, (n + 1) * sizeof(*values));
    if (!params_gather(route->params, types, n, request->captures, request->query, &arena, values, &wrong)) {
        problem_send(sink,
                     &(struct problem){.status = 400, .detail = wrong.detail, .parameter = wrong.parameter});
        return NULL;
    }
    return values;
}

/* Says why there can be no query now; false if there can. */
static bool refused(const struct handler_sql *self, struct sink *sink)
{
    switch (db_check(self->lane, self->statement)) {
    case DB_ACCEPTED:
        return false;
    case DB_AWAY:
        refuse(sink, 503, "The database is not available.");
        break;
    case DB_FULL:
        refuse(sink, 503, "Too many queries are waiting already.");
        break;
    case DB_UNPREPARED:
        refuse(sink, 500, "The query of this route could not be prepared.");
        break;
    }
    return true;
}

static void handle(struct handler *handler, const struct handler_request *request)
{
    struct handler_sql *self = (struct handler_sql *)handler;
    struct sink *sink = request->sink;
    if (refused(self, sink))
        return;
    const char **values = gather(self, request);
    if (values == NULL)
        return;
    struct call *call = sink->ops->alloc(sink, sizeof(*call));
    *call = (struct call){.handler = self, .sink = sink};
    call->query = db_submit(self->lane, self->statement, values, self->deadline, on_done, call);
    sink->data = call;
    sink->gone = on_gone;
}

static void dispose(struct handler *handler)
{
    free(handler);
}

struct handler *handler_sql_new(const struct conf_route *route, struct db_lane *lane, unsigned deadline)
{
    struct handler_sql *self = mem_calloc(1, sizeof(*self));
    *self = (struct handler_sql){
        .super = {handle, dispose},
        .route = route,
        .lane = lane,
        .statement = db_statement_new(lane, route->label, route->statement.text, route->statement.n_params),
        .deadline = deadline,
    };
    return &self->super;
}
