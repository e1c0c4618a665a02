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
#include "db.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "db_session.h"
#include "log.h"
#include "mem.h"
#include "pgjson.h"

enum {
    IN_FLIGHT_MAX = 32, /* queries on the wire; what comes on top waits here, where it can be taken back */
    CONNECT_LIMIT_MS = 5000, /* a connection attempt that takes longer has failed */
    BACK_OFF_FIRST_MS = 50,
    BACK_OFF_LAST_MS = 2000,
    TICK_MS = 20,              /* how exactly they are kept, while there is no connection */
    COMPLAINT_INTERVAL_S = 60, /* the same complaint is logged again after so long */
};

struct db_statement {
    struct db_lane *lane;
    const char *label;
    const char *sql;
    size_t n_params;
    char name[24];
    bool prepared; /* on the present connection */
    bool wrapped;  /* the present preparation leaves some columns to to_json */
    uint32_t *types;
    struct pgjson_columns *columns;
};

struct deadline {
    struct deadline *next;
    unsigned ms;
    h2o_timeout_t timeout;
};

struct db_query {
    h2o_linklist_t link;
    struct db_lane *lane;
    struct db_statement *statement;
    const char *const *values;
    db_done_cb *done; /* NULL: nobody waits for it, or it prepares the statement */
    void *owner;
    PGresult *result;
    h2o_timeout_entry_t timer;
    bool prepares; /* it prepares and describes its statement */
    bool sent;
    bool again; /* was sent on a connection that broke, and is sent a second time */
};

struct db_lane {
    h2o_loop_t *loop;
    struct db_lane_conf conf;
    enum db_state state;
    PGconn *pg;
    h2o_socket_t *socket; /* watches a duplicate of libpq's descriptor, which is libpq's to close */
    h2o_linklist_t waiting, in_flight;
    size_t n_waiting, n_in_flight;
    struct db_statement **statements;
    size_t n_statements;
    size_t n_unprepared; /* preparations on the wire while PREPARING */
    struct deadline *deadlines;
    h2o_timeout_t tick_timeout;
    h2o_timeout_entry_t tick;
    uint64_t wake_at;  /* clock_ms: when an attempt has failed, or the next one begins */
    unsigned back_off; /* ms */
    bool hopeful;      /* CONNECTING right after READY: requests wait for it instead of being turned away */
    unsigned seed;     /* for the jitter */
    void (*settled)(void *arg);
    void *settled_arg;
    h2o_linklist_t spare; /* queries to be used again */
};

static void lane_connect(struct db_lane *lane);
static void lane_broken(struct db_lane *lane, const char *what);
static void on_socket(h2o_socket_t *socket, const char *error);

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

static struct db_query *query_new(struct db_lane *lane)
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
    if (query->sent)
        query_tell(query, DB_LOST);
    else
        query_end(query, DB_NOT_SENT);
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

enum db_refusal db_check(const struct db_lane *lane, const struct db_statement *statement)
{
    bool reconnects = lane->hopeful && (lane->state == DB_CONNECTING || lane->state == DB_PREPARING);
    if (lane->state != DB_READY && !(reconnects && statement->types != NULL))
        return DB_AWAY;
    if (lane->state == DB_READY && !statement->prepared)
        return DB_UNPREPARED;
    return lane->n_waiting >= lane->conf.queue ? DB_FULL : DB_ACCEPTED;
}

struct db_query *db_submit(struct db_lane *lane, struct db_statement *statement, const char *const *values,
                           unsigned deadline, db_done_cb *done, void *owner)
{
    struct db_query *query = query_new(lane);
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

static bool send_sync(struct db_lane *lane)
{
#ifdef HAVE_PQSENDPIPELINESYNC
    return PQsendPipelineSync(lane->pg) == 1; /* leaves the system call to the end of the turn */
#else
    return PQpipelineSync(lane->pg) == 1;
#endif
}

static void mark_sent(struct db_query *query)
{
    query->sent = true;
    h2o_linklist_insert(&query->lane->in_flight, &query->link);
    query->lane->n_in_flight++;
}

static bool send_query(struct db_lane *lane, struct db_query *query)
{
    struct db_statement *statement = query->statement;
    h2o_linklist_unlink(&query->link);
    lane->n_waiting--;
    mark_sent(query);
    return PQsendQueryPrepared(lane->pg, statement->name, (int)statement->n_params, query->values, NULL, NULL,
                               0) == 1 &&
           send_sync(lane);
}

/* Puts a preparation of the statement on the wire. sql is its text, or its wrapped form. */
static bool send_preparation(struct db_lane *lane, struct db_statement *statement, const char *sql)
{
    struct db_query *query = query_new(lane);
    query->statement = statement;
    query->prepares = true;
    mark_sent(query);
    return PQsendPrepare(lane->pg, statement->name, sql, 0, NULL) == 1 &&
           PQsendDescribePrepared(lane->pg, statement->name) == 1 && send_sync(lane);
}

/* Pushes out what libpq holds, and asks to be called when the socket takes more. */
static bool flush(struct db_lane *lane)
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
    while (fine && lane->n_in_flight < IN_FLIGHT_MAX && !h2o_linklist_is_empty(&lane->waiting)) {
        struct db_query *query = first_of(&lane->waiting);
        if (!query->statement->prepared) { /* it waited for a connection on which this failed */
            query_end(query, DB_NOT_SENT);
            continue;
        }
        fine = send_query(lane, query);
        any = true;
    }
    if (any && (!fine || !flush(lane)))
        lane_broken(lane, "lost the connection to the database");
}

/* Preparing */

static void prepare_all(struct db_lane *lane)
{
    lane_enter(lane, DB_PREPARING);
    bool fine = PQsetnonblocking(lane->pg, 1) == 0 && PQenterPipelineMode(lane->pg) == 1;
    lane->n_unprepared = lane->n_statements;
    for (size_t i = 0; fine && i < lane->n_statements; i++) {
        struct db_statement *statement = lane->statements[i];
        statement->prepared = false;
        statement->wrapped = false;
        snprintf(statement->name, sizeof(statement->name), "s%zu", i);
        fine = send_preparation(lane, statement, statement->sql);
    }
    if (!fine || !flush(lane))
        lane_broken(lane, "cannot prepare the statements");
}

static void take_types(struct db_statement *statement, const PGresult *description)
{
    size_t n = (size_t)PQnparams(description);
    free(statement->types);
    statement->types = mem_calloc(n, sizeof(*statement->types));
    for (size_t i = 0; i < n; i++)
        statement->types[i] = PQparamtype(description, (int)i);
}

/*
 * The description of a statement has come. Returns false where it has columns that need PostgreSQL's own
 * to_json: then it is being prepared once more, under another name.
 */
static bool take_description(struct db_lane *lane, struct db_statement *statement,
                             const PGresult *description)
{
    if (statement->wrapped) { /* the columns are those of the first description */
        statement->prepared = true;
        return true;
    }
    bool wrap_wanted;
    if ((size_t)PQnparams(description) != statement->n_params) {
        log_errorx("%s will answer 500: PostgreSQL sees %d parameters where there are %zu", statement->label,
                   PQnparams(description), statement->n_params);
        return true;
    }
    take_types(statement, description);
    pgjson_columns_free(statement->columns);
    statement->columns = pgjson_columns_new(description, &wrap_wanted);
    if (!wrap_wanted) {
        statement->prepared = true;
        return true;
    }
    char *wrapped = pgjson_wrap(statement->columns, statement->sql);
    statement->wrapped = true;
    statement->name[0] = 'w';
    bool sent = send_preparation(lane, statement, wrapped) && flush(lane);
    free(wrapped);
    return !sent; /* where it was not, the connection is broken, and that is seen by the caller's caller */
}

static void on_prepared(struct db_lane *lane, struct db_query *query)
{
    struct db_statement *statement = query->statement;
    bool done = true;
    if (PQresultStatus(query->result) == PGRES_COMMAND_OK)
        done = take_description(lane, statement, query->result);
    else
        log_errorx("%s cannot be prepared and will answer 500: %s", statement->label,
                   PQresultErrorMessage(query->result));
    if (!done || --lane->n_unprepared > 0)
        return;
    lane->back_off = BACK_OFF_FIRST_MS;
    lane->hopeful = false;
    lane_enter(lane, DB_READY);
    no_more_complaints(lane);
}

/* Reading */

/* The Sync behind a query has come: whatever it was answered with is now certain. */
static void on_sync(struct db_lane *lane, struct db_query *query)
{
    query_unlink(query);
    if (query->prepares) {
        on_prepared(lane, query);
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
    while (lane->n_in_flight > 0 && !PQisBusy(lane->pg)) {
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

/* What was in flight on a broken connection: reads wait to be sent once more, the others are lost. */
static void take_back(struct db_lane *lane)
{
    h2o_linklist_t *behind = &lane->waiting;
    while (!h2o_linklist_is_empty(&lane->in_flight)) {
        struct db_query *query = H2O_STRUCT_FROM_MEMBER(struct db_query, link, lane->in_flight.prev);
        query_unlink(query);
        PQclear(query->result);
        query->result = NULL;
        if (query->done != NULL && lane->conf.read_only && !query->again) {
            query->again = true;
            query->sent = false;
            h2o_linklist_insert(behind->next, &query->link); /* from the last to the first: order is kept */
            lane->n_waiting++;
        } else {
            query_tell(query, DB_LOST);
            query_free(query);
        }
    }
}

static void lane_close(struct db_lane *lane)
{
    unwatch(lane);
    PQfinish(lane->pg);
    lane->pg = NULL;
    for (size_t i = 0; i < lane->n_statements; i++)
        lane->statements[i]->prepared = false;
}

static void lane_broken(struct db_lane *lane, const char *what)
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
        lane_broken(lane, "cannot connect to the database");
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
    read_results(lane);
    if (!fine || PQstatus(lane->pg) == CONNECTION_BAD || !flush(lane))
        lane_broken(lane, "lost the connection to the database");
}

static void lane_connect(struct db_lane *lane)
{
    lane_enter(lane, DB_CONNECTING);
    lane->wake_at = clock_ms() + CONNECT_LIMIT_MS;
    lane->pg = db_session_start(&lane->conf);
    if (PQstatus(lane->pg) == CONNECTION_BAD || !watch(lane))
        lane_broken(lane, "cannot connect to the database");
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
        lane_broken(lane, "no answer from the database while connecting");
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

struct db_statement *db_statement_new(struct db_lane *lane, const char *label, const char *sql,
                                      size_t n_params)
{
    struct db_statement *statement = mem_calloc(1, sizeof(*statement));
    *statement = (struct db_statement){.lane = lane, .label = label, .sql = sql, .n_params = n_params};
    MEM_GROW(&lane->statements, lane->n_statements);
    lane->statements[lane->n_statements++] = statement;
    return statement;
}

const uint32_t *db_statement_types(const struct db_statement *statement)
{
    return statement->types;
}

const struct pgjson_columns *db_statement_columns(const struct db_statement *statement)
{
    return statement->columns;
}

void db_lane_start(struct db_lane *lane, void (*settled)(void *arg), void *arg)
{
    lane->settled = settled;
    lane->settled_arg = arg;
    lane_connect(lane);
}

void db_lane_free(struct db_lane *lane)
{
    lane->settled = NULL;
    lane_enter(lane, DB_DRAINING);
    lane_close(lane);
    while (!h2o_linklist_is_empty(&lane->in_flight))
        query_end(first_of(&lane->in_flight), DB_LOST);
    while (!h2o_linklist_is_empty(&lane->waiting))
        query_end(first_of(&lane->waiting), DB_NOT_SENT);
    while (!h2o_linklist_is_empty(&lane->spare)) {
        struct db_query *query = first_of(&lane->spare);
        h2o_linklist_unlink(&query->link);
        free(query);
    }
    for (size_t i = 0; i < lane->n_statements; i++) {
        pgjson_columns_free(lane->statements[i]->columns);
        free(lane->statements[i]->types);
        free(lane->statements[i]);
    }
    free(lane->statements);
    h2o_timeout_dispose(lane->loop, &lane->tick_timeout);
    for (struct deadline *deadline = lane->deadlines, *next; deadline != NULL; deadline = next) {
        next = deadline->next;
        h2o_timeout_dispose(lane->loop, &deadline->timeout);
        free(deadline);
    }
    free(lane);
}
