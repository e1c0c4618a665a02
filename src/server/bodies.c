/*
 * bodies.c: the memory that the bodies of all requests of a worker take, and whose is given up when it is
 * used up.
 *
 * Those that are still coming in stand in a list, in the order in which each has last come PROGRESS bytes
 * further. Where there is no room for more, they are given up from its front as long as they are slow; where
 * none is, it is the one that wants more that is refused. So whoever sends as fast as clients do is served,
 * however many do not; and of many who are equally fast those that are here are completed.
 */
#include "base/complain.h"
#include "server/conn_private.h"

enum {
    PROGRESS = 16 * 1024, /* bytes, */
    SLOW_MS = 250,        /* which take a slow one longer than that */
};

static const char *client_of(struct conn *conn)
{
    struct str peer = conn_peer(&conn->req);
    return peer.len == 0 ? "a Unix socket" : peer.base;
}

/* The one that has been longest without progress, but for the one that wants more; NULL if there is none. */
static struct conn *slowest(const struct conn_context *context, const struct store *wants)
{
    const h2o_linklist_t *list = &context->incoming;
    for (h2o_linklist_t *link = list->next; link != list; link = link->next) {
        struct conn *conn = H2O_STRUCT_FROM_MEMBER(struct conn, body_link, link);
        if (conn->body.store != wants)
            return conn;
    }
    return NULL;
}

/* An answer to one that is given up may set another request going, which must not begin the same again. */
static void make_room(struct store_limit *limit, const struct store *wants, size_t wanted)
{
    struct conn_context *context = H2O_STRUCT_FROM_MEMBER(struct conn_context, bodies, limit);
    if (context->is_making_room)
        return;
    context->is_making_room = true;
    while (limit->used + wanted > limit->most) {
        struct conn *conn = slowest(context, wants);
        if (conn == NULL || h2o_now(context->h2o->loop) - conn->progress_at < SLOW_MS)
            break;
        complain(LOG_LEVEL_WARN, "limits.body_total is reached: a slow body was given up",
                 "limits.body_total is reached: a slow body from %s was given up", client_of(conn));
        conn->body.refuse(&conn->body, "This body came too slowly, while the memory for bodies was used up.");
    }
    context->is_making_room = false;
}

void conn_bodies_init(struct conn_context *context)
{
    h2o_linklist_init_anchor(&context->incoming);
    context->bodies = (struct store_limit){.most = conf_body_total(context->conf), .make_room = make_room};
}

void conn_body_progress(struct conn *conn)
{
    if (conn->body.store == NULL)
        return;
    bool is_new = !h2o_linklist_is_linked(&conn->body_link);
    if (!is_new && conn->body_taken - conn->progress_taken < PROGRESS)
        return;
    if (!is_new)
        h2o_linklist_unlink(&conn->body_link);
    h2o_linklist_insert(&conn->context->incoming, &conn->body_link); /* at its end */
    conn->progress_at = h2o_now(conn->context->h2o->loop);
    conn->progress_taken = conn->body_taken;
}

void conn_body_no_progress(struct conn *conn)
{
    if (h2o_linklist_is_linked(&conn->body_link))
        h2o_linklist_unlink(&conn->body_link);
}

void conn_body_refused(struct conn *conn)
{
    complain(LOG_LEVEL_WARN, "limits.body_total is reached: a body was refused",
             "limits.body_total is reached: a body from %s was refused", client_of(conn));
}
