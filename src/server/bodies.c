/*
 * bodies.c: the memory that the bodies of all requests of a worker take, and whose is given up when it is
 * used up.
 *
 * Those that are still coming in stand in a list, in the order in which each has last come PROGRESS bytes
 * further. Where there is no room for more, they are given up from its front as long as they are slow; where
 * none is, it is the one that wants more that is refused. So whoever sends as fast as clients do is served,
 * however many do not; and of many who are equally fast those that are here are completed.
 */
#include "server/bodies.h"

#include "base/complain.h"

enum {
    PROGRESS = 16 * 1024, /* bytes, */
    SLOW_MS = 250,        /* which take a slow one longer than that */
};

static const char *client_of(struct bodies_entry *entry)
{
    struct str address = peer_client(entry->peer).address;
    return address.len == 0 ? "a Unix socket" : address.base;
}

/* The one that has been longest without progress, but for the one that wants more; NULL if there is none. */
static struct bodies_entry *slowest(const struct bodies *bodies, const struct store *wants)
{
    const h2o_linklist_t *list = &bodies->incoming;
    for (h2o_linklist_t *link = list->next; link != list; link = link->next) {
        struct bodies_entry *entry = H2O_STRUCT_FROM_MEMBER(struct bodies_entry, link, link);
        if (entry->body->store != wants)
            return entry;
    }
    return NULL;
}

/* An answer to one that is given up may set another request going, which must not begin the same again. */
static void make_room(struct store_limit *limit, const struct store *wants, size_t wanted)
{
    struct bodies *bodies = H2O_STRUCT_FROM_MEMBER(struct bodies, limit, limit);
    if (bodies->is_making_room)
        return;
    bodies->is_making_room = true;
    while (limit->used + wanted > limit->most) {
        struct bodies_entry *entry = slowest(bodies, wants);
        if (entry == NULL || h2o_now(bodies->loop) - entry->at < SLOW_MS)
            break;
        complain(LOG_LEVEL_WARN, "limits.body_total is reached: a slow body was given up",
                 "limits.body_total is reached: a slow body from %s was given up", client_of(entry));
        entry->body->refuse(entry->body,
                            "This body came too slowly, while the memory for bodies was used up.");
    }
    bodies->is_making_room = false;
}

void bodies_init(struct bodies *bodies, h2o_loop_t *loop, size_t total)
{
    *bodies = (struct bodies){.loop = loop, .limit = {.most = total, .make_room = make_room}};
    h2o_linklist_init_anchor(&bodies->incoming);
}

void bodies_enter(struct bodies_entry *entry, struct bodies *bodies, struct body *body, struct peer *peer)
{
    entry->bodies = bodies;
    entry->body = body;
    entry->peer = peer;
}

void bodies_progress(struct bodies_entry *entry, uint64_t taken)
{
    if (entry->body->store == NULL)
        return;
    bool is_new = !h2o_linklist_is_linked(&entry->link);
    if (!is_new && taken - entry->taken < PROGRESS)
        return;
    if (!is_new)
        h2o_linklist_unlink(&entry->link);
    h2o_linklist_insert(&entry->bodies->incoming, &entry->link); /* at its end */
    entry->at = h2o_now(entry->bodies->loop);
    entry->taken = taken;
}

void bodies_pause(struct bodies_entry *entry)
{
    if (h2o_linklist_is_linked(&entry->link))
        h2o_linklist_unlink(&entry->link);
}

void bodies_note_refused(struct bodies_entry *entry)
{
    complain(LOG_LEVEL_WARN, "limits.body_total is reached: a body was refused",
             "limits.body_total is reached: a body from %s was refused", client_of(entry));
}
