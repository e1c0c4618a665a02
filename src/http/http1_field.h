/*
 * http1_field.h: what requests and answers have in common (RFC 9110, RFC 9112): field lines, lists in them,
 * body lengths.
 */
#ifndef HAYFORK_HTTP_HTTP1_FIELD_H
#define HAYFORK_HTTP_HTTP1_FIELD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <strings.h>

#include "base/str.h"

enum { HTTP1_MAX_FIELDS = 128 };

/* Bounds; a request over one is refused with the status that is named. */
struct http1_limits {
    size_t head;   /* bytes of request line and fields: 431 */
    size_t target; /* bytes of the request target: 414 */
    size_t fields; /* number of fields, at most HTTP1_MAX_FIELDS: 431 */
};

/* Why a request is refused. */
struct http1_error {
    int status;         /* 0 while there is none */
    const char *detail; /* static */
};

/* Part of the head, as offsets from its first byte: the buffer may move while the head arrives. */
struct http1_span {
    uint32_t at, len;
};

struct http1_field {
    struct http1_span name, value; /* value without the blanks around it */
};

enum http1_body {
    HTTP1_BODY_NONE,
    HTTP1_BODY_LENGTH,
    HTTP1_BODY_CHUNKED,
    HTTP1_BODY_UNTIL_CLOSE, /* of an answer: the end of the connection is its end */
};

/* A head that is being parsed, then what it says. Begins as all zeroes. */
struct http1_head {
    /* the parser's */
    uint32_t scanned;                      /* bytes known to hold no further line end */
    uint32_t line_at;                      /* where the line begins that is not complete yet */
    bool has_line;                         /* the request line was read */
    bool blank_skipped;                    /* the one empty line before it was seen */
    uint8_t n_hosts, n_lengths, n_codings; /* 2 stands for more than one */
    uint8_t n_options;                     /* of Connection, HTTP1_MAX_FIELDS at most */
    bool wants_close, wants_keep_alive, expects_else;
    bool is_https; /* the scheme of an absolute-form target */
    struct http1_span host_value, length_value, coding_value;

    /* the result, valid after HTTP1_COMPLETE */
    struct http1_span method;
    struct http1_span path;      /* with its query: "/a?b"; "*" for OPTIONS *. Of a URI without a path it is
                                    empty, or "?b" */
    struct http1_span authority; /* of an absolute-form target, else of Host; may be empty */
    int minor_version;           /* 0 or 1 */
    bool keep_alive;             /* what the client wants, by version and Connection */
    bool expects_continue;
    enum http1_body body;
    uint64_t content_length; /* for HTTP1_BODY_LENGTH */
    uint32_t n_fields;
    struct http1_field fields[HTTP1_MAX_FIELDS];

    struct http1_error error;
};

static inline struct str http1_str(const char *bytes, struct http1_span span)
{
    return (struct str){bytes + span.at, span.len};
}

/* Are two names the same, as fields and tokens are compared: without regard to case? */
static inline bool http1_same(struct str a, struct str b)
{
    if (a.len != b.len || a.len == 0)
        return a.len == b.len;
    /* most that differ do so in the first byte, by more than its case */
    return ((a.base[0] ^ b.base[0]) & ~0x20) == 0 && strncasecmp(a.base, b.base, a.len) == 0;
}

/* Takes the next item, which may be empty, from a comma-separated list (RFC 9110 section 5.6.1) with
 * something in it. */
struct str http1_next_item(struct str *list);

/* Finds a field by its name in lower case; false if there is none. The first one, where there are several. */
bool http1_find(const struct http1_field *fields, size_t n, const char *bytes, struct str name,
                struct str *value);

/* For the parsers of requests and answers. */

/* Notes why a head is refused. Returns false. */
bool http1_refuse(struct http1_head *head, int status, const char *detail);

/*
 * Reads a field-line (RFC 9112 section 5), which is not empty, without its CRLF, and remembers what the
 * parsers need to know of it. Returns false after refusing the head.
 */
bool http1_read_field(struct http1_head *head, const char *bytes, const char *from, const char *end,
                      const struct http1_limits *limits);

/* Reads the value of the one Content-Length (RFC 9110 section 8.6). Returns false after refusing the head. */
bool http1_read_length(struct http1_head *head, struct str value);

#endif
