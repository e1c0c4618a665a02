/* answer.h: reading an answer: its head, its body in its coding, and every way in which it breaks off. */
#ifndef HAYFORK_UPSTREAM_ANSWER_H
#define HAYFORK_UPSTREAM_ANSWER_H

#include "http/http1.h"
#include "http/http1_response.h"
#include "upstream/connection.h"
#include "upstream/env.h"

/* One read; no head is longer. Each relay under way may hold one, so more would be dear with many slow
 * clients. */
enum { UPSTREAM_BUFFER = 128 * 1024 };

#define UPSTREAM_LENGTH_UNKNOWN UINT64_MAX

struct upstream_answer;

struct upstream_answer_ops {
    /* The head; bytes are gone after the call. length is that of the body, or UPSTREAM_LENGTH_UNKNOWN. */
    void (*head)(struct upstream_answer *answer, const struct http1_response *response, const char *bytes,
                 uint64_t length);
    /* A part of the body, which stays until upstream_answer_resume. Nothing more comes before that. */
    void (*part)(struct upstream_answer *answer, const struct str *parts, size_t n);
    /* The last part, which stays until upstream_answer_dispose. reusable: the connection can be used again.
     */
    void (*complete)(struct upstream_answer *answer, const struct str *parts, size_t n, bool reusable);
    /* What has come is not what HTTP says it has to be. */
    void (*bad)(struct upstream_answer *answer, const char *why);
    /* The connection has ended before a byte came. */
    void (*none)(struct upstream_answer *answer, const char *why);
};

/* What reads the answers of a worker: they share one buffer for what comes in one piece. */
struct upstream_reader;

struct upstream_reader *upstream_reader_new(h2o_loop_t *loop, const struct conf *conf,
                                            struct timeouts *timeouts);
void upstream_reader_free(struct upstream_reader *reader);

/* One answer. answer.c alone writes it. */
struct upstream_answer {
    const struct upstream_answer_ops *ops;
    struct upstream_reader *reader;
    bool to_head; /* to a HEAD request: there is no body */
    struct upstream_connection *connection;
    bool got_any; /* some byte of it has come */
    bool head_passed;
    unsigned n_interim;
    struct http1_response *response; /* a head that comes in pieces */
    bool keep_alive;
    enum http1_body body_kind;
    uint64_t body_left;
    struct http1_chunks chunks;
    char *buffer; /* what waits to be understood, and what the caller has */
    size_t buffer_at, buffer_len;
    h2o_timeout_entry_t timer; /* for the next part */
};

/* The answer, which is all zeroes at first, comes on this connection. */
void upstream_answer_await(struct upstream_answer *answer, const struct upstream_answer_ops *ops,
                           struct upstream_reader *reader, struct upstream_connection *connection,
                           bool to_head);

/* There is something to be read. */
void upstream_answer_read(struct upstream_answer *answer, const char *error);

/* What the part held has been taken: goes on. */
void upstream_answer_resume(struct upstream_answer *answer);

/*
 * The caller keeps the part until it is taken, but goes on before that: returns the memory that the part is
 * in, UPSTREAM_BUFFER bytes, to be freed.
 */
char *upstream_answer_keep(struct upstream_answer *answer);

/* The connection is not the answer's any longer. */
void upstream_answer_leave(struct upstream_answer *answer);

void upstream_answer_dispose(struct upstream_answer *answer);

#endif
