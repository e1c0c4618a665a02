/* place.h: keeps queries out of each other's way: see db/place.c. */
#ifndef HAYFORK_DB_PLACE_H
#define HAYFORK_DB_PLACE_H

#include "db/look.h"
#include "db/merge.h"
#include "db/pool.h"

/* Something that is forgotten in time: its level falls by one at each step since it was set. */
struct db_memory {
    unsigned level;
    uint64_t at; /* clock_ms */
};

/* Of a lane. */
struct db_place {
    struct db_env *env;
    struct db_pool *pool;
    const struct db_queue *queue;
    const struct db_look *look;
    uint64_t not_before; /* clock_ms: when another connection may be tried */
    unsigned back_off;   /* ms */
    bool any_reserved;   /* some connection is */
    bool heavy_waits;    /* some statement that is to run alone has found no place in this turn */
};

/* How a statement behaves towards others. */
struct db_manners {
    struct db_place *place;
    struct db_memory slow, big;
    unsigned n_holding; /* connections on which it is in the way of others now */
};

void db_place_init(struct db_place *place, struct db_env *env, struct db_pool *pool,
                   const struct db_queue *queue, const struct db_look *look);
void db_manners_init(struct db_manners *manners, struct db_place *place);

/* Looks which statements are in the way now, before places are given out. */
void db_place_begin_turn(struct db_place *place);

/*
 * A connection for the statement's next query, and how it is sent there; or NULL if it has to wait. Another
 * connection is opened if needed.
 */
struct db_connection *db_place_for(struct db_place *place, const struct db_statement *statement,
                                   struct db_ask_how *how);

/* No more places are given out in this turn: what is reserved in vain is free again. */
void db_place_end_turn(struct db_place *place);

/*
 * What was at the head has ended, after that many ms: its statement is known better, and if others had to
 * wait, it is said who it was. Or the connection is gone.
 */
void db_place_head_ended(struct db_pipeline *pipeline, const struct db_flight *head, uint64_t ms);
void db_place_connection_lost(struct db_connection *connection);

/* Another connection could not be had: there is a pause before it is tried again; or one is ready now. */
void db_place_unopened(struct db_place *place);
void db_place_opened(struct db_place *place);

/* For the lane's timers. */
void db_place_watch(struct db_place *place);
void db_place_close_idle(struct db_place *place);

#endif
