/* h1_body.c: bodies of requests: parts and ends, the handler's pauses, the time that they may take. */
#include "base/clock.h"
#include "server/conn_private.h"

static bool is_known_to_be_small(const struct conn *conn)
{
    return conn->body_kind == HTTP1_BODY_CHUNKED || conn->body_left <= CONN_SKIP_MAX;
}

bool conn_may_persist(const struct conn *conn)
{
    unsigned most = conn->context->conf->limits.requests;
    if (conn->context->draining || (most != 0 && conn->n_requests >= most))
        return false;
    /* a client that was not told to go on may send its body or not: nobody can tell what comes next */
    return conn->body_done || (!conn->wants_continue && is_known_to_be_small(conn));
}

static void emit(struct conn *conn, enum body_event event, struct str bytes)
{
    if (event != BODY_DATA) {
        conn->body_done = true;
        conn->body_reading = false;
        h2o_timeout_unlink(&conn->body_timer);
        conn_body_no_progress(conn);
    }
    if (conn->body.on_event != NULL)
        conn->body.on_event(&conn->body, event, bytes);
}

/* The body is not what it should be: what comes after it cannot be told from it any longer. */
static void break_off(struct conn *conn, int status, const char *detail)
{
    conn->keep_alive = false;
    conn->body.status = status;
    conn->body.detail = detail;
    emit(conn, BODY_BROKEN, (struct str){NULL, 0});
    body_release(&conn->body);
}

/*
 * The next part of the body that has come. Returns false where there is none; the end and errors are
 * emitted.
 */
static bool next_part(struct conn *conn, struct str *part, size_t *consumed)
{
    if (conn->body_kind == HTTP1_BODY_LENGTH) {
        size_t n = conn->input_len < conn->body_left ? conn->input_len : (size_t)conn->body_left;
        *part = (struct str){conn->input, n};
        *consumed = n;
        conn->body_left -= n;
        return n > 0;
    }
    switch (http1_decode_chunk(&conn->chunks, conn->input, conn->input_len, consumed, part)) {
    case HTTP1_CHUNK_DATA:
        return true;
    case HTTP1_CHUNK_MORE:
        conn_consume(conn, *consumed);
        break;
    case HTTP1_CHUNK_END:
        conn_consume(conn, *consumed);
        emit(conn, BODY_END, (struct str){NULL, 0});
        break;
    case HTTP1_CHUNK_INVALID:
        break_off(conn, conn->chunks.error.status, conn->chunks.error.detail);
        break;
    }
    return false;
}

/* Gives the handler what has come, while it wants it. */
void conn_body_feed(struct conn *conn)
{
    uint64_t most = conn->context->conf->limits.body;
    struct str part;
    size_t consumed;
    if (conn->in_body_event)
        return; /* the handler asked for more from within its event: the loop below goes on */
    conn->in_body_event = true;
    while (conn->body_reading) {
        if (conn->body_kind == HTTP1_BODY_LENGTH && conn->body_left == 0) {
            emit(conn, BODY_END, (struct str){NULL, 0});
            break;
        }
        if (conn->input_len == 0 || !next_part(conn, &part, &consumed))
            break;
        conn->body_taken += part.len;
        if (conn->body_taken > most) {
            break_off(conn, 413, "The body is larger than this server takes.");
            break;
        }
        emit(conn, BODY_DATA, part);
        conn_consume(conn, consumed);
        if (conn->body_reading)
            conn_body_progress(conn);
    }
    if (conn->body_reading && conn->input_ended) /* all that has come was looked at */
        break_off(conn, 400, "The body ends too early.");
    conn->in_body_event = false;
}

/* A body has limits.body_time, and a second more for every limits.body_rate bytes. */
static void on_tick(h2o_timeout_entry_t *entry)
{
    struct conn *conn = H2O_STRUCT_FROM_MEMBER(struct conn, body_timer, entry);
    const struct conf *conf = conn->context->conf;
    h2o_timeout_link(conn->context->h2o->loop, conn->context->body_timeout, &conn->body_timer);
    uint64_t allowed = conf->limits.body_time + conn->body_taken * 1000 / conf->limits.body_rate;
    if (conn->paused_at != 0 || clock_ms() - conn->body_since < allowed)
        return;
    if (conn->phase == CONN_SKIP)
        conn_close(conn, false);
    else
        break_off(conn, 408, "The body took too long to arrive.");
}

static void expect(struct conn *conn)
{
    if (h2o_timeout_is_linked(&conn->body_timer))
        return;
    conn->body_since = clock_ms();
    conn->body_timer.cb = on_tick;
    h2o_timeout_link(conn->context->h2o->loop, conn->context->body_timeout, &conn->body_timer);
}

void conn_body_refuse(struct conn *conn)
{
    conn_body_refused(conn);
    break_off(conn, 503, "The memory for bodies is used up.");
}

static void on_refuse(struct body *body, const char *detail)
{
    struct conn *conn = H2O_STRUCT_FROM_MEMBER(struct conn, body, body);
    if (detail == NULL)
        conn_body_refuse(conn);
    else
        break_off(conn, 503, detail);
}

/* Is it known before it comes that there will be no room for it? */
static bool is_too_much(struct conn *conn)
{
    bool is_first = !h2o_timeout_is_linked(&conn->body_timer);
    return is_first && conn->body.length > BODY_SMALL &&
           !store_has_room(&conn->context->bodies, conn->body.store, BODY_FIRST);
}

static void on_read(struct body *body)
{
    struct conn *conn = H2O_STRUCT_FROM_MEMBER(struct conn, body, body);
    if (conn->body_done) {
        if (conn->body_kind == HTTP1_BODY_NONE)
            emit(conn, BODY_END, (struct str){NULL, 0});
        return;
    }
    if (conn->body_lost || is_too_much(conn)) {
        conn_body_refuse(conn);
        return;
    }
    conn->body_reading = true;
    if (conn->paused_at != 0) {
        conn->body_since += clock_ms() - conn->paused_at;
        conn->paused_at = 0;
    }
    expect(conn);
    if (conn->wants_continue)
        conn_send_continue(conn);
    conn_body_feed(conn);
    if (conn->input_len < CONN_INPUT_SIZE)
        conn_start_reading(conn);
}

static void on_pause(struct body *body)
{
    struct conn *conn = H2O_STRUCT_FROM_MEMBER(struct conn, body, body);
    if (!conn->body_reading)
        return;
    conn->body_reading = false;
    conn->paused_at = clock_ms();
    conn_body_no_progress(conn);
}

void conn_body_begin(struct conn *conn, const struct http1_head *head)
{
    conn->wants_continue = head->expects_continue && head->body != HTTP1_BODY_NONE;
    conn->body_kind = head->body;
    conn->body_done = head->body == HTTP1_BODY_NONE;
    conn->body_left = head->content_length;
    conn->body_taken = 0;
    conn->body_reading = conn->body_lost = false;
    conn->paused_at = 0;
    conn->chunks = (struct http1_chunks){0};
    conn->body = (struct body){
        .length = head->body == HTTP1_BODY_CHUNKED ? BODY_LENGTH_UNKNOWN : head->content_length,
        .limit = &conn->context->bodies,
        .read = on_read,
        .pause = on_pause,
        .refuse = on_refuse,
    };
}

void conn_body_end(struct conn *conn)
{
    conn_body_no_progress(conn);
    body_release(&conn->body);
}

void conn_body_skip(struct conn *conn)
{
    conn->body.on_event = NULL;
    conn->body_reading = true;
    conn->body_taken = 0;
    conn->paused_at = 0;
    h2o_timeout_unlink(&conn->body_timer); /* what is skipped has a time of its own */
    expect(conn);
}
