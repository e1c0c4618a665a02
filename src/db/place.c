/*
 * place.c: keeps queries out of each other's way.
 *
 * Answers come in the order of the questions, so a query that runs for long holds all that were sent after
 * it on its connection. When it has run for `spill`, what comes next takes another connection, which is
 * opened if need be; reads that stand after it are asked again elsewhere. A statement that is in the way
 * now, was slow twice running, or whose result outgrew what its asker holds in memory, is heavy: it runs
 * alone on a connection, and one connection is always left to the others.
 */
#include <stdio.h>

#include "base/clock.h"
#include "base/complain.h"
#include "base/mem.h"
#include "db/db_private.h"
#include "base/log.h"

enum {
    SLOW_STEP = 2,       /* what a slow run adds to statement->slow; a quick one takes 1 off */
    SLOW_HEAVY = 4,      /* from here on it is heavy */
    SLOW_MOST = 6,       /* so that a few quick runs clear it */
    SLOW_STEP_MS = 2000, /* one is also taken off in this time, in which it may have found no place to run */
    BIG_MEMORY = 16,     /* runs for which a big result is remembered */
    BIG_STEP_MS = 10000, /* and one of them is over in this time */
    LOOK_MS = 200,       /* a look at the catalogue is in the way when it takes so long, if not for less */
    HELD_WORTH_MS = 200, /* a shorter hold is not worth a line in the log */
    MOVES_MAX = 2,       /* first away from several that are asked as one, then away from the slow one */
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

bool db_is_heavy(const struct db_statement *statement)
{
    unsigned slow = left_of(&statement->slow, statement->lane->now, SLOW_STEP_MS);
    return slow >= SLOW_HEAVY || statement->n_holding > 0 || db_is_unbounded(statement);
}

/* A statement that writes cannot be asked again when its result turns out to be big, so it is always ready
 * for that. */
bool db_is_unbounded(const struct db_statement *statement)
{
    const struct db_lane *lane = statement->lane;
    unsigned big = left_of(&statement->big, lane->now, BIG_STEP_MS);
    return statement->conf.streams && (big > 0 || !lane->conf.read_only || lane->may_write);
}

void db_spill_learn(struct db_statement *statement, uint64_t ms)
{
    uint64_t now = statement->lane->now;
    unsigned slow = left_of(&statement->slow, now, SLOW_STEP_MS);
    if (ms >= statement->lane->conf.spill)
        slow = slow + SLOW_STEP > SLOW_MOST ? SLOW_MOST : slow + SLOW_STEP;
    else if (slow > 0)
        slow--;
    if (slow > 0 || statement->slow.level > 0)
        statement->slow = (struct db_memory){slow, now};
    if (statement->big.level > 0) {
        unsigned big = left_of(&statement->big, now, BIG_STEP_MS);
        statement->big = (struct db_memory){big == 0 ? 0 : big - 1, now};
    }
}

bool db_is_held(const struct db_connection *connection)
{
    const struct db_lane *lane = connection->lane;
    if (connection->n_in_flight == 0)
        return false;
    bool is_look = db_head(connection)->kind == FLIGHT_SCHEMA && lane->conf.spill < LOOK_MS;
    return lane->now - connection->head_since >= (is_look ? LOOK_MS : lane->conf.spill);
}

static bool takes_queries(const struct db_connection *connection)
{
    return connection->state == DB_READY && !connection->ends && !connection->retires &&
           connection->n_alone == 0;
}

bool db_is_open_to_others(const struct db_connection *connection)
{
    return takes_queries(connection) && !db_is_held(connection);
}

/* Opens another connection, unless there is one on its way already. Returns whether there will be one soon.
 */
static bool spill(struct db_lane *lane)
{
    for (size_t i = 0; i < lane->n_connections; i++) {
        const struct db_connection *connection = lane->connections[i];
        bool is_coming = connection->state == DB_CONNECTING || connection->state == DB_PREPARING;
        if (is_coming && lane->now < connection->began_at + SOON_MS)
            return true;
    }
    if (lane->n_connections >= lane->conf.connections || lane->now < lane->spill_not_before)
        return false;
    lane->capped = !lane->conf.budget_take(lane->conf.budget_arg);
    if (lane->capped) {
        lane->spill_not_before = lane->now + BACK_OFF_FIRST_MS;
        db_complain(
            lane, DB_CANNOT_SPILL,
            "lane %s needs another connection, but database.max allows no more; queries wait for each other",
            lane->conf.name);
        return false;
    }
    db_connection_new(lane);
    return true;
}

void db_spill_failed(struct db_lane *lane)
{
    if (lane->spill_back_off < BACK_OFF_FIRST_MS)
        lane->spill_back_off = BACK_OFF_FIRST_MS;
    lane->spill_not_before = clock_ms() + lane->spill_back_off;
    lane->spill_back_off =
        lane->spill_back_off * 2 > BACK_OFF_LAST_MS ? BACK_OFF_LAST_MS : lane->spill_back_off * 2;
}

/* Is there nothing in flight but perhaps what prepares the statement? */
static bool is_idle_for(const struct db_connection *connection, const struct db_statement *statement)
{
    return connection->n_in_flight == 0 ||
           (connection->n_in_flight == 1 && connection->preparations[statement->number].state == PREPARING);
}

/* There are several, and none is idle: others stay away from the one that has least to do. */
static void reserve(struct db_lane *lane)
{
    struct db_connection *least = NULL;
    for (size_t i = 0; i < lane->n_connections; i++) {
        struct db_connection *connection = lane->connections[i];
        if (!db_is_open_to_others(connection))
            continue;
        if (connection->reserved)
            return;
        if (least == NULL || connection->n_in_flight < least->n_in_flight)
            least = connection;
    }
    least->reserved = true;
}

/* It is no longer quick for others: what runs first on it has shown that it takes long. */
static bool has_heavy_head(const struct db_connection *connection)
{
    return connection->n_in_flight > 0 && db_head(connection)->kind == FLIGHT_QUERIES &&
           db_is_heavy(db_head(connection)->statement);
}

/*
 * The last one that has nothing in flight, while another one is left to the others. Where the lane has only
 * this one, and no other is available, the query goes after what is in flight; but a result that a slow
 * client takes at its own pace must not have the only connection of a lane that could have more.
 */
static struct db_connection *place_alone(struct db_lane *lane, const struct db_statement *statement)
{
    struct db_connection *idle = NULL, *only = NULL;
    size_t n_left = 0;
    for (size_t i = 0; i < lane->n_connections; i++) {
        struct db_connection *connection = lane->connections[i];
        if (!db_is_open_to_others(connection) || has_heavy_head(connection))
            continue;
        n_left++;
        only = connection;
        if (is_idle_for(connection, statement))
            idle = connection;
    }
    lane->heavy_waits = true;
    if (n_left > 1 && idle != NULL) {
        idle->reserved = true;
        return idle;
    }
    if (n_left > 1)
        reserve(lane);
    bool more_to_come = spill(lane);
    if (more_to_come || n_left != 1 || only->n_in_flight >= DB_IN_FLIGHT_MAX)
        return NULL;
    bool has_others = false; /* that will be free again */
    for (size_t i = 0; i < lane->n_connections; i++)
        has_others |= lane->connections[i] != only && lane->connections[i]->state == DB_READY;
    bool at_their_pace = db_is_unbounded(statement) && lane->conf.connections > 1 && !lane->capped;
    return has_others || at_their_pace ? NULL : only;
}

/* The first one that is not in the way. */
static struct db_connection *place_among_others(struct db_lane *lane)
{
    struct db_connection *reserved = NULL;
    bool any_full = false;
    for (size_t i = 0; i < lane->n_connections; i++) {
        struct db_connection *connection = lane->connections[i];
        if (!db_is_open_to_others(connection))
            continue;
        if (connection->n_in_flight >= DB_IN_FLIGHT_MAX)
            any_full = true;
        else if (connection->reserved)
            reserved = connection;
        else
            return connection;
    }
    if (any_full)
        return NULL;
    if (reserved == NULL)
        spill(lane);
    return reserved;
}

/*
 * What is in the way now need not be tried elsewhere to find that out. Where several are asked as one, it is
 * not their statement's fault yet.
 */
static void notice_hold(struct db_flight *head)
{
    if (head->holds || head->statement == NULL || db_is_merged(head))
        return;
    head->holds = true;
    head->statement->n_holding++;
}

void db_spill_notice(struct db_lane *lane)
{
    for (size_t i = 0; i < lane->n_connections; i++) {
        if (db_is_held(lane->connections[i]))
            notice_hold(db_head(lane->connections[i]));
    }
}

struct db_connection *db_place_for(struct db_lane *lane, struct db_statement *statement)
{
    return db_is_heavy(statement) ? place_alone(lane, statement) : place_among_others(lane);
}

bool db_outgrown(struct db_query *query)
{
    struct db_flight *flight = query->flight;
    query->statement->big = (struct db_memory){BIG_MEMORY, query->statement->lane->now};
    if (flight->unbounded) {
        query->streaming = true;
        h2o_timeout_unlink(&query->timer);
        return true;
    }
    db_leave(query);
    db_wait_again(query);
    return false;
}

/* Someone else has a place for what stands after the head, or soon will. */
static bool has_elsewhere(struct db_lane *lane)
{
    for (size_t i = 0; i < lane->n_connections; i++) {
        if (db_is_open_to_others(lane->connections[i]))
            return true;
    }
    return spill(lane);
}

static void move(struct db_query *query)
{
    if (query == NULL || query->moves == MOVES_MAX)
        return;
    query->moves++;
    query->flight->connection->waited++;
    db_leave(query);
    db_wait_again(query);
}

/*
 * Reads that stand after the head wait to be asked elsewhere; in the end those that are the head
 * together, too, one by one. Their first answers are thrown away.
 */
static void move_stuck(struct db_connection *connection)
{
    h2o_linklist_t *head = connection->in_flight.next;
    for (h2o_linklist_t *link = connection->in_flight.prev; link != head; link = link->prev) {
        struct db_flight *flight = H2O_STRUCT_FROM_MEMBER(struct db_flight, link, link);
        for (size_t i = flight->n_queries; i-- > 0;)
            move(flight->queries[i]);
    }
    if (db_merge_is_stuck(db_head(connection)))
        db_merge_split(db_head(connection));
}

/*
 * Does anybody wait for what is in flight? What prepares a statement, or looks at the session, counts, but
 * not after a result that nobody takes.
 */
static bool is_awaited(const struct db_connection *connection)
{
    if (db_head(connection)->unbounded && db_head(connection)->query == NULL)
        return false;
    const h2o_linklist_t *anchor = &connection->in_flight;
    for (const h2o_linklist_t *link = anchor->next; link != anchor; link = link->next) {
        const struct db_flight *flight = H2O_STRUCT_FROM_MEMBER(struct db_flight, link, link);
        if (db_flight_is_awaited(flight) || flight->kind != FLIGHT_QUERIES)
            return true;
    }
    return false;
}

/* statement_timeout has a live server say something at least once in a deadline. */
static bool is_silent(const struct db_connection *connection)
{
    const struct db_lane *lane = connection->lane;
    uint64_t limit = db_head(connection)->unbounded && db_head(connection)->gave_rows
                         ? STREAM_SILENCE_MS
                         : lane->conf.deadline + SILENCE_MS;
    return !connection->paused && lane->now - connection->heard_at > limit;
}

static void watch_one(struct db_connection *connection)
{
    struct db_lane *lane = connection->lane;
    if (connection->n_in_flight == 0 || connection->state != DB_READY || connection->ends)
        return;
    if (is_silent(connection)) {
        db_connection_fail(connection, "no answer from the database");
        return;
    }
    if (!db_is_held(connection))
        return;
    notice_hold(db_head(connection));
    /* a write may run to its end, but not without a limit */
    bool may_close = connection->read_only || (db_head(connection)->unbounded &&
                                               lane->now - connection->head_since >= lane->conf.deadline);
    if (may_close && !is_awaited(connection)) {
        db_connection_close(connection); /* the server notices, and gives up what nobody waits for */
    } else if (!db_head(connection)->alone) {
        bool any_stuck = connection->n_in_flight > 1 || db_merge_is_stuck(db_head(connection));
        if (connection->read_only && any_stuck && has_elsewhere(lane))
            move_stuck(connection);
        size_t behind = lane->n_waiting + connection->n_in_flight - 1;
        if (connection->waited < behind)
            connection->waited = (unsigned)behind;
    }
}

void db_spill_watch(struct db_lane *lane)
{
    for (size_t i = 0; i < lane->n_connections; i++)
        watch_one(lane->connections[i]);
}

void db_spill_release(struct db_connection *connection, const struct db_statement *statement, uint64_t ms)
{
    const char *route = statement->conf.label, *lane = connection->lane->conf.name;
    if (connection->waited > 0 && ms >= connection->lane->conf.spill && ms >= HELD_WORTH_MS) {
        char *about = mem_printf("%s held lane %s", route, lane);
        complain(LOG_LEVEL_INFO, about, "%s held lane %s for %llu ms, %u waited; give it a lane", route, lane,
                 (unsigned long long)ms, connection->waited);
        free(about);
    }
    connection->waited = 0;
}

void db_spill_close_idle(struct db_lane *lane)
{
    for (size_t i = 1; i < lane->n_connections; i++) {
        struct db_connection *connection = lane->connections[i];
        if (connection->state == DB_READY && connection->n_in_flight == 0 &&
            (lane->now - connection->idle_since >= IDLE_MS || atomic_load(lane->conf.frugal)))
            db_connection_close(connection);
    }
}
