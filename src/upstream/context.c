/* context.c: all upstreams of a worker: made when it starts, ended with it. */
#include "upstream/context.h"

#include <stdlib.h>

#include "base/mem.h"
#include "upstream/answer.h"
#include "upstream/env.h"
#include "upstream/pool.h"

struct upstream_context {
    struct upstream_env env;
    struct upstream *upstreams;
    h2o_timeout_t *at_once; /* made at the start: timeouts that are made first are looked at first */
    h2o_timeout_entry_t end_timer;
};

h2o_timeout_t *upstream_timeout(struct upstream_context *context, unsigned ms)
{
    return timeouts_get(context->env.timeouts, ms);
}

struct upstream_context *upstream_context_new(h2o_loop_t *loop, const struct conf *conf,
                                              struct timeouts *timeouts, struct outbox *outbox)
{
    struct upstream_context *context = mem_calloc(1, sizeof(*context));
    context->at_once = timeouts_get(timeouts, 0);
    context->env = (struct upstream_env){
        .loop = loop,
        .conf = conf,
        .timeouts = timeouts,
        .outbox = outbox,
        .resolver = upstream_resolver_new(loop, conf),
        .reader = upstream_reader_new(loop, conf, timeouts),
    };
    context->upstreams = mem_calloc(conf->n_upstreams, sizeof(*context->upstreams));
    for (size_t i = 0; i < conf->n_upstreams; i++)
        upstream_pool_init(&context->upstreams[i], &context->env, &conf->upstreams[i]);
    return context;
}

struct upstream *upstream_get(struct upstream_context *context, size_t i)
{
    return &context->upstreams[i];
}

static void on_end(h2o_timeout_entry_t *entry)
{
    struct upstream_context *context = H2O_STRUCT_FROM_MEMBER(struct upstream_context, end_timer, entry);
    for (size_t i = 0; i < context->env.conf->n_upstreams; i++)
        upstream_pool_give_up_waiting(&context->upstreams[i]);
}

void upstream_context_end(struct upstream_context *context)
{
    context->env.is_over = true;
    context->end_timer.cb = on_end;
    h2o_timeout_link(context->env.loop, context->at_once, &context->end_timer);
}

void upstream_context_free(struct upstream_context *context)
{
    h2o_timeout_unlink(&context->end_timer);
    for (size_t i = 0; i < context->env.conf->n_upstreams; i++)
        upstream_pool_dispose(&context->upstreams[i]);
    upstream_resolver_free(context->env.resolver);
    upstream_reader_free(context->env.reader);
    free(context->upstreams);
    free(context);
}
