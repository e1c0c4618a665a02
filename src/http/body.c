/* body.c: what is kept of a request's body, up to its bounds. */
#include "http/body.h"

#include <string.h>

void *body_resize(struct body *body, void *block, size_t size)
{
    if (body->store == NULL)
        body->store = store_new(body->limit);
    return store_resize(body->store, block, size);
}

void body_release(struct body *body)
{
    if (body->store != NULL)
        store_drop(body->store);
    body->store = NULL;
}

bool body_keep_room(struct body *body, char **bytes, size_t *capacity, size_t needed)
{
    if (needed <= *capacity)
        return true;
    size_t more = *capacity == 0 ? BODY_FIRST : *capacity * 2;
    if (more < needed)
        more = needed;
    if (more > body->length)
        more = (size_t)body->length; /* the connection hands over no more than that */
    char *larger = body_resize(body, *bytes, more);
    if (larger == NULL)
        return false;
    *bytes = larger;
    *capacity = more;
    return true;
}

static void finish(struct body_whole *whole, bool complete)
{
    whole->body->on_event = NULL;
    whole->done(whole, complete);
}

static bool make_room(struct body_whole *whole, size_t needed)
{
    struct body *body = whole->body;
    if (body->length > BODY_SMALL || needed <= whole->capacity)
        return body_keep_room(body, &whole->bytes, &whole->capacity, needed);
    whole->capacity = (size_t)body->length;
    whole->bytes = arena_alloc(whole->arena, whole->capacity);
    return true;
}

static void append(struct body_whole *whole, struct str bytes)
{
    if (!make_room(whole, whole->len + bytes.len)) {
        body_refuse(whole->body);
        return;
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
    whole->bytes = NULL;
    whole->len = 0;
    whole->capacity = 0;
    body->on_event = on_event;
    body->data = whole;
    body_read(body);
}
