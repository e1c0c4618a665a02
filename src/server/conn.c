/*
 * conn.c: the life of an HTTP/1.1 connection: reading heads, time limits, lingering close.
 *
 *                  first byte           head complete
 *      +------+ ------------->  +------+ ----------->  +---------+
 *      | IDLE |                 | HEAD |               | REQUEST |
 *      +------+ <-------------  +------+ <----------   +---------+
 *          ^      nothing left           pipelined       |     |
 *          |                                  part of its|     | answered, to be closed, and
 *          |              all read       +------+    body|     | the client may still be sending
 *          +---------------------------- | SKIP | <------+     v
 *                                        +------+          +--------+
 *                                                          | LINGER |
 *                                                          +--------+
 *
 * The socket is watched for reading all the time, so that a keep-alive connection costs no epoll_ctl and a
 * client that leaves is noticed; but not while the first request, if it is the only one, is answered within
 * some milliseconds. Between pipelined requests a connection may have to wait until the others have had their
 * turn (CONN_NEXT).
 */
#include "server/conn.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"

enum {
    LINGER_MS = 5000,          /* for the client to read its answer and close */
    GONE_GRACE_MS = 1000,      /* a client that has closed its side may still be reading */
    UNWATCHED_MS = 10,         /* an answer that takes longer is worth noticing that its client has left */
    PIPELINED_MAX = 256,       /* small requests in a turn of the loop, after others of their connections */
    PIPELINED_COST = 4096,     /* bytes of an answer that count as another one */
    MAKES_WAY_NS = 1000000000, /* a request that takes longer has its connection closed for another one */
    LARGE_ANSWER = 64 * 1024,  /* bytes: the kernel is not left alone with more than that */
};

enum conn_phase {
    CONN_IDLE,    /* nothing of a request has come */
    CONN_NEXT,    /* something is here after the last request; the other connections have their turn first */
    CONN_HEAD,    /* part of a head has come */
    CONN_REQUEST, /* a request is being answered; its body may still be coming */
    CONN_SKIP,    /* answered; what is left of its body is read and thrown away */
    CONN_LINGER,  /* our side is closed; what comes is thrown away, so that the client reads the answer */
};

/* One connection, with one exchange at a time. */
struct conn {
    struct conn_context *context;
    h2o_linklist_t siblings; /* in context->connections */
    enum conn_phase phase;
    unsigned n_requests;
    bool keep_alive;           /* after this answer, as far as is known */
    bool client_stays;         /* the client did not ask for the close: it may be sending its next request */
    struct http1_head *head;   /* a head that came in pieces; else NULL */
    h2o_timeout_entry_t timer; /* of the phase: idle, head, next, linger; or until the client is watched */
    h2o_timeout_entry_t gone_timer; /* the client's side is closed while its request waits */
    uint64_t written_before;        /* link.written, when gone_timer was set */
    h2o_linklist_t turn_link;       /* in context->next_turn, or not linked */
    unsigned turn_share; /* what it may still have of its turn, having waited for it: see has_turn */
    struct link link;
    struct peer peer;
    struct exchange exchange; /* open in the phase CONN_REQUEST */
    struct h1_body body;
    struct h1_answer answer;
};

static void wait_for_head(struct conn *conn);

static struct conn *conn_of(struct link *link)
{
    return H2O_STRUCT_FROM_MEMBER(struct conn, link, link);
}

static void set_timer(struct conn *conn, h2o_timeout_t *timeout, h2o_timeout_cb cb)
{
    h2o_timeout_unlink(&conn->timer);
    conn->timer.cb = cb;
    h2o_timeout_link(conn->context->loop, timeout, &conn->timer);
}

/* The end of a connection */

static void end_exchange(struct conn *conn)
{
    h2o_timeout_unlink(&conn->gone_timer);
    conn->exchange.received = conn->body.taken;
    conn->exchange.sent = conn->link.written;
    exchange_close(&conn->exchange);
    h1_body_end(&conn->body);
    link_count_with(&conn->link, NULL);
    exchange_end(&conn->exchange);
}

/* Closes the connection and frees it. With reset, the client sees an error instead of an orderly end. */
static void conn_close(struct conn *conn, bool reset)
{
    reset = reset || (conn->exchange.is_open && h1_answer_looks_whole(&conn->answer));
    h2o_timeout_unlink(&conn->timer);
    if (conn->exchange.is_open)
        end_exchange(conn);
    h1_body_end(&conn->body); /* what was left of it was being skipped */
    link_close(&conn->link, reset);
    h2o_linklist_unlink(&conn->siblings);
    if (h2o_linklist_is_linked(&conn->turn_link))
        h2o_linklist_unlink(&conn->turn_link);
    free(conn->head);
    free(conn);
}

/* A client that is still taking its answer has as long as limits.stall lets it. */
static void on_linger_timeout(h2o_timeout_entry_t *entry)
{
    struct conn *conn = H2O_STRUCT_FROM_MEMBER(struct conn, timer, entry);
    if (link_unacked(&conn->link) > 0)
        set_timer(conn, conn->context->linger_timeout, on_linger_timeout);
    else
        conn_close(conn, false);
}

/*
 * Closing a socket on which bytes wait, or will still come, makes the kernel send a reset, and a reset takes
 * with it what the client has not read yet. So close our side alone, and read on until the client does too.
 */
static void linger(struct conn *conn)
{
    struct link *link = &conn->link;
    conn->phase = CONN_LINGER;
    link_consume(link, link->input_len);
    /* asked before the FIN, which would count; end_has_unread has sent it only where input has not ended */
    bool is_taking_answer = link_unacked(link) > 0;
    link_shut(link);
    set_timer(conn, conn->context->linger_timeout, on_linger_timeout);
    if (link->input_ended && !is_taking_answer)
        conn_close(conn, false);
    else
        link_start_reading(link);
}

/* Bodies that nobody wanted */

/* Throws away what comes of it. */
static void go_on_skipping(struct conn *conn)
{
    h1_body_feed(&conn->body);
    if (h1_body_goes_on(&conn->body))
        return;
    if (h1_body_is_broken(&conn->body) || !conn->body.is_done)
        linger(conn);
    else
        wait_for_head(conn);
}

static void skip_body(struct conn *conn)
{
    conn->phase = CONN_SKIP;
    h1_body_skip(&conn->body);
    link_start_reading(&conn->link);
    go_on_skipping(conn);
}

/* Requests */

static void expect_end(struct conn *conn);

/* While an answer comes, a client that is gone is noticed as it is written; while nothing comes, only here.
 */
static void on_gone_timeout(h2o_timeout_entry_t *entry)
{
    struct conn *conn = H2O_STRUCT_FROM_MEMBER(struct conn, gone_timer, entry);
    bool is_coming = link_is_writing(&conn->link) || conn->link.written != conn->written_before;
    if (conn->answer.has_begun && is_coming)
        expect_end(conn);
    else
        conn_close(conn, false);
}

/* Gives the pending request a second, because its client has closed its side and may be gone. */
static void expect_end(struct conn *conn)
{
    conn->written_before = conn->link.written;
    conn->gone_timer.cb = on_gone_timeout;
    h2o_timeout_link(conn->context->loop, conn->context->gone_timeout, &conn->gone_timer);
}

static void begin_exchange(struct conn *conn, const struct http1_head *head, size_t head_len)
{
    struct link *link = &conn->link;
    exchange_begin(&conn->exchange, head, link->input, head_len);
    h1_answer_begin(&conn->answer);
    h1_body_begin(&conn->body, head);
    link_begin(link);
    link_count_with(link, &conn->body.body);
    conn->phase = CONN_REQUEST;
    conn->n_requests++;
    conn->keep_alive = conn->client_stays = head->keep_alive;
    h2o_timeout_unlink(&conn->timer);
    if (link->input_ended)
        expect_end(conn);
    link_consume(link, head_len);
}

/* Answers what is not a request, as far as it was understood. The connection closes after the answer. */
static void reject(struct conn *conn, const struct http1_head *head, struct http1_error error)
{
    struct http1_head known = {.method = head->method, .minor_version = head->minor_version};
    if (head->method.len == 0)
        known.minor_version = 1;
    begin_exchange(conn, &known, conn->link.input_len);
    conn->exchange.path = STR(""); /* nor is it known what it asks for */
    conn->keep_alive = false;
    conn->client_stays = true; /* as far as anybody knows */
    conn->exchange.all->ops->reject(&conn->exchange, error.status, error.detail);
}

static void on_head_timeout(h2o_timeout_entry_t *entry)
{
    struct conn *conn = H2O_STRUCT_FROM_MEMBER(struct conn, timer, entry);
    struct http1_head nothing = {0};
    if (conn->phase == CONN_IDLE && link_unacked(&conn->link) > 0)
        set_timer(conn, conn->context->idle_timeout, on_head_timeout); /* limits.stall decides */
    else if (conn->phase == CONN_IDLE)
        conn_close(conn, false);
    else
        reject(conn, &nothing, (struct http1_error){408, "The head of the request took too long to arrive."});
}

static void on_head_complete(struct conn *conn, const struct http1_head *head, size_t head_len)
{
    if (head->body == HTTP1_BODY_LENGTH && head->content_length > conn->context->conf->limits.body) {
        reject(conn, head, (struct http1_error){413, "The body is larger than this server takes."});
        return;
    }
    begin_exchange(conn, head, head_len);
    conn->exchange.all->ops->request(&conn->exchange);
}

/* Goes on with the head that is coming in. */
static void on_head_input(struct conn *conn)
{
    struct conn_context *context = conn->context;
    struct http1_head *head = conn->head;
    size_t head_len = 0;
    if (head == NULL) {
        head = &context->head;
        memset(head, 0, offsetof(struct http1_head, fields));
        head->error = (struct http1_error){0};
    }
    enum http1_result result =
        http1_parse_head(head, conn->link.input, conn->link.input_len, &context->limits, &head_len);
    if (result == HTTP1_INCOMPLETE) {
        if (conn->head == NULL)
            conn->head = memcpy(mem_alloc(sizeof(*head)), head, sizeof(*head));
        if (conn->phase == CONN_IDLE) {
            conn->phase = CONN_HEAD;
            set_timer(conn, context->head_timeout, on_head_timeout);
        }
        return;
    }
    conn->head = NULL;
    if (result == HTTP1_COMPLETE)
        on_head_complete(conn, head, head_len);
    else
        reject(conn, head, head->error);
    if (head != &context->head)
        free(head);
}

/*
 * May the connection go on in this turn of the loop with what it has sent after its last request? Those that
 * have waited for the turn share what there is; whoever comes meanwhile waits for the next one.
 */
static bool has_turn(struct conn *conn)
{
    struct conn_context *context = conn->context;
    uint64_t cost = 1 + conn->link.written / PIPELINED_COST;
    if (conn->turn_share > 0) {
        conn->turn_share = cost < conn->turn_share ? conn->turn_share - (unsigned)cost : 0;
        return true;
    }
    context->n_pipelined += cost;
    return context->n_woken == 0 && context->n_pipelined <= PIPELINED_MAX;
}

static void on_next_turn(h2o_timeout_entry_t *entry)
{
    wait_for_head(H2O_STRUCT_FROM_MEMBER(struct conn, timer, entry));
}

/* Is ready for the next request, of which something may be here already. */
static void wait_for_head(struct conn *conn)
{
    if (conn->link.input_len == 0) {
        conn->turn_share = 0;
    } else if (!has_turn(conn)) {
        conn->phase = CONN_NEXT;
        h2o_linklist_insert(&conn->context->next_turn, &conn->turn_link);
        return;
    }
    conn->phase = CONN_IDLE;
    if (conn->link.input_len > 0) {
        on_head_input(conn);
        if (conn->phase == CONN_REQUEST) {
            /* it was stopped if too much had come after the last request */
            if (conn->link.input_len < LINK_INPUT_SIZE)
                link_start_reading(&conn->link);
            return;
        }
    }
    if (conn->link.input_ended) {
        conn_close(conn, false);
        return;
    }
    if (conn->phase == CONN_IDLE)
        set_timer(conn, conn->context->idle_timeout, on_head_timeout);
    link_start_reading(&conn->link);
}

/* Answers */

/* May the connection stay open after the answer? */
static bool stays(const struct conn *conn)
{
    return conn->keep_alive && !h1_body_is_broken(&conn->body);
}

/* Could another request be read on the connection when the pending one has been answered? */
static bool may_persist(const struct conn *conn)
{
    unsigned most = conn->context->conf->limits.requests;
    if (conn->context->draining || (most != 0 && conn->n_requests >= most))
        return false;
    return h1_body_can_be_skipped(&conn->body);
}

/*
 * Is the connection, if it does not stay, kept after its last answer, so that the client can read that before
 * it is closed? written: bytes of the answer. It is also where there is anything unread in the end.
 */
static bool lingers(const struct conn *conn, uint64_t written)
{
    bool client_may_be_sending = conn->client_stays || !conn->body.is_done || conn->link.input_len > 0 ||
                                 h1_body_is_broken(&conn->body);
    return client_may_be_sending || written >= LARGE_ANSWER;
}

/* What comes after what is about to be written. */
static enum link_next next_of(const struct conn *conn)
{
    const struct h1_answer *answer = &conn->answer;
    uint64_t written = conn->link.written;
    if (!answer->is_last)
        return LINK_MORE;
    if (stays(conn))
        return LINK_STAYS;
    for (size_t i = 0; i < answer->n_out; i++)
        written += answer->out[i].len;
    return lingers(conn, written) ? LINK_STAYS : LINK_ENDS;
}

static void on_send(struct exchange *exchange, const struct str *parts, size_t n, enum exchange_part part)
{
    struct conn *conn = H2O_STRUCT_FROM_MEMBER(struct conn, exchange, exchange);
    struct h1_answer *answer = &conn->answer;
    if (answer->is_aborted)
        return;
    if (!answer->has_begun)
        conn->keep_alive = h1_answer_delimit(answer, exchange) && stays(conn) && may_persist(conn);
    h1_answer_add(answer, exchange, &conn->context->fields, conn->keep_alive, parts, n, part);
    if (answer->is_aborted)
        link_give_up(&conn->link);
    else
        link_write(&conn->link, answer->out, answer->n_out, next_of(conn));
}

static void on_cut(struct exchange *exchange)
{
    conn_close(H2O_STRUCT_FROM_MEMBER(struct conn, exchange, exchange), true);
}

static uint64_t on_taken(struct exchange *exchange)
{
    return link_taken(&H2O_STRUCT_FROM_MEMBER(struct conn, exchange, exchange)->link);
}

static void on_continue(struct h1_body *body)
{
    static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
    struct conn *conn = H2O_STRUCT_FROM_MEMBER(struct conn, body, body);
    if (!conn->answer.has_begun)
        link_write_first(&conn->link, line, sizeof(line) - 1);
}

static void on_skip_failed(struct h1_body *body)
{
    conn_close(H2O_STRUCT_FROM_MEMBER(struct conn, body, body), false);
}

/* Has the client still to take much of what was answered before the last request? */
static bool much_is_unacked(const struct conn *conn)
{
    return conn->n_requests > 1 && link_unacked(&conn->link) >= LARGE_ANSWER;
}

/*
 * Sends the end, and what has waited for it. Is there anything that was not read? close(2) would turn it into
 * a reset, and throw away what is not sent by then.
 */
static bool end_has_unread(struct conn *conn)
{
    link_shut(&conn->link);
    return link_has_unread(&conn->link);
}

/* The answer is out, or was aborted. */
static void on_answered(struct conn *conn)
{
    if (conn->answer.is_aborted) {
        conn_close(conn, h1_answer_looks_whole(&conn->answer));
        return;
    }
    bool keep_alive = stays(conn), may_linger = lingers(conn, conn->link.written);
    end_exchange(conn);
    link_watch_reader(&conn->link);
    if (keep_alive && !conn->body.is_done)
        skip_body(conn);
    else if (keep_alive)
        wait_for_head(conn);
    else if (may_linger || much_is_unacked(conn) || end_has_unread(conn))
        linger(conn);
    else
        conn_close(conn, false);
}

/* What the link tells */

static void on_drained(struct link *link)
{
    struct conn *conn = conn_of(link);
    if (!conn->answer.has_begun)
        return; /* it was 100 (Continue) */
    if (conn->answer.is_last)
        on_answered(conn);
    else
        exchange_room(&conn->exchange);
}

static void on_broken(struct link *link, bool stalled)
{
    conn_close(conn_of(link), stalled);
}

/*
 * The client has closed its side. It may be gone, or have sent all that it had to say and be waiting for
 * the answer: TCP does not tell. An answer within a second still goes out; then the request is given up.
 */
static void on_ended(struct link *link)
{
    struct conn *conn = conn_of(link);
    bool is_taking_answer = conn->phase == CONN_LINGER && link_unacked(link) > 0;
    bool is_busy = conn->exchange.is_open || conn->phase == CONN_NEXT || is_taking_answer;
    if (conn->body.is_reading || !is_busy) {
        conn_close(conn, false);
        return;
    }
    link_end_input(link);
    if (conn->exchange.is_open)
        expect_end(conn);
}

static void on_input(struct link *link)
{
    struct conn *conn = conn_of(link);
    switch (conn->phase) {
    case CONN_IDLE:
    case CONN_HEAD:
        on_head_input(conn);
        break;
    case CONN_REQUEST:
        h1_body_feed(&conn->body);
        /* fall through */
    case CONN_NEXT:
        if (link->input_len >= LINK_INPUT_SIZE)
            link_stop_reading(link);
        break;
    case CONN_SKIP:
        go_on_skipping(conn);
        break;
    case CONN_LINGER:
        link_consume(link, link->input_len);
        break;
    }
}

/* There is no memory for what has come after the head of a request: its body, or others that nobody can
 * answer. */
static void on_full(struct link *link)
{
    struct conn *conn = conn_of(link);
    link_drop_input(link);
    link_stop_reading(link);
    conn->keep_alive = false;
    h1_body_lose(&conn->body);
}

static void on_watch_timeout(h2o_timeout_entry_t *entry)
{
    link_start_reading(&H2O_STRUCT_FROM_MEMBER(struct conn, timer, entry)->link);
}

/*
 * Looks at once for what the client has sent, which is most often there when its connection is accepted. If
 * that is the only request of the connection, it will be answered and closed in a moment: adding it to epoll
 * and removing it again would be for nothing. Where the answer takes longer, a client that leaves is noticed.
 */
static void begin_reading(struct conn *conn)
{
    if (!link_read(&conn->link))
        return;
    if (conn->phase == CONN_REQUEST && conn->body.is_done && !stays(conn))
        set_timer(conn, conn->context->watch_timeout, on_watch_timeout);
    else
        link_start_reading(&conn->link);
}

/* Making and ending */

void conn_accept(struct conn_context *context, h2o_socket_t *socket, const struct conf_listen *listen)
{
    static const struct link_ops link_ops = {
        .input = on_input, .ended = on_ended, .full = on_full, .drained = on_drained, .broken = on_broken};
    static const struct h1_body_ops body_ops = {.send_continue = on_continue, .skip_failed = on_skip_failed};
    static const struct exchange_ops exchange_ops = {.send = on_send, .cut = on_cut, .taken = on_taken};
    struct conn *conn = mem_calloc(1, sizeof(*conn));
    conn->context = context;
    peer_init(&conn->peer, socket);
    link_open(&conn->link, &context->links, &link_ops, socket);
    exchange_init(&conn->exchange, context->exchanges, &exchange_ops, listen, &conn->peer, &conn->body.body);
    h1_body_init(&conn->body, &context->bodies, &body_ops, &conn->link, &conn->peer);
    h2o_linklist_insert(&context->connections, &conn->siblings);
    set_timer(conn, context->head_timeout, on_head_timeout);
    begin_reading(conn);
}

void conn_context_init(struct conn_context *context)
{
    const struct conf *conf = context->conf;
    struct timeouts *timeouts = context->timeouts;
    context->limits = (struct http1_limits){conf->limits.head, conf->limits.target, conf->limits.fields};
    h2o_linklist_init_anchor(&context->connections);
    h2o_linklist_init_anchor(&context->next_turn);
    h1_body_env_init(&context->bodies, context->loop, timeouts, conf);
    link_env_init(&context->links, context->loop, timeouts, conf->limits.stall, context->outbox,
                  &context->bodies.bodies.limit);
    h1_fields_init(&context->fields, conf->server);
    context->head_timeout = timeouts_get(timeouts, conf->limits.head_time);
    context->idle_timeout = timeouts_get(timeouts, conf->limits.idle);
    context->linger_timeout = timeouts_get(timeouts, LINGER_MS);
    context->gone_timeout = timeouts_get(timeouts, GONE_GRACE_MS);
    context->watch_timeout = timeouts_get(timeouts, UNWATCHED_MS);
    context->now_timeout = timeouts_get(timeouts, 0);
}

void conn_turn_end(struct conn_context *context)
{
    context->n_pipelined = 0;
    context->n_woken = 0;
    for (h2o_linklist_t *link = context->next_turn.next;
         link != &context->next_turn && context->n_woken < PIPELINED_MAX; link = link->next)
        context->n_woken++;
    for (unsigned i = 0; i < context->n_woken; i++) {
        struct conn *conn = H2O_STRUCT_FROM_MEMBER(struct conn, turn_link, context->next_turn.next);
        h2o_linklist_unlink(&conn->turn_link);
        conn->turn_share = PIPELINED_MAX / context->n_woken;
        set_timer(conn, context->now_timeout, on_next_turn);
    }
}

void conn_drain(struct conn_context *context)
{
    context->draining = true;
}

void conn_close_idle(struct conn_context *context)
{
    h2o_linklist_t *next;
    for (h2o_linklist_t *link = context->connections.next; link != &context->connections; link = next) {
        struct conn *conn = H2O_STRUCT_FROM_MEMBER(struct conn, siblings, link);
        next = link->next;
        if (conn->phase == CONN_IDLE)
            conn_close(conn, false);
    }
}

/* Has it no request, or one that takes long? */
static bool may_make_way(const struct conn *conn)
{
    return !conn->exchange.is_open || clock_turn_ns() - conn->exchange.begun_at > MAKES_WAY_NS;
}

bool conn_make_way(struct conn_context *context, const struct conf_listen *listen)
{
    for (h2o_linklist_t *link = context->connections.next; link != &context->connections; link = link->next) {
        struct conn *conn = H2O_STRUCT_FROM_MEMBER(struct conn, siblings, link);
        if (conn->exchange.listen != listen || !may_make_way(conn))
            continue;
        conn_close(conn, false);
        return true;
    }
    return false;
}

void conn_context_dispose(struct conn_context *context)
{
    while (!h2o_linklist_is_empty(&context->connections))
        conn_close(H2O_STRUCT_FROM_MEMBER(struct conn, siblings, context->connections.next), false);
    link_env_dispose(&context->links);
    h1_fields_dispose(&context->fields);
}
