/* problem.c: error answers as application/problem+json (RFC 9457). */
#include "http/problem.h"

#include <inttypes.h>
#include <json-c/json.h>
#include <stdio.h>

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

static struct str document(struct sink *sink, const struct problem *problem)
{
    char id[17];
    snprintf(id, sizeof(id), "%016" PRIx64, sink_request_id(sink));
    struct json_object *object = json_object_new_object();
    json_object_object_add(object, "type", json_object_new_string("about:blank"));
    json_object_object_add(object, "title", json_object_new_string(problem_reason(problem->status)));
    json_object_object_add(object, "status", json_object_new_int(problem->status));
    json_object_object_add(object, "detail", json_object_new_string(problem->detail));
    json_object_object_add(object, "request_id", json_object_new_string(id));
    if (problem->parameter != NULL)
        json_object_object_add(object, "parameter", json_object_new_string(problem->parameter));
    if (problem->constraint != NULL)
        json_object_object_add(object, "constraint", json_object_new_string(problem->constraint));
    size_t len;
    const char *text = json_object_to_json_string_length(
        object, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &len);
    struct str body = {arena_copy(&sink->arena, (struct str){text, len}), len};
    json_object_put(object);
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
            &sink->arena, "%d", RETRY_AFTER_LEAST + (int)(sink_request_id(sink) % RETRY_AFTER_SPREAD));
        fields[head.n_fields++] = (struct sink_field){STR("Retry-After"), str_of(seconds)};
    }
    sink->ops->start(sink, &head);
    sink->ops->finish(sink, &body, 1);
}
