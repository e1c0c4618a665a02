/* http1_private.h: what the parsers of requests, answers and chunks share. Private to http1*.c and forwarded.c. */
#ifndef HAYFORK_HTTP_HTTP1_PRIVATE_H
#define HAYFORK_HTTP_HTTP1_PRIVATE_H

#include "http/http1.h"

/* What a byte may be part of. */
enum {
    TOKEN = 1,     /* tchar (RFC 9110 section 5.6.2) */
    VALUE = 2,     /* a field's value: VCHAR, obs-text, blank, tab (RFC 9110 section 5.5) */
    PATH = 4,      /* pchar and '/' (RFC 3986 section 3.3) */
    QUERY = 8,     /* pchar, '/', '?' (section 3.4), and what browsers send unescaped there: []{}|\^` */
    REG_NAME = 16, /* a host by name (section 3.2.2) */
    ADDRESS = 32,  /* inside the brackets of an IPv6 address */
    HEX = 64,
    DIGIT = 128,
};

extern const unsigned char http1_classes[256];

static inline bool is(char c, int class)
{
    return (http1_classes[(unsigned char)c] & class) != 0;
}

/* How many bytes from here on are of the class. */
static inline size_t span_of(const char *from, const char *end, int class)
{
    const char *p = from;
    while (p < end && is(*p, class))
        p++;
    return (size_t)(p - from);
}

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
