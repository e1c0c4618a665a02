/* handler.h: what every kind of handler has in common: it is made once per worker, and answers into a sink.
 */
#ifndef HAYFORK_HANDLERS_HANDLER_H
#define HAYFORK_HANDLERS_HANDLER_H

#include "conf/conf.h"
#include "http/request.h"
#include "metrics/series.h"

struct db_statement;

struct handler {
    /*
     * Answers, now or later. The request and its array of captures are gone when this returns; the bytes
     * that they point to, the body and the sink stay as long as the request.
     */
    void (*handle)(struct handler *self, const struct request *request);
    void (*free)(struct handler *self);
    bool wants_message;                   /* request->message is filled in for it */
    const struct db_statement *statement; /* that it asks PostgreSQL with; NULL: none */
    /* Filled in by the worker: */
    uint32_t shown_as;     /* the number of its route's name in the shared memory */
    struct series *series; /* where its requests are counted; NULL: nowhere */
};

#endif
