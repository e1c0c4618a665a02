/* sql_answer.c: the result of a query as the route's `answer` wants it. */
#include "handlers/sql_answer.h"

#include <string.h>

#include "base/hex.h"
#include "pg/pgtypes.h"

enum { LARGE_BODY = 16 * 1024 /* bytes: memory that counts if its client takes its time */ };

static void send_parts(struct sql_call *call, const struct db_result *result, int status,
                       struct str content_type, const struct str *parts, size_t n)
{
    struct sink_head head;
    const char *refused = sql_call_head(call, result->columns, status, content_type, &head);
    if (refused != NULL) {
        sql_call_refuse_field(call, refused);
        return;
    }
    if (status == 204)
        head.content_type = (struct str){NULL, 0};
    sink_answer(call->sink, &head, parts, status == 204 ? 0 : n);
}

static void send_body(struct sql_call *call, const struct db_result *result, int status,
                      struct str content_type, struct str body)
{
    if (body.len >= LARGE_BODY) {
        sql_call_hold(call, body.len);
    }
    send_parts(call, result, status, content_type, &body, 1);
}

static void send_no_row(struct sql_call *call, const struct db_result *result)
{
    int status = call->route->conf->no_row;
    if (status < 400)
        send_body(call, result, status, STR("application/json"), STR("null"));
    else
        sql_call_refuse(call, (struct problem){.status = status, .detail = "There is no such row."});
}

static void send_json(struct sql_call *call, const struct db_result *result)
{
    send_body(call, result, call->route->conf->status, STR("application/json"),
              (struct str){call->rows.text.base, call->rows.text.len});
}

static void send_rows(struct sql_call *call, const struct db_result *result)
{
    size_t n;
    sql_rows_end(&call->rows, &call->sink->arena);
    if (call->stream == NULL) {
        send_json(call, result);
        return;
    }
    const struct str *parts = stream_parts(call->stream, &n);
    send_parts(call, result, call->route->conf->status, STR("application/json"), parts, n);
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
static void send_value(struct sql_call *call, const struct db_result *result)
{
    struct str body = call->rows.value, type = STR("text/plain; charset=utf-8");
    if (call->rows.value_type == PGTYPES_JSON || call->rows.value_type == PGTYPES_JSONB) {
        type = STR("application/json");
    } else if (call->rows.value_type == PGTYPES_BYTEA) {
        type = STR("application/octet-stream");
        body = decode_bytea(body, arena_alloc(&call->sink->arena, body.len / 2 + 1));
    }
    send_body(call, result, call->route->conf->status, type, body);
}

/* Did a command touch nothing? The tag ends in a count of rows; one that has none did what it should. */
static bool touched_nothing(const char *tag)
{
    size_t len = strlen(tag);
    return len > 2 && strcmp(tag + len - 2, " 0") == 0;
}

/* The rows were more than is held in memory, and are not to be sent. */
static void send_without_rows(struct sql_call *call, const struct db_result *result)
{
    struct sink_head head;
    const char *refused =
        sql_call_head(call, result->columns, call->route->conf->status, STR("application/json"), &head);
    if (refused != NULL) {
        sql_call_refuse_field(call, refused);
        return;
    }
    call->sink->ops->start(call->sink, &head); /* to HEAD */
    call->sink->ops->finish(call->sink, NULL, 0);
}

void sql_answer_send(struct sql_call *call, const struct db_result *result)
{
    const struct conf_route *conf = call->route->conf;
    if (call->drops_rows) {
        send_without_rows(call, result);
        return;
    }
    switch (conf->answer) {
    case CONF_ANSWER_ROWS:
        send_rows(call, result);
        break;
    case CONF_ANSWER_ROW:
        if (call->rows.n == 0)
            send_no_row(call, result);
        else
            send_json(call, result);
        break;
    case CONF_ANSWER_VALUE:
        if (call->rows.value.base == NULL)
            send_no_row(call, result);
        else
            send_value(call, result);
        break;
    case CONF_ANSWER_NONE:
        if (touched_nothing(result->tag))
            send_no_row(call, result);
        else
            send_body(call, result, conf->status, (struct str){NULL, 0}, (struct str){NULL, 0});
        break;
    }
}
