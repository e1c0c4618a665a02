/* layer.c: a sink in front of another, for those who see or change an answer on its way out. */
#include "http/layer.h"

static struct sink *below(struct sink *sink)
{
    return ((struct layer *)sink)->below;
}

void layer_init(struct layer *layer, const struct sink_ops *ops, struct sink *under)
{
    *layer = (struct layer){
        .sink = {.ops = ops, .arena = under->arena, .notes = under->notes, .route = under->route},
        .below = under,
    };
    under->data = layer;
    under->room = layer_room;
    under->gone = layer_gone;
}

void layer_room(struct sink *under)
{
    struct layer *layer = under->data;
    if (layer->sink.room != NULL)
        layer->sink.room(&layer->sink);
}

void layer_gone(struct sink *under)
{
    struct layer *layer = under->data;
    if (layer->sink.gone != NULL)
        layer->sink.gone(&layer->sink);
}

void layer_start(struct sink *sink, const struct sink_head *head)
{
    below(sink)->ops->start(below(sink), head);
}

void layer_push(struct sink *sink, const struct str *parts, size_t n)
{
    below(sink)->ops->push(below(sink), parts, n);
}

void layer_finish(struct sink *sink, const struct str *parts, size_t n)
{
    below(sink)->ops->finish(below(sink), parts, n);
}

void layer_abort(struct sink *sink)
{
    below(sink)->ops->abort(below(sink));
}

void layer_cut(struct sink *sink)
{
    below(sink)->ops->cut(below(sink));
}

uint64_t layer_taken(struct sink *sink)
{
    return below(sink)->ops->taken(below(sink));
}

struct sink_client layer_client(struct sink *sink)
{
    return below(sink)->ops->client(below(sink));
}

const char *layer_request_id(struct sink *sink)
{
    return sink_request_id(below(sink));
}

struct str layer_trace(struct sink *sink)
{
    return below(sink)->ops->trace(below(sink));
}
