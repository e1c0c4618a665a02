/*
 * connection.c: one PostgreSQL connection of a lane: its life.
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
 * Callbacks never close a connection: they say that it ends, and that happens a little later, from a timer
 * of the loop: libh2o wants to see the writes of responses done in the turn that they were made in.
 */
#include "db/connection.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "db/cancel.h"

enum {
    CONNECT_LIMIT_MS = 5000, /* a connection attempt that takes longer has failed */
    BACK_OFF_FIRST_MS = 50,
    BACK_OFF_LAST_MS = 2000,
    STEADY_MS = 2000,    /* a session that lived so long is made again at once when it is lost */
    SHORT_LIVES_MAX = 3, /* and so are so many in a row that did not */
};

const char *db_state_name(enum db_state state)
{
    static const char *const names[] = {
        [DB_CONNECTING] = "connecting", [DB_PREPARING] = "preparing",     [DB_READY] = "ready",
        [DB_BROKEN] = "broken",         [DB_BACKING_OFF] = "backing off", [DB_DRAINING] = "draining",
    };
    return names[state];
}

static struct db_env *env_of(const struct db_connection *connection)
{
    return connection->pipeline.env;
}

static void enter(struct db_connection *connection, enum db_state state)
{
    if (connection->state != state)
        log_debug("lane %s, connection %u: %s -> %s", env_of(connection)->conf.name, connection->number,
                  db_state_name(connection->state), db_state_name(state));
    connection->state = state;
    connection->ops->changed(connection);
}

/* Ending */

void db_connection_fail(struct db_connection *connection, const char *format, ...)
{
    char why[sizeof(connection->pipeline.why)];
    va_list args;
    va_start(args, format);
    vsnprintf(why, sizeof(why), format, args);
    va_end(args);
    db_pipeline_end(&connection->pipeline, why);
    connection->ops->soon(connection);
}

void db_connection_close(struct db_connection *connection)
{
    if (connection->pipeline.ends)
        return;
    connection->quietly = true;
    db_pipeline_end(&connection->pipeline, "");
    connection->ops->soon(connection);
}

void db_connection_retire(struct db_connection *connection)
{
    connection->retires = true;
    if (connection->pipeline.n == 0) /* else it is closed later */
        db_connection_close(connection);
}

void db_connection_cancel(struct db_connection *connection)
{
    connection->cancels = true;
    db_cancel(connection->pg);
    db_connection_retire(connection);
}

void db_connection_break(struct db_connection *connection, enum db_state state)
{
    enter(connection, state);
    db_pipeline_close(&connection->pipeline);
    PQfinish(connection->pg);
    connection->pg = NULL;
    connection->has_rest = connection->reserved = connection->retires = connection->supersedes = false;
    connection->quietly = connection->knows_schema = connection->cancels = connection->pooled = false;
    connection->left_at = 0;
}

/* Someone may end our sessions as soon as they begin: then there is a pause, too. */
bool db_connection_may_begin_at_once(struct db_connection *connection)
{
    if (connection->quietly || clock_ms() - connection->ready_at >= STEADY_MS) {
        connection->short_lives = 0;
        connection->back_off = BACK_OFF_FIRST_MS;
        return true;
    }
    return ++connection->short_lives <= SHORT_LIVES_MAX;
}

/* What has come */

/* After messages were taken. */
static void look_after(struct db_connection *connection)
{
    if (connection->pipeline.ends)
        connection->ops->soon(connection);
    else if (connection->retires && connection->pipeline.n == 0)
        db_connection_close(connection);
}

static void receive(struct db_connection *connection)
{
    db_pipeline_read(&connection->pipeline);
    look_after(connection);
}

static void go_on_connecting(struct db_connection *connection);

/* The socket is readable, or takes more. */
static void on_socket(h2o_socket_t *socket, const char *error)
{
    struct db_connection *connection = socket->data;
    (void)error; /* reading meets it too, and says it better */
    db_env_wake(env_of(connection));
    if (connection->pipeline.ends)
        return;
    if (connection->state == DB_CONNECTING)
        go_on_connecting(connection);
    else
        receive(connection);
}

void db_connection_receive_rest(struct db_connection *connection)
{
    struct db_pipeline *pipeline = &connection->pipeline;
    connection->has_rest = false;
    db_pipeline_take(pipeline);
    if (!pipeline->paused && !pipeline->ends && db_io_has_more(&pipeline->io))
        db_pipeline_read(pipeline);
    look_after(connection);
}

void db_connection_pause(struct db_connection *connection)
{
    db_pipeline_pause(&connection->pipeline);
}

void db_connection_resume(struct db_connection *connection)
{
    if (connection->pipeline.paused)
        db_pipeline_go_on(&connection->pipeline, on_socket);
    db_connection_receive_rest(connection);
}

void db_connection_resume_soon(struct db_connection *connection)
{
    if (!connection->pipeline.paused)
        return;
    db_pipeline_go_on(&connection->pipeline, on_socket);
    connection->has_rest = true;
    connection->ops->soon(connection);
}

void db_connection_flush(struct db_connection *connection)
{
    struct db_io *io = &connection->pipeline.io;
    if (connection->pipeline.ends || pgwire_left(&io->out) == 0)
        return;
    if (db_io_flush(io) == DB_IO_WAIT && !h2o_socket_is_writing(io->socket))
        h2o_socket_notify_write(io->socket, on_socket);
}

/* Beginning */

/* Watches the socket that libpq uses at present. */
static bool watch(struct db_connection *connection)
{
    if (db_io_watch(&connection->pipeline.io, env_of(connection)->loop, connection->pg, connection))
        return true;
    db_connection_fail(connection, "%s", strerror(errno));
    return false;
}

void db_connection_begin(struct db_connection *connection, const PGconn *like)
{
    enter(connection, DB_CONNECTING);
    connection->began_at = clock_ms();
    connection->wake_at = connection->began_at + CONNECT_LIMIT_MS;
    connection->pg = db_session_start(&env_of(connection)->conf, like);
    if (PQstatus(connection->pg) == CONNECTION_BAD)
        db_connection_fail(connection, "%s", PQerrorMessage(connection->pg));
    else if (watch(connection))
        h2o_socket_notify_write(connection->pipeline.io.socket, on_socket); /* as if libpq wanted to write */
}

/* libpq has connected: from here on the bytes are ours. */
static void begin_to_prepare(struct db_connection *connection)
{
    char why[128];
    if (db_session_is_too_old(connection->pg, why, sizeof(why))) {
        db_connection_fail(connection, "%s", why);
        return;
    }
    if (!db_pipeline_begin(&connection->pipeline, connection->pg)) {
        db_connection_fail(connection, "GSSAPI encryption cannot be used here; TLS can");
        return;
    }
    h2o_socket_read_start(connection->pipeline.io.socket, on_socket);
    enter(connection, DB_PREPARING);
    connection->n_awaited = 0;
    connection->read_only = false; /* until it is seen to be */
    connection->ops->connected(connection);
}

/* One step of the asynchronous connection (PostgreSQL 15, chapter 34.1, PQconnectPoll). */
static void go_on_connecting(struct db_connection *connection)
{
    PostgresPollingStatusType wants = PQconnectPoll(connection->pg);
    if (wants == PGRES_POLLING_FAILED) {
        char why[sizeof(connection->pipeline.why)];
        db_session_say_failure(connection->pg, why, sizeof(why));
        db_connection_fail(connection, "%s", why);
        return;
    }
    if (!watch(connection))
        return;
    if (wants == PGRES_POLLING_OK)
        begin_to_prepare(connection);
    else if (wants == PGRES_POLLING_READING)
        h2o_socket_read_start(connection->pipeline.io.socket, on_socket);
    else
        h2o_socket_notify_write(connection->pipeline.io.socket, on_socket);
}

void db_connection_await(struct db_connection *connection)
{
    connection->n_awaited++;
}

void db_connection_prepared(struct db_connection *connection)
{
    if (connection->state != DB_PREPARING || --connection->n_awaited > 0 || connection->pipeline.ends)
        return;
    if (connection->ready_at != 0)
        db_env_count(env_of(connection), METRIC_LANE_RECONNECTS, 1);
    connection->ready_at = env_of(connection)->now;
    db_pipeline_set_idle(&connection->pipeline);
    enter(connection, DB_READY);
}

void db_connection_back_off(struct db_connection *connection, unsigned *seed)
{
    unsigned jitter = (unsigned)rand_r(seed) % (connection->back_off / 2 + 1);
    connection->wake_at = clock_ms() + connection->back_off * 3 / 4 + jitter;
    connection->back_off =
        connection->back_off * 2 > BACK_OFF_LAST_MS ? BACK_OFF_LAST_MS : connection->back_off * 2;
    enter(connection, DB_BACKING_OFF);
}

bool db_connection_tick(struct db_connection *connection)
{
    if (connection->state == DB_READY || connection->pipeline.ends || clock_ms() < connection->wake_at)
        return false;
    if (connection->state == DB_BACKING_OFF)
        return true;
    db_connection_fail(connection, "no answer from the database while connecting");
    return false;
}

struct db_connection *db_connection_new(struct db_env *env, const struct db_connection_ops *ops,
                                        struct db_lane *lane, unsigned number,
                                        struct db_preparations *preparations)
{
    struct db_connection *connection = mem_calloc(1, sizeof(*connection));
    db_pipeline_init(&connection->pipeline, env, &ops->pipeline);
    connection->ops = ops;
    connection->lane = lane;
    connection->number = number;
    connection->preparations = preparations;
    connection->back_off = BACK_OFF_FIRST_MS;
    return connection;
}

void db_connection_free(struct db_connection *connection)
{
    free(connection);
}
