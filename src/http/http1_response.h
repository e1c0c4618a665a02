/* http1_response.h: a strict parser for the heads of HTTP/1.1 answers (RFC 9110, RFC 9112). Pure, as
 * http/http1.h.
 */
#ifndef HAYFORK_HTTP_HTTP1_RESPONSE_H
#define HAYFORK_HTTP_HTTP1_RESPONSE_H

#include "http/http1.h"

/* A head that is being parsed, then what it says. Begins as all zeroes. */
struct http1_response {
    int status;               /* 100 to 599 */
    struct http1_span reason; /* may be empty */
    /* fields, minor_version, body, content_length and error as of a request. keep_alive: the connection may
     * be used again once the body, if there is one, has been read to its end */
    struct http1_head head;
};

/*
 * Goes on parsing a head, as http1_parse_head does; limits->target does not count. An error's status is
 * always 502, its detail for the log. to_head: the answer is to a HEAD request, and so has no body.
 *
 * Refused is what another reader might understand differently, or what makes the end of the body uncertain:
 * versions other than 1.0 and 1.1, 101, a bare LF, folded fields, two Content-Length, Content-Length with
 * Transfer-Encoding, codings other than chunked, a body where there can be none (RFC 9112 section 6.3).
 */
enum http1_result http1_parse_response(struct http1_response *response, const char *bytes, size_t len,
                                       bool to_head, const struct http1_limits *limits, size_t *head_len);

#endif
