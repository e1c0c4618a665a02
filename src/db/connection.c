/*
 * connection.c: one PostgreSQL connection of a lane: its life and its bytes.
 *
 *      +------------+  all described  +-------+  lost, spoilt   +--------+
 *      | PREPARING  |---------------->| READY |---------------->| BROKEN |
 *      +------------+                 +-------+                 +--------+
 *        ^        | lost                                          ^    |
 *        | open   +---------------------------------------------->+    | the lane has others ready: it is
 * gone |                                                        |    | the lane's last one was ready:
 *      +------------+  failed, or took too long                   |    |   CONNECTING again at once
 *      | CONNECTING |-------------------------------------------->+    | else: BACKING_OFF
 *      +------------+                                                  v
 *        ^   after a while                          +---------------------+
 *        +------------------------------------------|     BACKING_OFF     |   any state: DRAINING, at the end
 *                                                   +---------------------+
 *
 * A lane's first connection goes this way for ever. One that was opened because others were in the way goes
 * from CONNECTING to READY, prepares what it is asked for, and is gone when it is BROKEN.
 *
 * Everything in flight has a Sync of its own: it is a transaction of its own, and its error is nobody
 * else's (PostgreSQL 15, section 55.2.3). Callbacks never close a connection: they say that it ends, and
 * that happens a little later, from a timer of the loop: libh2o wants to see the writes of answers done in
 * the turn that they were made in.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "db/db_private.h"
#include "db/session.h"
#include "base/log.h"
#include "base/mem.h"

enum {
    CONNECT_LIMIT_MS = 5000, /* a connection attempt that takes longer has failed */
    BACK_OFF_FIRST_MS = 50,
    BACK_OFF_LAST_MS = 2000,
    STEADY_MS = 2000,    /* a session that lived so long is made again at once when it is lost */
    SHORT_LIVES_MAX = 3, /* and so are so many in a row that did not */
};

static void on_socket(h2o_socket_t *socket, const char *error);

const char *db_state_name(enum db_state state)
{
    static const char *const names[] = {
        [DB_CONNECTING] = "connecting", [DB_PREPARING] = "preparing",     [DB_READY] = "ready",
        [DB_BROKEN] = "broken",         [DB_BACKING_OFF] = "backing off", [DB_DRAINING] = "draining",
    };
    return names[state];
}

static bool is_first(const struct db_connection *connection)
{
    return connection->lane->connections[0] == connection;
}

static void enter(struct db_connection *connection, enum db_state state)
{
    if (connection->state != state)
        log_debug("lane %s, connection %u: %s -> %s", connection->lane->conf.name, connection->number,
                  db_state_name(connection->state), db_state_name(state));
    connection->state = state;
    db_connection_changed(connection);
}

void db_connection_fail(struct db_connection *connection, const char *format, ...)
{
    va_list args;
    if (connection->ends)
        return;
    connection->ends = true;
    connection->quietly = false;
    va_start(args, format);
    vsnprintf(connection->why, sizeof(connection->why), format, args);
    va_end(args);
    for (size_t len = strlen(connection->why); len > 0 && connection->why[len - 1] == '\n';)
        connection->why[--len] = '\0'; /* libpq's messages end in one */
    db_soon(connection->lane);
}

void db_connection_close(struct db_connection *connection)
{
    if (connection->ends)
        return;
    connection->ends = connection->quietly = true;
    db_soon(connection->lane);
}

static bool has_other_ready(const struct db_connection *connection)
{
    const struct db_lane *lane = connection->lane;
    bool any = false;
    for (size_t i = 0; i < lane->n_connections; i++) {
        const struct db_connection *other = lane->connections[i];
        any |= other != connection && other->state == DB_READY && !other->ends && !other->retires;
    }
    return any;
}

void db_connection_retire(struct db_connection *connection)
{
    connection->retires = true;
    if (connection->n_in_flight > 0)
        return; /* it will be called again */
    connection->lane->hopeful |= is_first(connection) && !has_other_ready(connection);
    db_connection_close(connection);
}

static void receive(struct db_connection *connection)
{
    enum db_io_result result;
    do {
        result = db_io_read(&connection->io);
        if (result == DB_IO_DONE) {
            connection->heard_at = connection->lane->now;
            db_take_messages(connection);
        }
    } while (result == DB_IO_DONE && db_io_has_more(&connection->io) && !connection->paused);
    if (result == DB_IO_ENDED)
        db_connection_fail(connection, "the server closed the connection unexpectedly");
    else if (result == DB_IO_FAILED)
        db_connection_fail(connection, "%s", strerror(errno));
}

/* No more rows are wanted, or not at this pace. */
static void let_go_on(struct db_connection *connection)
{
    if (!connection->paused)
        return;
    connection->paused = false;
    connection->heard_at = connection->head_since = connection->lane->now = clock_ms();
    h2o_socket_read_start(connection->io.socket, on_socket);
}

void db_connection_receive_rest(struct db_connection *connection)
{
    connection->has_rest = false;
    db_take_messages(connection);
    if (!connection->paused && !connection->ends && db_io_has_more(&connection->io))
        receive(connection);
}

void db_pause(struct db_query *query)
{
    struct db_connection *connection = query->flight->connection;
    connection->paused = true;
    h2o_socket_read_stop(connection->io.socket);
}

void db_resume(struct db_query *query)
{
    struct db_connection *connection = query->flight->connection;
    let_go_on(connection);
    db_connection_receive_rest(connection);
}

void db_abandon_sent(struct db_query *query)
{
    struct db_connection *connection = query->flight->connection;
    db_leave(query);
    if (!connection->paused)
        return;
    let_go_on(connection);
    connection->has_rest = true; /* we may be within the callback for a row */
    db_soon(connection->lane);
}

/* The connection's life */

static void wait_to_connect(struct db_connection *connection)
{
    struct db_lane *lane = connection->lane;
    unsigned jitter = (unsigned)rand_r(&lane->seed) % (connection->back_off / 2 + 1);
    connection->wake_at = clock_ms() + connection->back_off * 3 / 4 + jitter;
    connection->back_off =
        connection->back_off * 2 > BACK_OFF_LAST_MS ? BACK_OFF_LAST_MS : connection->back_off * 2;
    lane->hopeful = false;
    enter(connection, DB_BACKING_OFF);
    db_end_waiting(lane);
}

static void begin_to_connect(struct db_connection *connection)
{
    enter(connection, DB_CONNECTING);
    connection->began_at = clock_ms();
    connection->wake_at = connection->began_at + CONNECT_LIMIT_MS;
    const struct db_connection *first = connection->lane->connections[0];
    connection->pg = db_session_start(&connection->lane->conf, first->state == DB_READY ? first->pg : NULL);
    if (PQstatus(connection->pg) == CONNECTION_BAD)
        db_connection_fail(connection, "%s", PQerrorMessage(connection->pg));
    else if (!db_io_watch(&connection->io, connection->lane->loop, connection->pg, connection))
        db_connection_fail(connection, "%s", strerror(errno));
    else
        h2o_socket_notify_write(connection->io.socket, on_socket); /* as if libpq wanted to write */
}

/* libpq has connected: from here on the bytes are ours. */
static void begin_to_prepare(struct db_connection *connection)
{
    struct db_lane *lane = connection->lane;
    if (!db_io_begin(&connection->io, connection->pg)) {
        db_connection_fail(connection, "GSSAPI encryption cannot be used here; TLS can");
        return;
    }
    h2o_socket_read_start(connection->io.socket, on_socket);
    enter(connection, DB_PREPARING);
    connection->n_unprepared = 1;
    db_session_look(connection);
    for (size_t i = 0; is_first(connection) && i < lane->n_statements; i++) {
        connection->n_unprepared++;
        db_prepare(connection, lane->statements[i]);
    }
}

static void retire_others(struct db_connection *connection)
{
    struct db_lane *lane = connection->lane;
    connection->supersedes = false;
    for (size_t i = 0; i < lane->n_connections; i++) {
        if (lane->connections[i] != connection && lane->connections[i]->state == DB_READY)
            db_connection_retire(lane->connections[i]);
    }
}

void db_connection_prepared(struct db_connection *connection)
{
    if (connection->state != DB_PREPARING || --connection->n_unprepared > 0 || connection->ends)
        return;
    connection->lane->spill_back_off = 0;
    connection->ready_at = connection->idle_since = connection->lane->now;
    enter(connection, DB_READY);
    if (connection->supersedes)
        retire_others(connection);
    if (is_first(connection))
        db_schema_begin(connection);
}

/* One step of the asynchronous connection (PostgreSQL 15, chapter 34.1, PQconnectPoll). */
static void go_on_connecting(struct db_connection *connection)
{
    PostgresPollingStatusType wants = PQconnectPoll(connection->pg);
    if (wants == PGRES_POLLING_FAILED)
        db_connection_fail(connection, "%s%s", PQerrorMessage(connection->pg),
                           db_session_advice(connection->pg));
    else if (!db_io_watch(&connection->io, connection->lane->loop, connection->pg, connection))
        db_connection_fail(connection, "%s", strerror(errno));
    else if (wants == PGRES_POLLING_OK)
        begin_to_prepare(connection);
    else if (wants == PGRES_POLLING_READING)
        h2o_socket_read_start(connection->io.socket, on_socket);
    else
        h2o_socket_notify_write(connection->io.socket, on_socket);
}

/* The socket is readable, or takes more. */
static void on_socket(h2o_socket_t *socket, const char *error)
{
    struct db_connection *connection = socket->data;
    (void)error; /* reading meets it too, and says it better */
    connection->lane->now = clock_ms();
    if (connection->ends)
        return;
    if (connection->state == DB_CONNECTING)
        go_on_connecting(connection);
    else
        receive(connection);
}

static void close_session(struct db_connection *connection)
{
    db_io_dispose(&connection->io);
    PQfinish(connection->pg);
    connection->pg = NULL;
    db_forget_preparations(connection);
    for (size_t i = 0; i < DB_SESSION_PARAMETERS; i++) {
        free(connection->parameters[i]);
        connection->parameters[i] = NULL;
        connection->changed[i] = false;
    }
    connection->ends = connection->paused = connection->has_rest = connection->reserved = false;
    connection->wants_types = connection->knows_schema = connection->retires = connection->supersedes = false;
}

static void complain(struct db_connection *connection, bool was_ready)
{
    struct db_lane *lane = connection->lane;
    if (connection->quietly)
        log_debug("lane %s: a connection on which nobody waits any longer is closed", lane->conf.name);
    else if (was_ready)
        db_complain(lane, DB_LOST_CONNECTION, "lost the connection to the database (lane %s): %s",
                    lane->conf.name, connection->why);
    else if (is_first(connection))
        db_complain(lane, DB_CANNOT_CONNECT, "cannot connect to the database (lane %s): %s", lane->conf.name,
                    connection->why);
    else
        db_complain(lane, DB_CANNOT_SPILL, "cannot open another connection (lane %s): %s", lane->conf.name,
                    connection->why);
}

/* The first one's place goes to another that is ready, if there is one. Returns whether this one is in it. */
static bool keeps_first_place(struct db_connection *connection)
{
    struct db_lane *lane = connection->lane;
    if (!is_first(connection))
        return false;
    for (size_t i = 1; i < lane->n_connections; i++) {
        if (lane->connections[i]->state == DB_READY && !lane->connections[i]->ends) {
            lane->connections[0] = lane->connections[i];
            lane->connections[i] = connection;
            return false;
        }
    }
    return true;
}

/* Someone may end our sessions as soon as they begin: then there is a pause, too. */
static bool may_connect_at_once(struct db_connection *connection)
{
    if (connection->quietly || clock_ms() - connection->ready_at >= STEADY_MS) {
        connection->short_lives = 0;
        connection->back_off = BACK_OFF_FIRST_MS;
        return true;
    }
    return ++connection->short_lives <= SHORT_LIVES_MAX;
}

void db_connection_end(struct db_connection *connection)
{
    struct db_lane *lane = connection->lane;
    bool was_ready = connection->state == DB_READY;
    bool at_once = was_ready && may_connect_at_once(connection);
    complain(connection, was_ready);
    bool stays = keeps_first_place(connection);
    enter(connection, DB_BROKEN);
    close_session(connection);
    if (stays && at_once)
        lane->hopeful = true;
    db_take_back(connection);
    if (!stays) {
        if (!was_ready)
            db_spill_failed(lane);
        db_connection_free(connection);
    } else if (at_once) {
        begin_to_connect(connection);
    } else {
        wait_to_connect(connection);
    }
}

void db_connection_flush(struct db_connection *connection)
{
    struct db_io *io = &connection->io;
    if (connection->wants_types)
        db_types_ask(connection);
    if (connection->ends || pgwire_left(&io->out) == 0)
        return;
    if (db_io_flush(io) == DB_IO_WAIT && !h2o_socket_is_writing(io->socket))
        h2o_socket_notify_write(io->socket, on_socket);
}

void db_connection_tick(struct db_connection *connection)
{
    if (connection->state == DB_READY || connection->ends || clock_ms() < connection->wake_at)
        return;
    if (connection->state == DB_BACKING_OFF)
        begin_to_connect(connection);
    else
        db_connection_fail(connection, "no answer from the database while connecting");
}

struct db_connection *db_connection_new(struct db_lane *lane)
{
    struct db_connection *connection = mem_calloc(1, sizeof(*connection));
    connection->lane = lane;
    connection->number = ++lane->n_opened;
    connection->back_off = BACK_OFF_FIRST_MS;
    connection->preparations = mem_calloc(lane->n_statements + 1, sizeof(*connection->preparations));
    h2o_linklist_init_anchor(&connection->in_flight);
    MEM_GROW(&lane->connections, lane->n_connections);
    lane->connections[lane->n_connections++] = connection;
    begin_to_connect(connection);
    return connection;
}

void db_connection_free(struct db_connection *connection)
{
    struct db_lane *lane = connection->lane;
    if (connection->state != DB_BROKEN) {
        enter(connection, DB_DRAINING);
        close_session(connection);
        db_take_back(connection);
    }
    size_t place = 0;
    while (lane->connections[place] != connection)
        place++;
    memmove(&lane->connections[place], &lane->connections[place + 1],
            (--lane->n_connections - place) * sizeof(*lane->connections));
    if (lane->n_connections > 0)
        lane->conf.budget_give(lane->conf.budget_arg);
    atomic_store_explicit(lane->conf.open, (unsigned)lane->n_connections, memory_order_relaxed);
    free(connection->preparations);
    free(connection);
}
