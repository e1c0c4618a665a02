/* http1_class.h: what a byte of a request or an answer may be part of. Private to http/. */
#ifndef HAYFORK_HTTP_HTTP1_CLASS_H
#define HAYFORK_HTTP_HTTP1_CLASS_H

#include <stdbool.h>
#include <stddef.h>

enum {
    TOKEN = 1,     /* tchar (RFC 9110 section 5.6.2) */
    VALUE = 2,     /* a field's value: VCHAR, obs-text, blank, tab (RFC 9110 section 5.5) */
    PATH = 4,      /* pchar and '/' (RFC 3986 section 3.3) */
    QUERY = 8,     /* pchar, '/', '?' (section 3.4), and what browsers send unescaped there: []{}|\^` */
    REG_NAME = 16, /* a host by name (section 3.2.2) */
    ADDRESS = 32,  /* inside the brackets of an IPv6 address */
    DIGIT = 64,
    CHECKED = 128, /* in a host by name, what stands around it decides */
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

#endif
