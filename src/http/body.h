/*
 * body.h: a request's body as a handler takes it: piece by piece with back-pressure, or whole.
 *
 * server/conn.c makes one for every request. A handler that does not want the body leaves it alone: the
 * connection reads what is left of it and throws it away, or closes.
 */
#ifndef HAYFORK_HTTP_BODY_H
#define HAYFORK_HTTP_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

enum body_event {
    BODY_DATA,   /* the next bytes; they are gone after the call */
    BODY_END,    /* there was no more; the last event */
    BODY_BROKEN, /* status and detail say why; the last event. The handler answers with them, or aborts */
};

#define BODY_LENGTH_UNKNOWN UINT64_MAX

struct body {
    uint64_t length;    /* bytes in all; 0 if there is none, BODY_LENGTH_UNKNOWN for a chunked one */
    int status;         /* for BODY_BROKEN: 400, 408 or 413 */
    const char *detail; /* static */

    /* The handler's: what to call. Bytes that are here already come from within body_read. */
    void (*on_event)(struct body *body, enum body_event event, struct str bytes);
    void *data;

    /* The connection's. */
    void (*read)(struct body *body);
    void (*pause)(struct body *body);
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

/* The whole of a body. It lives as long as the request. */
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
 * when it broke (body->status and detail say why). The bound is limits.body: the connection keeps it.
 */
void body_collect(struct body_whole *whole, struct body *body);

#endif
