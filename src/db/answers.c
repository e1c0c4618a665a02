/* answers.c: the server's messages, as answers to what is in flight. */
#include <string.h>

#include "db/db_private.h"
#include "db/session.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"

static void wrong_order(struct db_connection *connection, const struct pgwire_message *message)
{
    db_connection_fail(connection, "PostgreSQL sent something out of order (a message of type %d)",
                       message->type);
}

/*
 * The tables have changed since the statement was prepared: its result would be another. PostgreSQL finds
 * that out before it executes anything, so the query may go back to the queue while its statement is prepared
 * again, once.
 */
static bool is_outdated(const struct db_flight *flight)
{
    return !flight->query->refreshed && !flight->gave_rows &&
           pgwire_error_is(flight->error, "0A000", "RevalidateCachedQuery");
}

/*
 * It was found out meanwhile that the tables have changed, and perhaps that was before this query was
 * executed. What cannot have done anything is asked again, once, unless its rows are on their way to the
 * client.
 */
static bool is_overtaken(const struct db_flight *flight, const struct db_query *query)
{
    bool is_undone = flight->connection->read_only || (flight->error != NULL && !flight->ran);
    return is_undone && !query->refreshed && !query->streaming;
}

static void ask_again(struct db_flight *flight, struct db_query *query)
{
    query->refreshed = true;
    db_leave(query);
    if (flight->gave_rows)
        query->asker->again(query->owner);
    db_wait_again(query);
}

static void ask_overtaken_again(struct db_flight *flight)
{
    for (size_t i = flight->n_queries; i-- > 0;) {
        if (flight->queries[i] != NULL && is_overtaken(flight, flight->queries[i]))
            ask_again(flight, flight->queries[i]);
    }
}

static void refresh(struct db_connection *connection, struct db_flight *flight)
{
    ask_again(flight, flight->query);
    db_refresh(connection, flight->statement);
}

/* It has failed, so it has not done anything; but only what reads is asked again without being told to. */
static void renew(struct db_flight *flight)
{
    struct db_query *query = flight->query;
    query->renewed = true;
    if (flight->connection->read_only && !query->streaming) {
        ask_again(flight, query);
    } else {
        db_leave(query);
        db_query_end(query, DB_NOT_SENT, NULL);
    }
}

static void tell(struct db_flight *flight)
{
    struct db_query *query = flight->query;
    struct db_answer answer = {.columns = flight->description->columns,
                               .tag = flight->tag,
                               .error = flight->error,
                               .ran = flight->ran,
                               .stands = query->settled};
    flight->query = NULL;
    db_query_end(query,
                 flight->error != NULL ? DB_REJECTED
                 : query->misread      ? DB_UNREADABLE
                                       : DB_OK,
                 &answer);
}

/* A session that is not as it began is given up: what a statement has set would apply to those of others. */
static bool is_spoilt(struct db_connection *connection, char status)
{
    if (status != 'I') {
        db_connection_fail(connection,
                           "a statement has left a transaction open in the session, which is closed");
        return true;
    }
    for (size_t i = 0; i < DB_SESSION_PARAMETERS; i++) {
        if (connection->changed[i]) {
            db_connection_fail(connection, "a statement has changed %s for the session, which is closed",
                               db_session_parameter_name(i));
            return true;
        }
    }
    return false;
}

/* A query, or several as one, was answered. */
static void end_queries(struct db_connection *connection, struct db_flight *flight, bool spoilt, uint64_t ran)
{
    if (flight->generation != flight->statement->generation)
        ask_overtaken_again(flight);
    if (db_is_merged(flight)) {
        db_merge_learn(flight, ran);
        db_merge_end(flight);
        return;
    }
    db_spill_learn(flight->statement, ran);
    if (flight->query == NULL)
        return;
    if (spoilt) { /* perhaps this very answer is in another encoding */
        struct db_query *query = flight->query;
        flight->query = NULL;
        db_query_end(query, DB_LOST, NULL);
    } else if (flight->error == NULL && flight->query->kept != NULL) {
        db_doubt(flight->query, DB_MISREAD, flight);
    } else if (flight->error == NULL) {
        tell(flight);
    } else if (is_outdated(flight)) {
        refresh(connection, flight);
    } else if (!flight->query->renewed && db_renew(connection, flight->error)) {
        renew(flight);
    } else if (db_doubts(flight)) {
        db_doubt(flight->query, flight->ran ? DB_FAILED : DB_REFUSED, flight);
    } else {
        tell(flight);
    }
}

/* The Sync after the head has come: whatever it was answered with is now certain. */
static void on_ready_for_query(struct db_connection *connection, struct db_flight *flight, char status)
{
    struct db_lane *lane = connection->lane;
    uint64_t ran = lane->now - connection->head_since;
    bool spoilt = is_spoilt(connection, status);
    if (flight->error != NULL && db_session_is_shared(flight->error)) {
        db_session_fail_shared(connection);
        return; /* it is taken back with the connection */
    }
    bool may_ask_again = db_is_merged(flight) || (flight->query != NULL && !flight->query->again);
    if (spoilt && connection->read_only && may_ask_again)
        return; /* likewise: perhaps it was not this one */
    connection->head_since = lane->now;
    if (flight->statement != NULL)
        db_spill_release(connection, flight->statement, ran);
    switch (flight->kind) {
    case FLIGHT_QUERIES:
        end_queries(connection, flight, spoilt, ran);
        break;
    case FLIGHT_LOOKS:
        db_session_looked(connection, flight->error);
        break;
    case FLIGHT_PREPARES:
        db_on_prepared(connection, flight);
        break;
    case FLIGHT_TYPES:
        db_types_answered(connection, flight);
        break;
    case FLIGHT_SCHEMA:
        db_schema_looked(connection, flight->error);
        break;
    case FLIGHT_CHECKS:
        db_doubts_checked(connection, flight);
        break;
    case FLIGHT_PROBES:
        db_merge_asked(connection, flight);
        break;
    case FLIGHT_PREPARES_MERGED:
        db_merge_prepared(connection, flight);
        break;
    }
    db_flight_free(flight);
    if (connection->n_in_flight == 0)
        connection->idle_since = lane->now;
    if (connection->n_in_flight == 0 && connection->retires)
        db_connection_retire(connection);
}

static size_t columns_in_flight(const struct db_flight *flight)
{
    if (flight->kind == FLIGHT_LOOKS)
        return DB_SESSION_LOOK_COLUMNS;
    if (flight->kind == FLIGHT_TYPES)
        return PGCATALOGUE_COLUMNS;
    if (flight->kind == FLIGHT_SCHEMA)
        return DB_SCHEMA_COLUMNS;
    if (flight->kind == FLIGHT_PROBES || flight->in_prefix)
        return 1;
    return pgjson_values(flight->description->columns) + db_is_merged(flight);
}

/* Rows after one that was misread are of no use; and who has misread it may not be there any more. */
static void give_row(struct db_flight *flight, const struct pgwire_message *message, struct pgwire_row row)
{
    struct db_query *query = flight->query;
    if (query->misread)
        return;
    flight->gave_rows = true;
    query->asker->row(query->owner, flight->description->columns, row);
    if (flight->query != NULL && query->misread)
        db_misread_keep(query, message);
}

static void on_row(struct db_connection *connection, struct db_flight *flight,
                   const struct pgwire_message *message)
{
    struct pgwire_row row;
    if (!pgwire_row(message, columns_in_flight(flight), &row)) {
        db_connection_fail(connection, "PostgreSQL sent a row that is not well formed");
    } else if (flight->kind == FLIGHT_LOOKS) {
        db_session_seen(connection, row);
    } else if (flight->kind == FLIGHT_TYPES) {
        if (!db_types_take(flight, row))
            db_connection_fail(connection, "PostgreSQL's catalogue has a type that cannot be read");
    } else if (flight->kind == FLIGHT_SCHEMA) {
        if (!db_schema_take(connection->lane, row))
            db_connection_fail(connection, "PostgreSQL sent a number for a word that nobody has asked for");
    } else if (flight->kind == FLIGHT_PROBES) {
        db_merge_probed(flight, row);
    } else if (db_is_merged(flight)) {
        if (!db_merge_row(flight, row))
            db_connection_fail(connection, "PostgreSQL sent a row that was not asked for");
    } else if (!flight->in_prefix && flight->query != NULL) {
        give_row(flight, message, row);
    }
}

static bool is_fatal(const char *error)
{
    /* the severity that is not translated (PostgreSQL 9.6 and newer) */
    const char *severity = pgwire_error_field(error, PG_DIAG_SEVERITY_NONLOCALIZED);
    return strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0;
}

static void on_error(struct db_connection *connection, const struct pgwire_message *message)
{
    struct db_flight *flight = connection->n_in_flight > 0 ? db_head(connection) : NULL;
    if (!pgwire_is_error(message)) {
        db_connection_fail(connection, "PostgreSQL sent an error that is not well formed");
    } else if (is_fatal(message->body) || flight == NULL || flight->phase == AT_FAILED) {
        db_connection_fail(connection, "%s:  %s", pgwire_error_field(message->body, PG_DIAG_SEVERITY),
                           pgwire_error_field(message->body, PG_DIAG_MESSAGE_PRIMARY));
    } else {
        flight->ran = flight->phase > AT_BIND && !flight->in_prefix;
        flight->phase = AT_FAILED;
        flight->error = mem_alloc(message->len);
        memcpy(flight->error, message->body, message->len);
    }
}

static void on_parameter(struct db_connection *connection, const struct pgwire_message *message)
{
    const char *name, *value;
    if (!pgwire_parameter(message, &name, &value)) {
        db_connection_fail(connection, "PostgreSQL sent a parameter that is not well formed");
        return;
    }
    for (size_t i = 0; i < DB_SESSION_PARAMETERS; i++) {
        if (strcmp(db_session_parameter_name(i), name) == 0)
            connection->changed[i] =
                connection->parameters[i] == NULL || strcmp(connection->parameters[i], value) != 0;
    }
}

/* What a command says when it is complete. Behind it comes the next step of the same flight, or the Sync. */
static bool on_complete(struct db_flight *flight, const struct pgwire_message *message)
{
    if (flight->phase != AT_ROWS || !pgwire_is_text(message))
        return false;
    if (flight->in_prefix) {
        flight->in_prefix = false;
        flight->phase = AT_BIND;
        return true;
    }
    size_t len = message->len < sizeof(flight->tag) ? message->len : sizeof(flight->tag) - 1;
    memcpy(flight->tag, message->body, len);
    flight->phase = AT_END;
    return true;
}

/* What a preparation describes is kept until its Sync. */
static bool on_description(struct db_flight *flight, const struct pgwire_message *message)
{
    if (message->type == PGWIRE_PARAMETER_DESCRIPTION && flight->phase == AT_TYPES) {
        flight->told = mem_calloc(1, sizeof(*flight->told));
        flight->told->references = 1;
        flight->told->digest = hash_64_bytes(HASH_64, message->body, message->len);
        flight->phase = AT_FIELDS;
        return pgwire_types(message, &flight->told->types, &flight->told->n_types);
    }
    if (flight->phase != AT_FIELDS)
        return false;
    flight->phase = AT_END;
    flight->told->digest = hash_64_bytes(flight->told->digest, message->body, message->len);
    if (message->type == PGWIRE_NO_DATA)
        return message->len == 0;
    flight->fields_text = mem_alloc(message->len + 1);
    memcpy(flight->fields_text, message->body, message->len);
    struct pgwire_message kept = {message->type, flight->fields_text, message->len};
    return pgwire_fields(&kept, &flight->fields, &flight->n_fields);
}

static bool describes(const struct db_flight *flight)
{
    return flight->kind == FLIGHT_PREPARES || flight->kind == FLIGHT_PREPARES_MERGED ||
           flight->kind == FLIGHT_CHECKS;
}

/* A message that answers the head. False where it may not come now. */
static bool take_answer(struct db_connection *connection, struct db_flight *flight,
                        const struct pgwire_message *message)
{
    switch ((enum pgwire_type)message->type) {
    case PGWIRE_PARSE_COMPLETE:
        if (flight->phase != AT_PARSE)
            return false;
        flight->phase = describes(flight) ? AT_TYPES : AT_BIND;
        connection->knows_schema |= flight->kind == FLIGHT_SCHEMA;
        return message->len == 0;
    case PGWIRE_CLOSE_COMPLETE:
        return flight->kind == FLIGHT_PREPARES && flight->phase == AT_PARSE && message->len == 0;
    case PGWIRE_BIND_COMPLETE:
        if (flight->phase != AT_BIND)
            return false;
        flight->phase = AT_ROWS;
        return message->len == 0;
    case PGWIRE_DATA_ROW:
        if (flight->phase != AT_ROWS)
            return false;
        on_row(connection, flight, message);
        return true;
    case PGWIRE_COMMAND_COMPLETE:
        return on_complete(flight, message);
    case PGWIRE_EMPTY_QUERY:
        if (flight->phase != AT_ROWS || flight->in_prefix)
            return false;
        flight->phase = AT_END;
        return message->len == 0;
    case PGWIRE_PARAMETER_DESCRIPTION:
    case PGWIRE_ROW_DESCRIPTION:
    case PGWIRE_NO_DATA:
        return on_description(flight, message);
    case PGWIRE_READY:
        if (message->len != 1 || (flight->phase != AT_END && flight->phase != AT_FAILED))
            return false;
        on_ready_for_query(connection, flight, message->body[0]);
        return true;
    default:
        return false;
    }
}

static void take_message(struct db_connection *connection, const struct pgwire_message *message)
{
    switch ((enum pgwire_type)message->type) {
    case PGWIRE_ERROR:
        on_error(connection, message);
        break;
    case PGWIRE_NOTICE:
        if (pgwire_is_error(message)) /* the database owner's business */
            log_debug("PostgreSQL: %s", pgwire_error_field(message->body, PG_DIAG_MESSAGE_PRIMARY));
        break;
    case PGWIRE_PARAMETER_STATUS:
        on_parameter(connection, message);
        break;
    case PGWIRE_NOTIFICATION:
        break;
    default:
        if (connection->n_in_flight == 0 || !take_answer(connection, db_head(connection), message))
            wrong_order(connection, message);
        break;
    }
}

void db_take_messages(struct db_connection *connection)
{
    struct db_io *io = &connection->io;
    struct pgwire_message message;
    while (!connection->paused && !connection->ends) {
        enum pgwire_got got =
            pgwire_next(io->in + io->in_from, io->in_to - io->in_from, &message, &io->wants);
        if (got == PGWIRE_MORE)
            return;
        if (got == PGWIRE_GARBAGE) {
            db_connection_fail(connection, "PostgreSQL sent a message of an impossible length");
            return;
        }
        io->in_from += io->wants; /* the message stays where it is until the next read */
        io->wants = PGWIRE_HEAD;
        take_message(connection, &message);
    }
}
