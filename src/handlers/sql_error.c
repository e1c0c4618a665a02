/* sql_error.c: what PostgreSQL's errors mean for a client (PostgreSQL 15, appendix A). */
#include <ctype.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <stdlib.h>

#include "handlers/sql_private.h"
#include "base/log.h"

struct meaning {
    const char *state; /* an SQLSTATE, or the beginning that several have in common */
    int status;
    const char *detail;
    bool names_constraint;
};

/* The first one that fits. */
static const struct meaning meanings[] = {
    {"22001", 400, "A value is too long.", false},
    {"22003", 400, "A number is out of range.", false},
    {"22007", 400, "A date or time is not valid.", false},
    {"22008", 400, "A date or time is out of range.", false},
    {"22P02", 400, "A value is not of its type.", false},
    {"22023", 400, "A value is not valid.", false},
    {"23505", 409, "There is a row with such a value already.", true},
    {"23P01", 409, "This is in conflict with another row.", true},
    {"23503", 409, "This names a row that is not there, or takes one away that others name.", true},
    {"23514", 422, "A value breaks a rule of the table.", true},
    {"23502", 422, "A value that is needed is missing.", false},
    {"23", 409, "This breaks a rule of the table.", true},
    {"42501", 403, "This is not allowed.", false},
    {"57014", 504, "The database did not answer in time.", false},
    {"40001", 503, "The database was busy with the same rows; nothing was changed.", false},
    {"40P01", 503, "The database was busy with the same rows; nothing was changed.", false},
    {"08", 503, "The database could not do this now; nothing was changed.", false},
    {"53", 503, "The database could not do this now; nothing was changed.", false},
    {"57P", 503, "The database could not do this now; nothing was changed.", false},
    {"55P03", 503, "The database was busy with the same rows; nothing was changed.", false},
    {"", 500, "The database could not answer this.", false},
};

static const struct meaning *meaning_of(const char *state)
{
    const struct meaning *meaning = meanings;
    while (strncmp(state, meaning->state, strlen(meaning->state)) != 0)
        meaning++;
    return meaning;
}

/*
 * The number of the parameter whose value could not be taken, or 0. The context says "unnamed portal
 * parameter $1 = '…'", in the language of the server's messages: what counts is that a $ and digits come
 * before anything that could be quoted from a statement or a value.
 */
static size_t parameter_at_fault(const char *error)
{
    const char *context = pgwire_error_field(error, PG_DIAG_CONTEXT);
    const char *dollar = context + strcspn(context, "$\"'(=\n");
    return *dollar == '$' ? strtoul(dollar + 1, NULL, 10) : 0;
}

/* RAISE with a SQLSTATE of the form PTnnn asks for that status. */
static int status_asked_for(const char *state)
{
    if (strncmp(state, "PT", 2) != 0 || (state[2] != '4' && state[2] != '5') ||
        !isdigit((unsigned char)state[3]) || !isdigit((unsigned char)state[4]))
        return 0;
    return atoi(state + 2);
}

static const char *kept(struct call *call, const char *text)
{
    return arena_copy(&call->sink->arena, str_of(text));
}

/* The number of the parameter that is the whole body, whose fields PostgreSQL takes apart; 0 if there is
 * none. */
static size_t body_parameter(const struct conf_route *route)
{
    for (size_t i = 0; i < route->statement.n_params; i++) {
        if (route->params[i].source == PARAMS_BODY_AS)
            return i + 1;
    }
    return 0;
}

/* A value that PostgreSQL could not take for its parameter (class 22): the client's mistake, if it has a
 * name. */
static bool refuse_value(struct call *call, const char *error)
{
    const struct sql_statement *statement = &call->handler->route->statement;
    size_t number = parameter_at_fault(error);
    if (number == 0 || number > statement->n_params)
        number = body_parameter(call->handler->route);
    if (number == 0)
        return false;
    const char *name = statement->names[number - 1];
    const char *detail = arena_printf(&call->sink->arena, "%s is not a value of its type.", name);
    handler_sql_refuse(call, (struct problem){.status = 400, .detail = detail, .parameter = name});
    return true;
}

/* The parameter that a column without a value belongs to, where they have the same name. */
static const char *parameter_named(const struct call *call, const char *column)
{
    const struct conf_route *route = call->handler->route;
    for (size_t i = 0; i < route->statement.n_params; i++) {
        if (strcmp(route->statement.names[i], column) == 0)
            return route->statement.names[i];
    }
    for (size_t i = 0; i < route->n_body_fields; i++) {
        if (strcmp(route->body_fields[i], column) == 0)
            return route->body_fields[i];
    }
    return NULL;
}

static void log_it(const struct call *call, const char *error, const char *state, int status)
{
    void (*log_line)(const char *, ...) = status >= 500 || status == 403 ? log_errorx : log_info;
    const char *detail = pgwire_error_field(error, PG_DIAG_MESSAGE_DETAIL);
    const char *advice = "";
    if (strcmp(state, "25006") == 0)
        advice = "; GET runs in a read-only session: use POST, or `lane: write`";
    else if (strcmp(state, "42501") == 0)
        advice = "; is a GRANT missing?";
    log_line("%s: %d: SQLSTATE %s: %s%s%s%s (request %016" PRIx64 ")", call->sink->route, status, state,
             pgwire_error_field(error, PG_DIAG_MESSAGE_PRIMARY), detail[0] == '\0' ? "" : ": ", detail,
             advice, sink_request_id(call->sink));
}

void handler_sql_log_error(struct call *call, const char *error)
{
    log_errorx("%s: broke off after %" PRIu64 " rows: SQLSTATE %s: %s (request %016" PRIx64 ")",
               call->sink->route, call->n_rows, pgwire_error_field(error, PG_DIAG_SQLSTATE),
               pgwire_error_field(error, PG_DIAG_MESSAGE_PRIMARY), sink_request_id(call->sink));
}

void handler_sql_error(struct call *call, const char *error)
{
    const char *state = pgwire_error_field(error, PG_DIAG_SQLSTATE);
    if (strncmp(state, "22", 2) == 0 && strcmp(state, "22012") != 0 && refuse_value(call, error))
        return;
    const struct meaning *meaning = meaning_of(state);
    /* where the client gave no value, it is one of the tables' own that cannot be taken */
    if (strncmp(state, "22", 2) == 0 && call->handler->route->statement.n_params == 0)
        meaning = meaning_of("");
    struct problem problem = {.status = meaning->status, .detail = meaning->detail};
    if (strcmp(state, "P0001") == 0 || status_asked_for(state) != 0) {
        problem.status = strcmp(state, "P0001") == 0 ? 400 : status_asked_for(state);
        problem.detail = kept(call, pgwire_error_field(error, PG_DIAG_MESSAGE_PRIMARY));
    }
    const char *constraint = pgwire_error_field(error, PG_DIAG_CONSTRAINT_NAME);
    if (meaning->names_constraint && constraint[0] != '\0')
        problem.constraint = kept(call, constraint);
    if (strcmp(state, "23502") == 0)
        problem.parameter = parameter_named(call, pgwire_error_field(error, PG_DIAG_COLUMN_NAME));
    log_it(call, error, state, problem.status);
    handler_sql_refuse(call, problem);
}
