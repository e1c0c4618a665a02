/*
 * sql_stream.c: rows that are more than is held in memory go out as they come.
 *
 * Two buffers take turns: one is with the sink, the other one takes rows. When that is full, too, the query
 * pauses, and PostgreSQL is made to wait by its connection.
 */
#include <stdlib.h>

#include "handlers/sql_private.h"

enum {
    PIECE = 32 * 1024, /* bytes: as soon as there are so many, and the sink has room, they go out */
    FULL = 128 * 1024, /* the query pauses */
};

static void pass_on(struct call *call)
{
    struct sink *sink = call->sink;
    struct json_writer emptied = call->sending;
    call->sending = call->answer;
    call->answer = emptied;
    call->answer.len = 0;
    struct str part = {call->sending.base, call->sending.len};
    if (call->complete) {
        sink->ops->finish(sink, &part, part.len > 0 ? 1 : 0);
        return;
    }
    call->sending_now = true;
    sink->ops->push(sink, &part, 1);
}

/* The sink has written what it had. */
static void on_room(struct sink *sink)
{
    struct call *call = sink->data;
    call->sending_now = false;
    if (call->failed) {
        sink->ops->abort(sink);
        return;
    }
    if (call->complete || call->answer.len >= PIECE)
        pass_on(call);
    if (call->paused && !call->complete) {
        call->paused = false;
        db_resume(call->pending);
    }
}

/*
 * No row is to be sent. A query that only reads is left to itself; one that writes is waited for, since
 * PostgreSQL would undo what it has done if its connection were closed before its end.
 */
static void drop_rows(struct call *call, const char *refused)
{
    if (!db_lane_only_reads(call->handler->lane)) {
        call->drops_rows = true;
        call->answer.len = 0;
        return;
    }
    db_abandon(call->pending);
    call->pending = NULL;
    if (refused != NULL)
        handler_sql_unsendable(call, refused);
}

void handler_sql_stream(struct call *call, const struct pgjson_columns *columns)
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
    call->streaming = true;
    sink->room = on_room;
    pass_on(call);
}

void handler_sql_stream_row(struct call *call)
{
    if (!call->sending_now && call->answer.len >= PIECE) {
        pass_on(call);
    } else if (call->answer.len >= FULL && !call->paused) {
        call->paused = true;
        db_pause(call->pending);
    }
}

void handler_sql_stream_end(struct call *call, bool complete)
{
    call->complete = true;
    call->failed = !complete;
    if (complete)
        json_char(&call->answer, ']');
    if (call->sending_now)
        return; /* on_room sees to it */
    if (complete)
        pass_on(call);
    else
        call->sink->ops->abort(call->sink);
}
