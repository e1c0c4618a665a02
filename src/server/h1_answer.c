/* h1_answer.c: answers: the head, the coding of the body, and writing it with an eye on the reader. */
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>

#include "server/conn_private.h"
#include "base/mem.h"

enum {
    SLICE = 256 * 1024,      /* bytes handed to the socket at once */
    TURN = 512 * 1024,       /* bytes after which the other connections go first */
    LEAST_TAKEN = 16 * 1024, /* bytes that a client takes in each limits.stall, or is cut off */
    MORE_PARTS = 4,          /* head, size line, CRLF, last chunk */
};

static void write_next(struct conn *conn);

static char *put(char *out, const char *text, size_t len)
{
    memcpy(out, text, len);
    return out + len;
}

#define PUT(out, literal) put(out, literal, sizeof(literal) - 1)

static char *put_number(char *out, uint64_t number)
{
    char digits[20], *first = digits + sizeof(digits);
    for (; number >= 100; number /= 100) {
        first -= 2;
        first[0] = (char)('0' + number % 100 / 10);
        first[1] = (char)('0' + number % 10);
    }
    *--first = (char)('0' + number % 10);
    if (number >= 10)
        *--first = (char)('0' + number / 10);
    return put(out, first, (size_t)(digits + sizeof(digits) - first));
}

/* The fields that all answers have: Server, then Date (RFC 9110 section 6.6.1), made once a second. */
static void freshen_fields(struct conn_context *context)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME_COARSE, &now);
    if (now.tv_sec == context->date_at)
        return;
    struct tm utc;
    char *out = context->fields + context->server_len;
    context->date_at = now.tv_sec;
    gmtime_r(&now.tv_sec, &utc);
    out = PUT(out, "Date: ");
    h2o_time2str_rfc1123(out, &utc);
    PUT(out + H2O_TIMESTR_RFC1123_LEN, "\r\n");
}

void conn_response_context_init(struct conn_context *context)
{
    const char *server = context->conf->server;
    context->fields = mem_alloc(strlen(server) + H2O_TIMESTR_RFC1123_LEN + 32);
    context->server_len = server[0] == '\0' ? 0 : (size_t)sprintf(context->fields, "Server: %s\r\n", server);
    context->fields_len = context->server_len + H2O_TIMESTR_RFC1123_LEN + strlen("Date: \r\n");
}

/* How this answer's body will end, and whether another request may follow it. */
static void decide_delimiter(struct conn *conn)
{
    const h2o_req_t *req = &conn->req;
    conn->length_left = 0;
    if (req->res.status == 204 || req->res.status == 304 || conn->is_head) {
        conn->delimiter = CONN_NO_BODY;
    } else if (req->res.content_length != SIZE_MAX) {
        conn->delimiter = CONN_LENGTH;
        conn->length_left = req->res.content_length;
    } else if (req->version == 0x101) {
        conn->delimiter = CONN_CHUNKED;
    } else {
        conn->delimiter = CONN_UNTIL_CLOSE;
        conn->keep_alive = false;
    }
    conn->keep_alive = conn->keep_alive && req->http1_is_persistent && conn_may_persist(conn);
}

static size_t head_size(const struct conn *conn)
{
    const h2o_res_t *res = &conn->req.res;
    size_t size = 256 + strlen(res->reason) + conn->context->fields_len;
    for (size_t i = 0; i < res->headers.size; i++)
        size += res->headers.entries[i].name->len + res->headers.entries[i].value.len + 4;
    return size;
}

/* An answer that was made elsewhere has its own Date, which tells when. */
static bool has_date(const h2o_res_t *res)
{
    for (size_t i = 0; i < res->headers.size; i++) {
        const h2o_iovec_t *name = res->headers.entries[i].name;
        if (name->len == 4 && strncasecmp(name->base, "date", 4) == 0)
            return true;
    }
    return false;
}

/* Status line and fields (RFC 9112 section 4, RFC 9110 section 6), in the request's memory. */
static h2o_iovec_t make_head(struct conn *conn)
{
    h2o_req_t *req = &conn->req;
    const h2o_res_t *res = &req->res;
    struct conn_context *context = conn->context;
    char *head = h2o_mem_alloc_pool(&req->pool, head_size(conn)), *out = head;
    out = PUT(out, "HTTP/1.1 ");
    *out++ = (char)('0' + res->status / 100); /* three digits, always */
    *out++ = (char)('0' + res->status / 10 % 10);
    *out++ = (char)('0' + res->status % 10);
    *out++ = ' ';
    out = put(out, res->reason, strlen(res->reason));
    out = PUT(out, "\r\n");
    freshen_fields(context);
    out = put(out, context->fields, has_date(res) ? context->server_len : context->fields_len);
    for (size_t i = 0; i < res->headers.size; i++) {
        const h2o_header_t *header = &res->headers.entries[i];
        out = put(out, header->name->base, header->name->len);
        out = PUT(out, ": ");
        out = put(out, header->value.base, header->value.len);
        out = PUT(out, "\r\n");
    }
    if (res->content_length != SIZE_MAX && res->status != 204 && res->status != 304) {
        out = PUT(out, "Content-Length: ");
        out = put_number(out, res->content_length);
        out = PUT(out, "\r\n");
    } else if (conn->delimiter == CONN_CHUNKED) {
        out = PUT(out, "Transfer-Encoding: chunked\r\n");
    }
    if (!conn->keep_alive)
        out = PUT(out, "Connection: close\r\n");
    else if (req->version == 0x100)
        out = PUT(out, "Connection: keep-alive\r\n");
    out = PUT(out, "\r\n");
    return h2o_iovec_init(head, (size_t)(out - head));
}

/* Writing */

/*
 * How much the client has acknowledged so far. A reader that trickles lets every write complete in the
 * end; this tells it from one that reads. Returns otherwise where the socket is none of TCP.
 */
static uint64_t bytes_acked(const struct conn *conn, uint64_t otherwise)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);
    if (getsockopt(h2o_socket_get_fd(conn->socket), IPPROTO_TCP, TCP_INFO, &info, &len) != 0 ||
        len < offsetof(struct tcp_info, tcpi_bytes_acked) + sizeof(info.tcpi_bytes_acked))
        return otherwise;
    return info.tcpi_bytes_acked;
}

uint64_t conn_taken(h2o_req_t *req)
{
    const struct conn *conn = (const struct conn *)req->conn;
    return bytes_acked(conn, conn->written);
}

static void watch_reader(struct conn *conn, h2o_timeout_cb on_timeout)
{
    conn->write_timer.cb = on_timeout;
    h2o_timeout_link(conn->context->h2o->loop, conn->context->stall_timeout, &conn->write_timer);
}

size_t conn_unacked(const struct conn *conn)
{
    int bytes;
    return ioctl(h2o_socket_get_fd(conn->socket), SIOCOUTQ, &bytes) == 0 && bytes > 0 ? (size_t)bytes : 0;
}

static void on_stall(h2o_timeout_entry_t *entry)
{
    struct conn *conn = H2O_STRUCT_FROM_MEMBER(struct conn, write_timer, entry);
    if (!conn->has_request && conn_unacked(conn) == 0)
        return; /* the answer was taken */
    uint64_t acked = bytes_acked(conn, 0);
    bool took_enough = acked >= conn->acked + LEAST_TAKEN;
    conn->acked = acked;
    if (took_enough)
        watch_reader(conn, on_stall);
    else
        conn_close(conn, true);
}

void conn_watch_reader(struct conn *conn)
{
    watch_reader(conn, on_stall);
}

/* What was handed over is written: ask for more, or be done. */
static void on_all_written(struct conn *conn)
{
    if (h2o_send_state_is_in_progress(conn->send_state))
        h2o_proceed_response(&conn->req);
    else
        conn_end_request(conn);
}

static void on_nothing_to_write(h2o_timeout_entry_t *entry)
{
    on_all_written(H2O_STRUCT_FROM_MEMBER(struct conn, write_timer, entry));
}

/* Goes on when what was handed to the socket is with the kernel. */
static void on_writable(h2o_socket_t *socket, const char *error)
{
    struct conn *conn = socket->data;
    h2o_timeout_unlink(&conn->write_timer);
    if (error != NULL)
        conn_close(conn, false);
    else if (conn->n_out > 0)
        write_next(conn);
    else if (conn->head_sent) /* else it was 100 (Continue) */
        on_all_written(conn);
}

/* The loop's clock stands still within a turn. */
static bool turn_is_over(struct conn *conn)
{
    uint64_t now = h2o_now(conn->context->h2o->loop);
    if (conn->turn_at != now) {
        conn->turn_at = now;
        conn->turn_from = conn->written;
    }
    return conn->written - conn->turn_from >= TURN;
}

/*
 * libh2o calls this within the same turn of the loop when the kernel takes all at once. A client that reads
 * as fast as we write would keep everybody else waiting to the end of its answer.
 */
static void on_written(h2o_socket_t *socket, const char *error)
{
    struct conn *conn = socket->data;
    bool has_more = conn->n_out > 0 || h2o_send_state_is_in_progress(conn->send_state);
    if (error == NULL && conn->head_sent && has_more && turn_is_over(conn)) {
        if (!h2o_timeout_is_linked(&conn->write_timer)) /* it went by the outbox */
            watch_reader(conn, on_stall);
        h2o_socket_notify_write(socket, on_writable);
    } else {
        on_writable(socket, error);
    }
}

/* Takes up to SLICE bytes from what is to be written. */
static size_t take_slice(struct conn *conn, h2o_iovec_t *slice, size_t max)
{
    size_t n = 0, room = SLICE;
    while (n < max && room > 0 && conn->n_out > 0) {
        h2o_iovec_t *first = conn->out;
        slice[n] = h2o_iovec_init(first->base, first->len < room ? first->len : room);
        room -= slice[n].len;
        conn->written += slice[n].len;
        first->base += slice[n].len;
        first->len -= slice[n].len;
        n++;
        if (first->len == 0) {
            conn->out++;
            conn->n_out--;
        }
    }
    return n;
}

static void write_by_the_loop(struct conn *conn, h2o_iovec_t *parts, size_t n)
{
    h2o_socket_write(conn->socket, parts, n, on_written);
    watch_reader(conn, on_stall);
}

/* What was put into the outbox is sent. What the client's socket did not take goes out as it takes more. */
static void on_sent(void *arg, int error, const struct iovec *rest, size_t n)
{
    struct conn *conn = arg;
    h2o_iovec_t parts[OUTBOX_PARTS];
    conn->message = NULL;
    if (conn->aborted)
        return; /* meanwhile; write_timer ends it */
    for (size_t i = 0; i < n; i++)
        parts[i] = h2o_iovec_init(rest[i].iov_base, rest[i].iov_len);
    if (error == 0 && n > 0)
        write_by_the_loop(conn, parts, n);
    else
        on_written(conn->socket, error != 0 ? "write" : NULL);
}

/* Is what was taken to be written the last there is, and the end sent as soon as it is? */
static bool ends_connection(const struct conn *conn)
{
    return conn->n_out == 0 && !h2o_send_state_is_in_progress(conn->send_state) && !conn->keep_alive &&
           !conn_lingers(conn);
}

static void write_next(struct conn *conn)
{
    h2o_iovec_t slice[64];
    struct iovec parts[OUTBOX_PARTS];
    size_t n = take_slice(conn, slice, sizeof(slice) / sizeof(slice[0]));
    for (size_t i = 0; i < n && i < OUTBOX_PARTS; i++)
        parts[i] = (struct iovec){slice[i].base, slice[i].len};
    conn->message = outbox_put(conn->context->outbox, h2o_socket_get_fd(conn->socket), parts, n,
                               ends_connection(conn) ? MSG_MORE : 0, on_sent, conn);
    if (conn->message == NULL)
        write_by_the_loop(conn, slice, n);
}

void conn_send_continue(struct conn *conn)
{
    static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
    h2o_iovec_t out = h2o_iovec_init(line, sizeof(line) - 1);
    conn->wants_continue = false;
    if (!conn->head_sent) {
        h2o_socket_write(conn->socket, &out, 1, on_written);
        watch_reader(conn, on_stall);
    }
}

/* The end of libh2o's chain of output filters */

static void add(struct conn *conn, const char *bytes, size_t len)
{
    if (len != 0)
        conn->out[conn->n_out++] = h2o_iovec_init(bytes, len);
}

/* A part of the body in the coding that was decided on (RFC 9112 section 7.1). */
static void add_body(struct conn *conn, const h2o_iovec_t *parts, size_t n, bool is_last)
{
    size_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += parts[i].len;
    if (conn->delimiter == CONN_NO_BODY)
        return;
    if (conn->delimiter == CONN_CHUNKED && total > 0) {
        add(conn, conn->size_line,
            (size_t)snprintf(conn->size_line, sizeof(conn->size_line), "%zx\r\n", total));
    }
    for (size_t i = 0; i < n; i++)
        add(conn, parts[i].base, parts[i].len);
    if (conn->delimiter == CONN_CHUNKED) {
        if (total > 0)
            add(conn, "\r\n", 2);
        if (is_last)
            add(conn, "0\r\n\r\n", 5);
    } else if (conn->delimiter == CONN_LENGTH) {
        conn->length_left = total > conn->length_left ? UINT64_MAX : conn->length_left - total;
    }
}

/*
 * The answer cannot be completed. Nothing was promised yet: close. A chunked body lacks its end: close.
 * Else only a reset tells the client that what it has is not all (RFC 9112 section 8).
 */
static void abort_answer(struct conn *conn)
{
    conn->aborted = true;
    conn->send_state = H2O_SEND_STATE_ERROR;
    conn->n_out = 0;
    if (h2o_timeout_is_linked(&conn->write_timer))
        h2o_timeout_unlink(&conn->write_timer);
    conn->write_timer.cb = on_nothing_to_write;
    h2o_timeout_link(conn->context->h2o->loop, &conn->context->h2o->zero_timeout, &conn->write_timer);
}

static void on_send(h2o_ostream_t *ostream, h2o_req_t *req, h2o_iovec_t *parts, size_t n,
                    h2o_send_state_t state)
{
    struct conn *conn = H2O_STRUCT_FROM_MEMBER(struct conn, final, ostream);
    bool is_last = !h2o_send_state_is_in_progress(state);
    (void)req;
    if (conn->aborted)
        return;
    conn->send_state = state;
    if (!conn->head_sent)
        decide_delimiter(conn);
    conn->out = n <= CONN_FEW_PARTS
                    ? conn->few_out
                    : h2o_mem_alloc_pool(&conn->req.pool, (n + MORE_PARTS) * sizeof(*conn->out));
    conn->n_out = 0;
    if (!conn->head_sent) {
        conn->out[conn->n_out++] = make_head(conn);
        conn->head_sent = true;
    }
    add_body(conn, parts, n, is_last);
    /* what was promised by Content-Length is neither exceeded nor fallen short of */
    bool broken = conn->delimiter == CONN_LENGTH &&
                  (conn->length_left == UINT64_MAX || (is_last && conn->length_left != 0));
    if (state == H2O_SEND_STATE_ERROR || broken) {
        abort_answer(conn);
    } else if (conn->n_out == 0) {
        conn->write_timer.cb = on_nothing_to_write;
        h2o_timeout_link(conn->context->h2o->loop, &conn->context->h2o->zero_timeout, &conn->write_timer);
    } else if (!h2o_socket_is_writing(conn->socket)) {
        write_next(conn);
    } /* else 100 (Continue) is being written, and on_written goes on */
}

void conn_response_init(struct conn *conn)
{
    conn->final = (h2o_ostream_t){.do_send = on_send};
    conn->req._ostr_top = &conn->final;
    conn->head_sent = false;
    conn->aborted = false;
    conn->out = NULL;
    conn->n_out = 0;
    conn->acked = 0;
    conn->written = 0;
    conn->turn_at = 0;
}
