/* http1_response.c: a strict parser for the heads of HTTP/1.1 answers (RFC 9110, RFC 9112). */
#include "http/http1_response.h"

#include "http/http1_class.h"

enum { VERSION_LEN = 8, CODE_LEN = 3 };

static bool refuse(struct http1_response *response, const char *detail)
{
    return http1_refuse(&response->head, 502, detail);
}

/* The beginning of a status-line, as far as it has come: is it one that can still become valid? */
static bool may_become_status_line(const char *from, size_t len)
{
    static const char begin[] = "HTTP/1.";
    size_t n = len < sizeof(begin) - 1 ? len : sizeof(begin) - 1;
    return memcmp(from, begin, n) == 0;
}

/* status-line (RFC 9112 section 4), without its CRLF. The blank before an empty reason is often left out. */
static bool read_status_line(struct http1_response *response, const char *bytes, const char *from,
                             const char *end)
{
    if (!may_become_status_line(from, (size_t)(end - from)) || end - from < VERSION_LEN ||
        !is(from[VERSION_LEN - 1], DIGIT))
        return refuse(response, "the answer does not begin with HTTP/1.1 or HTTP/1.0");
    /* a higher minor version is taken for ours (RFC 9110 section 2.5) */
    response->head.minor_version = from[VERSION_LEN - 1] == '0' ? 0 : 1;
    const char *code = from + VERSION_LEN + 1, *reason = code + CODE_LEN;
    if (end < reason || code[-1] != ' ' || span_of(code, reason, DIGIT) != CODE_LEN ||
        (reason < end && *reason++ != ' '))
        return refuse(response, "the status line is not valid");
    response->status = (code[0] - '0') * 100 + (code[1] - '0') * 10 + (code[2] - '0');
    if (response->status < 100 || response->status > 599)
        return refuse(response, "the status is not one from 100 to 599");
    if (span_of(reason, end, VALUE) != (size_t)(end - reason))
        return refuse(response, "the status line has a control character");
    response->reason = (struct http1_span){(uint32_t)(reason - bytes), (uint32_t)(end - reason)};
    return true;
}

/* Message body length (RFC 9112 section 6.3). */
static bool check_framing(struct http1_response *response, const char *bytes, bool to_head)
{
    struct http1_head *head = &response->head;
    int status = response->status;
    if (head->n_lengths > 1)
        return refuse(response, "there are two Content-Length fields");
    if (head->n_codings > 1)
        return refuse(response, "there are two Transfer-Encoding fields");
    if (head->n_codings > 0 && head->n_lengths > 0)
        return refuse(response, "Content-Length and Transfer-Encoding come together");
    if (head->n_lengths > 0 && !http1_read_length(head, http1_str(bytes, head->length_value)))
        return refuse(response, "Content-Length is not one whole number in range");
    if (head->n_codings > 0 && head->minor_version == 0)
        return refuse(response, "HTTP/1.0 has no Transfer-Encoding");
    if (head->n_codings > 0 && !http1_same(http1_str(bytes, head->coding_value), STR("chunked")))
        return refuse(response, "Transfer-Encoding is not chunked");
    if ((status < 200 || status == 204) && (head->n_codings > 0 || head->content_length > 0))
        return refuse(response, "an answer that has no body announces one");
    if (status < 200 || status == 204 || status == 304 || to_head)
        head->body = HTTP1_BODY_NONE;
    else if (head->n_codings > 0)
        head->body = HTTP1_BODY_CHUNKED;
    else if (head->n_lengths == 0)
        head->body = HTTP1_BODY_UNTIL_CLOSE; /* with a length, http1_read_length has said what it is */
    return true;
}

static enum http1_result finish(struct http1_response *response, const char *bytes, bool to_head)
{
    struct http1_head *head = &response->head;
    if (response->status == 101) {
        refuse(response, "101 (Switching Protocols) was not asked for");
        return HTTP1_INVALID;
    }
    if (!check_framing(response, bytes, to_head))
        return HTTP1_INVALID;
    head->keep_alive = !head->wants_close && head->body != HTTP1_BODY_UNTIL_CLOSE &&
                       (head->minor_version == 1 || head->wants_keep_alive);
    return HTTP1_COMPLETE;
}

/* One line without its CRLF, which is not empty. */
static bool read_line(struct http1_response *response, const char *bytes, const char *from, const char *end,
                      const struct http1_limits *limits)
{
    struct http1_head *head = &response->head;
    if (!head->has_line) {
        head->has_line = true;
        return read_status_line(response, bytes, from, end);
    }
    if (http1_read_field(head, bytes, from, end, limits))
        return true;
    return refuse(response, head->error.detail);
}

enum http1_result http1_parse_response(struct http1_response *response, const char *bytes, size_t len,
                                       bool to_head, const struct http1_limits *limits, size_t *head_len)
{
    struct http1_head *head = &response->head;
    const char *newline;
    while ((newline = memchr(bytes + head->scanned, '\n', len - head->scanned)) != NULL) {
        const char *from = bytes + head->line_at;
        size_t line_end = (size_t)(newline + 1 - bytes);
        if (newline == from || newline[-1] != '\r') {
            refuse(response, "a line ends in LF alone");
            return HTTP1_INVALID;
        }
        head->scanned = head->line_at = (uint32_t)line_end;
        if (line_end > limits->head)
            break;
        if (newline - 1 > from) {
            if (!read_line(response, bytes, from, newline - 1, limits))
                return HTTP1_INVALID;
        } else if (head->has_line) {
            *head_len = line_end;
            return finish(response, bytes, to_head);
        } else {
            refuse(response, "the answer begins with an empty line");
            return HTTP1_INVALID;
        }
    }
    if (head->scanned > limits->head || len >= limits->head) {
        refuse(response, "the head is longer than limits.head");
        return HTTP1_INVALID;
    }
    if (!head->has_line && !may_become_status_line(bytes, len)) {
        refuse(response, "the answer does not begin with HTTP/1.1 or HTTP/1.0");
        return HTTP1_INVALID;
    }
    head->scanned = (uint32_t)len;
    return HTTP1_INCOMPLETE;
}
