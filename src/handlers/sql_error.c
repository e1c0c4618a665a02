/* sql_error.c: what PostgreSQL's errors mean for a client (PostgreSQL 15, appendix A). */
#include "handlers/sql_error.h"

#include <ctype.h>
#include <inttypes.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>

#include "base/complain.h"
#include "base/mem.h"
#include "base/utf8.h"

/* Bytes of PostgreSQL's texts that the log gets. */
enum { MOST_OF_MESSAGE = 400, MOST_OF_DETAIL = 200 };

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
    {"22012", 400, "This divides by zero.", false},
    {"22023", 400, "A value is not valid.", false},
    {"22", 400, "A value cannot be used here.", false},
    {"23505", 409, "There is a row with such a value already.", true},
    {"23P01", 409, "This is in conflict with another row.", true},
    {"23503", 409, "This refers to a row that does not exist, or removes one that others refer to.", true},
    {"23514", 422, "A value breaks a rule of the table.", true},
    {"23502", 422, "A required value is missing.", false},
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
 * The length of a text without a value in quotes at its end. Within the quotes two stand for one, so of those
 * that stand together the first one opens the value if their number is odd; before the end it is even.
 */
static size_t without_value(const char *text, size_t len)
{
    bool is_end = true;
    if (len == 0 || text[len - 1] != '\'')
        return len;
    for (size_t at = len; at > 0;) {
        size_t run = 0;
        while (run < at && text[at - run - 1] == '\'')
            run++;
        at -= run;
        if (run > 0 && (run % 2 == 0) == is_end)
            return at;
        is_end = false;
        while (at > 0 && text[at - 1] != '\'')
            at--;
    }
    return len;
}

/*
 * The number of the parameter whose value could not be taken, or 0. The last line of the context says so, in
 * the language of the server's messages: "unnamed portal parameter $1", perhaps with " = '...'" or the value
 * after it (PostgreSQL 15, section 20.8, log_parameter_max_length_on_error). No other line ends so: those
 * about functions have quotes or brackets.
 */
static size_t parameter_at_fault(const struct db_result *result)
{
    const char *context = pgwire_error_field(result->error, PG_DIAG_CONTEXT);
    size_t end = without_value(context, strlen(context)), begin = end;
    if (result->ran)
        return 0; /* then such a line has all parameters */
    while (begin > 0 && context[begin - 1] != '\n')
        begin--;
    size_t at = begin;
    while (at < end && !isdigit((unsigned char)context[at]))
        at++;
    size_t digits = strspn(context + at, "0123456789");
    for (size_t i = begin; i < end; i++) {
        bool is_other_number = isdigit((unsigned char)context[i]) && (i < at || i >= at + digits);
        if (is_other_number || strchr(":'\"()", context[i]) != NULL)
            return 0;
    }
    return digits == 0 || digits > 4 ? 0 : (size_t)atoi(context + at);
}

/* RAISE with a SQLSTATE of the form PTnnn asks for that status. */
static int status_asked_for(const char *state)
{
    if (strncmp(state, "PT", 2) != 0 || (state[2] != '4' && state[2] != '5') ||
        !isdigit((unsigned char)state[3]) || !isdigit((unsigned char)state[4]))
        return 0;
    return atoi(state + 2);
}

static const char *kept(struct sql_call *call, const char *text)
{
    return arena_copy(&call->sink->arena, str_of(text));
}

static bool has_values_of_client(const struct sql_call *call)
{
    for (size_t i = 0; i < call->route->conf->statement.n_params; i++) {
        if (sql_values_are_clients(&call->values, i))
            return true;
    }
    return false;
}

static bool is_class(const char *state, const char *class)
{
    return strncmp(state, class, 2) == 0;
}

/*
 * Is it about names or syntax? They may stand in a value: a tsquery, the name of a configuration. Privileges
 * and types that do not match do not.
 */
static bool is_about_name(const char *state)
{
    return is_class(state, "3F") ||
           (is_class(state, "42") && strcmp(state, "42501") != 0 && strcmp(state, "42804") != 0);
}

/* Is it about what a value says, and not about rights, resources or PostgreSQL itself? */
static bool is_about_value(const char *state)
{
    return is_class(state, "22") || is_class(state, "54") || is_about_name(state);
}

/* Was the statement refused by itself, whatever the values? Then the schema has changed. */
static bool fell(const struct db_result *result, const char *state)
{
    return !result->ran && !result->stands && (is_about_value(state) || is_class(state, "23"));
}

/*
 * What an error means that names no parameter. The request may be to blame if it brought a value and the
 * statement itself stands; but not where PostgreSQL quotes the SQL that it could not take: that is a
 * function's.
 */
static const struct meaning *meaning_for(const struct sql_call *call, const struct db_result *result)
{
    const char *state = pgwire_error_field(result->error, PG_DIAG_SQLSTATE);
    bool quotes = pgwire_error_field(result->error, PG_DIAG_INTERNAL_QUERY)[0] != '\0';
    if (fell(result, state))
        return meaning_of("");
    if (is_class(state, "22"))
        return meaning_of(has_values_of_client(call) ? state : "");
    if (is_class(state, "54")) /* too long, too large, nested too deeply */
        return meaning_of(has_values_of_client(call) ? "22" : "");
    if (is_about_name(state))
        return meaning_of(result->stands && !quotes && has_values_of_client(call) ? "22" : "");
    return meaning_of(state);
}

/* A value that PostgreSQL could not take for the parameter that it names: the client's mistake. */
static void refuse_value(struct sql_call *call, size_t number, const char *state)
{
    const char *name = call->route->conf->statement.names[number - 1];
    const char *labels =
        strcmp(state, "22P02") == 0 ? db_statement_labels(call->route->statement, number - 1) : NULL;
    const char *detail = labels == NULL
                             ? arena_printf(&call->sink->arena, "%s is not a value of its type.", name)
                             : arena_printf(&call->sink->arena, "%s must be one of: %s", name, labels);
    sql_call_refuse(call, (struct problem){.status = 400, .detail = detail, .parameter = name});
}

/* The parameter that a column without a value belongs to, where they have the same name. */
static const char *parameter_named(const struct sql_call *call, const char *column)
{
    const struct conf_route *conf = call->route->conf;
    for (size_t i = 0; i < conf->statement.n_params; i++) {
        if (strcmp(conf->statement.names[i], column) == 0)
            return conf->statement.names[i];
    }
    for (size_t i = 0; i < conf->n_body_fields; i++) {
        if (strcmp(conf->body_fields[i], column) == 0)
            return conf->body_fields[i];
    }
    return NULL;
}

static const char *advice_of(const struct sql_call *call, const char *state)
{
    if (strcmp(state, "25006") == 0 && db_lane_only_reads(call->route->lane))
        return "; GET runs in a read-only session: use POST, or `lane: write`";
    if (strcmp(state, "25006") == 0)
        return "; is default_transaction_read_only set for the role or the database, or is it a standby?";
    return strcmp(state, "42501") == 0 ? "; is a GRANT missing?" : "";
}

/* What a client can cause may as well be a row of the tables that breaks: someone should look at it.
 */
static enum log_level level_of(const char *state, int status)
{
    if (status >= 500 || status == 403)
        return LOG_LEVEL_ERROR;
    return status == 400 && is_about_value(state) ? LOG_LEVEL_WARN : LOG_LEVEL_INFO;
}

/* A field of the error for the log, which may hold a client's value or a whole row: its beginning will do. */
static char *beginning_of(const char *error, char field, size_t most)
{
    struct str text = str_of(pgwire_error_field(error, field)), cut = utf8_cut(text, most);
    return mem_printf("%.*s%s", (int)cut.len, cut.base, cut.len < text.len ? "…" : "");
}

static void log_it(const struct sql_call *call, const char *error, const char *state, int status)
{
    char *about = mem_printf("%s: %d: SQLSTATE %s", call->sink->route, status, state);
    char *message = beginning_of(error, PG_DIAG_MESSAGE_PRIMARY, MOST_OF_MESSAGE);
    char *detail = beginning_of(error, PG_DIAG_MESSAGE_DETAIL, MOST_OF_DETAIL);
    complain(level_of(state, status), about, "%s: %s%s%s%s (request %s)", about, message,
             detail[0] == '\0' ? "" : ": ", detail, advice_of(call, state), sink_request_id(call->sink));
    free(about);
    free(message);
    free(detail);
}

void sql_error_broke_off(const struct sql_call *call, enum db_outcome outcome, const char *error)
{
    struct sink *sink = call->sink;
    if (outcome == DB_REJECTED) {
        const char *state = pgwire_error_field(error, PG_DIAG_SQLSTATE);
        char *message = beginning_of(error, PG_DIAG_MESSAGE_PRIMARY, MOST_OF_MESSAGE);
        char *about = mem_printf("%s: broke off: %s", sink->route, state);
        complain(LOG_LEVEL_ERROR, about, "%s: broke off after %" PRIu64 " rows: SQLSTATE %s: %s (request %s)",
                 sink->route, call->rows.n, state, message, sink_request_id(sink));
        free(about);
        free(message);
    } else {
        const char *why = outcome == DB_UNREADABLE ? "a type has changed since its statement was prepared"
                                                   : "the connection to the database was lost";
        char *about = mem_printf("%s: broke off: %s", sink->route, why);
        complain(LOG_LEVEL_ERROR, about, "%s: broke off after %" PRIu64 " rows: %s (request %s)", sink->route,
                 call->rows.n, why, sink_request_id(sink));
        free(about);
    }
}

void sql_error_unreadable(struct sql_call *call)
{
    struct sink *sink = call->sink;
    char *about = mem_printf("%s: unreadable", sink->route);
    complain(LOG_LEVEL_ERROR, about,
             "%s: 500: a type has changed since its statement was prepared; what it did is done (request "
             "%s)",
             sink->route, sink_request_id(sink));
    free(about);
    sql_call_refuse(call, (struct problem){.status = 500,
                                           .detail = "This was done, but its answer cannot be shown: the "
                                                     "database's types have just changed."});
}

void sql_error_send(struct sql_call *call, const struct db_result *result)
{
    const char *error = result->error, *state = pgwire_error_field(error, PG_DIAG_SQLSTATE);
    size_t number = parameter_at_fault(result);
    bool is_named = number >= 1 && number <= call->route->conf->statement.n_params &&
                    sql_values_are_clients(&call->values, number - 1);
    if (is_named && result->stands && is_about_value(state)) {
        refuse_value(call, number, state);
        return;
    }
    const struct meaning *meaning = meaning_for(call, result);
    struct problem problem = {.status = meaning->status, .detail = meaning->detail};
    if (strcmp(state, "P0001") == 0 || status_asked_for(state) != 0) {
        problem.status = strcmp(state, "P0001") == 0 ? 400 : status_asked_for(state);
        problem.detail = kept(call, pgwire_error_field(error, PG_DIAG_MESSAGE_PRIMARY));
    }
    const char *constraint = pgwire_error_field(error, PG_DIAG_CONSTRAINT_NAME);
    if (meaning->names_constraint && constraint[0] != '\0')
        problem.constraint = kept(call, constraint);
    if (is_named && problem.status < 500)
        problem.parameter = call->route->conf->statement.names[number - 1];
    else if (strcmp(state, "23502") == 0)
        problem.parameter = parameter_named(call, pgwire_error_field(error, PG_DIAG_COLUMN_NAME));
    log_it(call, error, state, problem.status);
    sql_call_refuse(call, problem);
}
