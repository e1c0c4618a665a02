/*
 * stage.h: what stands between a request and its handler.
 *
 * The stages of a route are made when a worker starts. A request comes through them in their order: each lets
 * it go on, answers it, or waits and decides later. A stage that wants to see or change the answer on its way
 * out puts a layer (http/layer.h) in front of the request's sink; so the answer comes through the stages in
 * the opposite order. Answers of the server itself, such as 404 where there is no route, come through none.
 */
#ifndef HAYFORK_STAGES_STAGE_H
#define HAYFORK_STAGES_STAGE_H

#include <h2o.h>
#include <stdbool.h>

#include "conf/conf.h"
#include "http/request.h"
#include "loop/timeouts.h"

struct helpers_pool;
struct stage;
struct stage_run;
struct stages;

enum stage_outcome {
    STAGE_NEXT,     /* the request goes on at once */
    STAGE_WAITS,    /* nothing is decided: stage_go_on follows, or the stage's answer */
    STAGE_ANSWERED, /* the request goes no further: the stage answers into its sink, now or later */
};

struct stage_ops {
    /*
     * A request has come to the stage. With STAGE_WAITS and STAGE_ANSWERED the sink's data, room and gone are
     * the stage's; where the client leaves meanwhile, its gone is called, and the run may not be used after
     * that. A layer goes in front of run->request.sink, which then is the layer's.
     */
    enum stage_outcome (*enter)(struct stage *stage, struct stage_run *run);
    void (*free)(struct stage *stage);
};

/* One stage of a route, at the beginning of a struct of its kind. */
struct stage {
    const struct stage_ops *ops;
    bool wants_message; /* request.message is filled in for it */
};

/* A request on its way through the stages of its route. It lives in the request's memory. */
struct stage_run {
    struct request request; /* as those that follow see it, which is the stages' to change */
    struct request_message message;
    struct stages *stages;
    size_t next;           /* of them: which one the request comes to next */
    struct str captures[]; /* the request's */
};

/* A stage that has waited lets the request go on; not from within enter. */
void stage_go_on(struct stage_run *run);

/* What stages are made of besides their route. All of it must outlive them, and so must the route. */
struct stage_env {
    const struct conf *conf;
    h2o_loop_t *loop;
    struct timeouts *timeouts;
    struct helpers_pool *images; /* who makes pictures; NULL where nobody does */
};

/* Makes one kind of stage for a route, or returns NULL where the route needs none of that kind. */
typedef struct stage *stage_maker(const struct conf_route *route, const struct stage_env *env);

struct stages_ops {
    /* The request has come through all stages. It is gone when this returns, as from struct handler's handle.
     */
    void (*arrive)(struct stages *stages, const struct request *request);
};

/* The stages of a route. */
struct stages {
    const struct stages_ops *ops;
    struct stage **all;
    size_t n;
    bool wants_message; /* one of them does */
};

/* Makes the stages of a route: those of makers, a list that ends in NULL, that it needs. */
void stages_init(struct stages *stages, const struct stages_ops *ops, stage_maker *const *makers,
                 const struct conf_route *route, const struct stage_env *env);

/* No request may be under way in them. */
void stages_dispose(struct stages *stages);

/* Sends a request through the stages. It and its array of captures need not outlive the call. */
void stages_enter(struct stages *stages, const struct request *request);

#endif
