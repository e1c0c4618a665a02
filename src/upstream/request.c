/*
 * request.c: the way of a request to its server: sending it, its time limits, and trying again.
 *
 *     +---------+  a connection is free   +------------+  connected  +----------+  all of it  +------+
 *     | WAITING | ----------------------> | CONNECTING | ----------> | EXCHANGE | ----------> | OVER |
 *     +---------+                         +------------+             +----------+             +------+
 *                 a name is looked up   ^                                  |
 *                 (RESOLVING) ----------+      <---------------------------+
 *                                           certainly not processed: the next server, or a new connection
 */
#include "upstream/request.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "upstream/upstream_private.h"

enum { MOST_PARTS = 8 };

static h2o_loop_t *loop_of(const struct upstream_request *request)
{
    return request->upstream->context->loop;
}

/* The end */

static void finish(struct upstream_request *request)
{
    request->phase = UPSTREAM_OVER;
    h2o_timeout_unlink(&request->deadline_timer);
    struct upstream_connection *connection = upstream_detach(request);
    if (connection != NULL)
        upstream_release(connection, false);
}

void upstream_fail(struct upstream_request *request, int status, const char *detail)
{
    finish(request);
    request->ops->on_error(request, status, detail);
}

void upstream_request_fail(struct upstream_request *request, int status, const char *detail)
{
    if (request->phase != UPSTREAM_OVER)
        upstream_fail(request, status, detail);
}

void upstream_request_end(struct upstream_request *request)
{
    if (request->phase != UPSTREAM_OVER)
        finish(request);
    free(request->rest);
    free(request->buffer);
    free(request->response);
    request->rest = request->buffer = NULL;
    request->response = NULL;
}

void upstream_no_answer(struct upstream_request *request, const char *why)
{
    struct upstream_server *server = request->server;
    struct upstream_connection *connection = request->connection;
    bool may_repeat = !request->sent_any || (request->is_safe && request->body_is_whole);
    if (connection->reused && may_repeat) {
        upstream_release(upstream_detach(request), false);
        request->wants_new = true;
        upstream_acquire(request);
        return;
    }
    if (!connection->reused) {
        upstream_complain(server, request, UPSTREAM_NO_ANSWER, "%s: no answer from %s: %s", request->label,
                          server->conf->address, why);
        if (may_repeat) {
            upstream_server_failed(request);
            return;
        }
        upstream_server_rest(server);
    }
    upstream_fail(request, 502, "The service behind this one closed the connection without an answer.");
}

/* Time limits */

static void on_deadline(h2o_timeout_entry_t *entry)
{
    struct upstream_request *request = H2O_STRUCT_FROM_MEMBER(struct upstream_request, deadline_timer, entry);
    struct upstream_server *server =
        request->server != NULL ? request->server : &request->upstream->servers[0];
    if (request->phase == UPSTREAM_WAITING) {
        upstream_fail(request, 503, "The service behind this one has too much to do.");
    } else if (request->phase != UPSTREAM_EXCHANGE) {
        upstream_complain(server, request, UPSTREAM_CANNOT_CONNECT, "%s: cannot connect to %s: no answer",
                          request->label, server->conf->address);
        upstream_fail(request, 502, "The service behind this one could not be reached.");
    } else {
        upstream_complain(server, request, UPSTREAM_LATE_ANSWER, "%s: no answer from %s by the deadline",
                          request->label, server->conf->address);
        if (server->answered_at < request->sent_at)
            upstream_server_rest(server); /* it has answered nobody meanwhile */
        upstream_fail(request, 504, "The service behind this one did not answer in time.");
    }
}

/* The time to the first byte of the answer counts from the last byte that was sent. */
static void set_deadline(struct upstream_request *request)
{
    h2o_timeout_unlink(&request->deadline_timer);
    if (request->head_passed)
        return;
    request->deadline_timer.cb = on_deadline;
    request->sent_at = h2o_now(loop_of(request));
    h2o_timeout_link(loop_of(request), request->deadline, &request->deadline_timer);
}

/* Sending */

static void rest_sent(struct upstream_request *request)
{
    if (request->body_ended) {
        set_deadline(request);
    } else {
        h2o_timeout_unlink(&request->deadline_timer); /* it is the client who is waited for */
        request->ops->on_room(request);
    }
}

static void on_rest_written(h2o_socket_t *socket, const char *error)
{
    struct upstream_connection *connection = socket->data;
    struct upstream_request *request = connection->request;
    free(request->rest);
    request->rest = NULL;
    if (error != NULL)
        request->send_failed = true; /* what the server had to say may be there to be read */
    else
        rest_sent(request);
}

/* The server takes no more for now: keeps what is left, and has the loop send it. */
static void keep_rest(struct upstream_request *request, const struct iovec *parts, size_t n)
{
    size_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += parts[i].iov_len;
    char *out = request->rest = mem_alloc(total);
    for (size_t i = 0; i < n; i++)
        out = mempcpy(out, parts[i].iov_base, parts[i].iov_len);
    h2o_iovec_t rest = h2o_iovec_init(request->rest, total);
    h2o_socket_write(request->connection->socket, &rest, 1, on_rest_written);
}

/* Parts were sent, but for the rest. Returns false where there was an error. */
static bool is_sent(struct upstream_request *request, int error, const struct iovec *rest, size_t n)
{
    if (error != 0)
        return false;
    request->sent_any = true; /* from now on nobody can tell what has reached the server */
    if (n > 0)
        keep_rest(request, rest, n);
    return true;
}

/* Sends the parts now, in one go. Returns false where the connection takes none of them. */
static bool send_parts(struct upstream_request *request, struct iovec *parts, size_t n)
{
    int error = outbox_send_now(h2o_socket_get_fd(request->connection->socket), parts, &n);
    return is_sent(request, error, parts, n);
}

static size_t add_part(struct iovec *parts, size_t n, struct str text)
{
    if (text.len > 0)
        parts[n++] = (struct iovec){(char *)text.base, text.len};
    return n;
}

/* Adds a part of the body in its coding (RFC 9112 section 7.1). */
static size_t add_body(const struct upstream_request *request, struct iovec *parts, size_t n,
                       struct str bytes, bool is_last, char size_line[24])
{
    if (request->is_chunked && bytes.len > 0) {
        int len = snprintf(size_line, 24, "%zx\r\n", bytes.len);
        n = add_part(parts, n, (struct str){size_line, (size_t)len});
    }
    n = add_part(parts, n, bytes);
    if (request->is_chunked && bytes.len > 0)
        n = add_part(parts, n, STR("\r\n"));
    if (request->is_chunked && is_last)
        n = add_part(parts, n, STR("0\r\n\r\n"));
    return n;
}

static void on_begun(struct upstream_request *request, bool began)
{
    if (!began && request->got_any)
        request->send_failed = true; /* an answer without a question has begun: it comes to its own end */
    else if (!began)
        upstream_no_answer(request, "it had closed the connection");
    else if (request->rest == NULL && !request->body_ended)
        rest_sent(request);
}

static void on_sent(void *arg, int error, const struct iovec *rest, size_t n)
{
    struct upstream_request *request = arg;
    request->message = NULL;
    on_begun(request, is_sent(request, error, rest, n));
}

void upstream_begin(struct upstream_request *request)
{
    struct upstream_connection *connection = request->connection;
    struct iovec parts[MOST_PARTS];
    char size_line[24];
    size_t n = add_part(parts, 0, request->head);
    if (request->host_is_servers) {
        n = add_part(parts, n, request->server->authority);
        n = add_part(parts, n, request->after_host);
    }
    n = add_body(request, parts, n, request->body, request->body_is_whole, size_line);
    free(request->rest); /* of a connection that is gone */
    request->rest = NULL;
    request->phase = UPSTREAM_EXCHANGE;
    request->body_ended = request->body_is_whole;
    request->sent_any = false;
    request->send_failed = false;
    set_deadline(request);
    if (!h2o_socket_is_reading(connection->socket))
        h2o_socket_read_start(connection->socket, upstream_on_readable);
    if (!request->is_chunked) /* or size_line would have to stay */
        request->message = outbox_put(request->upstream->context->outbox,
                                      h2o_socket_get_fd(connection->socket), parts, n, 0, on_sent, request);
    if (request->message == NULL)
        on_begun(request, send_parts(request, parts, n));
}

bool upstream_send(struct upstream_request *request, struct str bytes, bool is_last)
{
    struct iovec parts[MOST_PARTS];
    char size_line[24];
    if (request->phase != UPSTREAM_EXCHANGE || request->send_failed)
        return false;
    size_t n = add_body(request, parts, 0, bytes, is_last, size_line);
    request->body_ended = is_last;
    if (n > 0 && !send_parts(request, parts, n)) {
        request->send_failed = true; /* what the server had to say may be there to be read */
        set_deadline(request);
        return false;
    }
    if (request->rest != NULL || is_last)
        set_deadline(request);
    return request->rest == NULL;
}

void upstream_request_start(struct upstream_request *request)
{
    set_deadline(request);
    upstream_acquire(request);
}

/* The answer */

void upstream_resume(struct upstream_request *request)
{
    request->busy = false;
    if (request->phase == UPSTREAM_EXCHANGE)
        upstream_expect_more(request);
}
