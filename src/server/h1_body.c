/* h1_body.c: bodies of requests: parts and ends, the handler's pauses, the time that they may take. */
#include "server/h1_body.h"

#include "base/clock.h"

enum {
    SKIP_MAX = 1024 * 1024, /* bytes of an unwanted body that are read rather than the connection closed */
    TICK_MS = 1000,
};

static struct h1_body *h1_body_of(struct body *body)
{
    return H2O_STRUCT_FROM_MEMBER(struct h1_body, body, body);
}

static bool is_known_to_be_small(const struct h1_body *body)
{
    return body->kind == HTTP1_BODY_CHUNKED || body->left <= SKIP_MAX;
}

bool h1_body_can_be_skipped(const struct h1_body *body)
{
    /* a client that was not told to go on may send its body or not: nobody can tell what comes next */
    return body->is_done || (!body->wants_continue && is_known_to_be_small(body));
}

static void emit(struct h1_body *body, enum body_event event, struct str bytes)
{
    if (event != BODY_DATA) {
        body->is_done = true;
        body->is_reading = false;
        h2o_timeout_unlink(&body->timer);
        bodies_pause(&body->entry);
    }
    if (body->body.on_event != NULL)
        body->body.on_event(&body->body, event, bytes);
}

/* The body is not what it should be: what comes after it cannot be told from it any longer. */
static void break_off(struct h1_body *body, int status, const char *detail)
{
    body->body.status = status;
    body->body.detail = detail;
    emit(body, BODY_BROKEN, (struct str){NULL, 0});
    body_release(&body->body);
}

/*
 * The next part of the body that has come. Returns false where there is none; the end and errors are
 * emitted.
 */
static bool next_part(struct h1_body *body, struct str *part, size_t *consumed)
{
    struct link *link = body->link;
    if (body->kind == HTTP1_BODY_LENGTH) {
        size_t n = link->input_len < body->left ? link->input_len : (size_t)body->left;
        *part = (struct str){link->input, n};
        *consumed = n;
        body->left -= n;
        return n > 0;
    }
    switch (http1_decode_chunk(&body->chunks, link->input, link->input_len, consumed, part)) {
    case HTTP1_CHUNK_DATA:
        return true;
    case HTTP1_CHUNK_MORE:
        link_consume(link, *consumed);
        break;
    case HTTP1_CHUNK_END:
        link_consume(link, *consumed);
        emit(body, BODY_END, (struct str){NULL, 0});
        break;
    case HTTP1_CHUNK_INVALID:
        break_off(body, body->chunks.error.status, body->chunks.error.detail);
        break;
    }
    return false;
}

void h1_body_feed(struct h1_body *body)
{
    uint64_t most = body->env->conf->limits.body;
    struct str part;
    size_t consumed;
    if (body->in_event)
        return; /* the handler asked for more from within its event: the loop below goes on */
    body->in_event = true;
    while (body->is_reading) {
        if (body->kind == HTTP1_BODY_LENGTH && body->left == 0) {
            emit(body, BODY_END, (struct str){NULL, 0});
            break;
        }
        if (body->link->input_len == 0 || !next_part(body, &part, &consumed))
            break;
        body->taken += part.len;
        if (body->taken > most) {
            break_off(body, 413, "The body is larger than this server takes.");
            break;
        }
        emit(body, BODY_DATA, part);
        link_consume(body->link, consumed);
        if (body->is_reading)
            bodies_progress(&body->entry, body->taken);
    }
    if (body->is_reading && body->link->input_ended) /* all that has come was looked at */
        break_off(body, 400, "The body ends too early.");
    body->in_event = false;
}

/* A body has limits.body_time, and a second more for every limits.body_rate bytes. */
static void on_tick(h2o_timeout_entry_t *entry)
{
    struct h1_body *body = H2O_STRUCT_FROM_MEMBER(struct h1_body, timer, entry);
    const struct conf *conf = body->env->conf;
    h2o_timeout_link(body->env->loop, body->env->tick_timeout, &body->timer);
    uint64_t allowed = conf->limits.body_time + body->taken * 1000 / conf->limits.body_rate;
    if (body->paused_at != 0 || clock_ms() - body->since < allowed)
        return;
    if (body->is_skipping)
        body->ops->skip_failed(body);
    else
        break_off(body, 408, "The body took too long to arrive.");
}

static void expect(struct h1_body *body)
{
    if (h2o_timeout_is_linked(&body->timer))
        return;
    body->since = clock_ms();
    body->timer.cb = on_tick;
    h2o_timeout_link(body->env->loop, body->env->tick_timeout, &body->timer);
}

static void refuse(struct h1_body *body)
{
    bodies_note_refused(&body->entry);
    break_off(body, 503, "The memory for bodies is used up.");
}

void h1_body_lose(struct h1_body *body)
{
    body->is_lost = !body->is_done;
    if (body->is_reading)
        refuse(body);
}

static void on_refuse(struct body *super, const char *detail)
{
    if (detail == NULL)
        refuse(h1_body_of(super));
    else
        break_off(h1_body_of(super), 503, detail);
}

/* Is it known before it comes that there will be no room for it? */
static bool is_too_much(struct h1_body *body)
{
    bool is_first = !h2o_timeout_is_linked(&body->timer);
    return is_first && body->body.length > BODY_SMALL &&
           !store_has_room(body->body.limit, body->body.store, BODY_FIRST);
}

static void on_read(struct body *super)
{
    struct h1_body *body = h1_body_of(super);
    if (body->is_done) {
        if (body->kind == HTTP1_BODY_NONE)
            emit(body, BODY_END, (struct str){NULL, 0});
        return;
    }
    if (body->is_lost || is_too_much(body)) {
        refuse(body);
        return;
    }
    body->is_reading = true;
    if (body->paused_at != 0) {
        body->since += clock_ms() - body->paused_at;
        body->paused_at = 0;
    }
    expect(body);
    if (body->wants_continue) {
        body->wants_continue = false;
        body->ops->send_continue(body);
    }
    h1_body_feed(body);
    if (body->link->input_len < LINK_INPUT_SIZE)
        link_start_reading(body->link);
}

static void on_pause(struct body *super)
{
    struct h1_body *body = h1_body_of(super);
    if (!body->is_reading)
        return;
    body->is_reading = false;
    body->paused_at = clock_ms();
    bodies_pause(&body->entry);
}

void h1_body_begin(struct h1_body *body, const struct http1_head *head)
{
    body->wants_continue = head->expects_continue && head->body != HTTP1_BODY_NONE;
    body->kind = head->body;
    body->is_done = head->body == HTTP1_BODY_NONE;
    body->left = head->content_length;
    body->taken = 0;
    body->is_reading = body->is_lost = body->is_skipping = false;
    body->paused_at = 0;
    body->chunks = (struct http1_chunks){0};
    body->body = (struct body){
        .length = head->body == HTTP1_BODY_CHUNKED ? BODY_LENGTH_UNKNOWN : head->content_length,
        .limit = &body->env->bodies.limit,
        .read = on_read,
        .pause = on_pause,
        .refuse = on_refuse,
    };
}

void h1_body_end(struct h1_body *body)
{
    h2o_timeout_unlink(&body->timer);
    bodies_pause(&body->entry);
    body_release(&body->body);
}

void h1_body_skip(struct h1_body *body)
{
    body->body.on_event = NULL;
    body->is_skipping = true;
    body->is_reading = true;
    body->taken = 0;
    body->paused_at = 0;
    h2o_timeout_unlink(&body->timer); /* what is skipped has a time of its own */
    expect(body);
}

bool h1_body_goes_on(struct h1_body *body)
{
    if (!body->is_done && body->taken <= SKIP_MAX)
        return true;
    h2o_timeout_unlink(&body->timer);
    return false;
}

void h1_body_init(struct h1_body *body, struct h1_body_env *env, const struct h1_body_ops *ops,
                  struct link *link, struct peer *peer)
{
    body->env = env;
    body->ops = ops;
    body->link = link;
    body->is_done = true;
    bodies_enter(&body->entry, &env->bodies, &body->body, peer);
}

void h1_body_env_init(struct h1_body_env *env, h2o_loop_t *loop, struct timeouts *timeouts,
                      const struct conf *conf)
{
    *env = (struct h1_body_env){.loop = loop, .conf = conf, .tick_timeout = timeouts_get(timeouts, TICK_MS)};
    bodies_init(&env->bodies, loop, conf_body_total(conf));
}
