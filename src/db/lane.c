/*
 * lane.c: a lane: its queue, and what of it goes to which connection when.
 *
 * A query waits in its statement's list; statements that have some wait for their turn in a ring, so that
 * each gets its share. Once sent, a query belongs to what is in flight on a connection (db/connection.c).
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/complain.h"
#include "db/db_private.h"
#include "base/log.h"
#include "base/mem.h"

enum {
    TICK_MS = 20,       /* how exactly attempts to connect, and descriptions, are timed */
    WATCH_LEAST_MS = 1, /* how often those in flight are looked at: each `spill`, within these */
    WATCH_MOST_MS = 100,
    IDLE_TICK_MS = 1000,
    LACKING_MS = 250,       /* what has waited so long for a connection does not get one just so */
    IN_FLIGHT_TO_MERGE = 2, /* while so many of a statement are on the wire, more gather for the next one */
};

/* Complaints */

void db_complain(const struct db_lane *lane, const char *trouble, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = mem_vprintf(format, args), *about = mem_printf("%s (lane %s)", trouble, lane->conf.name);
    va_end(args);
    complain_in_words(LOG_LEVEL_ERROR, about, "%s", text);
    free(about);
    free(text);
}

static bool is_over(const struct db_lane *lane, const char *trouble, uint32_t *left_out)
{
    char *about = mem_printf("%s (lane %s)", trouble, lane->conf.name);
    enum complain_past past = complain_forget(about, 0, left_out);
    free(about);
    return past == COMPLAIN_OVER;
}

static void no_more_complaints(struct db_lane *lane)
{
    uint32_t left_out = 0;
    bool was_lost = is_over(lane, DB_LOST_CONNECTION, &left_out);
    bool was_refused = is_over(lane, DB_CANNOT_CONNECT, &left_out);
    if (was_lost || was_refused)
        log_info("connected to the database again (lane %s)%s", lane->conf.name, complain_left_out(left_out));
}

/* What the lane as a whole is */

static struct db_connection *any_ready(const struct db_lane *lane)
{
    for (size_t i = 0; i < lane->n_connections; i++) {
        if (lane->connections[i]->state == DB_READY && !lane->connections[i]->ends)
            return lane->connections[i];
    }
    return NULL;
}

static bool any_unsettled(const struct db_lane *lane)
{
    bool any = false;
    for (size_t i = 0; i < lane->n_connections; i++)
        any |= lane->connections[i]->state != DB_READY;
    return any;
}

static void settle(struct db_lane *lane)
{
    void (*settled)(void *) = lane->settled;
    lane->settled = NULL;
    if (settled != NULL)
        settled(lane->settled_arg);
}

void db_connection_changed(struct db_connection *connection)
{
    struct db_lane *lane = connection->lane;
    if (!any_unsettled(lane) || lane->ended)
        h2o_timeout_unlink(&lane->tick);
    else if (!h2o_timeout_is_linked(&lane->tick))
        h2o_timeout_link(lane->loop, lane->tick_timeout, &lane->tick);
    if (lane->n_connections > 1 && !lane->ended && !h2o_timeout_is_linked(&lane->idle))
        h2o_timeout_link(lane->loop, lane->idle_timeout, &lane->idle);
    atomic_store_explicit(lane->conf.state, (int)lane->connections[0]->state, memory_order_relaxed);
    atomic_store_explicit(lane->conf.open, (unsigned)lane->n_connections, memory_order_relaxed);
    if (connection->state == DB_READY && connection == lane->connections[0]) {
        lane->hopeful = false;
        no_more_complaints(lane);
    }
    if (connection->state == DB_READY || connection->state == DB_BACKING_OFF)
        settle(lane);
}

/* Queries */

static void take_turn(struct db_statement *statement)
{
    struct db_lane *lane = statement->lane;
    if (h2o_linklist_is_linked(&statement->turn))
        return;
    h2o_linklist_insert(&lane->turns, &statement->turn);
    lane->n_turns++;
}

static void wait_at(struct db_query *query, h2o_linklist_t *place)
{
    struct db_statement *statement = query->statement;
    h2o_linklist_insert(place, &query->link);
    statement->n_waiting++;
    statement->lane->n_waiting++;
    take_turn(statement);
}

static void wait_no_more(struct db_query *query)
{
    h2o_linklist_unlink(&query->link);
    query->statement->n_waiting--;
    query->statement->lane->n_waiting--;
}

static void query_free(struct db_query *query)
{
    h2o_timeout_unlink(&query->timer);
    free(query->error);
    free(query->kept);
    query->error = query->kept = NULL;
    h2o_linklist_insert(&query->statement->lane->spare_queries, &query->link);
}

void db_query_end(struct db_query *query, enum db_outcome outcome, const struct db_answer *answer)
{
    static const struct db_answer nothing;
    const struct db_asker *asker = query->asker;
    void *owner = query->owner;
    query_free(query);
    asker->done(owner, outcome, answer == NULL ? &nothing : answer);
}

static void end_waiting(struct db_query *query, enum db_outcome outcome)
{
    wait_no_more(query);
    db_query_end(query, outcome, NULL);
}

/*
 * Sees to it that the query's values are for the parameters that there are. False, and it is gone, where its
 * asker has none for these.
 */
static bool fit(struct db_query *query)
{
    const struct db_statement *statement = query->statement;
    if (query->fit == statement->fit && query->values != NULL)
        return true;
    query->fit = statement->fit;
    query->values = query->asker->values(query->owner, db_statement_parameters(statement));
    if (query->values == NULL)
        query_free(query);
    return query->values != NULL;
}

void db_wait_again(struct db_query *query)
{
    query->flight = NULL;
    query->misread = false;
    if (fit(query))
        wait_at(query, query->statement->waiting.next);
}

void db_fit_waiting(struct db_statement *statement)
{
    h2o_linklist_t *anchor = &statement->waiting;
    for (h2o_linklist_t *link = anchor->next, *next; link != anchor; link = next) {
        struct db_query *query = H2O_STRUCT_FROM_MEMBER(struct db_query, link, link);
        next = link->next;
        wait_no_more(query);
        if (fit(query))
            wait_at(query, next);
    }
}

static struct db_query *first_waiting(struct db_statement *statement)
{
    return H2O_STRUCT_FROM_MEMBER(struct db_query, link, statement->waiting.next);
}

struct db_query *db_take_waiting(struct db_statement *statement)
{
    struct db_query *query = first_waiting(statement);
    wait_no_more(query);
    return query;
}

void db_end_waiting(struct db_lane *lane)
{
    if (any_ready(lane) != NULL)
        return;
    for (size_t i = 0; i < lane->n_statements; i++) {
        while (!h2o_linklist_is_empty(&lane->statements[i]->waiting))
            end_waiting(first_waiting(lane->statements[i]), DB_NOT_SENT);
        db_doubts_end(lane->statements[i]);
    }
}

/* A sent query leaves a flight behind whose answer still has to be read off the wire. */
static void on_deadline(h2o_timeout_entry_t *entry)
{
    struct db_query *query = H2O_STRUCT_FROM_MEMBER(struct db_query, timer, entry);
    if (query->doubt != DB_NO_DOUBT) {
        db_doubt_expired(query);
    } else if (query->flight == NULL) {
        end_waiting(query, DB_NOT_SENT);
    } else {
        db_leave(query);
        db_query_end(query, DB_LOST, NULL);
    }
}

bool db_is_being_prepared(const struct db_lane *lane, const struct db_statement *statement)
{
    bool any = false;
    for (size_t i = 0; i < lane->n_connections; i++)
        any |= lane->connections[i]->preparations[statement->number].state == PREPARING &&
               !db_is_held(lane->connections[i]);
    return any;
}

/*
 * A statement may have as many queries in the queue as there are places left: one that floods the lane fills
 * half of it, two a third each, and there is always room for others, if the lane has any.
 */
static bool is_full(const struct db_lane *lane, const struct db_statement *statement)
{
    if (lane->n_waiting == 0)
        return false;
    size_t room = 0; /* what has room on the wire does not wait: it goes out at the end of this turn */
    for (size_t i = 0; i < lane->n_connections; i++) {
        const struct db_connection *connection = lane->connections[i];
        if (db_is_open_to_others(connection) && connection->n_in_flight < DB_IN_FLIGHT_MAX)
            room += DB_IN_FLIGHT_MAX - connection->n_in_flight;
    }
    size_t places = lane->conf.queue + room;
    bool takes_too_much = lane->n_statements > 1 && statement->n_waiting > 0 &&
                          statement->n_waiting >= places - lane->n_waiting;
    return lane->n_waiting >= places || takes_too_much;
}

enum db_refusal db_check(struct db_lane *lane, struct db_statement *statement)
{
    bool ready = any_ready(lane) != NULL;
    if (!ready && !(lane->hopeful && statement->description != NULL))
        return DB_AWAY;
    if (is_full(lane, statement))
        return DB_FULL;
    return statement->unusable || statement->description == NULL ? DB_UNPREPARED : DB_ACCEPTED;
}

struct db_query *db_submit(struct db_lane *lane, struct db_statement *statement, const struct str *values,
                           struct store *store, const struct db_asker *asker, void *owner)
{
    struct db_query *query;
    if (h2o_linklist_is_empty(&lane->spare_queries)) {
        query = mem_alloc(sizeof(*query));
    } else {
        query = H2O_STRUCT_FROM_MEMBER(struct db_query, link, lane->spare_queries.next);
        h2o_linklist_unlink(&query->link);
    }
    *query = (struct db_query){.statement = statement,
                               .values = values,
                               .store = store,
                               .fit = statement->fit,
                               .asker = asker,
                               .owner = owner,
                               .timer.cb = on_deadline};
    h2o_timeout_link(lane->loop, statement->deadline, &query->timer);
    if (values != NULL) {
        wait_at(query, &statement->waiting);
    } else {
        lane->now = clock_ms();
        db_doubt(query, DB_UNFIT, NULL);
    }
    return query;
}

void db_abandon(struct db_query *query)
{
    if (query->doubt != DB_NO_DOUBT)
        db_doubt_leave(query);
    else if (query->flight == NULL)
        wait_no_more(query);
    else
        db_abandon_sent(query);
    query_free(query);
}

/* Sending */

/*
 * Sends the statement's next query, or several as one; unless more may come to be merged with it, while
 * enough of it is in flight to keep PostgreSQL busy, or in the next turn.
 */
static bool send_waiting(struct db_connection *connection, struct db_statement *statement)
{
    if (!db_merge_can(connection, statement)) {
        db_send(connection, db_take_waiting(statement), db_is_heavy(statement));
        return true;
    }
    size_t n = db_merge_count(statement);
    size_t n_in_flight = connection->preparations[statement->number].n_in_flight;
    bool has_room = n > 0 && n < statement->merge_most;
    if (has_room && (n_in_flight >= IN_FLIGHT_TO_MERGE || db_merge_gathers(statement, n)))
        return false;
    db_merge_sends(statement, n);
    if (n > 1)
        db_merge_send(connection, statement, n);
    else
        db_send(connection, db_take_waiting(statement), false);
    return true;
}

/* Sends what of the statement waits first, if anything does and there is a place for it. */
static bool send_next(struct db_lane *lane, struct db_statement *statement)
{
    if (h2o_linklist_is_empty(&statement->waiting))
        return false;
    struct db_connection *connection = db_place_for(lane, statement);
    if (connection == NULL) {
        lane->lacks_place = true;
        return false;
    }
    struct db_preparation *preparation = &connection->preparations[statement->number];
    bool usable = preparation->state == PREPARED && preparation->generation == statement->generation;
    if (usable)
        return send_waiting(connection, statement);
    if (!statement->unusable && lane->now >= preparation->not_before &&
        !db_is_being_prepared(lane, statement))
        db_prepare(connection, statement);
    return false;
}

/* Statements take turns, a query (or several as one) at a time, until none of them can send any longer. */
static void dispatch(struct db_lane *lane)
{
    size_t unserved = 0;
    lane->heavy_waits = lane->lacks_place = false;
    db_spill_notice(lane);
    db_schema_before_queries(lane);
    while (unserved < lane->n_turns) {
        struct db_statement *statement = H2O_STRUCT_FROM_MEMBER(struct db_statement, turn, lane->turns.next);
        h2o_linklist_unlink(&statement->turn);
        lane->n_turns--;
        bool served = send_next(lane, statement);
        unserved = served ? 0 : unserved + 1;
        if (h2o_linklist_is_empty(&statement->waiting))
            unserved -= !served;
        else
            take_turn(statement);
    }
    for (size_t i = 0; !lane->heavy_waits && i < lane->n_connections; i++)
        lane->connections[i]->reserved = false;
}

/* No asker is called from here: see db/connection.c. */
bool db_lane_turn_end(struct db_lane *lane)
{
    lane->gathers = false;
    if (lane->ended)
        return false;
    if (lane->n_waiting > 0) {
        lane->now = clock_ms();
        dispatch(lane);
        if (!lane->lacks_place)
            lane->lacking_since = 0;
        else if (lane->lacking_since == 0)
            lane->lacking_since = lane->now;
    } else {
        lane->lacking_since = 0;
    }
    if (lane->asked && lane->now >= lane->look_at)
        db_schema_when_idle(lane);
    for (size_t i = 0; i < lane->n_connections; i++)
        db_connection_flush(lane->connections[i]);
    return lane->gathers;
}

/* For those whose clients hold connections */

const char *db_lane_name(const struct db_lane *lane)
{
    return lane->conf.name;
}

unsigned db_lane_connections(const struct db_lane *lane)
{
    return lane->capped ? (unsigned)lane->n_connections : lane->conf.connections;
}

bool db_lane_is_wanted(const struct db_lane *lane, uint64_t network)
{
    if (lane->lacking_since == 0 || clock_ms() - lane->lacking_since < LACKING_MS)
        return false;
    for (size_t i = 0; i < lane->n_statements; i++) {
        const h2o_linklist_t *anchor = &lane->statements[i]->waiting;
        for (const h2o_linklist_t *link = anchor->next; link != anchor; link = link->next) {
            const struct db_query *query = H2O_STRUCT_FROM_MEMBER(struct db_query, link, link);
            if (network == 0 || query->asker->network(query->owner) != network)
                return true;
        }
    }
    return false;
}

/* Timers */

void db_soon(struct db_lane *lane)
{
    if (!h2o_timeout_is_linked(&lane->soon) && !lane->ended)
        h2o_timeout_link(lane->loop, lane->soon_timeout, &lane->soon);
}

static void on_soon(h2o_timeout_entry_t *entry)
{
    struct db_lane *lane = H2O_STRUCT_FROM_MEMBER(struct db_lane, soon, entry);
    lane->now = clock_ms();
    for (size_t i = 0; i < lane->n_statements; i++) {
        struct db_statement *statement = lane->statements[i];
        while (statement->unusable && !h2o_linklist_is_empty(&statement->waiting))
            end_waiting(first_waiting(statement), DB_UNUSABLE);
    }
    for (size_t i = lane->n_connections; i-- > 0;) {
        if (i < lane->n_connections && lane->connections[i]->has_rest)
            db_connection_receive_rest(lane->connections[i]);
        if (i < lane->n_connections && lane->connections[i]->ends)
            db_connection_end(lane->connections[i]); /* which may take it off the list */
    }
}

static void on_tick(h2o_timeout_entry_t *entry)
{
    struct db_lane *lane = H2O_STRUCT_FROM_MEMBER(struct db_lane, tick, entry);
    lane->now = clock_ms();
    for (size_t i = 0; i < lane->n_connections; i++)
        db_connection_tick(lane->connections[i]);
    if (any_unsettled(lane) && !h2o_timeout_is_linked(&lane->tick))
        h2o_timeout_link(lane->loop, lane->tick_timeout, &lane->tick);
}

static void on_watch(h2o_timeout_entry_t *entry)
{
    struct db_lane *lane = H2O_STRUCT_FROM_MEMBER(struct db_lane, watch, entry);
    lane->now = clock_ms();
    db_spill_watch(lane);
    bool any = false;
    for (size_t i = 0; i < lane->n_connections; i++)
        any |= lane->connections[i]->n_in_flight > 0;
    if (any)
        h2o_timeout_link(lane->loop, lane->watch_timeout, &lane->watch);
}

static void on_idle(h2o_timeout_entry_t *entry)
{
    struct db_lane *lane = H2O_STRUCT_FROM_MEMBER(struct db_lane, idle, entry);
    lane->now = clock_ms();
    db_spill_close_idle(lane);
    if (lane->n_connections > 1)
        h2o_timeout_link(lane->loop, lane->idle_timeout, &lane->idle);
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
    return lane->conf.read_only;
}

struct db_lane *db_lane_new(h2o_loop_t *loop, const struct db_lane_conf *conf)
{
    struct db_lane *lane = mem_calloc(1, sizeof(*lane));
    lane->loop = loop;
    lane->conf = *conf;
    lane->seed = (unsigned)getpid();
    lane->now = clock_ms();
    h2o_linklist_init_anchor(&lane->turns);
    h2o_linklist_init_anchor(&lane->spare_queries);
    h2o_linklist_init_anchor(&lane->spare_flights);
    lane->tick_timeout = timeouts_get(conf->timeouts, TICK_MS);
    lane->watch_timeout = timeouts_get(conf->timeouts, watch_ms(conf));
    lane->idle_timeout = timeouts_get(conf->timeouts, IDLE_TICK_MS);
    lane->soon_timeout = timeouts_get(conf->timeouts, 0);
    lane->soon.cb = on_soon;
    lane->tick.cb = on_tick;
    lane->watch.cb = on_watch;
    lane->idle.cb = on_idle;
    lane->doubt.cb = db_doubts_on_tick;
    return lane;
}

void db_lane_start(struct db_lane *lane, void (*settled)(void *arg), void *arg)
{
    lane->settled = settled;
    lane->settled_arg = arg;
    db_connection_new(lane);
}

void db_lane_end(struct db_lane *lane)
{
    lane->settled = NULL;
    lane->ended = true;
    lane->hopeful = false;
    h2o_timeout_unlink(&lane->tick);
    h2o_timeout_unlink(&lane->watch);
    h2o_timeout_unlink(&lane->idle);
    h2o_timeout_unlink(&lane->soon);
    h2o_timeout_unlink(&lane->doubt);
    while (lane->n_connections > 0)
        db_connection_free(lane->connections[lane->n_connections - 1]);
    db_end_waiting(lane);
}

static void free_spare(h2o_linklist_t *list, size_t link_at)
{
    while (!h2o_linklist_is_empty(list)) {
        h2o_linklist_t *link = list->next;
        h2o_linklist_unlink(link);
        free((char *)link - link_at);
    }
}

void db_lane_free(struct db_lane *lane)
{
    free_spare(&lane->spare_queries, offsetof(struct db_query, link));
    free_spare(&lane->spare_flights, offsetof(struct db_flight, link));
    for (size_t i = 0; i < lane->n_statements; i++)
        db_statement_free(lane->statements[i]);
    for (size_t i = 0; i < DB_SESSION_LEFT; i++)
        free(lane->left[i]);
    db_schema_free(lane->schema);
    free(lane->statements);
    free(lane->connections);
    free(lane);
}
