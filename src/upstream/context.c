/* context.c: all upstreams of a worker: made when it starts, ended with it. */
#include "upstream/context.h"

#include <stdlib.h>

#include "base/mem.h"
#include "metrics/shm.h"
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

/* Gives an upstream and its servers their places, the next one of which is counted by next. */
static void give_places(struct upstream *upstream, const struct upstream_counted *counted, unsigned *next)
{
    const char *name = upstream->conf->name;
    upstream_pool_show(upstream, NULL,
                       shm_upstream(counted->shm, counted->generation, counted->index, (*next)++, name));
    for (size_t i = 0; i < upstream->n_servers; i++) {
        struct upstream_server *server = &upstream->servers[i];
        char *both = mem_printf("%s%c%s", name, SHM_UPSTREAM_SERVER, server->conf->address);
        upstream_pool_show(upstream, server,
                           shm_upstream(counted->shm, counted->generation, counted->index, (*next)++, both));
        free(both);
    }
}

struct upstream_context *upstream_context_new(h2o_loop_t *loop, const struct conf *conf,
                                              struct timeouts *timeouts, struct outbox *outbox,
                                              struct upstream_counted counted)
{
    unsigned next = 0;
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
    for (size_t i = 0; i < conf->n_upstreams; i++) {
        upstream_pool_init(&context->upstreams[i], &context->env, &conf->upstreams[i]);
        give_places(&context->upstreams[i], &counted, &next);
    }
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
