/*
 * http1.h: a strict parser for HTTP/1.1 requests (RFC 9110, RFC 9112). Pure: bytes in, facts out.
 *
 * What is not exactly what the RFC's grammar says is refused: two readers who understand the same bytes
 * differently are how requests get smuggled, so there is nothing here that forgives.
 */
#ifndef HAYFORK_HTTP_HTTP1_H
#define HAYFORK_HTTP_HTTP1_H

#include "http/http1_field.h"

enum http1_result { HTTP1_INCOMPLETE, HTTP1_COMPLETE, HTTP1_INVALID };

/*
 * Goes on parsing a head. bytes[0..len) is all that has come of it so far; bytes that were there at the
 * last call must be the same. Each byte is looked at about once, however small the steps. After
 * HTTP1_COMPLETE, *head_len is the head's length with its empty line. After HTTP1_INVALID, head->error
 * says why, and method and minor_version are set if they were read.
 */
enum http1_result http1_parse_head(struct http1_head *head, const char *bytes, size_t len,
                                   const struct http1_limits *limits, size_t *head_len);

/* Decodes a chunked body (RFC 9112 section 7.1) piece by piece. Begins as all zeroes. */
struct http1_chunks {
    uint8_t state;
    uint8_t digits;   /* of the size of the present chunk */
    uint8_t name_len; /* of the current trailer field */
    char name[20];    /* its beginning, in lower case */
    uint64_t left;    /* bytes of the present chunk */
    size_t overhead;  /* bytes of extensions and trailers so far */
    struct http1_error error;
};

enum http1_chunk_result {
    HTTP1_CHUNK_MORE,   /* all input is consumed */
    HTTP1_CHUNK_DATA,   /* *data is a part of the body, inside the input */
    HTTP1_CHUNK_END,    /* the body is complete; what follows *consumed is the next request's */
    HTTP1_CHUNK_INVALID /* chunks->error says why */
};

/*
 * Decodes from bytes[0..len). *consumed is how many of them need not be given again. To be called until
 * it says something else than HTTP1_CHUNK_DATA.
 */
enum http1_chunk_result http1_decode_chunk(struct http1_chunks *chunks, const char *bytes, size_t len,
                                           size_t *consumed, struct str *data);

#endif
