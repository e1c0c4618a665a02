/* pipeline.c: what is in flight on a connection, and the server's messages, which answer it. */
#include "db/pipeline.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"

/* Flights */

static const char settings_name[] = "hayfork_settings";

/* The settings of the pipeline go in front of the flight, in its transaction. */
static void write_settings(struct db_flight *flight)
{
    struct db_pipeline *pipeline = flight->pipeline;
    flight->in_settings = true;
    flight->after_settings = flight->phase;
    flight->phase = pipeline->settings_parsed ? DB_AT_BIND : DB_AT_PARSE;
    if (!pipeline->settings_parsed)
        pgwire_parse(&pipeline->io.out, settings_name, pipeline->settings, NULL, 0);
    pipeline->settings_parsed = true;
    pgwire_execute(&pipeline->io.out, settings_name, NULL, 0, NULL);
}

void db_flight_begin(struct db_flight *flight, struct db_pipeline *pipeline, const struct db_flight_ops *ops,
                     struct db_statement *statement, enum db_phase phase)
{
    *flight = (struct db_flight){.pipeline = pipeline,
                                 .ops = ops,
                                 .statement = statement,
                                 .begins_at = db_io_position(&pipeline->io),
                                 .phase = phase};
    h2o_linklist_insert(&pipeline->flights, &flight->link);
    if (pipeline->n++ == 0) {
        db_env_wake(pipeline->env);
        pipeline->head_since = pipeline->heard_at = pipeline->env->now;
    }
    if (pipeline->settings != NULL)
        write_settings(flight);
}

void db_flight_add_close(struct db_flight *flight)
{
    flight->n_closes++;
}

void db_flight_set_alone(struct db_flight *flight)
{
    flight->alone = true;
    flight->pipeline->n_alone++;
}

void db_flight_set_prefix(struct db_flight *flight)
{
    flight->in_prefix = true;
    *(flight->in_settings ? &flight->after_settings : &flight->phase) = DB_AT_PARSE;
}

void db_flight_clear(struct db_flight *flight)
{
    struct db_pipeline *pipeline = flight->pipeline;
    h2o_linklist_unlink(&flight->link);
    pipeline->n--;
    pipeline->n_alone -= flight->alone;
    free(flight->error);
    if (flight->ops->describes) {
        db_description_drop(flight->told);
        db_fields_clear(&flight->fields);
    }
}

char *db_flight_take_error(struct db_flight *flight)
{
    char *error = flight->error;
    flight->error = NULL;
    return error;
}

static const char *failure(struct db_pipeline *pipeline, const char *format, va_list args)
{
    vsnprintf(pipeline->why, sizeof(pipeline->why), format, args);
    return pipeline->why;
}

const char *db_flight_failure(struct db_flight *flight, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *why = failure(flight->pipeline, format, args);
    va_end(args);
    return why;
}

/* The pipeline */

__attribute__((format(printf, 2, 3))) static const char *fail(struct db_pipeline *pipeline,
                                                              const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *why = failure(pipeline, format, args);
    va_end(args);
    return why;
}

void db_pipeline_init(struct db_pipeline *pipeline, struct db_env *env, const struct db_pipeline_ops *ops)
{
    *pipeline = (struct db_pipeline){.env = env, .ops = ops};
    h2o_linklist_init_anchor(&pipeline->flights);
}

bool db_pipeline_begin(struct db_pipeline *pipeline, PGconn *pg)
{
    db_parameters_begin(&pipeline->parameters, pg);
    return db_io_begin(&pipeline->io, pg);
}

void db_pipeline_close(struct db_pipeline *pipeline)
{
    db_io_dispose(&pipeline->io);
    db_parameters_clear(&pipeline->parameters);
    pipeline->settings = NULL;
    pipeline->paused = pipeline->ends = pipeline->settings_parsed = false;
}

void db_pipeline_set_settings(struct db_pipeline *pipeline, const char *sql)
{
    pipeline->settings = sql;
}

void db_pipeline_set_idle(struct db_pipeline *pipeline)
{
    pipeline->idle_since = pipeline->env->now;
}

void db_pipeline_pause(struct db_pipeline *pipeline)
{
    pipeline->paused = true;
    h2o_socket_read_stop(pipeline->io.socket);
}

void db_pipeline_go_on(struct db_pipeline *pipeline, h2o_socket_cb on_readable)
{
    pipeline->paused = false;
    db_env_wake(pipeline->env);
    pipeline->heard_at = pipeline->head_since = pipeline->env->now;
    h2o_socket_read_start(pipeline->io.socket, on_readable);
}

void db_pipeline_end(struct db_pipeline *pipeline, const char *why)
{
    size_t len = strlen(why);
    if (pipeline->ends)
        return;
    while (len > 0 && why[len - 1] == '\n')
        len--; /* libpq's messages end in one */
    if (len >= sizeof(pipeline->why))
        len = sizeof(pipeline->why) - 1;
    memmove(pipeline->why, why, len);
    pipeline->why[len] = '\0';
    pipeline->ends = true;
}

void db_pipeline_lose(struct db_pipeline *pipeline)
{
    while (!h2o_linklist_is_empty(&pipeline->flights)) {
        struct db_flight *last = H2O_STRUCT_FROM_MEMBER(struct db_flight, link, pipeline->flights.prev);
        last->ops->lost(last);
    }
}

/* Messages */

/* A session that is not as it began is given up: what a statement has set would apply to those of others. */
static const char *spoils(struct db_pipeline *pipeline, char status)
{
    if (status != 'I')
        return "a statement has left a transaction open in the session, which is closed";
    const char *changed = db_parameters_changed(&pipeline->parameters);
    if (changed != NULL)
        return fail(pipeline, "a statement has changed %s for the session, which is closed", changed);
    return NULL;
}

/* The Sync after the head has come: whatever it was answered with is now certain. */
static const char *on_ready_for_query(struct db_pipeline *pipeline, struct db_flight *head, char status)
{
    uint64_t now = pipeline->env->now, ms = now - pipeline->head_since;
    const struct db_flight_ops *ops = head->ops;
    if (head->error != NULL && db_session_is_shared(head->error))
        return db_session_shared; /* the flight is lost with the connection */
    const char *spoilt = spoils(pipeline, status);
    if (spoilt != NULL && ops->prefers_to_be_lost != NULL && ops->prefers_to_be_lost(head))
        return spoilt;
    pipeline->head_since = now;
    if (head->statement != NULL)
        pipeline->ops->head_ended(pipeline, head, ms);
    if (spoilt != NULL)
        db_pipeline_end(pipeline, spoilt);
    const char *failed = ops->end(head, spoilt != NULL);
    if (pipeline->n == 0)
        pipeline->idle_since = now;
    return failed;
}

/* Is it not yet the flight itself that is answered? */
static bool is_in_front(const struct db_flight *flight)
{
    return flight->in_settings || flight->in_prefix;
}

static const char *on_row(struct db_flight *flight, const struct pgwire_message *message)
{
    struct pgwire_row row;
    if (is_in_front(flight) || flight->misdescribed)
        return NULL;
    if (!pgwire_row(message, flight->n_columns, &row))
        return "PostgreSQL sent a row that is not well formed";
    return flight->ops->row(flight, message, row);
}

static bool is_fatal(const char *error)
{
    /* the severity that is not translated (PostgreSQL 9.6 and newer) */
    const char *severity = pgwire_error_field(error, PG_DIAG_SEVERITY_NONLOCALIZED);
    return strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0;
}

static const char *on_error(struct db_pipeline *pipeline, const struct pgwire_message *message)
{
    struct db_flight *flight = pipeline->n > 0 ? db_pipeline_head(pipeline) : NULL;
    if (!pgwire_is_error(message))
        return "PostgreSQL sent an error that is not well formed";
    if (is_fatal(message->body) || flight == NULL || flight->phase == DB_AT_FAILED)
        return fail(pipeline, "%s:  %s", pgwire_error_field(message->body, PG_DIAG_SEVERITY),
                    pgwire_error_field(message->body, PG_DIAG_MESSAGE_PRIMARY));
    flight->ran = flight->phase > DB_AT_BIND && !is_in_front(flight);
    flight->phase = DB_AT_FAILED;
    flight->error = mem_alloc(message->len);
    memcpy(flight->error, message->body, message->len);
    return NULL;
}

static const char *on_parameter(struct db_pipeline *pipeline, const struct pgwire_message *message)
{
    const char *name, *value;
    if (!pgwire_parameter(message, &name, &value))
        return "PostgreSQL sent a parameter that is not well formed";
    db_parameters_take(&pipeline->parameters, name, value);
    return NULL;
}

/* What a command says when it is complete. After it comes the next step of the same flight, or the Sync. */
static bool on_complete(struct db_flight *flight, const struct pgwire_message *message)
{
    if (flight->phase != DB_AT_ROWS || !pgwire_is_text(message))
        return false;
    if (flight->in_settings) {
        flight->in_settings = false;
        flight->phase = flight->after_settings;
        return true;
    }
    if (flight->in_prefix) {
        flight->in_prefix = false;
        flight->phase = DB_AT_BIND;
        return true;
    }
    size_t len = message->len < sizeof(flight->tag) ? message->len : sizeof(flight->tag) - 1;
    memcpy(flight->tag, message->body, len);
    flight->phase = DB_AT_END;
    return true;
}

/* What is described is kept until the Sync. */
static bool on_description(struct db_flight *flight, const struct pgwire_message *message)
{
    if (message->type == PGWIRE_PARAMETER_DESCRIPTION && flight->phase == DB_AT_TYPES) {
        flight->told = db_description_new(message);
        flight->phase = DB_AT_FIELDS;
        return flight->told != NULL;
    }
    if (message->type == PGWIRE_PARAMETER_DESCRIPTION)
        return false;
    if (flight->phase == DB_AT_ROWS && flight->expects != 0 && !is_in_front(flight)) {
        flight->misdescribed = db_fields_digest(message) != flight->expects;
        return true;
    }
    if (flight->phase != DB_AT_FIELDS)
        return false;
    flight->phase = DB_AT_END;
    return db_description_take_fields(flight->told, message, &flight->fields);
}

/* Steps from one phase to the next, at a message without a body. */
static bool step(struct db_flight *flight, const struct pgwire_message *message, enum db_phase from,
                 enum db_phase to)
{
    if (flight->phase != from)
        return false;
    flight->phase = to;
    return message->len == 0;
}

static bool on_close_complete(struct db_flight *flight, const struct pgwire_message *message)
{
    if (flight->phase != DB_AT_PARSE || flight->n_closes == 0)
        return false;
    flight->n_closes--;
    return message->len == 0;
}

static bool on_parse_complete(struct db_flight *flight, const struct pgwire_message *message)
{
    bool is_described = flight->ops->describes && !is_in_front(flight);
    flight->parsed |= !is_in_front(flight);
    return step(flight, message, DB_AT_PARSE, is_described ? DB_AT_TYPES : DB_AT_BIND);
}

static const char *out_of_order(struct db_pipeline *pipeline, const struct pgwire_message *message)
{
    return fail(pipeline, "PostgreSQL sent something out of order (a message of type %d)", message->type);
}

/* A message that answers the head. */
static const char *take_answer(struct db_pipeline *pipeline, struct db_flight *flight,
                               const struct pgwire_message *message)
{
    bool good = false;
    switch ((enum pgwire_type)message->type) {
    case PGWIRE_PARSE_COMPLETE:
        good = on_parse_complete(flight, message);
        break;
    case PGWIRE_CLOSE_COMPLETE:
        good = on_close_complete(flight, message);
        break;
    case PGWIRE_BIND_COMPLETE:
        good = step(flight, message, DB_AT_BIND, DB_AT_ROWS);
        break;
    case PGWIRE_DATA_ROW:
        if (flight->phase == DB_AT_ROWS)
            return on_row(flight, message);
        break;
    case PGWIRE_COMMAND_COMPLETE:
        good = on_complete(flight, message);
        break;
    case PGWIRE_EMPTY_QUERY:
        good = !is_in_front(flight) && step(flight, message, DB_AT_ROWS, DB_AT_END);
        break;
    case PGWIRE_PARAMETER_DESCRIPTION:
    case PGWIRE_ROW_DESCRIPTION:
    case PGWIRE_NO_DATA:
        good = on_description(flight, message);
        break;
    case PGWIRE_READY:
        if (message->len == 1 && (flight->phase == DB_AT_END || flight->phase == DB_AT_FAILED))
            return on_ready_for_query(pipeline, flight, message->body[0]);
        break;
    default:
        break;
    }
    return good ? NULL : out_of_order(pipeline, message);
}

static const char *take_message(struct db_pipeline *pipeline, const struct pgwire_message *message)
{
    switch ((enum pgwire_type)message->type) {
    case PGWIRE_ERROR:
        return on_error(pipeline, message);
    case PGWIRE_NOTICE:
        if (pgwire_is_error(message)) /* the database owner's business */
            log_debug("PostgreSQL: %s", pgwire_error_field(message->body, PG_DIAG_MESSAGE_PRIMARY));
        return NULL;
    case PGWIRE_PARAMETER_STATUS:
        return on_parameter(pipeline, message);
    case PGWIRE_NOTIFICATION:
        return NULL;
    default:
        return pipeline->n == 0 ? out_of_order(pipeline, message)
                                : take_answer(pipeline, db_pipeline_head(pipeline), message);
    }
}

void db_pipeline_take(struct db_pipeline *pipeline)
{
    struct pgwire_message message;
    enum pgwire_got got = PGWIRE_MESSAGE;
    while (!pipeline->paused && !pipeline->ends &&
           (got = db_io_next(&pipeline->io, &message)) == PGWIRE_MESSAGE) {
        const char *failed = take_message(pipeline, &message);
        if (failed != NULL)
            db_pipeline_end(pipeline, failed);
    }
    if (got == PGWIRE_GARBAGE)
        db_pipeline_end(pipeline, "PostgreSQL sent a message of an impossible length");
}

void db_pipeline_read(struct db_pipeline *pipeline)
{
    enum db_io_result result;
    do {
        result = db_io_read(&pipeline->io);
        if (result == DB_IO_DONE) {
            pipeline->heard_at = pipeline->env->now;
            db_pipeline_take(pipeline);
        }
    } while (result == DB_IO_DONE && db_io_has_more(&pipeline->io) && !pipeline->paused);
    if (result == DB_IO_ENDED)
        db_pipeline_end(pipeline, "the server closed the connection unexpectedly");
    else if (result == DB_IO_FAILED)
        db_pipeline_end(pipeline, strerror(errno));
}
