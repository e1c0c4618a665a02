/* answer.c: reading answers: heads, bodies in their codings, and every way in which they break off.
 */
#include <errno.h>
#include <stdlib.h>

#include "base/mem.h"
#include "upstream/upstream_private.h"

enum {
    MOST_INTERIM = 16, /* answers with 1xx before the one that counts */
    MOST_PARTS = 16,   /* of a body, handed on at once */
};

/* What some bytes hold of the body. */
struct gathered {
    struct str parts[MOST_PARTS];
    size_t n;
    size_t total;      /* bytes in them */
    size_t consumed;   /* bytes that are understood */
    bool is_end;       /* of the body */
    const char *error; /* why it cannot be understood, or NULL */
};

static void read_head(struct upstream_request *request, char *bytes, size_t len);

/* Ends */

/* What has come is not what HTTP says it has to be. */
static void bad_answer(struct upstream_request *request, const char *why)
{
    const struct upstream_server *server = request->server;
    upstream_complain(server, request, UPSTREAM_BAD_ANSWER, "%s: bad answer from %s: %s", request->label,
                      server->conf->address, why);
    upstream_fail(request, 502, "The service behind this one gave an answer that cannot be understood.");
}

/* All of the answer is here; these are its last parts. */
static void complete(struct upstream_request *request, const struct str *parts, size_t n, bool is_clean)
{
    bool reusable = is_clean && request->keep_alive && request->body_ended && request->message == NULL &&
                    request->rest == NULL && !request->send_failed;
    struct upstream_connection *connection = upstream_detach(request);
    request->phase = UPSTREAM_OVER;
    request->ops->on_data(request, parts, n, true);
    upstream_release(connection, reusable);
}

static void on_end(struct upstream_request *request, bool is_reset)
{
    if (!request->got_any)
        upstream_no_answer(request, is_reset ? "it reset the connection" : "it closed the connection");
    else if (!request->head_passed)
        bad_answer(request, "the connection ended within the head");
    else if (request->body_kind == HTTP1_BODY_UNTIL_CLOSE && !is_reset)
        complete(request, NULL, 0, false);
    else
        bad_answer(request, "the connection ended within the body");
}

static void on_stall(h2o_timeout_entry_t *entry)
{
    struct upstream_request *request = H2O_STRUCT_FROM_MEMBER(struct upstream_request, timer, entry);
    bad_answer(request, "nothing came for limits.stall");
}

/* Bodies (RFC 9112 sections 6.3 and 7.1) */

static void add(struct gathered *gathered, struct str part)
{
    gathered->parts[gathered->n++] = part;
    gathered->total += part.len;
}

static void gather_chunks(struct upstream_request *request, const char *bytes, size_t len,
                          struct gathered *gathered)
{
    while (gathered->n < MOST_PARTS && gathered->consumed < len) {
        struct str part;
        size_t used;
        enum http1_chunk_result result = http1_decode_chunk(&request->chunks, bytes + gathered->consumed,
                                                            len - gathered->consumed, &used, &part);
        gathered->consumed += used;
        if (result == HTTP1_CHUNK_DATA) {
            add(gathered, part);
        } else {
            gathered->is_end = result == HTTP1_CHUNK_END;
            gathered->error = result == HTTP1_CHUNK_INVALID ? request->chunks.error.detail : NULL;
            break;
        }
    }
}

static void gather(struct upstream_request *request, const char *bytes, size_t len, struct gathered *gathered)
{
    *gathered = (struct gathered){.n = 0};
    switch (request->body_kind) {
    case HTTP1_BODY_NONE:
        gathered->is_end = true;
        return;
    case HTTP1_BODY_CHUNKED:
        gather_chunks(request, bytes, len, gathered);
        return;
    case HTTP1_BODY_LENGTH:
        if (len > request->body_left)
            len = (size_t)request->body_left;
        request->body_left -= len;
        gathered->is_end = request->body_left == 0;
        break;
    case HTTP1_BODY_UNTIL_CLOSE:
        break;
    }
    if (len > 0)
        add(gathered, (struct str){bytes, len});
    gathered->consumed = len;
}

/* Hands on what the buffer holds from buffer_at. Returns false where there is nothing in it for the caller.
 */
static bool pass_on(struct upstream_request *request)
{
    struct gathered gathered;
    gather(request, request->buffer + request->buffer_at, request->buffer_len - request->buffer_at,
           &gathered);
    request->buffer_at += gathered.consumed;
    if (gathered.error != NULL) {
        bad_answer(request, gathered.error);
        return true;
    }
    if (gathered.is_end) {
        complete(request, gathered.parts, gathered.n, request->buffer_at == request->buffer_len);
        return true;
    }
    if (gathered.n == 0)
        return false;
    request->busy = true;
    h2o_socket_read_stop(request->connection->socket);
    request->ops->on_data(request, gathered.parts, gathered.n, false);
    return true;
}

void upstream_expect_more(struct upstream_request *request)
{
    if (request->buffer_at < request->buffer_len && pass_on(request))
        return;
    request->buffer_at = request->buffer_len = 0;
    request->timer.cb = on_stall;
    h2o_timeout_link(request->upstream->context->loop, request->upstream->context->stall, &request->timer);
    if (!h2o_socket_is_reading(request->connection->socket))
        h2o_socket_read_start(request->connection->socket, upstream_on_readable);
}

/* Heads */

/* Keeps bytes that more have to follow. They may lie in the buffer already. */
static void keep(struct upstream_request *request, const char *bytes, size_t len)
{
    if (request->buffer == NULL)
        request->buffer = mem_alloc(UPSTREAM_BUFFER);
    if (len > 0)
        memmove(request->buffer, bytes, len);
    request->buffer_at = 0;
    request->buffer_len = len;
}

/* The whole of the answer is here: its body gets memory of its own, which lasts as long as the request. */
static void pass_whole(struct upstream_request *request, const struct http1_response *response,
                       const char *bytes, const struct gathered *gathered, bool is_clean)
{
    char *body = mem_alloc(gathered->total + 1), *out = body;
    for (size_t i = 0; i < gathered->n; i++)
        out = mempcpy(out, gathered->parts[i].base, gathered->parts[i].len);
    struct str part = {body, gathered->total};
    uint64_t length = gathered->total;
    if (request->body_kind == HTTP1_BODY_NONE && request->is_head)
        length = response->head.n_lengths > 0 ? response->head.content_length : UPSTREAM_LENGTH_UNKNOWN;
    request->ops->on_head(request, response, bytes, length);
    free(request->buffer);
    request->buffer = body;
    complete(request, &part, part.len > 0, is_clean);
}

/* The first part of the answer is here, at least its head; what there is of the body begins at rest. */
static void pass_first(struct upstream_request *request, const struct http1_response *response,
                       const char *bytes, const char *rest, size_t rest_len, struct gathered *gathered)
{
    bool has_length = request->body_kind == HTTP1_BODY_LENGTH;
    request->ops->on_head(request, response, bytes,
                          has_length ? response->head.content_length : UPSTREAM_LENGTH_UNKNOWN);
    keep(request, rest, rest_len);
    for (size_t i = 0; i < gathered->n; i++)
        gathered->parts[i].base = request->buffer + (gathered->parts[i].base - rest);
    request->buffer_at = gathered->consumed;
    request->busy = true;
    h2o_socket_read_stop(request->connection->socket);
    request->ops->on_data(request, gathered->parts, gathered->n, false);
}

static void on_head_complete(struct upstream_request *request, const struct http1_response *response,
                             const char *bytes, size_t len, size_t head_len)
{
    struct gathered gathered;
    request->keep_alive = response->head.keep_alive;
    request->body_kind = response->head.body;
    request->body_left = response->head.content_length;
    request->chunks = (struct http1_chunks){0};
    gather(request, bytes + head_len, len - head_len, &gathered);
    if (gathered.error != NULL) {
        bad_answer(request, gathered.error);
        return;
    }
    upstream_server_works(request->server);
    request->head_passed = true;
    h2o_timeout_unlink(&request->deadline_timer);
    if (gathered.is_end)
        pass_whole(request, response, bytes, &gathered, head_len + gathered.consumed == len);
    else
        pass_first(request, response, bytes, bytes + head_len, len - head_len, &gathered);
}

static void read_head(struct upstream_request *request, char *bytes, size_t len)
{
    struct upstream_context *context = request->upstream->context;
    while (len > 0) {
        struct http1_response *response = request->response;
        size_t head_len = 0;
        if (response == NULL) {
            response = &context->response;
            memset(response, 0, offsetof(struct http1_response, head) + offsetof(struct http1_head, fields));
            response->head.error = (struct http1_error){0};
        }
        enum http1_result result =
            http1_parse_response(response, bytes, len, request->is_head, &context->limits, &head_len);
        if (result == HTTP1_INVALID) {
            bad_answer(request, response->head.error.detail);
            return;
        }
        if (result == HTTP1_INCOMPLETE) {
            if (request->response == NULL)
                request->response = memcpy(mem_alloc(sizeof(*response)), response, sizeof(*response));
            break;
        }
        if (response->status >= 200) {
            on_head_complete(request, response, bytes, len, head_len);
            return;
        }
        if (++request->n_interim > MOST_INTERIM) {
            bad_answer(request, "there is no end of answers with 1xx");
            return;
        }
        free(request->response);
        request->response = NULL;
        bytes += head_len;
        len -= head_len;
    }
    if (len > 0 || request->buffer != NULL)
        keep(request, bytes, len);
}

/* One recv(2). What it brings is appended to a head that waits in the buffer. */
static ssize_t fill(struct upstream_request *request, char **bytes)
{
    *bytes = request->buffer != NULL ? request->buffer : request->upstream->context->input;
    size_t have = request->buffer != NULL ? request->buffer_len : 0;
    struct upstream_connection *connection = request->connection;
    ssize_t n = recv(h2o_socket_get_fd(connection->socket), *bytes + have, UPSTREAM_BUFFER - have, 0);
    connection->quiet_at =
        n < (ssize_t)(UPSTREAM_BUFFER - have) ? h2o_now(request->upstream->context->loop) : 0;
    if (n > 0 && request->buffer != NULL)
        request->buffer_len += (size_t)n;
    return n;
}

void upstream_on_readable(h2o_socket_t *socket, const char *error)
{
    struct upstream_connection *connection = socket->data;
    struct upstream_request *request = connection->request;
    if (request == NULL) { /* closed by the server, or it says something unasked */
        upstream_release(connection, false);
        return;
    }
    char *bytes;
    ssize_t n = error == NULL ? fill(request, &bytes) : -1;
    if (n < 0 && error == NULL && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        on_end(request, n < 0);
        return;
    }
    request->got_any = true;
    if (!request->head_passed) {
        read_head(request, bytes, request->buffer != NULL ? request->buffer_len : (size_t)n);
        return;
    }
    h2o_timeout_unlink(&request->timer);
    upstream_expect_more(request);
}
