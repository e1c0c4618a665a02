/* sql_answer.c: what a query gave, as the route's `answer` wants it. */
#include <inttypes.h>
#include <stdlib.h>

#include "handlers/sql_private.h"
#include "base/hex.h"
#include "base/complain.h"
#include "base/mem.h"
#include "pg/pgtypes.h"

enum {
    FIRST_BODY_SIZE =
        960, /* bytes of the request's memory before the heap is asked; libh2o does that from 1,020 */
    LARGE_BODY = 16 * 1024, /* bytes: memory that counts if its client takes its time */
};

static struct str kept(struct call *call, struct str text)
{
    return text.base == NULL ? text : (struct str){arena_copy(&call->sink->arena, text), text.len};
}

/* Rows */

static void take_value(struct call *call, const struct pgjson_columns *columns, struct pgwire_row row)
{
    if (pgjson_columns_count(columns) == 0)
        return; /* SELECT without a list has rows of nothing */
    struct pgwire_value value = pgwire_row_value(row, 0);
    call->value_type = pgjson_type(columns, 0);
    if (value.len >= 0)
        call->value = kept(call, (struct str){value.text, (size_t)value.len});
}

/* Keeps what the headers want of the first row, which is gone when they are written. */
static void take_named(struct call *call, const struct pgjson_columns *columns, struct pgwire_row row)
{
    const struct handler_sql *self = call->handler;
    if (self->n_names == 0)
        return;
    call->named = arena_alloc(&call->sink->arena, self->n_names * sizeof(*call->named));
    for (size_t i = 0; i < self->n_names; i++) {
        int column = pgjson_find(columns, self->names[i]);
        call->named[i] = (struct str){NULL, 0};
        if (column >= 0)
            call->named[i] = kept(call, pgjson_text(columns, row, column));
    }
}

static void begin_answer(struct call *call)
{
    if (call->answer.base == NULL)
        call->answer = json_writer_on(arena_alloc(&call->sink->arena, FIRST_BODY_SIZE), FIRST_BODY_SIZE);
}

static bool take_one_of_rows(struct call *call, const struct pgjson_columns *columns, struct pgwire_row row)
{
    begin_answer(call);
    json_char(&call->answer, call->n_rows == 0 ? '[' : ',');
    return pgjson_row(&call->answer, columns, row);
}

void handler_sql_row(void *owner, const struct pgjson_columns *columns, struct pgwire_row row)
{
    struct call *call = owner;
    enum conf_answer answer = call->handler->route->answer;
    bool is_first = call->n_rows == 0, good = true;
    if (call->drops_rows)
        return;
    if (is_first)
        take_named(call, columns, row);
    if (answer == CONF_ANSWER_ROWS) {
        good = take_one_of_rows(call, columns, row);
    } else if (is_first && answer == CONF_ANSWER_ROW) {
        begin_answer(call);
        good = pgjson_row(&call->answer, columns, row);
    } else if (is_first && answer == CONF_ANSWER_VALUE) {
        take_value(call, columns, row);
    }
    if (!good) {
        db_misread(call->pending);
        return;
    }
    call->n_rows++;
    size_t enough = call->stream == NULL ? call->handler->part : call->stream->enough;
    if (answer == CONF_ANSWER_ROWS && call->answer.len >= enough)
        handler_sql_stream(call, columns);
}

/* Headers */

/* For headers_fill: what a {name} stands for. */
struct names {
    struct call *call;
    const struct pgjson_columns *columns;
};

static bool look_up(void *arg, const char *name, struct str *value)
{
    const struct names *names = arg;
    const struct call *call = names->call;
    if (pgjson_find(names->columns, name) < 0)
        return handler_sql_parameter(names->call, name, value);
    *value = (struct str){NULL, 0}; /* there may be no row */
    for (size_t i = 0; call->named != NULL && i < call->handler->n_names; i++) {
        if (strcmp(call->handler->names[i], name) == 0)
            *value = call->named[i];
    }
    return value->base != NULL;
}

const char *handler_sql_head(struct call *call, const struct pgjson_columns *columns, int status,
                             struct str content_type, struct sink_head *head)
{
    struct names names = {call, columns};
    return headers_head(head, status, content_type, call->handler->route, call->sink, look_up, &names);
}

void handler_sql_unsendable(struct call *call, const char *field)
{
    struct sink *sink = call->sink;
    bool only_read = db_lane_only_reads(call->handler->lane);
    char *about = mem_printf("%s: the value for %s", sink->route, field);
    complain(LOG_LEVEL_ERROR, about,
             "%s: the value for %s has a control character%s (request %016" PRIx64 ")", sink->route, field,
             only_read ? "" : "; what the query did is done", sink_request_id(sink));
    free(about);
    const char *detail =
        arena_printf(&sink->arena, "%s header %s of the answer has a character that cannot be sent.",
                     only_read ? "The" : "This was done, but the", field);
    handler_sql_refuse(call, (struct problem){.status = 500, .detail = detail});
}

/* Answers */

static void answer_in_parts(struct call *call, const struct db_answer *answer, int status,
                            struct str content_type, const struct str *parts, size_t n)
{
    struct sink_head head;
    const char *refused = handler_sql_head(call, answer->columns, status, content_type, &head);
    if (refused != NULL) {
        handler_sql_unsendable(call, refused);
        return;
    }
    if (status == 204)
        head.content_type = (struct str){NULL, 0};
    sink_answer(call->sink, &head, parts, status == 204 ? 0 : n);
}

static void answer_with(struct call *call, const struct db_answer *answer, int status,
                        struct str content_type, struct str body)
{
    if (body.len >= LARGE_BODY) {
        call->reader = arena_alloc(&call->sink->arena, sizeof(*call->reader));
        reader_begin(call->reader, call->handler->readers, call->sink, NULL);
        reader_keep(call->reader, body.len);
    }
    answer_in_parts(call, answer, status, content_type, &body, 1);
}

static void answer_no_row(struct call *call, const struct db_answer *answer)
{
    int status = call->handler->route->no_row;
    if (status < 400)
        answer_with(call, answer, status, STR("application/json"), STR("null"));
    else
        handler_sql_refuse(call, (struct problem){.status = status, .detail = "There is no such row."});
}

static void answer_json(struct call *call, const struct db_answer *answer)
{
    answer_with(call, answer, call->handler->route->status, STR("application/json"),
                (struct str){call->answer.base, call->answer.len});
}

static void answer_rows(struct call *call, const struct db_answer *answer)
{
    size_t n;
    if (call->n_rows == 0) {
        begin_answer(call);
        json_char(&call->answer, '[');
    }
    json_char(&call->answer, ']');
    if (call->stream == NULL) {
        answer_json(call, answer);
        return;
    }
    const struct str *parts = stream_parts(call->stream, &n);
    answer_in_parts(call, answer, call->handler->route->status, STR("application/json"), parts, n);
}

/* bytea in its hex format (PostgreSQL 15, section 8.4.1). */
static struct str decode_bytea(struct str text, char *out)
{
    size_t n = 0;
    for (size_t i = 2; i + 1 < text.len; i += 2)
        out[n++] = (char)hex_byte(text.base + i);
    return (struct str){out, n};
}

/* The first column of the first row as it is. */
static void answer_value(struct call *call, const struct db_answer *answer)
{
    struct str body = call->value, type = STR("text/plain; charset=utf-8");
    if (call->value_type == PGTYPES_JSON || call->value_type == PGTYPES_JSONB) {
        type = STR("application/json");
    } else if (call->value_type == PGTYPES_BYTEA) {
        type = STR("application/octet-stream");
        body = decode_bytea(body, arena_alloc(&call->sink->arena, body.len / 2 + 1));
    }
    answer_with(call, answer, call->handler->route->status, type, body);
}

/* Did a command touch nothing? The tag ends in a count of rows; one that has none did what it should. */
static bool touched_nothing(const char *tag)
{
    size_t len = strlen(tag);
    return len > 2 && strcmp(tag + len - 2, " 0") == 0;
}

/* The rows were more than is held in memory, and are not to be sent. */
static void answer_without_rows(struct call *call, const struct db_answer *answer)
{
    struct sink_head head;
    const char *refused =
        handler_sql_head(call, answer->columns, call->handler->route->status, STR("application/json"), &head);
    if (refused != NULL) {
        handler_sql_unsendable(call, refused);
        return;
    }
    call->sink->ops->start(call->sink, &head); /* to HEAD */
    call->sink->ops->finish(call->sink, NULL, 0);
}

void handler_sql_answer(struct call *call, const struct db_answer *answer)
{
    const struct conf_route *route = call->handler->route;
    if (call->drops_rows) {
        answer_without_rows(call, answer);
        return;
    }
    switch (route->answer) {
    case CONF_ANSWER_ROWS:
        answer_rows(call, answer);
        break;
    case CONF_ANSWER_ROW:
        if (call->n_rows == 0)
            answer_no_row(call, answer);
        else
            answer_json(call, answer);
        break;
    case CONF_ANSWER_VALUE:
        if (call->value.base == NULL)
            answer_no_row(call, answer);
        else
            answer_value(call, answer);
        break;
    case CONF_ANSWER_NONE:
        if (touched_nothing(answer->tag))
            answer_no_row(call, answer);
        else
            answer_with(call, answer, route->status, (struct str){NULL, 0}, (struct str){NULL, 0});
        break;
    }
}
