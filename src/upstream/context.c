/* context.c: what all upstreams of a worker share: buffers, and what was logged. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/mem.h"
#include "upstream/upstream_private.h"

enum { STEADY_S = 10 }; /* a trouble that comes and goes is over when it was away for so long */

/* Complaints */

/* What the trouble is, for complain. The caller frees it. */
static char *about(const struct upstream_server *server, const char *trouble)
{
    return mem_printf("upstream %s, server %s: %s", server->upstream->conf->name, server->conf->address,
                      trouble);
}

void upstream_complain(const struct upstream_server *server, const struct upstream_request *request,
                       const char *trouble, const char *format, ...)
{
    const struct conf_upstream *conf = server->upstream->conf;
    char id[40] = "";
    va_list args;
    va_start(args, format);
    char *text = mem_vprintf(format, args), *which = about(server, trouble);
    va_end(args);
    if (request != NULL)
        snprintf(id, sizeof(id), " (request %016" PRIx64 ")", request->ops->id(request));
    bool is_named = !conf->implied && strcmp(trouble, UPSTREAM_FULL) != 0;
    complain(LOG_LEVEL_ERROR, which, "%s%s%s%s%s", text, is_named ? " (upstream " : "",
             is_named ? conf->name : "", is_named ? ")" : "", id);
    free(which);
    free(text);
}

enum complain_past upstream_forget_complaint(const struct upstream_server *server, const char *trouble,
                                             uint32_t *left_out)
{
    char *which = about(server, trouble);
    enum complain_past past = complain_forget(which, STEADY_S, left_out);
    free(which);
    return past;
}

/* Timeouts */

h2o_timeout_t *upstream_timeout(struct upstream_context *context, unsigned ms)
{
    return timeouts_get(context->timeouts, ms);
}

/* Making and ending */

static void upstream_init(struct upstream_context *context, struct upstream *upstream,
                          const struct conf_upstream *conf)
{
    upstream->context = context;
    upstream->conf = conf;
    upstream->n_servers = conf->n_servers;
    upstream->servers = mem_calloc(conf->n_servers, sizeof(*upstream->servers));
    upstream->idle = upstream_timeout(context, conf->idle);
    h2o_linklist_init_anchor(&upstream->waiting);
    for (size_t i = 0; i < conf->n_servers; i++) {
        struct upstream_server *server = &upstream->servers[i];
        server->upstream = upstream;
        server->conf = &conf->servers[i];
        server->authority = str_of(conf->servers[i].authority);
        h2o_linklist_init_anchor(&server->idle);
        h2o_linklist_init_anchor(&server->resolving);
        upstream_resolve_init(server);
    }
}

struct upstream_context *upstream_context_new(h2o_loop_t *loop, const struct conf *conf,
                                              struct timeouts *timeouts, struct outbox *outbox)
{
    struct upstream_context *context = mem_calloc(1, sizeof(*context));
    context->loop = loop;
    context->conf = conf;
    context->timeouts = timeouts;
    context->outbox = outbox;
    context->limits = (struct http1_limits){.head = conf->limits.head, .fields = conf->limits.fields};
    context->input = mem_alloc(UPSTREAM_BUFFER);
    context->at_once = upstream_timeout(context, 0);
    context->stall = upstream_timeout(context, conf->limits.stall);
    while (getrandom(&context->chance, sizeof(context->chance), 0) != sizeof(context->chance))
        continue;
    context->upstreams = mem_calloc(conf->n_upstreams, sizeof(*context->upstreams));
    for (size_t i = 0; i < conf->n_upstreams; i++)
        upstream_init(context, &context->upstreams[i], &conf->upstreams[i]);
    return context;
}

struct upstream *upstream_get(struct upstream_context *context, size_t i)
{
    return &context->upstreams[i];
}

static void on_end(h2o_timeout_entry_t *entry)
{
    struct upstream_context *context = H2O_STRUCT_FROM_MEMBER(struct upstream_context, end_timer, entry);
    for (size_t i = 0; i < context->conf->n_upstreams; i++)
        upstream_give_up_waiting(&context->upstreams[i]);
}

void upstream_context_end(struct upstream_context *context)
{
    context->is_over = true;
    context->end_timer.cb = on_end;
    h2o_timeout_link(context->loop, context->at_once, &context->end_timer);
}

void upstream_context_free(struct upstream_context *context)
{
    h2o_timeout_unlink(&context->end_timer);
    for (size_t i = 0; i < context->conf->n_upstreams; i++) {
        struct upstream *upstream = &context->upstreams[i];
        for (size_t j = 0; j < upstream->n_servers; j++) {
            struct upstream_server *server = &upstream->servers[j];
            while (!h2o_linklist_is_empty(&server->idle))
                upstream_release(H2O_STRUCT_FROM_MEMBER(struct upstream_connection, link, server->idle.next),
                                 false);
            upstream_resolve_dispose(server);
        }
        free(upstream->servers);
    }
    if (context->queue != NULL && context->n_lookups == 0) { /* else a thread still has it, for a moment */
        h2o_multithread_unregister_receiver(context->queue, &context->receiver);
        h2o_multithread_destroy_queue(context->queue);
    }
    free(context->upstreams);
    free(context->input);
    if (context->queue == NULL || context->n_lookups == 0)
        free(context);
}
