/*
 * place.c: keeps queries out of each other's way.
 *
 * Answers come in the order of the questions, so a query that runs for long holds all that were sent after
 * it on its connection. When it has run for `spill`, what comes next takes another connection, which is
 * opened if need be; reads that stand after it are asked again elsewhere. A statement that is in the way
 * now, was slow twice running, or whose result outgrew what its asker holds in memory, is heavy: it runs
 * alone on a connection, and one connection is always left to the others.
 */
#include "db/place.h"

#include <stdlib.h>

#include "base/complain.h"
#include "base/mem.h"
#include "db/trouble.h"

enum {
    SLOW_STEP = 2,       /* what a slow run adds to manners->slow; a quick one takes 1 off */
    SLOW_HEAVY = 4,      /* from here on it is heavy */
    SLOW_MOST = 6,       /* so that a few quick runs clear it */
    SLOW_STEP_MS = 2000, /* one is also taken off in this time, in which it may have found no place to run */
    BIG_MEMORY = 16,     /* runs for which a big result is remembered */
    BIG_STEP_MS = 10000, /* and one of them is over in this time */
    HELD_WORTH_MS = 200, /* a shorter hold is not worth a line in the log */
    MOVES_MAX = 2,       /* first away from several that are asked as one, then away from the slow one */
    DRAIN_MS = 500,      /* rows that nobody takes are read for so long, */
    CANCEL_MS = 2000,    /* and then for so long until the server has given up */
    IDLE_MS = 10000,     /* a connection beyond the first is closed when it was idle for so long */
    SILENCE_MS = 1000,   /* beyond statement_timeout: a server that is silent for longer is not there */
    STREAM_SILENCE_MS = 60000, /* the same, where there is no statement_timeout */
    SOON_MS = 250,             /* an attempt to connect that takes longer is not waited for */
    BACK_OFF_FIRST_MS = 100,   /* before another connection is tried again, after one could not be had */
    BACK_OFF_LAST_MS = 5000,
};

/* What is left of it now. */
static unsigned left_of(const struct db_memory *memory, uint64_t now, unsigned step_ms)
{
    if (memory->level == 0)
        return 0;
    uint64_t steps = now > memory->at ? (now - memory->at) / step_ms : 0;
    return steps < memory->level ? memory->level - (unsigned)steps : 0;
}

static struct db_manners *manners_of(const struct db_statement *statement)
{
    return statement->parts.manners;
}

/*
 * May its result be of any size, at the pace of whoever takes it? A statement that writes cannot be asked
 * again when its result turns out to be big, so it is always ready for that.
 */
static bool is_unbounded(const struct db_statement *statement)
{
    const struct db_manners *manners = manners_of(statement);
    if (!statement->conf.streams)
        return false;
    return !statement->env->conf.read_only || manners->place->look->may_write ||
           left_of(&manners->big, statement->env->now, BIG_STEP_MS) > 0;
}

/* Is it in the way now, or was it lately? */
static bool is_slow(const struct db_statement *statement)
{
    const struct db_manners *manners = manners_of(statement);
    return manners->n_holding > 0 || left_of(&manners->slow, statement->env->now, SLOW_STEP_MS) >= SLOW_HEAVY;
}

/* Is it to run on a connection of its own? */
static bool is_heavy(const struct db_statement *statement)
{
    return is_slow(statement) || is_unbounded(statement);
}

/* One of its queries has ended, after that many ms at the head. */
static void learn(const struct db_statement *statement, uint64_t ms)
{
    struct db_manners *manners = manners_of(statement);
    uint64_t now = statement->env->now;
    bool is_slow_run = ms >= statement->env->conf.spill;
    if (!is_slow_run && manners->slow.level == 0 && manners->big.level == 0)
        return; /* as usual */
    unsigned slow = left_of(&manners->slow, now, SLOW_STEP_MS);
    if (is_slow_run)
        slow = slow + SLOW_STEP > SLOW_MOST ? SLOW_MOST : slow + SLOW_STEP;
    else if (slow > 0)
        slow--;
    if (slow > 0 || manners->slow.level > 0)
        manners->slow = (struct db_memory){slow, now};
    if (manners->big.level > 0) {
        unsigned big = left_of(&manners->big, now, BIG_STEP_MS);
        manners->big = (struct db_memory){big == 0 ? 0 : big - 1, now};
    }
}

static struct db_flight *head_of(const struct db_connection *connection)
{
    return db_pipeline_head(&connection->pipeline);
}

/* Opens another connection, unless there is one on its way already. Returns whether there will be one soon.
 */
static bool spill(struct db_place *place)
{
    const struct db_pool *pool = place->pool;
    const struct db_env *env = place->env;
    for (size_t i = 0; i < pool->n; i++) {
        const struct db_connection *connection = pool->all[i];
        bool is_coming = connection->state == DB_CONNECTING || connection->state == DB_PREPARING;
        if (is_coming && env->now < connection->began_at + SOON_MS)
            return true;
    }
    if (env->now < place->not_before)
        return false;
    enum db_pool_growth growth = db_pool_grow(place->pool);
    if (growth == DB_POOL_CAPPED) {
        place->not_before = env->now + BACK_OFF_FIRST_MS;
        db_trouble(
            env, DB_CANNOT_SPILL,
            "lane %s needs another connection, but database.max allows no more; queries wait for each other",
            env->conf.name);
    }
    return growth == DB_POOL_GROWS;
}

void db_place_unopened(struct db_place *place)
{
    if (place->back_off < BACK_OFF_FIRST_MS)
        place->back_off = BACK_OFF_FIRST_MS;
    place->not_before = clock_ms() + place->back_off;
    place->back_off = place->back_off * 2 > BACK_OFF_LAST_MS ? BACK_OFF_LAST_MS : place->back_off * 2;
}

void db_place_opened(struct db_place *place)
{
    place->back_off = 0;
}

/* Is there nothing in flight but perhaps what prepares the statement? */
static bool is_idle_for(const struct db_connection *connection, const struct db_statement *statement)
{
    size_t n = connection->pipeline.n;
    return n == 0 || (n == 1 && db_preparation_of(connection, statement)->state == DB_BEING_PREPARED);
}

static void reserve(struct db_place *place, struct db_connection *connection)
{
    db_connection_reserve(connection, true);
    place->any_reserved = true;
}

/* There are several, and none is idle: others stay away from the one that has least to do. */
static void reserve_least(struct db_place *place)
{
    const struct db_pool *pool = place->pool;
    struct db_connection *least = NULL;
    for (size_t i = 0; i < pool->n; i++) {
        struct db_connection *connection = pool->all[i];
        if (!db_connection_is_open(connection))
            continue;
        if (connection->reserved)
            return;
        if (least == NULL || connection->pipeline.n < least->pipeline.n)
            least = connection;
    }
    reserve(place, least);
}

/* It is no longer quick for others: what runs first on it has shown that it takes long. */
static bool has_heavy_head(const struct db_connection *connection)
{
    return connection->pipeline.n > 0 && head_of(connection)->ops->asks &&
           is_heavy(head_of(connection)->statement);
}

/*
 * The last one that has nothing in flight, while another one is left to the others. Where the lane has only
 * this one, and no other is available, the query goes after what is in flight; but a result that a slow
 * client takes at its own pace must not have the only connection of a lane that could have more.
 */
static struct db_connection *place_alone(struct db_place *place, const struct db_statement *statement)
{
    const struct db_pool *pool = place->pool;
    struct db_connection *idle = NULL, *only = NULL;
    size_t n_left = 0;
    for (size_t i = 0; i < pool->n; i++) {
        struct db_connection *connection = pool->all[i];
        if (!db_connection_is_open(connection) || has_heavy_head(connection))
            continue;
        n_left++;
        only = connection;
        if (is_idle_for(connection, statement))
            idle = connection;
    }
    place->heavy_waits = true;
    if (n_left > 1 && idle != NULL) {
        reserve(place, idle);
        return idle;
    }
    if (n_left > 1)
        reserve_least(place);
    bool more_to_come = spill(place);
    if (more_to_come || n_left != 1 || only->pipeline.n >= DB_PIPELINE_MOST)
        return NULL;
    bool has_others = false; /* that will be free again */
    for (size_t i = 0; i < pool->n; i++)
        has_others |= pool->all[i] != only && pool->all[i]->state == DB_READY;
    bool may_have_more = place->env->conf.connections > 1 && !pool->capped;
    bool at_their_pace = is_unbounded(statement) && may_have_more;
    return has_others || at_their_pace ? NULL : only;
}

/* The first one that is not in the way. */
static struct db_connection *place_among_others(struct db_place *place)
{
    const struct db_pool *pool = place->pool;
    struct db_connection *reserved = NULL;
    bool any_full = false;
    for (size_t i = 0; i < pool->n; i++) {
        struct db_connection *connection = pool->all[i];
        if (!db_connection_is_open(connection))
            continue;
        if (connection->pipeline.n >= DB_PIPELINE_MOST)
            any_full = true;
        else if (connection->reserved)
            reserved = connection;
        else
            return connection;
    }
    if (any_full)
        return NULL;
    if (reserved == NULL)
        spill(place);
    return reserved;
}

/*
 * What is in the way now need not be tried elsewhere to find that out. Where several are asked as one, it is
 * not their statement's fault yet.
 */
static void notice_hold(struct db_connection *connection)
{
    const struct db_flight *head = head_of(connection);
    const struct db_ask *ask = db_ask_of(head);
    if (connection->holder != NULL || head->statement == NULL || (ask != NULL && db_ask_is_merged(ask)))
        return;
    db_connection_set_holder(connection, head->statement);
    manners_of(head->statement)->n_holding++;
}

static void end_hold(struct db_connection *connection)
{
    if (connection->holder == NULL)
        return;
    manners_of(connection->holder)->n_holding--;
    db_connection_set_holder(connection, NULL);
}

void db_place_begin_turn(struct db_place *place)
{
    const struct db_pool *pool = place->pool;
    place->heavy_waits = false;
    for (size_t i = 0; i < pool->n; i++) {
        if (db_connection_is_held(pool->all[i]))
            notice_hold(pool->all[i]);
    }
}

void db_place_end_turn(struct db_place *place)
{
    if (place->heavy_waits || !place->any_reserved)
        return;
    for (size_t i = 0; i < place->pool->n; i++)
        db_connection_reserve(place->pool->all[i], false);
    place->any_reserved = false;
}

struct db_connection *db_place_for(struct db_place *place, const struct db_statement *statement,
                                   struct db_ask_how *how)
{
    how->unbounded = is_unbounded(statement);
    how->alone = how->unbounded || is_slow(statement);
    return how->alone ? place_alone(place, statement) : place_among_others(place);
}

bool db_outgrown(struct db_query *query)
{
    struct db_statement *statement = query->statement;
    manners_of(statement)->big = (struct db_memory){BIG_MEMORY, statement->env->now};
    if (query->ask->unbounded) {
        db_query_stream(query);
        return true;
    }
    db_ask_leave(query);
    db_query_wait_again(query);
    return false;
}

/* Someone else has a place for what stands after the head, or soon will. */
static bool has_elsewhere(struct db_place *place)
{
    return db_pool_first_open(place->pool) != NULL || spill(place);
}

static void move(struct db_connection *connection, struct db_query *query)
{
    if (query == NULL || query->moves == MOVES_MAX)
        return;
    db_query_count_move(query);
    db_connection_set_waited(connection, connection->waited + 1);
    db_ask_leave(query);
    db_query_wait_again(query);
}

/*
 * Reads that stand after the head wait to be asked elsewhere; in the end those that are the head
 * together, too, one by one. Their first answers are thrown away.
 */
static void move_stuck(struct db_connection *connection)
{
    struct db_pipeline *pipeline = &connection->pipeline;
    h2o_linklist_t *head = pipeline->flights.next;
    for (h2o_linklist_t *link = pipeline->flights.prev; link != head; link = link->prev) {
        struct db_ask *ask = db_ask_of(H2O_STRUCT_FROM_MEMBER(struct db_flight, link, link));
        for (size_t i = ask == NULL ? 0 : ask->n; i-- > 0;)
            move(connection, ask->queries[i]);
    }
    struct db_ask *first = db_ask_of(db_pipeline_head(pipeline));
    if (first != NULL && db_merge_is_stuck(first))
        db_merge_split(first);
}

/* Is it a result of which nobody takes any more? */
static bool is_left(const struct db_ask *ask)
{
    return ask != NULL && ask->unbounded && ask->only == NULL;
}

/*
 * Does anybody wait for what is in flight? What prepares a statement, or looks at the session, counts, but
 * not after a result that nobody takes.
 */
static bool is_awaited(const struct db_connection *connection)
{
    if (is_left(db_ask_of(head_of(connection))))
        return false;
    const h2o_linklist_t *anchor = &connection->pipeline.flights;
    for (const h2o_linklist_t *link = anchor->next; link != anchor; link = link->next) {
        const struct db_ask *ask = db_ask_of(H2O_STRUCT_FROM_MEMBER(struct db_flight, link, link));
        if (ask == NULL || db_ask_is_awaited(ask))
            return true;
    }
    return false;
}

/* statement_timeout has a live server say something at least once in a deadline. */
static bool is_silent(const struct db_connection *connection)
{
    const struct db_pipeline *pipeline = &connection->pipeline;
    const struct db_ask *ask = db_ask_of(db_pipeline_head(pipeline));
    uint64_t limit = ask != NULL && ask->unbounded && ask->gave_rows
                         ? STREAM_SILENCE_MS
                         : pipeline->env->conf.deadline + SILENCE_MS;
    return !pipeline->paused && pipeline->env->now - pipeline->heard_at > limit;
}

/* A write may run to its end, but not without a limit. */
static bool may_close(const struct db_connection *connection)
{
    const struct db_pipeline *pipeline = &connection->pipeline;
    const struct db_ask *ask = db_ask_of(db_pipeline_head(pipeline));
    return connection->read_only ||
           (ask != NULL && ask->unbounded &&
            pipeline->env->now - pipeline->head_since >= pipeline->env->conf.deadline);
}

/* The head is in the way. What stands after it is asked elsewhere, if that is possible. */
static void relieve(struct db_place *place, struct db_connection *connection)
{
    const struct db_ask *ask = db_ask_of(head_of(connection));
    bool any_stuck = connection->pipeline.n > 1 || (ask != NULL && db_merge_is_stuck(ask));
    if (connection->read_only && any_stuck && has_elsewhere(place))
        move_stuck(connection);
    size_t after = place->queue->n_waiting + connection->pipeline.n - 1;
    if (connection->waited < after)
        db_connection_set_waited(connection, after);
}

/*
 * Nobody waits for what is in flight. If the connection were closed now, PostgreSQL would log that it lost
 * its client, as if something were wrong. Most results soon end: until then their rows are read, and the
 * connection can be used again. Others are cancelled, and so is what others wait for. Where that does not
 * help, the server notices that the connection is closed.
 */
static void give_up(struct db_place *place, struct db_connection *connection)
{
    uint64_t now = place->env->now;
    if (connection->left_at == 0)
        db_connection_set_left(connection, now);
    uint64_t ms = now - connection->left_at;
    if (ms >= DRAIN_MS + CANCEL_MS)
        db_connection_close(connection);
    else if (!connection->cancels && (ms >= DRAIN_MS || place->queue->n_waiting > 0))
        db_connection_cancel(connection);
}

static void watch_one(struct db_place *place, struct db_connection *connection)
{
    if (connection->pipeline.n == 0 || !db_connection_is_ready(connection))
        return;
    if (is_silent(connection)) {
        db_connection_fail(connection, "no answer from the database");
        return;
    }
    if (!db_connection_is_held(connection))
        return;
    notice_hold(connection);
    if (may_close(connection) && !is_awaited(connection))
        give_up(place, connection);
    else if (!head_of(connection)->alone)
        relieve(place, connection);
}

void db_place_watch(struct db_place *place)
{
    for (size_t i = 0; i < place->pool->n; i++)
        watch_one(place, place->pool->all[i]);
}

static void say_who_held(const struct db_connection *connection, const struct db_statement *statement,
                         uint64_t ms)
{
    const char *route = statement->conf.label, *lane = statement->env->conf.name;
    char *about = mem_printf("%s held lane %s", route, lane);
    complain(LOG_LEVEL_INFO, about, "%s held lane %s for %llu ms, %u waited; give it a lane", route, lane,
             (unsigned long long)ms, connection->waited);
    free(about);
}

void db_place_head_ended(struct db_pipeline *pipeline, const struct db_flight *head, uint64_t ms)
{
    struct db_connection *connection = db_connection_of(pipeline);
    struct db_statement *statement = head->statement;
    const struct db_ask *ask = db_ask_of(head);
    if (connection->waited > 0 && ms >= statement->env->conf.spill && ms >= HELD_WORTH_MS)
        say_who_held(connection, statement, ms);
    db_connection_set_waited(connection, 0);
    db_connection_next_head(connection);
    end_hold(connection);
    if (ask != NULL && db_ask_is_merged(ask))
        db_merge_learn(statement, ms);
    else if (ask != NULL)
        learn(statement, ms);
}

void db_place_connection_lost(struct db_connection *connection)
{
    end_hold(connection);
}

void db_place_close_idle(struct db_place *place)
{
    const struct db_env *env = place->env;
    for (size_t i = 1; i < place->pool->n; i++) {
        struct db_connection *connection = place->pool->all[i];
        if (connection->state == DB_READY && connection->pipeline.n == 0 &&
            (env->now - connection->pipeline.idle_since >= IDLE_MS || atomic_load(env->conf.frugal)))
            db_connection_close(connection);
    }
}

void db_place_init(struct db_place *place, struct db_env *env, struct db_pool *pool,
                   const struct db_queue *queue, const struct db_look *look)
{
    *place = (struct db_place){.env = env, .pool = pool, .queue = queue, .look = look};
}

void db_manners_init(struct db_manners *manners, struct db_place *place)
{
    *manners = (struct db_manners){.place = place};
}
