/* relay_stream.h: the body of an upstream's answer on its way to the client, where that takes its time. */
#ifndef HAYFORK_HANDLERS_RELAY_STREAM_H
#define HAYFORK_HANDLERS_RELAY_STREAM_H

#include "handlers/readers.h"
#include "upstream/request.h"

struct relay_stream;

/* In the request's memory. The sink's `room` is the caller's to set: it calls relay_stream_room. */
struct relay_stream *relay_stream_new(struct sink *sink, struct upstream_request *upstream,
                                      struct readers_source *source);

/* Is there nothing that the client is still to get? */
bool relay_stream_is_idle(const struct relay_stream *stream);

/* A part of the body has come: see upstream_ops. The rest is asked for from here. */
void relay_stream_data(struct relay_stream *stream, const struct str *parts, size_t n, bool is_last);

/* No more will come, and it is not complete. */
void relay_stream_break_off(struct relay_stream *stream);

void relay_stream_room(struct relay_stream *stream);

/* The request ends. */
void relay_stream_end(struct relay_stream *stream);

/* The upstream, as something that readers hold. */
struct readers_source *relay_stream_source(struct readers *readers, const struct upstream *upstream);

#endif
