/* handler.h: what every kind of handler has in common: it is made once per worker, and answers into a sink.
 */
#ifndef HAYFORK_HANDLERS_HANDLER_H
#define HAYFORK_HANDLERS_HANDLER_H

#include "http/body.h"
#include "conf/conf.h"
#include "http/http1.h"
#include "http/sink.h"

/* What only few handlers need to know of a request. The bytes stay as long as the request. */
struct handler_message {
    struct str host;   /* that the client asks; empty if it did not say */
    struct str peer;   /* the client's IP address as text; empty for a Unix socket */
    int minor_version; /* of HTTP/1 */
    const char *allow; /* the methods of its path */
    const struct http1_field *fields;
    size_t n_fields;
    const char *bytes; /* that the fields point into */
};

/* A request as handlers see it: its route is found, its method is one that the route takes. */
struct handler_request {
    struct str method, path;               /* raw bytes, the path without its query */
    const struct str *captures;            /* raw bytes of the path, in the order of the route's pattern */
    struct str query;                      /* raw bytes after '?'; base is NULL if there is none */
    struct str content_type;               /* of the body; empty where the field is missing */
    struct body *body;                     /* for handlers that take one */
    const struct handler_message *message; /* for handlers that want it; else NULL */
    struct sink *sink;
    /* A field by its name in lower case, with base NULL where there is none. The values of several of that
     * name have ", " between them (RFC 9110 section 5.3). */
    struct str (*field)(const struct handler_request *request, struct str name);
};

struct handler {
    /*
     * Answers, now or later. The request and its array of captures are gone when this returns; the bytes
     * that they point to, the body and the sink stay as long as the request.
     */
    void (*handle)(struct handler *self, const struct handler_request *request);
    void (*free)(struct handler *self);
    bool wants_message; /* request->message is filled in for it */
    uint32_t shown_as;  /* the number of its route's name in the shared memory; filled in by the worker */
};

#endif
