/* handler_sql_answer.c: what a query gave, as the route's `answer` wants it. */
#include <inttypes.h>
#include <stdlib.h>

#include "handler_sql_private.h"
#include "headers.h"
#include "log.h"
#include "pgtypes.h"

enum { FIRST_BODY_SIZE = 1024 }; /* bytes taken from the request's memory before the heap is asked */

/* For headers_fill: what a {name} stands for. */
struct row {
    struct call *call;
    const PGresult *result;
};

static bool look_up(void *arg, const char *name, struct str *value)
{
    const struct row *row = arg;
    const struct pgjson_columns *columns = db_statement_columns(row->call->handler->statement);
    int column = pgjson_find(columns, name);
    if (column < 0)
        return handler_sql_parameter(row->call, name, value);
    if (PQntuples(row->result) == 0)
        return false;
    *value = pgjson_text(columns, row->result, 0, column, handler_sql_alloc, row->call->sink);
    return value->base != NULL;
}

/* Answers by itself where a header cannot be sent. */
static struct headers fill_headers(struct call *call, const PGresult *result)
{
    struct row row = {call, result};
    struct headers headers = headers_fill(call->handler->route, call->sink, look_up, &row);
    if (headers.refused != NULL) {
        log_errorx("%s: the value for %s has a control character (request %016" PRIx64 ")", call->sink->route,
                   headers.refused, call->sink->request_id);
        const char *begin = "The header ", *end = " of this answer has a character that cannot be sent.";
        char *detail =
            handler_sql_alloc(call->sink, strlen(begin) + strlen(headers.refused) + strlen(end) + 1);
        stpcpy(stpcpy(stpcpy(detail, begin), headers.refused), end);
        problem_send(call->sink, &(struct problem){.status = 500, .detail = detail});
    }
    return headers;
}

static void answer_with(struct call *call, const PGresult *result, int status, struct str content_type,
                        struct str body)
{
    struct headers headers = fill_headers(call, result);
    if (headers.refused != NULL)
        return;
    struct sink_head head = {
        .status = status,
        .content_type = headers.content_type.len != 0 ? headers.content_type : content_type,
        .fields = headers.fields,
        .n_fields = headers.n,
    };
    if (status == 204)
        head.content_type = (struct str){NULL, 0};
    sink_answer(call->sink, &head, &body, status == 204 ? 0 : 1);
}

static void answer_no_row(struct call *call, const PGresult *result)
{
    int status = call->handler->route->no_row;
    if (status < 400)
        answer_with(call, result, status, STR("application/json"), STR("null"));
    else
        handler_sql_refuse(call, (struct problem){.status = status, .detail = "There is no such row."});
}

static void answer_json(struct call *call, const PGresult *result, bool all_rows)
{
    const struct pgjson_columns *columns = db_statement_columns(call->handler->statement);
    struct sink *sink = call->sink;
    struct json_writer body = json_writer_on(sink->ops->alloc(sink, FIRST_BODY_SIZE), FIRST_BODY_SIZE);
    if (all_rows)
        pgjson_rows(&body, columns, result);
    else
        pgjson_row(&body, columns, result, 0);
    if (body.owned)
        call->answer = body.base;
    answer_with(call, result, call->handler->route->status, STR("application/json"),
                (struct str){body.base, body.len});
}

/* bytea in its hex format (PostgreSQL 15, section 8.4.1). */
static struct str decode_bytea(struct str text, char *out)
{
    size_t n = 0;
    for (size_t i = 2; i + 1 < text.len; i += 2) {
        char pair[3] = {text.base[i], text.base[i + 1], '\0'};
        out[n++] = (char)strtoul(pair, NULL, 16);
    }
    return (struct str){out, n};
}

/* The first column of the first row as it is. */
static void answer_value(struct call *call, const PGresult *result)
{
    struct str text = {PQgetvalue(result, 0, 0), (size_t)PQgetlength(result, 0, 0)};
    char *copy = handler_sql_alloc(call->sink, text.len + 1);
    struct str body = {copy, text.len}, type = STR("text/plain; charset=utf-8");
    switch (PQftype(result, 0)) {
    case PGTYPES_JSON:
    case PGTYPES_JSONB:
        type = STR("application/json");
        break;
    case PGTYPES_BYTEA:
        type = STR("application/octet-stream");
        body = decode_bytea(text, copy);
        break;
    default:
        break;
    }
    if (type.len != strlen("application/octet-stream") && text.len > 0)
        memcpy(copy, text.base, text.len);
    answer_with(call, result, call->handler->route->status, type, body);
}

/* Did a command touch nothing? One that does not count rows, such as CALL, did what it should. */
static bool touched_nothing(const PGresult *result)
{
    return strcmp(PQcmdTuples((PGresult *)result), "0") == 0;
}

void handler_sql_answer(struct call *call, const PGresult *result)
{
    const struct conf_route *route = call->handler->route;
    switch (route->answer) {
    case CONF_ANSWER_ROWS:
        answer_json(call, result, true);
        break;
    case CONF_ANSWER_ROW:
        if (PQntuples(result) == 0)
            answer_no_row(call, result);
        else
            answer_json(call, result, false);
        break;
    case CONF_ANSWER_VALUE:
        if (PQntuples(result) == 0 || PQgetisnull(result, 0, 0))
            answer_no_row(call, result);
        else
            answer_value(call, result);
        break;
    case CONF_ANSWER_NONE:
        if (touched_nothing(result))
            answer_no_row(call, result);
        else
            answer_with(call, result, route->status, (struct str){NULL, 0}, (struct str){NULL, 0});
        break;
    }
}
