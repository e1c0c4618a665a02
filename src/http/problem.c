/* problem.c: error answers as application/problem+json (RFC 9457). */
#include "http/problem.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/hash.h"
#include "base/json.h"

enum { OWN_FIELDS = 2, RETRY_AFTER_LEAST = 1, RETRY_AFTER_SPREAD = 3 /* seconds */ };

const char *problem_reason(int status)
{
    static const struct {
        int status;
        const char *reason;
    } reasons[] = {
        {200, "OK"},
        {201, "Created"},
        {202, "Accepted"},
        {203, "Non-Authoritative Information"},
        {204, "No Content"},
        {205, "Reset Content"},
        {206, "Partial Content"},
        {301, "Moved Permanently"},
        {302, "Found"},
        {303, "See Other"},
        {304, "Not Modified"},
        {307, "Temporary Redirect"},
        {308, "Permanent Redirect"},
        {400, "Bad Request"},
        {401, "Unauthorized"},
        {402, "Payment Required"},
        {403, "Forbidden"},
        {404, "Not Found"},
        {405, "Method Not Allowed"},
        {406, "Not Acceptable"},
        {407, "Proxy Authentication Required"},
        {408, "Request Timeout"},
        {409, "Conflict"},
        {410, "Gone"},
        {411, "Length Required"},
        {412, "Precondition Failed"},
        {413, "Content Too Large"},
        {414, "URI Too Long"},
        {415, "Unsupported Media Type"},
        {416, "Range Not Satisfiable"},
        {417, "Expectation Failed"},
        {418, "I'm a Teapot"},
        {421, "Misdirected Request"},
        {422, "Unprocessable Content"},
        {423, "Locked"},
        {424, "Failed Dependency"},
        {425, "Too Early"},
        {426, "Upgrade Required"},
        {428, "Precondition Required"},
        {429, "Too Many Requests"},
        {431, "Request Header Fields Too Large"},
        {451, "Unavailable For Legal Reasons"},
        {500, "Internal Server Error"},
        {501, "Not Implemented"},
        {502, "Bad Gateway"},
        {503, "Service Unavailable"},
        {504, "Gateway Timeout"},
        {505, "HTTP Version Not Supported"},
        {506, "Variant Also Negotiates"},
        {507, "Insufficient Storage"},
        {508, "Loop Detected"},
        {511, "Network Authentication Required"},
    };
    for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
        if (reasons[i].status == status)
            return reasons[i].reason;
    }
    return status < 300   ? "OK"
           : status < 500 ? "Bad Request"
                          : "Internal Server Error"; /* section 15: its class */
}

static void write_member(struct json_writer *writer, const char *name, const char *text)
{
    if (text == NULL)
        return;
    json_char(writer, writer->len == 0 ? '{' : ',');
    json_string(writer, name, strlen(name));
    json_char(writer, ':');
    json_string(writer, text, strlen(text));
}

static struct str document(struct sink *sink, const struct problem *problem)
{
    char most[1024], status[24]; /* most are as short as that */
    struct json_writer writer = json_writer_on(most, sizeof(most));
    int status_len = snprintf(status, sizeof(status), ",\"status\":%d", problem->status);
    write_member(&writer, "type", "about:blank");
    write_member(&writer, "title", problem_reason(problem->status));
    json_raw(&writer, status, (size_t)status_len);
    write_member(&writer, "detail", problem->detail);
    write_member(&writer, "request_id", sink_request_id(sink));
    write_member(&writer, "parameter", problem->parameter);
    write_member(&writer, "constraint", problem->constraint);
    json_char(&writer, '}');
    struct str body = {arena_copy(&sink->arena, (struct str){writer.base, writer.len}), writer.len};
    if (writer.owned)
        free(writer.base);
    return body;
}

void problem_send(struct sink *sink, const struct problem *problem)
{
    struct str body = document(sink, problem);
    struct sink_field *fields = arena_alloc(&sink->arena, (problem->n_fields + OWN_FIELDS) * sizeof(*fields));
    struct sink_head head = {
        .status = problem->status,
        .content_type = STR("application/problem+json"),
        .content_length = body.len,
        .fields = fields,
    };
    for (size_t i = 0; i < problem->n_fields; i++)
        fields[head.n_fields++] = problem->fields[i];
    if (problem->field.name.len > 0)
        fields[head.n_fields++] = problem->field;
    if (problem->status == 503) {
        const char *seconds = arena_printf(
            &sink->arena, "%d",
            RETRY_AFTER_LEAST + (int)(hash_32_text(HASH_32, sink_request_id(sink)) % RETRY_AFTER_SPREAD));
        fields[head.n_fields++] = (struct sink_field){STR("Retry-After"), str_of(seconds)};
    }
    sink->ops->start(sink, &head);
    sink->ops->finish(sink, &body, 1);
}
