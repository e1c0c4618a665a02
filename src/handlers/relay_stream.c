/*
 * relay_stream.c: the body of an upstream's answer on its way to the client.
 *
 * As long as the client takes what comes, its parts are sent from where they were read. Where one waits for
 * long, the client is slow: what comes from then on is copied into the spool, so that the connection to the
 * upstream is soon free for others (handlers/stream.c).
 */
#include "handlers/relay_private.h"

static struct relay_call *call_of(const struct stream *stream)
{
    return stream->sink->data;
}

/* Goes on reading. The next part may come at once, and all of them in the same turn: not one within the
 * other. */
static void resume(struct relay_call *call)
{
    call->wants_more = true;
    if (call->is_resuming)
        return;
    call->is_resuming = true;
    while (call->wants_more) {
        call->wants_more = false;
        upstream_resume(&call->upstream);
    }
    call->is_resuming = false;
}

/* Nothing is read before resume. */
static void on_pause(struct stream *stream)
{
    (void)stream;
}

static void on_go_on(struct stream *stream)
{
    struct relay_call *call = call_of(stream);
    if (stream->is_lent)
        stream_keep(stream, upstream_keep(&call->upstream), UPSTREAM_BUFFER);
    resume(call);
}

static const struct stream_ops ops = {on_pause, on_go_on};

static void on_room(struct sink *sink)
{
    struct relay_call *call = sink->data;
    stream_room(call->stream);
}

void handler_relay_data(struct relay_call *call, const struct str *parts, size_t n, bool is_last)
{
    struct sink *sink = call->sink;
    if (is_last && (call->stream == NULL || stream_is_idle(call->stream))) {
        sink->ops->finish(sink, parts, n);
        return;
    }
    if (call->stream == NULL) {
        call->stream = arena_alloc(&sink->arena, sizeof(*call->stream));
        stream_open(call->stream, &ops, sink, call->handler->readers, &call->text);
        sink->room = on_room;
    }
    if (stream_is_idle(call->stream)) {
        stream_lend(call->stream, parts, n);
        return;
    }
    for (size_t i = 0; i < n; i++)
        stream_write(call->stream, parts[i]);
    if (is_last)
        stream_end(call->stream, true);
    else if (!call->stream->is_paused)
        resume(call);
}

void handler_relay_break_off(struct relay_call *call)
{
    if (call->stream != NULL)
        stream_end(call->stream, false);
    else
        call->sink->ops->abort(call->sink);
}

static unsigned most(const void *upstream)
{
    return ((const struct upstream *)upstream)->conf->connections;
}

static bool is_wanted(const void *upstream, uint64_t network)
{
    return upstream_pool_is_wanted(upstream, network);
}

struct readers_source *handler_relay_source(struct readers *readers, const struct upstream *upstream)
{
    return readers_source(readers, &(struct readers_source_conf){.kind = "upstream",
                                                                 .name = upstream->conf->name,
                                                                 .of = upstream,
                                                                 .most = most,
                                                                 .is_wanted = is_wanted});
}
