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
#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "server/conn_private.h"
#include "base/mem.h"

enum {
    LINGER_MS = 5000,         /* for the client to read its answer and close */
    GONE_GRACE_MS = 1000,     /* a client that has closed its side may still be reading */
    UNWATCHED_MS = 10,        /* an answer that takes longer is worth noticing that its client has left */
    PIPELINED_MAX = 256,      /* small requests in a turn of the loop, after others of their connections */
    PIPELINED_COST = 4096,    /* bytes of an answer that count as another one */
    LARGE_ANSWER = 64 * 1024, /* bytes: the kernel is not left alone with more than that */
};

static void on_readable(h2o_socket_t *socket, const char *error);
static void wait_for_head(struct conn *conn);

/* Timers */

static void set_timer(struct conn *conn, h2o_timeout_t *timeout, h2o_timeout_cb cb)
{
    h2o_timeout_unlink(&conn->timer);
    conn->timer.cb = cb;
    h2o_timeout_link(conn->context->h2o->loop, timeout, &conn->timer);
}

/* Input */

void conn_start_reading(struct conn *conn)
{
    if (!h2o_socket_is_reading(conn->socket) && !conn->input_ended)
        h2o_socket_read_start(conn->socket, on_readable);
}

static void stop_reading(struct conn *conn)
{
    if (h2o_socket_is_reading(conn->socket))
        h2o_socket_read_stop(conn->socket);
}

/* The end of a connection */

static void unlink_timers(struct conn *conn)
{
    h2o_timeout_unlink(&conn->timer);
    h2o_timeout_unlink(&conn->body_timer);
    h2o_timeout_unlink(&conn->write_timer);
    h2o_timeout_unlink(&conn->gone_timer);
}

/* Ends the pending request. Its memory is kept for another one where a single chunk was enough. */
static void dispose_request(struct conn *conn)
{
    if (!conn->has_request)
        return;
    struct conn_context *context = conn->context;
    conn->has_request = false;
    h2o_timeout_unlink(&conn->body_timer);
    h2o_timeout_unlink(&conn->gone_timer);
    if (conn->kept != NULL)
        context->on_end(conn->kept);
    conn_body_end(conn);
    h2o_mem_pool_t pool = conn->req.pool;
    bool keeps = context->n_pools < CONN_POOLS && pool.chunks == conn->first_chunk && pool.directs == NULL &&
                 pool.shared_refs == NULL;
    if (keeps)
        h2o_mem_init_pool(&conn->req.pool);
    h2o_dispose_request(&conn->req);
    if (keeps) {
        pool.chunk_offset = 0;
        context->pools[context->n_pools++] = pool;
    }
}

/* Would an orderly end make what the client has of its answer look whole (RFC 9112 section 8)? */
static bool answer_is_cut(const struct conn *conn)
{
    return conn->has_request && conn->head_sent &&
           (conn->delimiter == CONN_LENGTH || conn->delimiter == CONN_UNTIL_CLOSE);
}

void conn_close(struct conn *conn, bool reset)
{
    if (conn->context->reading == conn)
        conn->context->reading = NULL;
    reset = reset || answer_is_cut(conn);
    unlink_timers(conn);
    outbox_take_back(conn->message);
    dispose_request(conn);
    if (reset) {
        struct linger at_once = {.l_onoff = 1, .l_linger = 0};
        setsockopt(h2o_socket_get_fd(conn->socket), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    }
    h2o_socket_close(conn->socket);
    h2o_linklist_unlink(&conn->link);
    if (h2o_linklist_is_linked(&conn->turn_link))
        h2o_linklist_unlink(&conn->turn_link);
    conn_drop_input(conn);
    free(conn->head);
    free(conn);
}

void conn_cut(h2o_req_t *req)
{
    conn_close((struct conn *)req->conn, true);
}

/* A client that is still taking its answer has as long as limits.stall lets it. */
static void on_linger_timeout(h2o_timeout_entry_t *entry)
{
    struct conn *conn = H2O_STRUCT_FROM_MEMBER(struct conn, timer, entry);
    if (conn_unacked(conn) > 0)
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
    conn->phase = CONN_LINGER;
    conn_consume(conn, conn->input_len);
    /* asked before the FIN, which would count; end_has_unread has sent it only where input has not ended */
    bool is_taking_answer = conn_unacked(conn) > 0;
    shutdown(h2o_socket_get_fd(conn->socket), SHUT_WR);
    set_timer(conn, conn->context->linger_timeout, on_linger_timeout);
    if (conn->input_ended && !is_taking_answer)
        conn_close(conn, false);
    else
        conn_start_reading(conn);
}

/* Bodies that nobody wanted */

/* Throws away what comes of it. */
static void go_on_skipping(struct conn *conn)
{
    conn_body_feed(conn);
    if (!conn->body_done && conn->body_taken <= CONN_SKIP_MAX)
        return;
    h2o_timeout_unlink(&conn->body_timer);
    if (conn->body.status != 0 || !conn->body_done)
        linger(conn);
    else
        wait_for_head(conn);
}

static void skip_body(struct conn *conn)
{
    conn->phase = CONN_SKIP;
    conn_body_skip(conn);
    conn_start_reading(conn);
    go_on_skipping(conn);
}

/* Requests */

static void expect_end(struct conn *conn);

/* While an answer comes, a client that is gone is noticed as it is written; while nothing comes, only here.
 */
static void on_gone_timeout(h2o_timeout_entry_t *entry)
{
    struct conn *conn = H2O_STRUCT_FROM_MEMBER(struct conn, gone_timer, entry);
    if (conn->head_sent && (h2o_socket_is_writing(conn->socket) || conn->written != conn->written_before))
        expect_end(conn);
    else
        conn_close(conn, false);
}

/* Gives the pending request a second, because its client has closed its side and may be gone. */
static void expect_end(struct conn *conn)
{
    conn->written_before = conn->written;
    conn->gone_timer.cb = on_gone_timeout;
    h2o_timeout_link(conn->context->h2o->loop, conn->context->gone_timeout, &conn->gone_timer);
}

/*
 * The path and query of a request, whose method is known. A URI without a path has the root's (RFC 9112
 * section 3.2.1), but to OPTIONS it stands for the server as a whole (section 3.2.4).
 */
static h2o_iovec_t path_of(struct conn *conn, const struct http1_head *head)
{
    struct str path = http1_str(conn->head_bytes, head->path);
    if (path.len > 0 && *path.base != '?')
        return h2o_iovec_init(path.base, path.len);
    if (path.len == 0)
        return str_equal(http1_str(conn->head_bytes, head->method), STR("OPTIONS"))
                   ? h2o_iovec_init(H2O_STRLIT("*"))
                   : h2o_iovec_init(H2O_STRLIT("/"));
    return h2o_concat(&conn->req.pool, h2o_iovec_init(H2O_STRLIT("/")), h2o_iovec_init(path.base, path.len));
}

static void begin_request(struct conn *conn, const struct http1_head *head, size_t head_len)
{
    h2o_req_t *req = &conn->req;
    h2o_init_request(req, &conn->super, NULL);
    if (conn->context->n_pools > 0)
        req->pool = conn->context->pools[--conn->context->n_pools];
    conn->kept = NULL;
    h2o_hostconf_t *host = conn->context->hosts[0];
    h2o_req_bind_conf(req, host, &host->fallback_path);
    conn->has_request = true;
    conn->phase = CONN_REQUEST;
    conn->n_requests++;
    h2o_timeout_unlink(&conn->timer);
    h2o_timeout_unlink(&conn->write_timer);
    conn_response_init(conn);
    if (conn->input_ended)
        expect_end(conn);

    /* one copy, so that the input may move on under a request that waits */
    size_t fields_size = head->n_fields * sizeof(head->fields[0]);
    char *memory = h2o_mem_alloc_pool(&req->pool, fields_size + head_len);
    conn->first_chunk = req->pool.chunks;
    memcpy(memory, head->fields, fields_size);
    memcpy(memory + fields_size, conn->input, head_len);
    conn->fields = (const struct http1_field *)memory;
    conn->n_fields = head->n_fields;
    conn->head_bytes = memory + fields_size;

    struct str method = http1_str(conn->head_bytes, head->method);
    struct str authority = http1_str(conn->head_bytes, head->authority);
    req->version = 0x100 | head->minor_version;
    req->input.scheme = req->scheme = &H2O_URL_SCHEME_HTTP;
    req->input.method = req->method = h2o_iovec_init(method.base, method.len);
    req->input.path = req->path = path_of(conn, head);
    req->input.authority = req->authority = h2o_iovec_init(authority.base, authority.len);
    req->http1_is_persistent = 1;
    conn->is_head = str_equal(method, STR("HEAD"));
    conn->keep_alive = conn->client_stays = head->keep_alive;
    conn_body_begin(conn, head);
}

/* Answers what is not a request, as far as it was understood. The connection closes after the answer. */
static void reject(struct conn *conn, const struct http1_head *head, struct http1_error error)
{
    struct http1_head known = {.method = head->method, .minor_version = head->minor_version};
    begin_request(conn, &known, conn->input_len);
    conn_consume(conn, conn->input_len);
    conn->keep_alive = false;
    conn->client_stays = true; /* as far as anybody knows */
    if (head->method.len == 0)
        conn->req.version = 0x101;
    conn->context->on_reject(conn->context->arg, &conn->req, error.status, error.detail);
}

static void on_head_timeout(h2o_timeout_entry_t *entry)
{
    struct conn *conn = H2O_STRUCT_FROM_MEMBER(struct conn, timer, entry);
    struct http1_head nothing = {0};
    if (conn->phase == CONN_IDLE && conn_unacked(conn) > 0)
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
    begin_request(conn, head, head_len);
    conn_consume(conn, head_len);
    conn->context->on_request(conn->context->arg, &conn->req, &conn->body);
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
        http1_parse_head(head, conn->input, conn->input_len, &context->limits, &head_len);
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
    uint64_t cost = 1 + conn->written / PIPELINED_COST;
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
    if (conn->input_len == 0) {
        conn->turn_share = 0;
    } else if (!has_turn(conn)) {
        conn->phase = CONN_NEXT;
        h2o_linklist_insert(&conn->context->next_turn, &conn->turn_link);
        return;
    }
    conn->phase = CONN_IDLE;
    if (conn->input_len > 0) {
        on_head_input(conn);
        if (conn->phase == CONN_REQUEST) {
            if (conn->input_len < CONN_INPUT_SIZE)
                conn_start_reading(conn); /* it was stopped if too much had come after the last request */
            return;
        }
    }
    if (conn->input_ended) {
        conn_close(conn, false);
        return;
    }
    if (conn->phase == CONN_IDLE)
        set_timer(conn, conn->context->idle_timeout, on_head_timeout);
    conn_start_reading(conn);
}

bool conn_lingers(const struct conn *conn)
{
    bool client_may_be_sending =
        conn->client_stays || !conn->body_done || conn->input_len > 0 || conn->body.status != 0;
    return client_may_be_sending || conn->written >= LARGE_ANSWER;
}

/* Has the client still to take much of what was answered before the last request? */
static bool much_is_unacked(const struct conn *conn)
{
    return conn->n_requests > 1 && conn_unacked(conn) >= LARGE_ANSWER;
}

/*
 * Sends the end, and what has waited for it. Is there anything that was not read? close(2) would turn it into
 * a reset, and throw away what is not sent by then.
 */
static bool end_has_unread(struct conn *conn)
{
    int bytes;
    shutdown(h2o_socket_get_fd(conn->socket), SHUT_WR);
    return ioctl(h2o_socket_get_fd(conn->socket), FIONREAD, &bytes) == 0 && bytes > 0;
}

void conn_end_request(struct conn *conn)
{
    if (conn->aborted) {
        conn_close(conn, conn->delimiter == CONN_LENGTH || conn->delimiter == CONN_UNTIL_CLOSE);
        return;
    }
    bool keep_alive = conn->keep_alive, lingers = conn_lingers(conn);
    dispose_request(conn);
    conn_watch_reader(conn);
    if (keep_alive && !conn->body_done)
        skip_body(conn);
    else if (keep_alive)
        wait_for_head(conn);
    else if (lingers || much_is_unacked(conn) || end_has_unread(conn))
        linger(conn);
    else
        conn_close(conn, false);
}

/* What comes in */

/*
 * The client has closed its side. It may be gone, or have sent all that it had to say and be waiting for
 * the answer: TCP does not tell. An answer within a second still goes out; then the request is given up.
 */
static void on_input_end(struct conn *conn)
{
    bool is_taking_answer = conn->phase == CONN_LINGER && conn_unacked(conn) > 0;
    bool is_busy = conn->has_request || conn->phase == CONN_NEXT || is_taking_answer;
    if (conn->body_reading || !is_busy) {
        conn_close(conn, false);
        return;
    }
    conn->input_ended = true;
    stop_reading(conn);
    if (conn->has_request)
        expect_end(conn);
}

static void on_input(struct conn *conn)
{
    switch (conn->phase) {
    case CONN_IDLE:
    case CONN_HEAD:
        on_head_input(conn);
        break;
    case CONN_REQUEST:
        conn_body_feed(conn);
        /* fall through */
    case CONN_NEXT:
        if (conn->input_len >= CONN_INPUT_SIZE)
            stop_reading(conn);
        break;
    case CONN_SKIP:
        go_on_skipping(conn);
        break;
    case CONN_LINGER:
        conn_consume(conn, conn->input_len);
        break;
    }
}

/* There is no memory for what has come after the head of a request: its body, or others that nobody can
 * answer. */
static void refuse_input(struct conn *conn)
{
    conn_drop_input(conn);
    stop_reading(conn);
    conn->keep_alive = false;
    conn->body_lost = !conn->body_done;
    if (conn->body_reading)
        conn_body_refuse(conn);
}

/* Reads once, and does what follows from it. Returns whether the connection is still there then. */
static bool take_input(struct conn *conn)
{
    struct conn_context *context = conn->context;
    context->reading = conn;
    if (!conn_fill(conn)) {
        if (errno == 0)
            on_input_end(conn);
        else if (errno == ENOBUFS)
            refuse_input(conn);
        else
            conn_close(conn, false);
    } else if (conn->input_len > 0) {
        on_input(conn);
    }
    bool is_there = context->reading == conn;
    if (is_there && !conn_keep_input(conn))
        refuse_input(conn);
    context->reading = NULL;
    return is_there;
}

static void on_readable(h2o_socket_t *socket, const char *error)
{
    if (error != NULL)
        conn_close(socket->data, false);
    else
        take_input(socket->data);
}

static void on_watch_timeout(h2o_timeout_entry_t *entry)
{
    conn_start_reading(H2O_STRUCT_FROM_MEMBER(struct conn, timer, entry));
}

/*
 * Looks at once for what the client has sent, which is most often there when its connection is accepted. If
 * that is the only request of the connection, it will be answered and closed in a moment: adding it to epoll
 * and removing it again would be for nothing. Where the answer takes longer, a client that leaves is noticed.
 */
static void begin_reading(struct conn *conn)
{
    if (!take_input(conn))
        return;
    if (conn->phase == CONN_REQUEST && conn->body_done && !conn->keep_alive)
        set_timer(conn, conn->context->watch_timeout, on_watch_timeout);
    else
        conn_start_reading(conn);
}

/* Making and ending */

static socklen_t get_sockname(h2o_conn_t *super, struct sockaddr *address)
{
    return h2o_socket_getsockname(((struct conn *)super)->socket, address);
}

static socklen_t get_peername(h2o_conn_t *super, struct sockaddr *address)
{
    return h2o_socket_getpeername(((struct conn *)super)->socket, address);
}

static h2o_socket_t *get_socket(h2o_conn_t *super)
{
    return ((struct conn *)super)->socket;
}

void conn_accept(struct conn_context *context, h2o_socket_t *socket, const struct conf_listen *listen)
{
    static const h2o_conn_callbacks_t callbacks = {
        .get_sockname = get_sockname, .get_peername = get_peername, .get_socket = get_socket};
    struct timeval now = {0};
    struct conn *conn =
        (struct conn *)h2o_create_connection(sizeof(*conn), context->h2o, context->hosts, now, &callbacks);
    memset((char *)conn + sizeof(conn->super), 0, offsetof(struct conn, req) - sizeof(conn->super));
    conn->socket = socket;
    conn->context = context;
    conn->listen = listen;
    socket->data = conn;
    h2o_linklist_insert(&context->connections, &conn->link);
    h2o_socket_dont_read(socket, 1); /* conn_fill reads */
    set_timer(conn, context->head_timeout, on_head_timeout);
    begin_reading(conn);
}

void conn_context_init(struct conn_context *context)
{
    const struct conf *conf = context->conf;
    /* libh2o's own chunked coding, which knows status 200 alone, would come on top of ours */
    h2o_pathconf_t *path = &context->hosts[0]->fallback_path;
    while (path->filters.size > 0)
        free(path->filters.entries[--path->filters.size]);
    context->limits = (struct http1_limits){conf->limits.head, conf->limits.target, conf->limits.fields};
    context->input = mem_alloc(CONN_INPUT_SIZE);
    conn_response_context_init(context);
    h2o_linklist_init_anchor(&context->connections);
    h2o_linklist_init_anchor(&context->next_turn);
    conn_bodies_init(context);
    context->head_timeout = timeouts_get(context->timeouts, conf->limits.head_time);
    context->idle_timeout = timeouts_get(context->timeouts, conf->limits.idle);
    context->body_timeout = timeouts_get(context->timeouts, CONN_BODY_TICK_MS);
    context->stall_timeout = timeouts_get(context->timeouts, conf->limits.stall);
    context->linger_timeout = timeouts_get(context->timeouts, LINGER_MS);
    context->gone_timeout = timeouts_get(context->timeouts, GONE_GRACE_MS);
    context->watch_timeout = timeouts_get(context->timeouts, UNWATCHED_MS);
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
        set_timer(conn, &context->h2o->zero_timeout, on_next_turn);
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
        struct conn *conn = H2O_STRUCT_FROM_MEMBER(struct conn, link, link);
        next = link->next;
        if (conn->phase == CONN_IDLE)
            conn_close(conn, false);
    }
}

void conn_context_dispose(struct conn_context *context)
{
    while (!h2o_linklist_is_empty(&context->connections))
        conn_close(H2O_STRUCT_FROM_MEMBER(struct conn, link, context->connections.next), false);
    while (context->n_pools > 0)
        h2o_mem_clear_pool(&context->pools[--context->n_pools]);
    free(context->input);
    free(context->fields);
}
