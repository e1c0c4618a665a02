/*
 * lane.c: a lane: what of its queue goes to which connection when.
 *
 * A query waits in the line of its statement (db/queue.c); statements of which some wait take turns, so that
 * each gets its share. Once sent, a query is part of what is in flight on a connection (db/ask.c).
 */
#include "db/lane.h"

#include <stdlib.h>

#include "base/mem.h"
#include "db/doubt.h"
#include "db/place.h"
#include "db/schema.h"
#include "db/trouble.h"
#include "db/types.h"

enum {
    TICK_MS = 20,       /* how exactly attempts to connect, and descriptions, are timed */
    WATCH_LEAST_MS = 1, /* how often those in flight are looked at: each `spill`, within these */
    WATCH_MOST_MS = 100,
    IDLE_TICK_MS = 1000,
    LACKING_MS = 250, /* what has waited so long for a connection does not get one just so */
};

/* Something that is done from time to time, or soon. */
struct timer {
    h2o_timeout_t *timeout;
    h2o_timeout_entry_t entry;
};

struct db_lane {
    struct db_env env;
    struct db_statements statements;
    struct db_pool pool;
    struct db_look look;
    struct db_queue queue;
    struct db_asks asks;
    struct db_doubts doubts;
    struct db_schema schema;
    struct db_place place;
    struct timer tick;      /* while some connection is neither ready nor gone */
    struct timer watch;     /* while anything is in flight */
    struct timer soon;      /* for what must not be done from where it is noticed */
    struct timer idle;      /* while there is more than one connection */
    bool lacks_place;       /* something has found no place in this turn */
    uint64_t lacking_since; /* clock_ms: since when that is so in each turn; 0 if it is not */
    bool gathers;           /* something is held back until the next turn */
    bool wants_types;       /* types are to be asked for, on some connection */
    void (*settled)(void *arg);
    void *settled_arg;
};

/* A statement, with what each file knows of it. */
struct lane_statement {
    struct db_statement statement;
    struct db_line line;
    struct db_doubted doubted;
    struct db_merge merge;
    struct db_manners manners;
    struct db_lane *lane;
};

static struct db_lane *lane_of(const struct db_statement *statement)
{
    return H2O_STRUCT_FROM_MEMBER(struct lane_statement, statement, statement)->lane;
}

/* Timers */

static void begin_timer(struct db_lane *lane, struct timer *timer)
{
    if (!h2o_timeout_is_linked(&timer->entry) && !lane->env.ended)
        h2o_timeout_link(lane->env.loop, timer->timeout, &timer->entry);
}

static void end_timer(struct timer *timer)
{
    h2o_timeout_unlink(&timer->entry);
}

static void on_soon(h2o_timeout_entry_t *entry);
static void on_tick(h2o_timeout_entry_t *entry);
static void on_watch(h2o_timeout_entry_t *entry);
static void on_idle(h2o_timeout_entry_t *entry);

static void init_timer(struct db_lane *lane, struct timer *timer, unsigned ms, h2o_timeout_cb cb)
{
    timer->timeout = timeouts_get(lane->env.conf.timeouts, ms);
    timer->entry.cb = cb;
}

/* What connections tell */

static void settle(struct db_lane *lane)
{
    void (*settled)(void *) = lane->settled;
    lane->settled = NULL;
    if (settled != NULL)
        settled(lane->settled_arg);
}

static void on_ready(struct db_lane *lane, struct db_connection *connection)
{
    bool is_first = db_pool_is_first(&lane->pool, connection);
    if (is_first)
        db_trouble_is_over(&lane->env);
    db_place_opened(&lane->place);
    db_pool_on_ready(&lane->pool, connection);
    if (is_first)
        db_schema_begin(&lane->schema, connection);
}

static void on_changed(struct db_connection *connection)
{
    struct db_lane *lane = connection->lane;
    if (!db_pool_any_unsettled(&lane->pool))
        end_timer(&lane->tick);
    else
        begin_timer(lane, &lane->tick);
    if (lane->pool.n > 1)
        begin_timer(lane, &lane->idle);
    struct shm_lane *shown = lane->env.conf.shown;
    enum db_state state = lane->pool.all[0]->state;
    atomic_store_explicit(&shown->state, (int)state, memory_order_relaxed);
    _Static_assert((int)METRIC_LANE_DRAINING - (int)METRIC_LANE_CONNECTING == (int)DB_DRAINING, "one each");
    for (unsigned i = DB_CONNECTING; i <= DB_DRAINING; i++)
        db_env_show(&lane->env, METRIC_LANE_CONNECTING + i, i == state);
    db_pool_show(&lane->pool);
    if (connection->state == DB_READY)
        on_ready(lane, connection);
    if (connection->state == DB_BROKEN || connection->state == DB_DRAINING)
        db_place_connection_lost(connection);
    if (connection->state == DB_READY || connection->state == DB_BACKING_OFF)
        settle(lane);
}

static void on_connected(struct db_connection *connection)
{
    db_connection_await(connection);
    db_look_at(&connection->lane->look, connection);
}

/* The first one prepares all statements, others what they are asked for. */
static void on_seen(struct db_connection *connection)
{
    struct db_lane *lane = connection->lane;
    if (!db_pool_is_first(&lane->pool, connection))
        return;
    for (size_t i = 0; i < lane->statements.n; i++) {
        db_connection_await(connection);
        db_prepare(connection, lane->statements.all[i]);
    }
}

static void on_soon_wanted(struct db_connection *connection)
{
    begin_timer(connection->lane, &connection->lane->soon);
}

static const struct db_connection_ops connection_ops = {
    .pipeline = {.head_ended = db_place_head_ended},
    .changed = on_changed,
    .connected = on_connected,
    .seen = on_seen,
    .soon = on_soon_wanted,
};

/* What statements tell */

static void on_types_wanted(struct db_connection *connection)
{
    connection->lane->wants_types = true;
}

static void on_prepared(struct db_connection *connection, struct db_statement *statement)
{
    db_merge_prepare(connection, statement);
    db_doubt_prepared(statement, true);
}

static void on_failed(struct db_statement *statement)
{
    begin_timer(lane_of(statement), &lane_of(statement)->soon);
    db_doubt_prepared(statement, false);
}

static const struct db_statement_ops statement_ops = {
    .refitted = db_line_fit,
    .wants_types = on_types_wanted,
    .prepared = on_prepared,
    .failed = on_failed,
};

struct db_statement *db_statement_new(struct db_lane *lane, const struct db_statement_conf *conf)
{
    struct lane_statement *made = mem_calloc(1, sizeof(*made));
    struct db_statement_parts parts = {&made->line, &lane->asks, &made->doubted, &made->merge,
                                       &made->manners};
    struct db_statements *statements = &lane->statements;
    made->lane = lane;
    db_statement_init(&made->statement, &lane->env, &statement_ops, conf, statements->n, parts);
    db_line_init(&made->line, &lane->queue, &made->statement);
    db_doubted_init(&made->doubted, &lane->doubts);
    db_merge_init(&made->merge);
    db_manners_init(&made->manners, &lane->place);
    MEM_GROW(&statements->all, statements->n);
    statements->all[statements->n++] = &made->statement;
    return &made->statement;
}

/* Queries */

/* Where nothing is ready, nothing waits. */
static void end_waiting(struct db_lane *lane)
{
    if (db_pool_any_ready(&lane->pool))
        return;
    for (size_t i = 0; i < lane->statements.n; i++) {
        db_line_end(lane->statements.all[i], DB_NOT_SENT);
        db_doubt_expire_all(lane->statements.all[i]);
    }
}

/* A sent query leaves a flight on the wire whose answer still has to be read. */
static void on_deadline(h2o_timeout_entry_t *entry)
{
    struct db_query *query = H2O_STRUCT_FROM_MEMBER(struct db_query, timer, entry);
    if (query->doubt != NULL) {
        db_doubt_expire(query);
    } else if (query->ask == NULL) {
        db_query_wait_no_more(query);
        db_query_end_late(query, DB_NOT_SENT);
    } else {
        db_ask_leave(query);
        db_query_end_late(query, DB_LOST);
    }
}

/*
 * A statement may have as many queries in the queue as there are places left: one that floods the lane fills
 * half of it, two a third each, and there is always room for others, if the lane has any.
 */
static bool is_full(const struct db_lane *lane, const struct db_statement *statement)
{
    size_t n_waiting = lane->queue.n_waiting, n_own = statement->parts.line->n;
    if (n_waiting == 0)
        return false;
    size_t room = 0; /* what has room on the wire does not wait: it goes out at the end of this turn */
    for (size_t i = 0; i < lane->pool.n; i++) {
        const struct db_connection *connection = lane->pool.all[i];
        if (db_connection_is_open(connection) && connection->pipeline.n < DB_PIPELINE_MOST)
            room += DB_PIPELINE_MOST - connection->pipeline.n;
    }
    size_t places = lane->env.conf.queue + room;
    return n_waiting >= places || (lane->statements.n > 1 && n_own > 0 && n_own >= places - n_waiting);
}

enum db_refusal db_check(struct db_lane *lane, struct db_statement *statement)
{
    if (!db_pool_any_ready(&lane->pool) &&
        !(statement->description != NULL && db_pool_is_hopeful(&lane->pool)))
        return DB_AWAY;
    if (is_full(lane, statement))
        return DB_FULL;
    return statement->unusable || statement->description == NULL ? DB_UNPREPARED : DB_ACCEPTED;
}

void db_refused(struct db_lane *lane, enum db_refusal refusal)
{
    db_env_count(&lane->env, refusal == DB_FULL ? METRIC_LANE_FULL : METRIC_LANE_AWAY, 1);
}

struct db_query *db_submit(struct db_lane *lane, struct db_statement *statement, const struct str *values,
                           struct store *store, const struct db_asker *asker, void *owner)
{
    struct db_query *query = db_query_new(statement, values, store, asker, owner, on_deadline);
    db_env_count(&lane->env, METRIC_LANE_QUERIES, 1);
    if (values != NULL) {
        db_query_wait(query);
    } else {
        db_env_wake(&lane->env);
        db_doubt_begin(query, (struct db_doubt){.why = DB_UNFIT});
    }
    return query;
}

uint64_t db_abandon(struct db_query *query)
{
    uint64_t sent_at = query->sent_at;
    if (query->doubt != NULL)
        db_doubt_leave(query);
    else if (query->ask == NULL)
        db_query_wait_no_more(query);
    else
        db_ask_abandon(query);
    db_query_free(query);
    return sent_at;
}

/* Sending */

/*
 * Sends the statement's next query, or several as one; unless more may come to be merged with it, while
 * enough of it is in flight to keep PostgreSQL busy, or in the next turn.
 */
static bool send_waiting(struct db_lane *lane, struct db_connection *connection,
                         struct db_statement *statement, struct db_ask_how how)
{
    if (how.alone || !db_merge_can(connection, statement)) {
        db_ask_send(connection, db_line_take(statement), how);
        return true;
    }
    size_t n_in_flight = db_preparation_of(connection, statement)->n_in_flight;
    size_t n = db_merge_plan(statement, n_in_flight, &lane->gathers);
    if (n == 0)
        return false;
    if (n > 1)
        db_merge_send(connection, statement, n);
    else
        db_ask_send(connection, db_line_take(statement), how);
    return true;
}

/* Sends what of the statement waits first, if anything does and there is a place for it. */
static bool send_next(struct db_lane *lane, struct db_statement *statement)
{
    if (db_line_is_empty(statement))
        return false;
    struct db_ask_how how;
    struct db_connection *connection = db_place_for(&lane->place, statement, &how);
    if (connection == NULL) {
        lane->lacks_place = true;
        return false;
    }
    const struct db_preparation *preparation = db_preparation_of(connection, statement);
    if (db_preparation_is_usable(preparation, statement))
        return send_waiting(lane, connection, statement, how);
    if (!statement->unusable && lane->env.now >= preparation->not_before &&
        !db_pool_prepares(&lane->pool, statement))
        db_prepare(connection, statement);
    return false;
}

/* Statements take turns, a query (or several as one) at a time, until none of them can send any longer. */
static void dispatch(struct db_lane *lane)
{
    struct db_queue *queue = &lane->queue;
    size_t unserved = 0;
    lane->lacks_place = false;
    db_place_begin_turn(&lane->place);
    db_schema_before_queries(&lane->schema);
    while (unserved < queue->n_turns) {
        struct db_statement *statement = db_queue_next(queue);
        bool served = send_next(lane, statement);
        unserved = served ? 0 : unserved + 1;
        if (db_line_is_empty(statement))
            unserved -= !served;
        else
            db_line_take_turn(statement);
    }
    db_place_end_turn(&lane->place);
}

static void send_all(struct db_lane *lane)
{
    db_env_wake(&lane->env);
    dispatch(lane);
    if (!lane->lacks_place)
        lane->lacking_since = 0;
    else if (lane->lacking_since == 0)
        lane->lacking_since = lane->env.now;
}

static void ask_for_types(struct db_lane *lane)
{
    lane->wants_types = false;
    for (size_t i = 0; i < lane->pool.n; i++)
        db_types_ask(lane->pool.all[i]);
}

/* No asker is called from here: see db/connection.c. */
bool db_lane_turn_end(struct db_lane *lane)
{
    unsigned in_flight = 0;
    lane->gathers = false;
    if (lane->env.ended)
        return false;
    if (lane->queue.n_waiting > 0)
        send_all(lane);
    else
        lane->lacking_since = 0;
    if (db_schema_is_due(&lane->schema))
        db_schema_when_idle(&lane->schema);
    if (lane->wants_types)
        ask_for_types(lane);
    for (size_t i = 0; i < lane->pool.n; i++) {
        if (lane->pool.all[i]->pipeline.n == 0)
            continue;
        db_connection_flush(lane->pool.all[i]);
        in_flight += (unsigned)lane->pool.all[i]->pipeline.n;
    }
    db_queue_end_turn(&lane->queue);
    db_env_show(&lane->env, METRIC_LANE_IN_FLIGHT, in_flight);
    db_env_show(&lane->env, METRIC_LANE_WAITING, lane->queue.n_waiting);
    if (in_flight > 0 && !h2o_timeout_is_linked(&lane->watch.entry))
        begin_timer(lane, &lane->watch);
    return lane->gathers;
}

/* For those whose clients hold connections */

const char *db_lane_name(const struct db_lane *lane)
{
    return lane->env.conf.name;
}

unsigned db_lane_connections(const struct db_lane *lane)
{
    return lane->pool.capped ? (unsigned)lane->pool.n : lane->env.conf.connections;
}

bool db_lane_is_wanted(const struct db_lane *lane, uint64_t network)
{
    if (lane->lacking_since == 0 || clock_ms() - lane->lacking_since < LACKING_MS)
        return false;
    for (size_t i = 0; i < lane->statements.n; i++) {
        if (db_line_is_wanted(lane->statements.all[i], network))
            return true;
    }
    return false;
}

/* What timers do */

static void close_connection(struct db_lane *lane, struct db_connection *connection)
{
    switch (db_pool_close(&lane->pool, connection)) {
    case DB_POOL_UNOPENED:
        db_place_unopened(&lane->place);
        break;
    case DB_POOL_WAITS:
        end_waiting(lane);
        break;
    case DB_POOL_GONE:
    case DB_POOL_BEGINS:
        break;
    }
}

static void on_soon(h2o_timeout_entry_t *entry)
{
    struct db_lane *lane = H2O_STRUCT_FROM_MEMBER(struct db_lane, soon.entry, entry);
    const struct db_pool *pool = &lane->pool;
    db_env_wake(&lane->env);
    for (size_t i = 0; i < lane->statements.n; i++) {
        if (lane->statements.all[i]->unusable)
            db_line_end(lane->statements.all[i], DB_UNUSABLE);
    }
    for (size_t i = pool->n; i-- > 0;) {
        if (i < pool->n && pool->all[i]->has_rest)
            db_connection_receive_rest(pool->all[i]);
        if (i < pool->n && pool->all[i]->pipeline.ends)
            close_connection(lane, pool->all[i]); /* which may take it off the list */
    }
}

static void on_tick(h2o_timeout_entry_t *entry)
{
    struct db_lane *lane = H2O_STRUCT_FROM_MEMBER(struct db_lane, tick.entry, entry);
    db_env_wake(&lane->env);
    db_pool_tick(&lane->pool);
    if (db_pool_any_unsettled(&lane->pool))
        begin_timer(lane, &lane->tick);
}

static void on_watch(h2o_timeout_entry_t *entry)
{
    struct db_lane *lane = H2O_STRUCT_FROM_MEMBER(struct db_lane, watch.entry, entry);
    db_env_wake(&lane->env);
    db_place_watch(&lane->place); /* the timer begins again at the end of the turn */
}

static void on_idle(h2o_timeout_entry_t *entry)
{
    struct db_lane *lane = H2O_STRUCT_FROM_MEMBER(struct db_lane, idle.entry, entry);
    db_env_wake(&lane->env);
    db_place_close_idle(&lane->place);
    if (lane->pool.n > 1)
        begin_timer(lane, &lane->idle);
}

/* Making and ending */

static unsigned watch_ms(const struct db_lane_conf *conf)
{
    return conf->spill < WATCH_LEAST_MS  ? WATCH_LEAST_MS
           : conf->spill > WATCH_MOST_MS ? WATCH_MOST_MS
                                         : conf->spill;
}

bool db_lane_only_reads(const struct db_lane *lane)
{
    return lane->env.conf.read_only;
}

struct db_lane *db_lane_new(h2o_loop_t *loop, const struct db_lane_conf *conf)
{
    struct db_lane *lane = mem_calloc(1, sizeof(*lane));
    struct db_env *env = &lane->env;
    db_env_init(env, loop, conf);
    init_timer(lane, &lane->tick, TICK_MS, on_tick);
    init_timer(lane, &lane->watch, watch_ms(conf), on_watch);
    init_timer(lane, &lane->idle, IDLE_TICK_MS, on_idle);
    init_timer(lane, &lane->soon, 0, on_soon);
    db_pool_init(&lane->pool, env, &connection_ops, lane, &lane->statements);
    db_look_init(&lane->look, env);
    db_queue_init(&lane->queue, env);
    db_asks_init(&lane->asks);
    db_doubts_init(&lane->doubts, env, &lane->pool, &lane->statements, lane->tick.timeout);
    db_schema_init(&lane->schema, env, &lane->pool, &lane->statements);
    db_place_init(&lane->place, env, &lane->pool, &lane->queue, &lane->look);
    return lane;
}

void db_lane_start(struct db_lane *lane, void (*settled)(void *arg), void *arg)
{
    lane->settled = settled;
    lane->settled_arg = arg;
    db_pool_start(&lane->pool);
}

void db_lane_end(struct db_lane *lane)
{
    lane->settled = NULL;
    db_env_end(&lane->env);
    end_timer(&lane->tick);
    end_timer(&lane->watch);
    end_timer(&lane->idle);
    end_timer(&lane->soon);
    db_doubts_end(&lane->doubts);
    db_pool_end(&lane->pool);
    end_waiting(lane);
}

void db_lane_free(struct db_lane *lane)
{
    for (size_t i = 0; i < lane->statements.n; i++) {
        db_statement_clear(lane->statements.all[i]);
        free(H2O_STRUCT_FROM_MEMBER(struct lane_statement, statement, lane->statements.all[i]));
    }
    db_schema_clear(&lane->schema);
    db_asks_clear(&lane->asks);
    db_queue_clear(&lane->queue);
    db_look_clear(&lane->look);
    db_pool_clear(&lane->pool);
    free(lane->statements.all);
    free(lane);
}
