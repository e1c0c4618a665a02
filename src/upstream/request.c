/*
 * request.c: the way of a request to its server: sending it, its time limits, and trying again.
 *
 *     +-------+  a connection is ready  +----------+  all of the answer, or what ends it  +------+
 *     | lease | ----------------------> | exchange | -----------------------------------> | over |
 *     +-------+                         +----------+                                      +------+
 *         ^                                   |
 *         +-----------------------------------+
 *           certainly not processed: the next server, or a new connection
 */
#include "upstream/request.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/uio.h>

#include "base/clock.h"
#include "base/mem.h"
#include "upstream/trouble.h"

enum { MOST_PARTS = 8 };

static const struct upstream_answer_ops answer_ops;

static struct upstream_request *request_of(struct upstream_lease *lease)
{
    return H2O_STRUCT_FROM_MEMBER(struct upstream_request, lease, lease);
}

static struct upstream_request *answered(struct upstream_answer *answer)
{
    return H2O_STRUCT_FROM_MEMBER(struct upstream_request, answer, answer);
}

static const struct upstream_env *env_of(const struct upstream_request *request)
{
    return request->lease.upstream->env;
}

/* Logs a trouble with a server. */
#define COMPLAIN(request, server, trouble, ...)                                                              \
    upstream_trouble_log((server)->upstream->conf, (server)->conf, (request)->ops->id(request), trouble,     \
                         __VA_ARGS__)

/* Is the request being sent, or its answer awaited or coming? */
static bool is_exchange(const struct upstream_request *request)
{
    return request->lease.state == UPSTREAM_LEASE_HELD;
}

/* The end */

/* Takes back what is on its way to the connection, or waits for it. */
static void let_go(struct upstream_request *request)
{
    outbox_take_back(request->message);
    request->message = NULL;
    upstream_answer_leave(&request->answer);
}

static struct upstream_connection *leave(struct upstream_request *request)
{
    let_go(request);
    return upstream_pool_leave(&request->lease);
}

static void finish(struct upstream_request *request)
{
    request->is_over = true;
    h2o_timeout_unlink(&request->deadline_timer);
    struct upstream_connection *connection = leave(request);
    if (connection != NULL)
        upstream_pool_release(connection, false);
}

static void fail(struct upstream_request *request, int status, const char *detail)
{
    finish(request);
    request->ops->on_error(request, status, detail);
}

void upstream_request_fail(struct upstream_request *request, int status, const char *detail)
{
    if (!request->is_over)
        fail(request, status, detail);
}

void upstream_request_end(struct upstream_request *request)
{
    if (!request->is_over)
        finish(request);
    free(request->rest);
    request->rest = NULL;
    upstream_answer_dispose(&request->answer);
}

/*
 * The connection is gone without a byte of an answer: tries again where the server cannot have processed the
 * request, or where that does no harm.
 */
static void no_answer(struct upstream_request *request, const char *why)
{
    struct upstream_server *server = request->lease.server;
    bool reused = request->lease.connection->reused;
    bool may_repeat = !request->sent_any || (request->is_safe && request->body_is_whole);
    if (!reused || !may_repeat)
        upstream_pool_count(server, METRIC_UPSTREAM_NO_ANSWER);
    if (!reused)
        COMPLAIN(request, server, UPSTREAM_NO_ANSWER, "%s: no answer from %s: %s", request->lease.label,
                 server->conf->address, why);
    if (may_repeat) {
        let_go(request);
        if (reused)
            upstream_pool_acquire_new(&request->lease);
        else
            upstream_pool_server_failed(&request->lease);
        return;
    }
    if (!reused)
        upstream_pool_server_rest(server);
    fail(request, 502, "The upstream service closed the connection without an answer.");
}

/* Time limits */

static void on_deadline(h2o_timeout_entry_t *entry)
{
    struct upstream_request *request = H2O_STRUCT_FROM_MEMBER(struct upstream_request, deadline_timer, entry);
    const struct upstream_lease *lease = &request->lease;
    struct upstream_server *server = lease->server != NULL ? lease->server : &lease->upstream->servers[0];
    if (lease->state == UPSTREAM_LEASE_WAITING) {
        upstream_pool_count_full(lease->upstream);
        fail(request, 503, "The upstream service is busy.");
    } else if (!is_exchange(request)) {
        COMPLAIN(request, server, UPSTREAM_CANNOT_CONNECT, "%s: cannot connect to %s: no answer",
                 lease->label, server->conf->address);
        upstream_pool_count(server, METRIC_UPSTREAM_CONNECT);
        fail(request, 502, "The upstream service could not be reached.");
    } else {
        COMPLAIN(request, server, UPSTREAM_LATE_ANSWER, "%s: no answer from %s by the deadline", lease->label,
                 server->conf->address);
        upstream_pool_count(server, METRIC_UPSTREAM_LATE);
        if (server->answered_at < request->sent_at)
            upstream_pool_server_rest(server); /* it has answered nobody meanwhile */
        fail(request, 504, "The upstream service did not answer in time.");
    }
}

/* The time to the first byte of the answer counts from the last byte that was sent. */
static void set_deadline(struct upstream_request *request)
{
    h2o_timeout_unlink(&request->deadline_timer);
    if (request->answer.head_passed)
        return;
    h2o_loop_t *loop = env_of(request)->loop;
    request->deadline_timer.cb = on_deadline;
    request->sent_at = h2o_now(loop);
    h2o_timeout_link(loop, request->deadline, &request->deadline_timer);
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
    const struct upstream_connection *connection = socket->data;
    struct upstream_request *request = request_of(connection->lease);
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
    h2o_socket_write(request->lease.connection->socket, &rest, 1, on_rest_written);
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
    int error = outbox_send_now(h2o_socket_get_fd(request->lease.connection->socket), parts, &n);
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
    if (!began && request->answer.got_any)
        request->send_failed = true; /* an answer without a question has begun: it comes to its own end */
    else if (!began)
        no_answer(request, "it had closed the connection");
    else if (request->rest == NULL && !request->body_ended)
        rest_sent(request);
}

static void on_sent(void *arg, int error, const struct iovec *rest, size_t n)
{
    struct upstream_request *request = arg;
    request->message = NULL;
    on_begun(request, is_sent(request, error, rest, n));
}

/* The connection is there: sends the request. */
static void begin(struct upstream_request *request)
{
    const struct upstream_env *env = env_of(request);
    struct upstream_connection *connection = request->lease.connection;
    struct iovec parts[MOST_PARTS];
    char size_line[24];
    size_t n = add_part(parts, 0, request->head);
    if (request->host_is_servers) {
        n = add_part(parts, n, request->lease.server->authority);
        n = add_part(parts, n, request->after_host);
    }
    n = add_body(request, parts, n, request->body, request->body_is_whole, size_line);
    free(request->rest); /* of a connection that is gone */
    request->rest = NULL;
    request->body_ended = request->body_is_whole;
    request->sent_any = false;
    request->send_failed = false;
    upstream_pool_count(request->lease.server, METRIC_UPSTREAM_REQUESTS);
    set_deadline(request);
    upstream_answer_await(&request->answer, &answer_ops, env->reader, connection, request->is_head);
    if (!request->is_chunked) /* or size_line would have to stay */
        request->message =
            outbox_put(env->outbox, h2o_socket_get_fd(connection->socket), parts, n, 0, on_sent, request);
    if (request->message == NULL)
        on_begun(request, send_parts(request, parts, n));
}

bool upstream_send(struct upstream_request *request, struct str bytes, bool is_last)
{
    struct iovec parts[MOST_PARTS];
    char size_line[24];
    if (!is_exchange(request) || request->send_failed)
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

/* What the pool says */

static void on_ready(struct upstream_lease *lease)
{
    begin(request_of(lease));
}

static void on_failed(struct upstream_lease *lease, int status, const char *detail)
{
    fail(request_of(lease), status, detail);
}

static void on_readable(struct upstream_lease *lease, const char *error)
{
    upstream_answer_read(&request_of(lease)->answer, error);
}

static const char *id_of(const struct upstream_lease *lease)
{
    const struct upstream_request *request =
        H2O_STRUCT_FROM_MEMBER(const struct upstream_request, lease, lease);
    return request->ops->id(request);
}

static const struct upstream_pool_ops pool_ops = {on_ready, on_failed, on_readable, id_of};

void upstream_request_start(struct upstream_request *request)
{
    request->lease.ops = &pool_ops;
    request->lease.may_repeat = request->is_safe && request->body_is_whole;
    set_deadline(request);
    upstream_pool_acquire(&request->lease);
}

/* The answer */

static void on_head(struct upstream_answer *answer, const struct http1_response *response, const char *bytes,
                    uint64_t length)
{
    struct upstream_request *request = answered(answer);
    upstream_pool_server_works(request->lease.server);
    h2o_timeout_unlink(&request->deadline_timer);
    request->ops->on_head(request, response, bytes, length);
}

static void on_part(struct upstream_answer *answer, const struct str *parts, size_t n)
{
    struct upstream_request *request = answered(answer);
    request->ops->on_data(request, parts, n, false);
}

static void on_complete(struct upstream_answer *answer, const struct str *parts, size_t n, bool reusable)
{
    struct upstream_request *request = answered(answer);
    reusable = reusable && request->body_ended && request->message == NULL && request->rest == NULL &&
               !request->send_failed;
    struct upstream_connection *connection = leave(request);
    request->is_over = true;
    request->ops->on_data(request, parts, n, true);
    upstream_pool_release(connection, reusable);
}

static void on_bad(struct upstream_answer *answer, const char *why)
{
    struct upstream_request *request = answered(answer);
    const struct upstream_server *server = request->lease.server;
    COMPLAIN(request, server, UPSTREAM_BAD_ANSWER, "%s: bad answer from %s: %s", request->lease.label,
             server->conf->address, why);
    upstream_pool_count(server, METRIC_UPSTREAM_BAD_ANSWER);
    fail(request, 502, "The upstream service gave an invalid answer.");
}

static void on_none(struct upstream_answer *answer, const char *why)
{
    no_answer(answered(answer), why);
}

static const struct upstream_answer_ops answer_ops = {on_head, on_part, on_complete, on_bad, on_none};

void upstream_resume(struct upstream_request *request)
{
    if (is_exchange(request))
        upstream_answer_resume(&request->answer);
}

char *upstream_keep(struct upstream_request *request)
{
    return upstream_answer_keep(&request->answer);
}
