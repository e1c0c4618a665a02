/*
 * relay_stream.c: the body of an upstream's answer on its way to the client.
 *
 * As long as the client takes what comes, its parts are sent from where they were read. Where one waits for
 * long, the client is slow: what comes from then on is copied into the spool, so that the connection to the
 * upstream is soon free for others (handlers/stream.c).
 */
#include "handlers/relay_stream.h"

#include "handlers/stream.h"

struct relay_stream {
    struct stream stream;
    struct json_writer text; /* what is copied */
    struct upstream_request *upstream;
    bool is_resuming, wants_more;
};

static struct relay_stream *self_of(struct stream *stream)
{
    return H2O_STRUCT_FROM_MEMBER(struct relay_stream, stream, stream);
}

/* Goes on reading. The next part may come at once, and all of them in the same turn: not one within the
 * other. */
static void resume(struct relay_stream *self)
{
    self->wants_more = true;
    if (self->is_resuming)
        return;
    self->is_resuming = true;
    while (self->wants_more) {
        self->wants_more = false;
        upstream_resume(self->upstream);
    }
    self->is_resuming = false;
}

/* Nothing is read before resume. */
static void on_pause(struct stream *stream)
{
    (void)stream;
}

static void on_go_on(struct stream *stream)
{
    struct relay_stream *self = self_of(stream);
    if (stream->is_lent)
        stream_keep(stream, upstream_keep(self->upstream), UPSTREAM_BUFFER);
    resume(self);
}

static const struct stream_ops ops = {on_pause, on_go_on};

struct relay_stream *relay_stream_new(struct sink *sink, struct upstream_request *upstream,
                                      struct readers_source *source)
{
    struct relay_stream *self = arena_alloc(&sink->arena, sizeof(*self));
    self->upstream = upstream;
    self->text = (struct json_writer){0};
    self->is_resuming = self->wants_more = false;
    stream_open(&self->stream, &ops, sink, source, &self->text);
    return self;
}

bool relay_stream_is_idle(const struct relay_stream *self)
{
    return stream_is_idle(&self->stream);
}

void relay_stream_data(struct relay_stream *self, const struct str *parts, size_t n, bool is_last)
{
    if (stream_is_idle(&self->stream)) {
        stream_lend(&self->stream, parts, n);
        return;
    }
    for (size_t i = 0; i < n; i++)
        stream_write(&self->stream, parts[i]);
    if (is_last)
        stream_end(&self->stream, true);
    else if (!self->stream.is_paused)
        resume(self);
}

void relay_stream_break_off(struct relay_stream *self)
{
    stream_end(&self->stream, false);
}

void relay_stream_room(struct relay_stream *self)
{
    stream_room(&self->stream);
}

void relay_stream_end(struct relay_stream *self)
{
    stream_dispose(&self->stream);
}

static unsigned most(const void *upstream)
{
    return ((const struct upstream *)upstream)->conf->connections;
}

static bool is_wanted(const void *upstream, uint64_t network)
{
    return upstream_pool_is_wanted(upstream, network);
}

struct readers_source *relay_stream_source(struct readers *readers, const struct upstream *upstream)
{
    return readers_source(readers, &(struct readers_source_conf){.kind = "upstream",
                                                                 .name = upstream->conf->name,
                                                                 .of = upstream,
                                                                 .most = most,
                                                                 .is_wanted = is_wanted});
}
