/* h1_answer.h: an answer as bytes of HTTP/1.1 (RFC 9112). */
#ifndef HAYFORK_SERVER_H1_ANSWER_H
#define HAYFORK_SERVER_H1_ANSWER_H

#include <h2o.h>
#include <stdbool.h>
#include <stdint.h>

#include "http/sink.h"
#include "server/exchange.h"

enum {
    H1_ANSWER_FRAME = 4, /* parts beside those of the body: head, size line, CRLF, last chunk */
};

/* How the client finds the end of the answer's body (RFC 9112 section 6.3). */
enum h1_delimiter { H1_NO_BODY, H1_LENGTH, H1_CHUNKED, H1_UNTIL_CLOSE };

/* The fields that all answers of a worker have: Server, then Date (RFC 9110 section 6.6.1). */
struct h1_fields {
    char *text;
    size_t server_len, len;
    uint64_t fresh_until; /* clock_ns: until then Date is true */
};

struct h1_answer {
    bool has_begun;  /* its head is among what is to be written, or was */
    bool is_last;    /* no more of it will come */
    bool is_aborted; /* it cannot be completed */
    enum h1_delimiter delimiter;
    uint64_t length_left; /* for H1_LENGTH: bytes that the handler still owes */
    h2o_iovec_t *out;     /* what is to be written: few_out, or in the exchange's memory */
    size_t n_out;
    h2o_iovec_t few_out[SINK_FEW_PARTS + H1_ANSWER_FRAME];
    char size_line[20]; /* of the current chunk */
};

/* server: the value of Server, or "" for none. */
void h1_fields_init(struct h1_fields *fields, const char *server);
void h1_fields_dispose(struct h1_fields *fields);

/* Another answer begins. */
void h1_answer_begin(struct h1_answer *answer);

/*
 * With the answer's head known, before its first part: decides how the client finds the end of the body.
 * Returns whether another answer can follow it on the connection.
 */
bool h1_answer_delimit(struct h1_answer *answer, const struct exchange *exchange);

/*
 * Makes out of a part of the answer's body: the first time with the head before it, which says whether the
 * connection stays. The parts must stay, their array need not. An answer that does not keep to its
 * Content-Length is aborted.
 */
void h1_answer_add(struct h1_answer *answer, struct exchange *exchange, struct h1_fields *fields, bool stays,
                   const struct str *parts, size_t n, enum exchange_part part);

/*
 * Would an orderly end of the connection make what the client has of the answer by now look whole (RFC 9112
 * section 8)?
 */
bool h1_answer_looks_whole(const struct h1_answer *answer);

#endif
