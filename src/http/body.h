/*
 * body.h: a request's body as a handler takes it: piece by piece with back-pressure, or whole.
 *
 * server/h1_body.c makes one for every request. A handler that does not want the body leaves it alone: the
 * connection reads what is left of it and throws it away, or closes.
 */
#ifndef HAYFORK_HTTP_BODY_H
#define HAYFORK_HTTP_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/store.h"
#include "base/str.h"

enum body_event {
    BODY_DATA,   /* the next bytes; they are gone after the call */
    BODY_END,    /* there was no more; the last event */
    BODY_BROKEN, /* status and detail say why; the last event. The handler answers with them, or aborts */
};

#define BODY_LENGTH_UNKNOWN UINT64_MAX

enum {
    BODY_SMALL = 1000, /* bytes: such a body finds room in the memory that each request has anyway */
    BODY_FIRST = 4096, /* bytes that a larger one takes at first */
};

struct body {
    uint64_t length;    /* bytes in all; 0 if there is none, BODY_LENGTH_UNKNOWN for a chunked one */
    int status;         /* for BODY_BROKEN: 400, 408, 413 or 503 */
    const char *detail; /* static */

    /* What handlers keep of it, and make of it, under the limit for all bodies of a worker; see body_resize.
     */
    struct store_limit *limit;
    struct store *store; /* NULL until there is something */

    /* The handler's: what to call. Bytes that are here already come from within body_read. */
    void (*on_event)(struct body *body, enum body_event event, struct str bytes);
    void *data;

    /* The connection's. */
    void (*read)(struct body *body);
    void (*pause)(struct body *body);
    void (*refuse)(struct body *body, const char *detail); /* NULL: the usual one */
};

/* Begins to read, or goes on after body_pause. A client that waits for 100 (Continue) gets it now. */
static inline void body_read(struct body *body)
{
    body->read(body);
}

/* No more events until body_read; the client is made to wait. Allowed within on_event. */
static inline void body_pause(struct body *body)
{
    body->pause(body);
}

/*
 * Memory for what is kept of the body: a new block where block is NULL, else the block made larger or
 * smaller. It is there until body_release, until BODY_BROKEN was dealt with or the request has ended. Returns
 * NULL where all bodies together have as much as they may: then the handler calls body_refuse, or answers 503
 * by itself.
 */
void *body_resize(struct body *body, void *block, size_t size);

/*
 * Makes *bytes, which has room for *capacity bytes, larger where needed ones do not fit: for more than those,
 * but not for more than the body has, nor for what was only announced. Returns false where body_resize
 * returns NULL.
 */
bool body_keep_room(struct body *body, char **bytes, size_t *capacity, size_t needed);

/*
 * There is no memory for all of the body, or for what is made of it: BODY_BROKEN comes at once, with 503.
 * After the body's end it does not come, but status and detail are filled in and what was kept is released.
 */
static inline void body_refuse(struct body *body)
{
    body->refuse(body, NULL);
}

/* What was kept of the body is needed no more; it may be called again. */
void body_release(struct body *body);

/* The whole of a body. It lives as long as the request, if it is not released before. */
struct body_whole {
    struct body *body;
    char *bytes;
    size_t len, capacity;
    const struct arena *arena; /* the request's */
    void (*done)(struct body_whole *whole, bool complete);
};

/*
 * Reads the whole body into whole, which the caller made in the request's memory with arena and done filled
 * in. done is called once, perhaps at once: with true when bytes[0..len) is the body, with false
 * when it broke (body->status and detail say why). The bounds are limits.body, which the connection keeps,
 * and limits.body_total. A small body lies in the arena, beside its request's head.
 */
void body_collect(struct body_whole *whole, struct body *body);

#endif
