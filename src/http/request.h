/* request.h: a request as those who answer it see it, whichever version of HTTP has brought it. */
#ifndef HAYFORK_HTTP_REQUEST_H
#define HAYFORK_HTTP_REQUEST_H

#include <stddef.h>

#include "base/str.h"
#include "http/body.h"
#include "http/http1_field.h"
#include "http/sink.h"

/* What only few need to know of it. The bytes stay as long as the request. */
struct request_message {
    struct str host;   /* that the client asks; empty if it did not say */
    struct str peer;   /* the client's IP address as text; empty for a Unix socket */
    int minor_version; /* of HTTP/1 */
    const char *allow; /* the methods of its path */
    const struct http1_field *fields;
    size_t n_fields;
    const char *bytes; /* that the fields point into */
};

/* Its route is found, its method is one that the route takes. */
struct request {
    struct str method, path;               /* raw bytes, the path without its query */
    const struct str *captures;            /* raw bytes of the path, in the order of the route's pattern */
    size_t n_captures;                     /* of them */
    struct str query;                      /* raw bytes after '?'; base is NULL if there is none */
    struct str content_type;               /* of the body; empty where the field is missing */
    struct body *body;                     /* for those who take one */
    const struct request_message *message; /* for those who want it; else NULL */
    struct sink *sink;                     /* where the answer goes */
    /* A field by its name in lower case, with base NULL where there is none. The values of several of that
     * name have ", " between them (RFC 9110 section 5.3). */
    struct str (*field)(const struct request *request, struct str name);
    void *of; /* whom field asks */
};

#endif
