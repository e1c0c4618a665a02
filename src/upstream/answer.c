/* answer.c: reading answers: heads, bodies in their codings, and every way in which they break off. */
#include "upstream/answer.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum {
    MOST_INTERIM = 16, /* answers with 1xx before the one that counts */
    MOST_PARTS = 16,   /* of a body, handed on at once */
};

struct upstream_reader {
    h2o_loop_t *loop;
    struct http1_limits limits;
    struct http1_response response; /* the head being parsed: most come in one piece */
    char *input;                    /* what one read brought */
    h2o_timeout_t *stall;
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

/* Ends */

/* All of the answer is here; these are its last parts. */
static void complete(struct upstream_answer *answer, const struct str *parts, size_t n, bool is_clean)
{
    answer->ops->complete(answer, parts, n, is_clean && answer->keep_alive);
}

static void on_end(struct upstream_answer *answer, bool is_reset)
{
    if (!answer->got_any)
        answer->ops->none(answer, is_reset ? "it reset the connection" : "it closed the connection");
    else if (!answer->head_passed)
        answer->ops->bad(answer, "the connection ended within the head");
    else if (answer->body_kind == HTTP1_BODY_UNTIL_CLOSE && !is_reset)
        complete(answer, NULL, 0, false);
    else
        answer->ops->bad(answer, "the connection ended within the body");
}

static void on_stall(h2o_timeout_entry_t *entry)
{
    struct upstream_answer *answer = H2O_STRUCT_FROM_MEMBER(struct upstream_answer, timer, entry);
    answer->ops->bad(answer, "nothing came for limits.stall");
}

/* Bodies (RFC 9112 sections 6.3 and 7.1) */

static void add(struct gathered *gathered, struct str part)
{
    gathered->parts[gathered->n++] = part;
    gathered->total += part.len;
}

static void gather_chunks(struct upstream_answer *answer, const char *bytes, size_t len,
                          struct gathered *gathered)
{
    while (gathered->n < MOST_PARTS && gathered->consumed < len) {
        struct str part;
        size_t used;
        enum http1_chunk_result result = http1_decode_chunk(&answer->chunks, bytes + gathered->consumed,
                                                            len - gathered->consumed, &used, &part);
        gathered->consumed += used;
        if (result == HTTP1_CHUNK_DATA) {
            add(gathered, part);
        } else {
            gathered->is_end = result == HTTP1_CHUNK_END;
            gathered->error = result == HTTP1_CHUNK_INVALID ? answer->chunks.error.detail : NULL;
            break;
        }
    }
}

static void gather(struct upstream_answer *answer, const char *bytes, size_t len, struct gathered *gathered)
{
    *gathered = (struct gathered){.n = 0};
    switch (answer->body_kind) {
    case HTTP1_BODY_NONE:
        gathered->is_end = true;
        return;
    case HTTP1_BODY_CHUNKED:
        gather_chunks(answer, bytes, len, gathered);
        return;
    case HTTP1_BODY_LENGTH:
        if (len > answer->body_left)
            len = (size_t)answer->body_left;
        answer->body_left -= len;
        gathered->is_end = answer->body_left == 0;
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
static bool pass_on(struct upstream_answer *answer)
{
    struct gathered gathered;
    gather(answer, answer->buffer + answer->buffer_at, answer->buffer_len - answer->buffer_at, &gathered);
    answer->buffer_at += gathered.consumed;
    if (gathered.error != NULL) {
        answer->ops->bad(answer, gathered.error);
        return true;
    }
    if (gathered.is_end) {
        complete(answer, gathered.parts, gathered.n, answer->buffer_at == answer->buffer_len);
        return true;
    }
    if (gathered.n == 0)
        return false;
    upstream_connection_ignore(answer->connection);
    answer->ops->part(answer, gathered.parts, gathered.n);
    return true;
}

void upstream_answer_resume(struct upstream_answer *answer)
{
    if (answer->buffer_at < answer->buffer_len && pass_on(answer))
        return;
    answer->buffer_at = answer->buffer_len = 0;
    answer->timer.cb = on_stall;
    h2o_timeout_link(answer->reader->loop, answer->reader->stall, &answer->timer);
    upstream_connection_watch(answer->connection);
}

char *upstream_answer_keep(struct upstream_answer *answer)
{
    char *kept = answer->buffer;
    answer->buffer = mem_alloc(UPSTREAM_BUFFER);
    answer->buffer_len -= answer->buffer_at;
    memcpy(answer->buffer, kept + answer->buffer_at, answer->buffer_len);
    answer->buffer_at = 0;
    return kept;
}

/* Heads */

/* Keeps bytes that more have to follow. They may lie in the buffer already. */
static void keep(struct upstream_answer *answer, const char *bytes, size_t len)
{
    if (answer->buffer == NULL)
        answer->buffer = mem_alloc(UPSTREAM_BUFFER);
    if (len > 0)
        memmove(answer->buffer, bytes, len);
    answer->buffer_at = 0;
    answer->buffer_len = len;
}

/* The whole of the answer is here: its body gets memory of its own, which lasts as long as the request. */
static void pass_whole(struct upstream_answer *answer, const struct http1_response *response,
                       const char *bytes, const struct gathered *gathered, bool is_clean)
{
    char *body = mem_alloc(gathered->total + 1), *out = body;
    for (size_t i = 0; i < gathered->n; i++)
        out = mempcpy(out, gathered->parts[i].base, gathered->parts[i].len);
    struct str part = {body, gathered->total};
    uint64_t length = gathered->total;
    if (answer->body_kind == HTTP1_BODY_NONE && answer->to_head)
        length = response->head.n_lengths > 0 ? response->head.content_length : UPSTREAM_LENGTH_UNKNOWN;
    answer->ops->head(answer, response, bytes, length);
    free(answer->buffer);
    answer->buffer = body;
    complete(answer, &part, part.len > 0, is_clean);
}

/* The first part of the answer is here, at least its head; what there is of the body begins at rest. */
static void pass_first(struct upstream_answer *answer, const struct http1_response *response,
                       const char *bytes, const char *rest, size_t rest_len, struct gathered *gathered)
{
    bool has_length = answer->body_kind == HTTP1_BODY_LENGTH;
    answer->ops->head(answer, response, bytes,
                      has_length ? response->head.content_length : UPSTREAM_LENGTH_UNKNOWN);
    keep(answer, rest, rest_len);
    for (size_t i = 0; i < gathered->n; i++)
        gathered->parts[i].base = answer->buffer + (gathered->parts[i].base - rest);
    answer->buffer_at = gathered->consumed;
    upstream_connection_ignore(answer->connection);
    answer->ops->part(answer, gathered->parts, gathered->n);
}

static void on_head_complete(struct upstream_answer *answer, const struct http1_response *response,
                             const char *bytes, size_t len, size_t head_len)
{
    struct gathered gathered;
    answer->keep_alive = response->head.keep_alive;
    answer->body_kind = response->head.body;
    answer->body_left = response->head.content_length;
    answer->chunks = (struct http1_chunks){0};
    gather(answer, bytes + head_len, len - head_len, &gathered);
    if (gathered.error != NULL) {
        answer->ops->bad(answer, gathered.error);
        return;
    }
    answer->head_passed = true;
    if (gathered.is_end)
        pass_whole(answer, response, bytes, &gathered, head_len + gathered.consumed == len);
    else
        pass_first(answer, response, bytes, bytes + head_len, len - head_len, &gathered);
}

static void read_head(struct upstream_answer *answer, char *bytes, size_t len)
{
    struct upstream_reader *reader = answer->reader;
    while (len > 0) {
        struct http1_response *response = answer->response;
        size_t head_len = 0;
        if (response == NULL) {
            response = &reader->response;
            memset(response, 0, offsetof(struct http1_response, head) + offsetof(struct http1_head, fields));
            response->head.error = (struct http1_error){0};
        }
        enum http1_result result =
            http1_parse_response(response, bytes, len, answer->to_head, &reader->limits, &head_len);
        if (result == HTTP1_INVALID) {
            answer->ops->bad(answer, response->head.error.detail);
            return;
        }
        if (result == HTTP1_INCOMPLETE) {
            if (answer->response == NULL)
                answer->response = memcpy(mem_alloc(sizeof(*response)), response, sizeof(*response));
            break;
        }
        if (response->status >= 200) {
            on_head_complete(answer, response, bytes, len, head_len);
            return;
        }
        if (++answer->n_interim > MOST_INTERIM) {
            answer->ops->bad(answer, "there are too many answers with 1xx");
            return;
        }
        free(answer->response);
        answer->response = NULL;
        bytes += head_len;
        len -= head_len;
    }
    if (len > 0 || answer->buffer != NULL)
        keep(answer, bytes, len);
}

/* What one read brings is appended to a head that waits in the buffer. */
static ssize_t fill(struct upstream_answer *answer, char **bytes)
{
    *bytes = answer->buffer != NULL ? answer->buffer : answer->reader->input;
    size_t have = answer->buffer != NULL ? answer->buffer_len : 0;
    ssize_t n = upstream_connection_receive(answer->connection, *bytes + have, UPSTREAM_BUFFER - have);
    if (n > 0 && answer->buffer != NULL)
        answer->buffer_len += (size_t)n;
    return n;
}

void upstream_answer_read(struct upstream_answer *answer, const char *error)
{
    char *bytes;
    ssize_t n = error == NULL ? fill(answer, &bytes) : -1;
    if (n < 0 && error == NULL && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        on_end(answer, n < 0);
        return;
    }
    answer->got_any = true;
    if (!answer->head_passed) {
        read_head(answer, bytes, answer->buffer != NULL ? answer->buffer_len : (size_t)n);
        return;
    }
    h2o_timeout_unlink(&answer->timer);
    upstream_answer_resume(answer);
}

/* Beginning and ending */

void upstream_answer_await(struct upstream_answer *answer, const struct upstream_answer_ops *ops,
                           struct upstream_reader *reader, struct upstream_connection *connection,
                           bool to_head)
{
    answer->ops = ops;
    answer->reader = reader;
    answer->connection = connection;
    answer->to_head = to_head;
    upstream_connection_watch(connection);
}

void upstream_answer_leave(struct upstream_answer *answer)
{
    answer->connection = NULL;
    h2o_timeout_unlink(&answer->timer);
}

void upstream_answer_dispose(struct upstream_answer *answer)
{
    free(answer->buffer);
    free(answer->response);
    answer->buffer = NULL;
    answer->response = NULL;
}

struct upstream_reader *upstream_reader_new(h2o_loop_t *loop, const struct conf *conf,
                                            struct timeouts *timeouts)
{
    struct upstream_reader *reader = mem_calloc(1, sizeof(*reader));
    reader->loop = loop;
    reader->limits = (struct http1_limits){.head = conf->limits.head, .fields = conf->limits.fields};
    reader->input = mem_alloc(UPSTREAM_BUFFER);
    reader->stall = timeouts_get(timeouts, conf->limits.stall);
    return reader;
}

void upstream_reader_free(struct upstream_reader *reader)
{
    free(reader->input);
    free(reader);
}
