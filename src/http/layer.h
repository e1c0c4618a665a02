/*
 * layer.h: a sink in front of another, for those who see or change an answer on its way out.
 *
 * Of each sink in such a row, data, room and gone belong to whoever answers into it: those of the layer's own
 * sink to a handler, or to another layer in front; those of the sink below to whoever has made the layer.
 * What goes through unchanged needs no code: its ops are the functions here.
 */
#ifndef HAYFORK_HTTP_LAYER_H
#define HAYFORK_HTTP_LAYER_H

#include "http/sink.h"

struct layer {
    struct sink sink;   /* to be answered into */
    struct sink *below; /* where the answer goes on to */
};

/*
 * Puts the layer in front of `below`, which nobody uses yet. It lives as long as the request. ops are
 * the functions below but for what the layer sees or changes; theirs is struct layer's first member.
 *
 * below->data, room and gone are set: to the layer, layer_room and layer_gone. Whoever wants to know when
 * there is room, or that the answer has ended, sets others, which call these.
 */
void layer_init(struct layer *layer, const struct sink_ops *ops, struct sink *below);

/* What comes from below goes up to whoever answers into the layer. */
void layer_room(struct sink *below);
void layer_gone(struct sink *below);

/* What comes into the layer's sink goes on as it is. */
void layer_start(struct sink *sink, const struct sink_head *head);
void layer_push(struct sink *sink, const struct str *parts, size_t n);
void layer_finish(struct sink *sink, const struct str *parts, size_t n);
void layer_abort(struct sink *sink);
void layer_cut(struct sink *sink);
uint64_t layer_taken(struct sink *sink);
struct sink_client layer_client(struct sink *sink);
const char *layer_request_id(struct sink *sink);
struct str layer_trace(struct sink *sink);

#endif
