/* sql.c: routes with `sql`: parameters in, a query on the route's lane, its answer out. */
#include <inttypes.h>
#include <stdlib.h>
#include <strings.h>

#include "handlers/make.h"
#include "handlers/sql_private.h"
#include "base/clock.h"
#include "base/mem.h"

enum { LONG_BODY = 4096 /* bytes: the values of a longer one are made in steps, for the loop to go on */ };

bool handler_sql_parameter(void *arg, const char *name, struct str *value)
{
    const struct call *call = arg;
    const struct sql_statement *statement = &call->handler->route->statement;
    for (size_t i = 0; call->values != NULL && i < statement->n_params; i++) {
        if (strcmp(statement->names[i], name) == 0 && call->values[i].base != NULL) {
            *value = call->values[i];
            return true;
        }
    }
    return false;
}

void handler_sql_refuse(struct call *call, struct problem problem)
{
    struct headers headers = headers_fill(call->handler->route, call->sink, handler_sql_parameter, call);
    problem.fields = headers.fields;
    problem.n_fields = headers.n;
    problem_send(call->sink, &problem);
}

/*
 * What came of a body is not needed any longer, and its client may take its time to read the answer; but the
 * headers of that may have values of it.
 */
static void release_body(struct call *call)
{
    if (call->body.body == NULL || call->body.body->store == NULL || call->handler->n_names > 0)
        return;
    call->values = NULL;
    body_release(call->body.body);
}

static void on_done(void *owner, enum db_outcome outcome, const struct db_answer *answer)
{
    struct call *call = owner;
    call->pending = NULL;
    if (outcome == DB_OK)
        release_body(call);
    if (call->stream != NULL && call->stream->is_started) {
        handler_sql_stream_end(call, outcome == DB_OK);
        if (outcome != DB_OK)
            handler_sql_broke_off(call, outcome, answer->error);
        return;
    }
    switch (outcome) {
    case DB_OK:
        handler_sql_answer(call, answer);
        break;
    case DB_REJECTED:
        handler_sql_error(call, answer);
        break;
    case DB_NOT_SENT:
        handler_sql_refuse(
            call,
            (struct problem){.status = 503, .detail = "The database could not be asked; nothing was done."});
        break;
    case DB_UNUSABLE:
        handler_sql_refuse(
            call,
            (struct problem){.status = 500, .detail = "The query of this route could not be prepared."});
        break;
    case DB_UNREADABLE:
        handler_sql_unreadable(call);
        break;
    case DB_LOST:
        handler_sql_refuse(call,
                           (struct problem){.status = 504,
                                            .detail = "The database did not answer in time, or the "
                                                      "connection to it broke; this may have been done."});
        break;
    }
}

/* For headers_find_refused: a parameter that no column of the answer stands before. */
static bool parameter_in_answer(void *arg, const char *name, struct str *value)
{
    const struct call *call = arg;
    return handler_sql_parameter(arg, name, value) &&
           !db_statement_has_column(call->handler->statement, name);
}

/* What params.h is asked for a call. */
static struct params_gathering question(struct call *call, const struct pgtypes_parameter *parameters,
                                        struct params_request *request, struct params_problem *problem)
{
    const struct conf_route *route = call->handler->route;
    size_t n = route->statement.n_params;
    *request = (struct params_request){
        .captures = call->captures,
        .query = call->query,
        .body = {call->body.bytes, call->body.len},
        .keeper = call->body.len > BODY_SMALL ? call->body.body : NULL,
        .ignore_unknown_query = route->ignore_unknown_query,
        .body_fields = route->body_fields,
        .n_body_fields = route->n_body_fields,
    };
    return (struct params_gathering){
        .specs = route->params,
        .types = parameters,
        .n = n,
        .request = request,
        .arena = &call->sink->arena,
        .values = arena_alloc(&call->sink->arena, (n + 1) * sizeof(struct str)),
        .problem = problem,
    };
}

/* The values are there: may they go into the answer? False, with the problem filled in, if not. */
static bool take_values(struct call *call, const struct params_gathering *gathered)
{
    const struct handler_sql *self = call->handler;
    call->values = gathered->values;
    const char *name = self->n_names == 0 ? NULL
                                          : headers_find_refused(self->route->headers, self->route->n_headers,
                                                                 parameter_in_answer, call);
    if (name != NULL)
        *gathered->problem = (struct params_problem){
            .parameter = name, .detail = arena_printf(gathered->arena, HEADERS_REFUSED, name)};
    return name == NULL;
}

/* Makes the values of the parameters from the request. False, with *problem filled in, where it has none. */
static bool gather(struct call *call, const struct pgtypes_parameter *parameters,
                   struct params_problem *problem)
{
    struct params_request request;
    struct params_rest *rest;
    struct params_gathering all = question(call, parameters, &request, problem);
    call->values = NULL;
    return params_gather(&all, SIZE_MAX, &rest) == PARAMS_DONE && take_values(call, &all);
}

/* The body is not to be had: the connection says why. */
static void refuse_body(struct call *call)
{
    const struct body *body = call->body.body;
    handler_sql_refuse(call, (struct problem){.status = body->status, .detail = body->detail});
}

static void refuse_request(struct call *call, const struct params_problem *problem)
{
    if (problem->is_of_memory) {
        call->values = NULL;
        body_refuse(call->body.body);
        refuse_body(call);
        return;
    }
    handler_sql_refuse(
        call, (struct problem){.status = 400, .detail = problem->detail, .parameter = problem->parameter});
}

/* Says why there can be no query now; false if there can. */
static bool refused(struct call *call, enum db_refusal refusal)
{
    const struct handler_sql *self = call->handler;
    struct problem problem = {.status = 503};
    if (refusal == DB_AWAY)
        problem.detail = "The database is not available.";
    else if (refusal == DB_FULL)
        problem.detail = "Too many queries are waiting already.";
    else if (self->route->answer == CONF_ANSWER_ROWS && readers_refuse(self->readers, call->sink))
        problem.detail = "Other answers for this address have not been taken yet.";
    else
        return false;
    handler_sql_refuse(call, problem);
    return true;
}

/* Long bodies */

/* Values that are made in steps. In the request's memory. */
struct gathering {
    struct slice slice;
    struct call *call;
    struct params_gathering all;
    struct params_request request;
    struct params_problem problem;
    struct params_rest *rest;             /* NULL: it has not begun */
    struct pgtypes_parameter *parameters; /* that they are for */
    bool are_certain;                     /* they were looked at again */
    uint64_t until;                       /* clock_ms: the request's deadline */
};

static bool is_long(const struct call *call)
{
    return call->body.len > LONG_BODY;
}

static void gather_in_steps(struct call *call, const struct pgtypes_parameter *parameters, bool are_certain);
static void submit(struct call *call);

/* The values are made, or it is known why there are none. */
static void end_gathering(struct gathering *gathering, bool fits)
{
    struct call *call = gathering->call;
    const struct handler_sql *self = call->handler;
    size_t size = gathering->all.n * sizeof(*gathering->parameters);
    enum db_refusal refusal = db_check(self->lane, self->statement);
    if (refused(call, refusal))
        return;
    if (refusal != DB_ACCEPTED) {
        call->values = NULL;
        submit(call);
    } else if (memcmp(gathering->parameters, db_statement_parameters(self->statement), size) != 0) {
        gather_in_steps(call, db_statement_parameters(self->statement), false); /* they are others by now */
    } else if (fits || (gathering->problem.is_of_type && !gathering->are_certain)) {
        submit(call);
    } else {
        refuse_request(call, &gathering->problem);
    }
}

static void on_step(struct slice *slice)
{
    struct gathering *gathering = H2O_STRUCT_FROM_MEMBER(struct gathering, slice, slice);
    struct call *call = gathering->call;
    if (clock_ms() > gathering->until) {
        handler_sql_refuse(
            call, (struct problem){.status = 503, .detail = "There was no time to read all of the body."});
        return;
    }
    enum params_progress progress = gathering->rest == NULL
                                        ? params_gather(&gathering->all, SLICES_STEP, &gathering->rest)
                                        : params_go_on(gathering->rest, SLICES_STEP);
    if (progress == PARAMS_MORE)
        slices_add(call->handler->slices, slice);
    else
        end_gathering(gathering, progress == PARAMS_DONE && take_values(call, &gathering->all));
}

/* Begins to make the values, which the end of this turn or a later one goes on with. */
static void gather_in_steps(struct call *call, const struct pgtypes_parameter *parameters, bool are_certain)
{
    const struct arena *arena = &call->sink->arena;
    size_t n = call->handler->route->statement.n_params;
    struct gathering *gathering = call->gathering;
    if (gathering == NULL) {
        gathering = call->gathering = arena_alloc(arena, sizeof(*gathering));
        gathering->slice = (struct slice){.step = on_step};
        gathering->call = call;
        gathering->parameters = arena_alloc(arena, (n + 1) * sizeof(*gathering->parameters));
        gathering->until = clock_ms() + call->handler->route->deadline;
    }
    memcpy(gathering->parameters, parameters, n * sizeof(*parameters));
    gathering->all = question(call, gathering->parameters, &gathering->request, &gathering->problem);
    gathering->problem = (struct params_problem){0};
    gathering->rest = NULL;
    gathering->are_certain = are_certain;
    call->values = NULL;
    slices_add(call->handler->slices, &gathering->slice);
}

/* The parameters are others than they were, or are known now. */
static const struct str *on_values(void *owner, const struct pgtypes_parameter *parameters)
{
    struct call *call = owner;
    struct params_problem problem = {0};
    if (!is_long(call) && gather(call, parameters, &problem))
        return call->values;
    call->pending = NULL;
    if (is_long(call))
        gather_in_steps(call, parameters, true);
    else
        refuse_request(call, &problem);
    return NULL;
}

static uint64_t network_of(void *owner)
{
    struct sink *sink = ((struct call *)owner)->sink;
    return sink->ops->client(sink).network;
}

static const struct db_asker asker = {handler_sql_row, handler_sql_again, on_values, on_done, network_of};

/* The client has left, or the answer is out: the query, if it is under way, goes on without us. */
static void on_gone(struct sink *sink)
{
    struct call *call = sink->data;
    if (call->pending != NULL)
        db_abandon(call->pending);
    if (call->gathering != NULL)
        slices_remove(&call->gathering->slice);
    if (call->reader != NULL)
        reader_end(call->reader);
    if (call->stream != NULL)
        stream_dispose(call->stream);
    else if (call->answer.owned)
        free(call->answer.base);
}

static void submit(struct call *call)
{
    const struct handler_sql *self = call->handler;
    call->pending = db_submit(self->lane, self->statement, call->values,
                              call->body.body == NULL ? NULL : call->body.body->store, &asker, call);
}

/*
 * A request that does not fit the parameters is refused when it is certain that these are still what they
 * were; so the lane may be given no values.
 */
static void ask(struct call *call)
{
    const struct handler_sql *self = call->handler;
    enum db_refusal refusal = db_check(self->lane, self->statement);
    struct params_problem problem = {0};
    if (refused(call, refusal))
        return;
    if (refusal == DB_ACCEPTED && is_long(call)) {
        gather_in_steps(call, db_statement_parameters(self->statement), false);
        return;
    }
    bool fits = refusal == DB_ACCEPTED && gather(call, db_statement_parameters(self->statement), &problem);
    if (refusal == DB_ACCEPTED && !fits && !problem.is_of_type)
        refuse_request(call, &problem);
    else
        submit(call);
}

static void on_body(struct body_whole *whole, bool complete)
{
    struct call *call = H2O_STRUCT_FROM_MEMBER(struct call, body, whole);
    if (complete)
        ask(call);
    else
        refuse_body(call);
}

/* application/json, or a type that is JSON by its suffix (RFC 6839 section 3.1); parameters do not matter. */
static bool is_json(struct str type)
{
    size_t len = 0;
    while (len < type.len && type.base[len] != ';' && type.base[len] != ' ' && type.base[len] != '\t')
        len++;
    if (len == strlen("application/json") && strncasecmp(type.base, "application/json", len) == 0)
        return true;
    return len > strlen("application/+json") && strncasecmp(type.base, "application/", 12) == 0 &&
           strncasecmp(type.base + len - 5, "+json", 5) == 0;
}

/* Is the body compressed (RFC 9110 section 8.4)? */
static bool is_encoded(const struct request *request)
{
    struct str coding = request->field(request, STR("content-encoding"));
    return coding.len > 0 && !http1_same(coding, STR("identity"));
}

static void handle(struct handler *handler, const struct request *request)
{
    struct handler_sql *self = (struct handler_sql *)handler;
    struct sink *sink = request->sink;
    struct call *call = arena_alloc(&sink->arena, sizeof(*call));
    memset(call, 0, sizeof(*call));
    call->handler = self;
    call->sink = sink;
    call->query = request->query;
    call->is_head = str_equal(request->method, STR("HEAD"));
    memcpy(call->captures, request->captures, self->n_captures * sizeof(call->captures[0]));
    sink->data = call;
    sink->gone = on_gone;
    if (!self->route->takes_body) {
        ask(call);
    } else if (request->body->length > 0 && !is_json(request->content_type)) {
        handler_sql_refuse(call, (struct problem){.status = 415,
                                                  .detail = "The body must be application/json.",
                                                  .field = {STR("Accept"), STR("application/json")}});
    } else if (request->body->length > 0 && is_encoded(request)) {
        handler_sql_refuse(call, (struct problem){.status = 415,
                                                  .detail = "The body must not have a content coding.",
                                                  .field = {STR("Accept-Encoding"), STR("identity")}});
    } else {
        call->body.arena = &sink->arena;
        call->body.done = on_body;
        body_collect(&call->body, request->body);
    }
}

static void dispose(struct handler *handler)
{
    struct handler_sql *self = (struct handler_sql *)handler;
    free(self->names);
    free(self);
}

/* Collects the names that the route's headers use. */
static void find_names(struct handler_sql *self)
{
    for (size_t i = 0; i < self->route->n_headers; i++) {
        const struct conf_header *header = &self->route->headers[i];
        for (size_t j = 0; j < header->n_pieces; j++) {
            if (!header->pieces[j].is_name)
                continue;
            MEM_GROW(&self->names, self->n_names);
            self->names[self->n_names++] = header->pieces[j].text;
        }
    }
}

static enum pgjson_want wanted(const struct handler_sql *self)
{
    enum conf_answer answer = self->route->answer;
    if (answer == CONF_ANSWER_VALUE || answer == CONF_ANSWER_NONE)
        return PGJSON_TEXTS;
    return self->n_names > 0 ? PGJSON_BOTH : PGJSON_OBJECTS;
}

struct handler *handler_sql_new(const struct conf_route *route, const struct handler_env *env)
{
    struct handler_sql *self = mem_calloc(1, sizeof(*self));
    struct db_lane *lane = env->lanes[route->lane];
    size_t error_at;
    struct str names[ROUTE_MAX_CAPTURES];
    *self = (struct handler_sql){
        .super = {.handle = handle, .free = dispose},
        .route = route,
        .buffer = env->conf->limits.buffer,
        .part = env->conf->limits.buffer < STREAM_FULL ? env->conf->limits.buffer : STREAM_FULL,
        .lane = lane,
        .slices = env->slices,
        .readers = handler_sql_source(env->readers, lane),
    };
    find_names(self);
    self->statement = db_statement_new(lane, &(struct db_statement_conf){
                                                 .label = route->label,
                                                 .statement = &route->statement,
                                                 .deadline = route->deadline,
                                                 .want = wanted(self),
                                                 .streams = route->answer == CONF_ANSWER_ROWS,
                                                 .merges = route->answer == CONF_ANSWER_ROW &&
                                                           !route->merge_off && route->statement.n_params > 0,
                                             });
    route_check_pattern(str_of(route->path), names, &self->n_captures, &error_at);
    return &self->super;
}
