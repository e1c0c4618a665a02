/* sql_call.c: a request to a route with `sql` on its way. */
#include "handlers/sql_call.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/complain.h"
#include "base/mem.h"
#include "handlers/headers.h"

/* The client has left, or the answer is out: the query, if it is under way, goes on without us. */
static void on_gone(struct sink *sink)
{
    struct sql_call *call = sink->data;
    if (call->pending != NULL)
        sql_call_abandon(call);
    sql_values_end(&call->values);
    if (call->reader != NULL)
        reader_end(call->reader);
    if (call->stream != NULL)
        stream_dispose(call->stream);
    else if (call->rows.text.owned)
        free(call->rows.text.base);
}

struct sql_call *sql_call_new(const struct sql_route *route, const struct request *request,
                              const struct sql_values_ops *ops)
{
    struct sink *sink = request->sink;
    struct sql_call *call = arena_alloc(&sink->arena, sizeof(*call));
    call->route = route;
    call->sink = sink;
    call->is_head = str_equal(request->method, STR("HEAD"));
    sql_values_init(&call->values, route, request, ops);
    call->pending = NULL;
    call->rows = (struct sql_rows){0};
    call->drops_rows = false;
    call->stream = NULL;
    call->reader = NULL;
    sink->data = call;
    sink->gone = on_gone;
    return call;
}

/* The query */

void sql_call_submit(struct sql_call *call, const struct db_asker *asker)
{
    const struct sql_route *route = call->route;
    call->asked_at = clock_turn_ns();
    call->pending = db_submit(route->lane, route->statement, call->values.texts,
                              sql_values_store(&call->values), asker, call);
}

void sql_call_query_ended(struct sql_call *call, uint64_t sent_at)
{
    struct series *series = call->route->series;
    struct sink_notes *notes = call->sink->notes;
    uint64_t now = clock_turn_ns(), until = sent_at < call->asked_at ? now : sent_at;
    if (series != NULL)
        series_add_time(&series->database, (now - call->asked_at) / 1000);
    notes->asked = true;
    notes->queue += until - call->asked_at;
    notes->database += now - until;
    notes->rows = call->rows.n;
    call->pending = NULL;
}

void sql_call_abandon(struct sql_call *call)
{
    sql_call_query_ended(call, db_abandon(call->pending));
}

/* Rows */

static struct sql_call *call_of(struct stream *stream)
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

void sql_call_collect(struct sql_call *call)
{
    call->stream = arena_alloc(&call->sink->arena, sizeof(*call->stream));
    stream_begin(call->stream, &ops, call->sink, call->route->readers, &call->rows.text);
}

static void end_stream(struct sql_call *call)
{
    if (call->stream != NULL)
        stream_dispose(call->stream);
    call->stream = NULL;
}

void sql_call_again(void *arg)
{
    struct sql_call *call = arg;
    end_stream(call);
    sql_rows_forget(&call->rows);
    call->drops_rows = false;
}

void sql_call_drop_rows(struct sql_call *call)
{
    end_stream(call);
    call->drops_rows = true;
}

void sql_call_hold(struct sql_call *call, size_t bytes)
{
    call->reader = arena_alloc(&call->sink->arena, sizeof(*call->reader));
    reader_begin(call->reader, call->route->readers, call->sink, NULL);
    reader_keep(call->reader, bytes);
}

/* Answers */

/* For headers_fill: what a {name} stands for where there is no result. */
static bool find_value(void *arg, const char *name, struct str *value)
{
    const struct sql_call *call = arg;
    return sql_values_find(&call->values, name, value);
}

void sql_call_refuse(struct sql_call *call, struct problem problem)
{
    struct headers headers = headers_fill(call->route->conf, call->sink, find_value, call);
    problem.fields = headers.fields;
    problem.n_fields = headers.n;
    problem_send(call->sink, &problem);
}

/* For headers_fill: what a {name} stands for where there is one. */
struct names {
    const struct sql_call *call;
    const struct pgjson_columns *columns;
};

static bool find_column_or_value(void *arg, const char *name, struct str *value)
{
    const struct names *names = arg;
    const struct sql_call *call = names->call;
    return pgjson_find(names->columns, name) < 0 ? sql_values_find(&call->values, name, value)
                                                 : sql_rows_find(&call->rows, call->route, name, value);
}

const char *sql_call_head(struct sql_call *call, const struct pgjson_columns *columns, int status,
                          struct str content_type, struct sink_head *head)
{
    struct names names = {call, columns};
    return headers_head(head, status, content_type, call->route->conf, call->sink, find_column_or_value,
                        &names);
}

void sql_call_refuse_field(struct sql_call *call, const char *field)
{
    struct sink *sink = call->sink;
    bool only_read = db_lane_only_reads(call->route->lane);
    char *about = mem_printf("%s: the value for %s", sink->route, field);
    complain(LOG_LEVEL_ERROR, about, "%s: the value for %s has a control character%s (request %s)",
             sink->route, field, only_read ? "" : "; what the query did is done", sink_request_id(sink));
    free(about);
    const char *detail =
        arena_printf(&sink->arena, "%s header %s of the answer has a character that cannot be sent.",
                     only_read ? "The" : "This was done, but the", field);
    sql_call_refuse(call, (struct problem){.status = 500, .detail = detail});
}
