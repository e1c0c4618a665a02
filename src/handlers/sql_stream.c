/*
 * sql_stream.c: rows that are more than is held in memory go out as they come (handlers/stream.c). Where
 * their client does not keep pace and they may not wait for it, the query pauses, and PostgreSQL is made to
 * wait by its connection.
 */
#include <stdlib.h>

#include "handlers/sql_private.h"

static struct call *call_of(struct stream *stream)
{
    return stream->sink->data;
}

static void on_pause(struct stream *stream)
{
    db_pause(call_of(stream)->pending);
}

static void on_go_on(struct stream *stream)
{
    db_resume(call_of(stream)->pending);
}

static const struct stream_ops ops = {on_pause, on_go_on};

static void on_room(struct sink *sink)
{
    struct call *call = sink->data;
    stream_room(call->stream);
}

static void collect(struct call *call)
{
    call->stream = arena_alloc(&call->sink->arena, sizeof(*call->stream));
    stream_begin(call->stream, &ops, call->sink, call->handler->readers, &call->answer);
}

static void forget_rows(struct call *call)
{
    if (call->stream != NULL)
        stream_dispose(call->stream);
    call->stream = NULL;
    call->answer.len = 0;
}

/*
 * No row is to be sent. A query that only reads is left to itself; one that writes is waited for, since
 * PostgreSQL would undo what it has done if its connection were closed before its end.
 */
static void drop_rows(struct call *call, const char *refused)
{
    if (!db_lane_only_reads(call->handler->lane)) {
        call->drops_rows = true;
        forget_rows(call);
        return;
    }
    db_abandon(call->pending);
    call->pending = NULL;
    if (refused != NULL)
        handler_sql_unsendable(call, refused);
}

/* The rows are more than is held: the answer begins, or the query is asked again on a connection of its own.
 */
static void start(struct call *call, const struct pgjson_columns *columns)
{
    if (!db_outgrown(call->pending)) {
        handler_sql_again(call);
        return;
    }
    struct sink *sink = call->sink;
    struct sink_head head;
    const char *refused =
        handler_sql_head(call, columns, call->handler->route->status, STR("application/json"), &head);
    if (refused != NULL || call->is_head)
        drop_rows(call, refused);
    if (refused != NULL || call->drops_rows)
        return;
    head.content_length = SINK_LENGTH_UNKNOWN;
    sink->ops->start(sink, &head);
    if (call->is_head) { /* what it asked for is there */
        sink->ops->finish(sink, NULL, 0);
        return;
    }
    if (call->stream == NULL)
        collect(call);
    sink->room = on_room;
    stream_start(call->stream);
}

void handler_sql_stream(struct call *call, const struct pgjson_columns *columns)
{
    size_t buffer = call->handler->buffer;
    if (call->stream != NULL && call->stream->is_started) {
        stream_more(call->stream);
        return;
    }
    if ((call->stream == NULL ? 0 : call->stream->length) + call->answer.len > buffer) {
        start(call, columns);
        return;
    }
    if (call->stream == NULL)
        collect(call);
    else
        stream_more(call->stream);
    size_t left = buffer - call->stream->length;
    call->stream->enough = left < STREAM_FULL ? left + 1 : STREAM_FULL;
}

void handler_sql_again(void *owner)
{
    struct call *call = owner;
    forget_rows(call);
    call->n_rows = 0;
    call->drops_rows = false;
    call->value = (struct str){NULL, 0};
    call->named = NULL;
}

void handler_sql_stream_end(struct call *call, bool complete)
{
    if (complete)
        json_char(&call->answer, ']');
    stream_end(call->stream, complete);
}

static unsigned most(const void *lane)
{
    return db_lane_connections(lane);
}

static bool is_wanted(const void *lane, uint64_t network)
{
    return db_lane_is_wanted(lane, network);
}

struct readers_source *handler_sql_source(struct readers *readers, const struct db_lane *lane)
{
    return readers_source(
        readers,
        &(struct readers_source_conf){
            .kind = "lane", .name = db_lane_name(lane), .of = lane, .most = most, .is_wanted = is_wanted});
}
