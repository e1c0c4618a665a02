/*
 * sql_stream.c: rows that are more than is held in memory go out as they come (handlers/stream.c). Where
 * their client does not keep pace and they may not wait for it, the query pauses, and PostgreSQL is made to
 * wait by its connection.
 */
#include "handlers/sql_stream.h"

static void on_room(struct sink *sink)
{
    struct sql_call *call = sink->data;
    stream_room(call->stream);
}

/*
 * No row is to be sent. A query that only reads is left to itself; one that writes is waited for, since
 * PostgreSQL would undo what it has done if its connection were closed before its end.
 */
static void drop_rows(struct sql_call *call, const char *refused)
{
    if (!db_lane_only_reads(call->route->lane)) {
        sql_call_drop_rows(call);
        return;
    }
    sql_call_abandon(call);
    if (refused != NULL)
        sql_call_refuse_field(call, refused);
}

/* The rows are more than is held: the answer begins, or the query is asked again on a connection of its
 * own.
 */
static void start(struct sql_call *call, const struct pgjson_columns *columns)
{
    if (!db_outgrown(call->pending)) {
        sql_call_again(call);
        return;
    }
    struct sink *sink = call->sink;
    struct sink_head head;
    const char *refused =
        sql_call_head(call, columns, call->route->conf->status, STR("application/json"), &head);
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
        sql_call_collect(call);
    sink->room = on_room;
    stream_start(call->stream);
}

void sql_stream_rows(struct sql_call *call, const struct pgjson_columns *columns)
{
    size_t buffer = call->route->buffer;
    if (sql_stream_has_begun(call)) {
        stream_more(call->stream);
        return;
    }
    if ((call->stream == NULL ? 0 : call->stream->length) + call->rows.text.len > buffer) {
        start(call, columns);
        return;
    }
    if (call->stream == NULL)
        sql_call_collect(call);
    else
        stream_more(call->stream);
    size_t left = buffer - call->stream->length;
    call->stream->enough = left < STREAM_FULL ? left + 1 : STREAM_FULL;
}

bool sql_stream_has_begun(const struct sql_call *call)
{
    return call->stream != NULL && call->stream->is_started;
}

void sql_stream_end(struct sql_call *call, bool complete)
{
    if (complete)
        sql_rows_end(&call->rows, &call->sink->arena);
    stream_end(call->stream, complete);
}
