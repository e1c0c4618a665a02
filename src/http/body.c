/* body.c: the whole of a request's body, up to a bound. */
#include "http/body.h"

#include <string.h>

enum { FIRST_CAPACITY = 4096, TRUSTED = 64 * 1024 /* bytes that a client need only announce to get */ };

static void finish(struct body_whole *whole, bool complete)
{
    whole->body->on_event = NULL;
    whole->done(whole, complete);
}

/* The old bytes stay in the request's memory until it ends: doubling bounds the waste by the body's size. */
static void append(struct body_whole *whole, struct str bytes)
{
    if (whole->capacity - whole->len < bytes.len) {
        size_t capacity = whole->capacity == 0 ? FIRST_CAPACITY : whole->capacity * 2;
        while (capacity - whole->len < bytes.len)
            capacity *= 2;
        char *larger = arena_alloc(whole->arena, capacity);
        if (whole->len != 0)
            memcpy(larger, whole->bytes, whole->len);
        whole->bytes = larger;
        whole->capacity = capacity;
    }
    memcpy(whole->bytes + whole->len, bytes.base, bytes.len);
    whole->len += bytes.len;
}

static void on_event(struct body *body, enum body_event event, struct str bytes)
{
    struct body_whole *whole = body->data;
    switch (event) {
    case BODY_DATA:
        append(whole, bytes);
        break;
    case BODY_END:
        finish(whole, true);
        break;
    case BODY_BROKEN:
        finish(whole, false);
        break;
    }
}

void body_collect(struct body_whole *whole, struct body *body)
{
    whole->body = body;
    whole->len = 0;
    whole->capacity = 0;
    if (body->length > 0 && body->length <= TRUSTED) {
        whole->capacity = body->length;
        whole->bytes = arena_alloc(whole->arena, whole->capacity);
    }
    body->on_event = on_event;
    body->data = whole;
    body_read(body);
}
