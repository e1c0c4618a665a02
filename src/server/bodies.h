/* bodies.h: the memory that the bodies of all requests of a worker take, and whose is given up when it is
 * used up. */
#ifndef HAYFORK_SERVER_BODIES_H
#define HAYFORK_SERVER_BODIES_H

#include <h2o.h>
#include <stdbool.h>

#include "base/store.h"
#include "http/body.h"
#include "server/peer.h"

struct bodies {
    h2o_loop_t *loop;
    struct store_limit limit; /* what all of them take */
    h2o_linklist_t incoming;  /* those that are coming in: see server/bodies.c */
    bool is_making_room;
};

/* A body among them. All zero before bodies_enter. */
struct bodies_entry {
    struct bodies *bodies;
    struct body *body;
    struct peer *peer;
    h2o_linklist_t link; /* in bodies->incoming, or not linked */
    uint64_t at;         /* of the loop's clock: when it was put there, */
    uint64_t taken;      /* and how many bytes had come then */
};

/* total: limits.body_total in bytes. */
void bodies_init(struct bodies *bodies, h2o_loop_t *loop, size_t total);

/* Which body it is, and whose; both stay until bodies_pause. */
void bodies_enter(struct bodies_entry *entry, struct bodies *bodies, struct body *body, struct peer *peer);

/* More of the body has come, so many bytes by now. It counts if something of it is kept. */
void bodies_progress(struct bodies_entry *entry, uint64_t taken);

/* It is not the client that is waited for now. */
void bodies_pause(struct bodies_entry *entry);

/* There is no memory for a body that has come: says so in the log. */
void bodies_note_refused(struct bodies_entry *entry);

#endif
