/*
 * db.c: one lane: connect, prepare, bounded queue, deadline, reconnect.
 *
 *      +------------+  all described  +-------+
 *      | PREPARING  |---------------->| READY |
 *      +------------+                 +-------+
 *        ^        |                     |
 *        | open   | connection lost     | connection lost
 *        |        v                     v
 *      +------------+   was READY   +--------+
 *      | CONNECTING |<--------------| BROKEN |     any state: DRAINING, by db_lane_free
 *      +------------+               +--------+
 *        |        ^                     |
 *        | failed | after a while       | was not
 *        v        |                     v
 *      +----------------------------------+
 *      |           BACKING_OFF            |
 *      +----------------------------------+
 *
 * A query is on one of two lists: waiting (not sent) or in flight (sent, in the order of the answers).
 * Every query has a Sync of its own: it is a transaction of its own, and its error is nobody else's.
 */
#include "db_private.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "db_session.h"
#include "log.h"
#include "mem.h"

enum {
    SILENCE_MS = 1000,  /* beyond statement_timeout: a server that is silent for longer is not there */
    IN_FLIGHT_MAX = 32, /* queries on the wire; what comes on top waits here, where it can be taken back */
    CONNECT_LIMIT_MS = 5000, /* a connection attempt that takes longer has failed */
    BACK_OFF_FIRST_MS = 50,
    BACK_OFF_LAST_MS = 2000,
    TICK_MS = 20,              /* how exactly they are kept, while there is no connection */
    PREPARE_AGAIN_MS = 1000,   /* a statement that could not be prepared is tried again after so long */
    COMPLAINT_INTERVAL_S = 60, /* the same complaint is logged again after so long */
};

static void lane_connect(struct db_lane *lane);
static void on_socket(h2o_socket_t *socket, const char *error);
static void prepare_again(struct db_lane *lane, struct db_statement *statement);

const char *db_state_name(enum db_state state)
{
    static const char *const names[] = {
        [DB_CONNECTING] = "connecting", [DB_PREPARING] = "preparing",     [DB_READY] = "ready",
        [DB_BROKEN] = "broken",         [DB_BACKING_OFF] = "backing off", [DB_DRAINING] = "draining",
    };
    return names[state];
}

static void lane_enter(struct db_lane *lane, enum db_state state)
{
    log_debug("lane %s: %s -> %s", lane->conf.name, db_state_name(lane->state), db_state_name(state));
    lane->state = state;
    atomic_store_explicit(lane->conf.state, (int)state, memory_order_relaxed);
    if (state == DB_READY || state == DB_DRAINING)
        h2o_timeout_unlink(&lane->tick);
    else if (!h2o_timeout_is_linked(&lane->tick))
        h2o_timeout_link(lane->loop, &lane->tick_timeout, &lane->tick);
    if (lane->settled != NULL && (state == DB_READY || state == DB_BACKING_OFF)) {
        void (*settled)(void *) = lane->settled;
        lane->settled = NULL;
        settled(lane->settled_arg);
    }
}

/* Complaints: all workers meet the same trouble at once, and one line is enough. */

static uint64_t complaint_stamp(const char *text)
{
    uint32_t hash = 2166136261u; /* FNV-1a */
    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * 16777619u;
    return (uint64_t)hash << 32 | (uint32_t)(clock_ms() / 1000 + 1);
}

static void complain(struct db_lane *lane, enum db_complaint kind, const char *what)
{
    _Atomic uint64_t *shared = &lane->conf.complaints[kind];
    char *text = mem_printf("%s (lane %s): %s", what, lane->conf.name, PQerrorMessage(lane->pg));
    uint64_t stamp = complaint_stamp(text), last = atomic_load(shared);
    bool is_news = last >> 32 != stamp >> 32 || (uint32_t)stamp - (uint32_t)last >= COMPLAINT_INTERVAL_S;
    if (is_news && atomic_compare_exchange_strong(shared, &last, stamp))
        log_errorx("%s", text);
    else
        log_debug("%s", text);
    free(text);
}

static void no_more_complaints(struct db_lane *lane)
{
    bool any = false;
    for (int kind = 0; kind < DB_COMPLAINTS; kind++)
        any |= atomic_exchange(&lane->conf.complaints[kind], 0) != 0;
    if (any)
        log_info("connected to the database again (lane %s)", lane->conf.name);
}

/* Queries */

struct db_query *db_query_new(struct db_lane *lane)
{
    struct db_query *query;
    if (h2o_linklist_is_empty(&lane->spare)) {
        query = mem_alloc(sizeof(*query));
    } else {
        query = H2O_STRUCT_FROM_MEMBER(struct db_query, link, lane->spare.next);
        h2o_linklist_unlink(&query->link);
    }
    *query = (struct db_query){.lane = lane};
    return query;
}

static void query_free(struct db_query *query)
{
    h2o_timeout_unlink(&query->timer);
    PQclear(query->result);
    query->result = NULL;
    h2o_linklist_insert(&query->lane->spare, &query->link);
}

static struct db_query *first_of(h2o_linklist_t *list)
{
    return H2O_STRUCT_FROM_MEMBER(struct db_query, link, list->next);
}

static void query_unlink(struct db_query *query)
{
    h2o_linklist_unlink(&query->link);
    if (query->sent)
        query->lane->n_in_flight--;
    else
        query->lane->n_waiting--;
}

/* Tells whoever waits for the query, if anybody still does. */
static void query_tell(struct db_query *query, enum db_outcome outcome)
{
    db_done_cb *done = query->done;
    query->done = NULL;
    h2o_timeout_unlink(&query->timer);
    if (done != NULL)
        done(query->owner, outcome, query->result);
}

static void query_end(struct db_query *query, enum db_outcome outcome)
{
    query_unlink(query);
    query_tell(query, outcome);
    query_free(query);
}

/* A sent query stays on its list after the deadline: its answer still has to be read off the wire. */
static void on_deadline(h2o_timeout_entry_t *entry)
{
    struct db_query *query = H2O_STRUCT_FROM_MEMBER(struct db_query, timer, entry);
    struct db_lane *lane = query->lane;
    if (query->sent)
        query_tell(query, DB_LOST);
    else
        query_end(query, DB_NOT_SENT);
    /* statement_timeout has a live server say something at least once in a deadline */
    if (lane->state == DB_READY && lane->n_in_flight > 0 &&
        clock_ms() - lane->heard_at > lane->conf.deadline + SILENCE_MS)
        db_broken(lane, "no answer from the database");
}

/* libh2o's timers are lists of entries with one duration each. */
static h2o_timeout_t *deadline_timeout(struct db_lane *lane, unsigned ms)
{
    struct deadline *deadline = lane->deadlines;
    while (deadline != NULL && deadline->ms != ms)
        deadline = deadline->next;
    if (deadline == NULL) {
        deadline = mem_calloc(1, sizeof(*deadline));
        deadline->ms = ms;
        deadline->next = lane->deadlines;
        lane->deadlines = deadline;
        h2o_timeout_init(lane->loop, &deadline->timeout, ms);
    }
    return &deadline->timeout;
}

enum db_refusal db_check(struct db_lane *lane, struct db_statement *statement)
{
    bool reconnects = lane->hopeful && (lane->state == DB_CONNECTING || lane->state == DB_PREPARING);
    if (lane->state != DB_READY && !(reconnects && statement->types != NULL))
        return DB_AWAY;
    if (lane->state == DB_READY && statement->preparation == UNPREPARED &&
        clock_ms() - statement->tried_at >= PREPARE_AGAIN_MS)
        prepare_again(lane, statement);
    if (lane->state != DB_READY && !lane->hopeful)
        return DB_AWAY; /* that attempt has found the connection broken */
    if (statement->types == NULL || (lane->state == DB_READY && statement->preparation == UNPREPARED))
        return DB_UNPREPARED;
    /* what there is room for on the wire does not wait: it goes out at the end of this turn */
    size_t room = IN_FLIGHT_MAX > lane->n_in_flight ? IN_FLIGHT_MAX - lane->n_in_flight : 0;
    return lane->n_waiting >= lane->conf.queue + room ? DB_FULL : DB_ACCEPTED;
}

struct db_query *db_submit(struct db_lane *lane, struct db_statement *statement, const char *const *values,
                           unsigned deadline, db_done_cb *done, void *owner)
{
    struct db_query *query = db_query_new(lane);
    query->statement = statement;
    query->values = values;
    query->done = done;
    query->owner = owner;
    query->timer.cb = on_deadline;
    h2o_timeout_link(lane->loop, deadline_timeout(lane, deadline), &query->timer);
    h2o_linklist_insert(&lane->waiting, &query->link);
    lane->n_waiting++;
    return query;
}

void db_abandon(struct db_query *query)
{
    query->done = NULL;
    h2o_timeout_unlink(&query->timer);
    if (!query->sent) {
        query_unlink(query);
        query_free(query);
    }
}

/* Sending */

bool db_send_sync(struct db_lane *lane)
{
#ifdef HAVE_PQSENDPIPELINESYNC
    return PQsendPipelineSync(lane->pg) == 1; /* leaves the system call to the end of the turn */
#else
    return PQpipelineSync(lane->pg) == 1;
#endif
}

void db_mark_sent(struct db_query *query)
{
    if (query->lane->n_in_flight == 0)
        query->lane->heard_at = clock_ms();
    query->sent = true;
    h2o_linklist_insert(&query->lane->in_flight, &query->link);
    query->lane->n_in_flight++;
}

static bool send_query(struct db_lane *lane, struct db_query *query)
{
    struct db_statement *statement = query->statement;
    h2o_linklist_unlink(&query->link);
    lane->n_waiting--;
    db_mark_sent(query);
    return PQsendQueryPrepared(lane->pg, statement->name, (int)statement->conf.statement->n_params,
                               query->values, NULL, NULL, 0) == 1 &&
           db_send_sync(lane);
}

/* Pushes out what libpq holds, and asks to be called when the socket takes more. */
bool db_flush(struct db_lane *lane)
{
    int left = PQflush(lane->pg);
    if (left == 1 && !h2o_socket_is_writing(lane->socket))
        h2o_socket_notify_write(lane->socket, on_socket);
    return left >= 0;
}

void db_lane_turn_end(struct db_lane *lane)
{
    if (lane->state != DB_READY || h2o_linklist_is_empty(&lane->waiting))
        return;
    bool fine = true, any = false;
    h2o_linklist_t *next;
    for (h2o_linklist_t *link = lane->waiting.next;
         fine && lane->n_in_flight < IN_FLIGHT_MAX && link != &lane->waiting; link = next) {
        struct db_query *query = H2O_STRUCT_FROM_MEMBER(struct db_query, link, link);
        next = link->next;
        if (query->statement->preparation == PREPARING)
            continue;
        if (query->statement->preparation == UNPREPARED) { /* this has failed since the query was taken */
            query_end(query, DB_UNUSABLE);
            continue;
        }
        fine = send_query(lane, query);
        any = true;
    }
    if (any && (!fine || !db_flush(lane)))
        db_broken(lane, "lost the connection to the database");
}

static void prepare_all(struct db_lane *lane)
{
    lane_enter(lane, DB_PREPARING);
    lane->encoding = PQclientEncoding(lane->pg);
    lane->spoilt = false;
    lane->unsent = false;
    bool fine = PQsetnonblocking(lane->pg, 1) == 0 && PQenterPipelineMode(lane->pg) == 1;
    lane->n_unprepared = lane->n_statements;
    for (size_t i = 0; fine && i < lane->n_statements; i++)
        fine = db_prepare(lane, lane->statements[i]);
    if (!fine || !db_flush(lane))
        db_broken(lane, "cannot prepare the statements");
}

void db_ready(struct db_lane *lane)
{
    lane->back_off = BACK_OFF_FIRST_MS;
    lane->hopeful = false;
    lane_enter(lane, DB_READY);
    no_more_complaints(lane);
}

static void prepare_again(struct db_lane *lane, struct db_statement *statement)
{
    if (!db_prepare(lane, statement) || !db_flush(lane))
        db_broken(lane, "lost the connection to the database");
}

/* Reading */

/* Is it this error, raised by this function of PostgreSQL's, and not by something that the statement runs? */
static bool is_error(const struct db_query *query, const char *state, const char *function)
{
    return strcmp(db_error_field(query->result, PG_DIAG_SQLSTATE), state) == 0 &&
           strcmp(db_error_field(query->result, PG_DIAG_SOURCE_FUNCTION), function) == 0 &&
           db_error_field(query->result, PG_DIAG_CONTEXT)[0] == '\0';
}

/*
 * The tables have changed since the statement was prepared: its result would be another, or a column of its
 * wrapped form is gone. PostgreSQL finds that out before it executes anything, so the query may go back to
 * the queue while its statement is prepared anew, once.
 */
static bool is_outdated(const struct db_query *query)
{
    return !query->refreshed && query->done != NULL &&
           (is_error(query, "0A000", "RevalidateCachedQuery") ||
            is_error(query, "42703", "errorMissingColumn") ||
            is_error(query, "42P10", "analyzeCTETargetList"));
}

static void wait_again(struct db_query *query)
{
    struct db_lane *lane = query->lane;
    PQclear(query->result);
    query->result = NULL;
    query->sent = false;
    h2o_linklist_insert(lane->waiting.next, &query->link);
    lane->n_waiting++;
}

static void refresh(struct db_lane *lane, struct db_query *query)
{
    query->refreshed = true;
    wait_again(query);
    if (query->statement->preparation == PREPARED)
        prepare_again(lane, query->statement);
}

/* The Sync behind a query has come: whatever it was answered with is now certain. */
static void on_sync(struct db_lane *lane, struct db_query *query)
{
    query_unlink(query);
    if (PQclientEncoding(lane->pg) != lane->encoding) {
        lane->spoilt = true; /* this answer, and those behind it, are no UTF-8 */
        query_tell(query, DB_LOST);
        query_free(query);
        return;
    }
    if (query->prepares) {
        db_on_prepared(lane, query);
    } else if (is_outdated(query)) {
        refresh(lane, query);
        return;
    } else {
        ExecStatusType status = PQresultStatus(query->result);
        query_tell(query, status == PGRES_TUPLES_OK || status == PGRES_COMMAND_OK ? DB_OK : DB_REJECTED);
    }
    query_free(query);
}

/*
 * A query keeps its last result, but an error stays: behind a failed step come PIPELINE_ABORTED ones, and
 * an error at the Sync itself (a deferred constraint) takes the place of rows that looked good.
 */
static void keep_result(struct db_query *query, PGresult *result)
{
    ExecStatusType kept = PQresultStatus(query->result);
    if (query->result != NULL && kept == PGRES_FATAL_ERROR) {
        PQclear(result);
        return;
    }
    PQclear(query->result);
    query->result = result;
}

static void read_results(struct db_lane *lane)
{
    bool was_null = false; /* two in a row: libpq has nothing more to say */
    while (lane->n_in_flight > 0 && !lane->spoilt && !lane->unsent && !PQisBusy(lane->pg)) {
        PGresult *result = PQgetResult(lane->pg);
        if (result == NULL) {
            if (was_null)
                return;
            was_null = true;
            continue;
        }
        was_null = false;
        struct db_query *query = first_of(&lane->in_flight);
        if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
            PQclear(result);
            on_sync(lane, query);
        } else {
            keep_result(query, result);
        }
        if (PQstatus(lane->pg) == CONNECTION_BAD)
            return;
    }
}

/* The connection itself */

static void unwatch(struct db_lane *lane)
{
    if (lane->socket != NULL)
        h2o_socket_close(lane->socket);
    lane->socket = NULL;
}

/*
 * libh2o closes the descriptors that it watches and libpq closes its own, perhaps to try the next host:
 * each gets one of its own for the same socket.
 */
static bool watch(struct db_lane *lane)
{
    unwatch(lane);
    int fd = fcntl(PQsocket(lane->pg), F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
        log_warn("cannot watch the connection to the database");
        return false;
    }
    lane->socket = h2o_evloop_socket_create(lane->loop, fd, 0);
    lane->socket->data = lane;
    h2o_socket_dont_read(lane->socket, 1); /* libpq reads */
    return true;
}

static void lane_back_off(struct db_lane *lane)
{
    unsigned jitter = (unsigned)rand_r(&lane->seed) % (lane->back_off / 2 + 1);
    lane->wake_at = clock_ms() + lane->back_off * 3 / 4 + jitter;
    lane->back_off = lane->back_off * 2 > BACK_OFF_LAST_MS ? BACK_OFF_LAST_MS : lane->back_off * 2;
    lane->hopeful = false;
    lane_enter(lane, DB_BACKING_OFF);
    while (!h2o_linklist_is_empty(&lane->waiting))
        query_end(first_of(&lane->waiting), DB_NOT_SENT);
}

/*
 * What was in flight on a broken connection: reads wait to be sent once more (a second time they are given
 * up, and may safely be asked again); of the others nobody knows whether they were done.
 */
static void take_back(struct db_lane *lane)
{
    while (!h2o_linklist_is_empty(&lane->in_flight)) {
        struct db_query *query = H2O_STRUCT_FROM_MEMBER(struct db_query, link, lane->in_flight.prev);
        query_unlink(query);
        PQclear(query->result);
        query->result = NULL;
        if (query->done != NULL && lane->conf.read_only && !query->again) {
            query->again = true;
            wait_again(query); /* from the last to the first: order is kept */
        } else {
            query_tell(query, lane->conf.read_only ? DB_NOT_SENT : DB_LOST);
            query_free(query);
        }
    }
}

static void lane_close(struct db_lane *lane)
{
    unwatch(lane);
    PQfinish(lane->pg);
    lane->pg = NULL;
    db_forget_preparations(lane);
}

void db_broken(struct db_lane *lane, const char *what)
{
    bool was_ready = lane->state == DB_READY;
    complain(lane, was_ready ? DB_COMPLAINT_LOST : DB_COMPLAINT_CONNECT, what);
    lane_enter(lane, DB_BROKEN);
    lane_close(lane);
    take_back(lane);
    if (was_ready) {
        lane->hopeful = true;
        lane_connect(lane);
    } else {
        lane_back_off(lane);
    }
}

/* One step of the asynchronous connection (PostgreSQL 15, chapter 34.1, PQconnectPoll). */
static void go_on_connecting(struct db_lane *lane)
{
    PostgresPollingStatusType wants = PQconnectPoll(lane->pg);
    if (wants == PGRES_POLLING_FAILED || !watch(lane)) {
        db_broken(lane, "cannot connect to the database");
    } else if (wants == PGRES_POLLING_OK) {
        h2o_socket_read_start(lane->socket, on_socket);
        prepare_all(lane);
    } else if (wants == PGRES_POLLING_READING) {
        h2o_socket_read_start(lane->socket, on_socket);
    } else {
        h2o_socket_notify_write(lane->socket, on_socket);
    }
}

/* The socket is readable, or takes more. */
static void on_socket(h2o_socket_t *socket, const char *error)
{
    struct db_lane *lane = socket->data;
    (void)error; /* libpq meets it too, and says it better */
    if (lane->state == DB_CONNECTING) {
        go_on_connecting(lane);
        return;
    }
    bool fine = PQconsumeInput(lane->pg) == 1;
    lane->heard_at = clock_ms();
    read_results(lane);
    if (lane->spoilt)
        db_broken(lane, "a statement has changed client_encoding for the session, which is given up");
    else if (!fine || lane->unsent || PQstatus(lane->pg) == CONNECTION_BAD || !db_flush(lane))
        db_broken(lane, "lost the connection to the database");
}

static void lane_connect(struct db_lane *lane)
{
    lane_enter(lane, DB_CONNECTING);
    lane->wake_at = clock_ms() + CONNECT_LIMIT_MS;
    lane->pg = db_session_start(&lane->conf);
    if (PQstatus(lane->pg) == CONNECTION_BAD || !watch(lane))
        db_broken(lane, "cannot connect to the database");
    else
        h2o_socket_notify_write(lane->socket, on_socket); /* libpq: begin as if it wanted to write */
}

static void on_tick(h2o_timeout_entry_t *entry)
{
    struct db_lane *lane = H2O_STRUCT_FROM_MEMBER(struct db_lane, tick, entry);
    h2o_timeout_link(lane->loop, &lane->tick_timeout, &lane->tick);
    if (clock_ms() < lane->wake_at)
        return;
    if (lane->state == DB_BACKING_OFF)
        lane_connect(lane);
    else
        db_broken(lane, "no answer from the database while connecting");
}

/* Making and ending */

struct db_lane *db_lane_new(h2o_loop_t *loop, const struct db_lane_conf *conf)
{
    struct db_lane *lane = mem_calloc(1, sizeof(*lane));
    lane->loop = loop;
    lane->conf = *conf;
    lane->back_off = BACK_OFF_FIRST_MS;
    lane->seed = (unsigned)getpid();
    h2o_linklist_init_anchor(&lane->waiting);
    h2o_linklist_init_anchor(&lane->in_flight);
    h2o_linklist_init_anchor(&lane->spare);
    h2o_timeout_init(loop, &lane->tick_timeout, TICK_MS);
    lane->tick.cb = on_tick;
    return lane;
}

void db_lane_start(struct db_lane *lane, void (*settled)(void *arg), void *arg)
{
    lane->settled = settled;
    lane->settled_arg = arg;
    lane_connect(lane);
}

void db_lane_end(struct db_lane *lane)
{
    lane->settled = NULL;
    lane_enter(lane, DB_DRAINING);
    lane_close(lane);
    while (!h2o_linklist_is_empty(&lane->in_flight))
        query_end(first_of(&lane->in_flight), DB_LOST);
    while (!h2o_linklist_is_empty(&lane->waiting))
        query_end(first_of(&lane->waiting), DB_NOT_SENT);
}

void db_lane_free(struct db_lane *lane)
{
    while (!h2o_linklist_is_empty(&lane->spare)) {
        struct db_query *query = first_of(&lane->spare);
        h2o_linklist_unlink(&query->link);
        free(query);
    }
    for (size_t i = 0; i < lane->n_statements; i++)
        db_statement_free(lane->statements[i]);
    free(lane->statements);
    h2o_timeout_dispose(lane->loop, &lane->tick_timeout);
    for (struct deadline *deadline = lane->deadlines, *next; deadline != NULL; deadline = next) {
        next = deadline->next;
        h2o_timeout_dispose(lane->loop, &deadline->timeout);
        free(deadline);
    }
    free(lane);
}
