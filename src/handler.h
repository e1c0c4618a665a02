/* handler.h: what every kind of handler has in common: it is made once per worker, and answers into a sink.
 */
#ifndef HAYFORK_HANDLER_H
#define HAYFORK_HANDLER_H

#include "body.h"
#include "conf.h"
#include "db.h"
#include "sink.h"

/* A request as handlers see it: its route is found, its method is one that the route takes. */
struct handler_request {
    const struct str *captures; /* raw bytes of the path, in the order of the route's pattern */
    struct str query;           /* raw bytes behind '?', empty if there is none */
    struct str content_type;    /* of the body; empty where the field is missing */
    struct body *body;          /* for handlers that take one */
    struct sink *sink;
};

struct handler {
    /*
     * Answers, now or later. The request and its array of captures are gone when this returns; the bytes
     * that they point to, the body and the sink stay as long as the request.
     */
    void (*handle)(struct handler *self, const struct handler_request *request);
    void (*free)(struct handler *self);
};

/* route must outlive the handler; so must lane. An answer of rows beyond buffer bytes is streamed. */
struct handler *handler_sql_new(const struct conf_route *route, struct db_lane *lane, size_t buffer);
struct handler *handler_json_new(const struct conf_route *route);
struct handler *handler_text_new(const struct conf_route *route);

#endif
