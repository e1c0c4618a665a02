/* h1_answer.c: answers as bytes of HTTP/1.1: the head, and the coding of the body. */
#include "server/h1_answer.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"

static char *put(char *out, const char *text, size_t len)
{
    memcpy(out, text, len);
    return out + len;
}

#define PUT(out, literal) put(out, literal, sizeof(literal) - 1)

static char *put_str(char *out, struct str text)
{
    return put(out, text.base, text.len);
}

static char *put_number(char *out, uint64_t number)
{
    char digits[20], *first = digits + sizeof(digits);
    for (; number >= 100; number /= 100) {
        first -= 2;
        first[0] = (char)('0' + number % 100 / 10);
        first[1] = (char)('0' + number % 10);
    }
    *--first = (char)('0' + number % 10);
    if (number >= 10)
        *--first = (char)('0' + number / 10);
    return put(out, first, (size_t)(digits + sizeof(digits) - first));
}

/* Fields of all answers */

/* Makes Date once a second. */
static void freshen(struct h1_fields *fields)
{
    enum { SECOND_NS = 1000000000 };
    struct timespec now;
    if (clock_turn_ns() < fields->fresh_until)
        return;
    clock_gettime(CLOCK_REALTIME, &now);
    fields->fresh_until = clock_turn_ns() + (uint64_t)(SECOND_NS - now.tv_nsec);
    struct tm utc;
    char *out = fields->text + fields->server_len;
    gmtime_r(&now.tv_sec, &utc);
    out = PUT(out, "Date: ");
    h2o_time2str_rfc1123(out, &utc);
    PUT(out + H2O_TIMESTR_RFC1123_LEN, "\r\n");
}

void h1_fields_init(struct h1_fields *fields, const char *server)
{
    fields->text = mem_alloc(strlen(server) + H2O_TIMESTR_RFC1123_LEN + 32);
    fields->server_len = server[0] == '\0' ? 0 : (size_t)sprintf(fields->text, "Server: %s\r\n", server);
    fields->len = fields->server_len + H2O_TIMESTR_RFC1123_LEN + strlen("Date: \r\n");
    fields->fresh_until = 0;
}

void h1_fields_dispose(struct h1_fields *fields)
{
    free(fields->text);
}

/* The head */

void h1_answer_begin(struct h1_answer *answer)
{
    answer->has_begun = false;
    answer->is_last = false;
    answer->is_aborted = false;
    answer->n_out = 0;
}

bool h1_answer_delimit(struct h1_answer *answer, const struct exchange *exchange)
{
    const struct sink_head *head = &exchange->head;
    answer->length_left = 0;
    if (head->status == 204 || head->status == 304 || exchange->is_head) {
        answer->delimiter = H1_NO_BODY;
    } else if (head->content_length != SINK_LENGTH_UNKNOWN) {
        answer->delimiter = H1_LENGTH;
        answer->length_left = head->content_length;
    } else {
        answer->delimiter = exchange->minor_version == 1 ? H1_CHUNKED : H1_UNTIL_CLOSE;
    }
    return answer->delimiter != H1_UNTIL_CLOSE;
}

static size_t head_size(const struct sink_head *head, const struct h1_fields *common, size_t more)
{
    size_t size = 256 + more + head->content_type.len + common->len;
    for (size_t i = 0; i < head->n_fields; i++)
        size += head->fields[i].name.len + head->fields[i].value.len + 4;
    return size;
}

/* An answer that was made elsewhere has its own Date, which tells when. */
static bool has_date(const struct sink_head *head)
{
    for (size_t i = 0; i < head->n_fields; i++) {
        if (http1_same(head->fields[i].name, STR("date")))
            return true;
    }
    return false;
}

/* Status line and fields (RFC 9112 section 4, RFC 9110 section 6), in the exchange's memory. */
static h2o_iovec_t make_head(const struct h1_answer *answer, struct exchange *exchange,
                             struct h1_fields *common, bool stays)
{
    const struct sink_head *from = &exchange->head;
    struct str id = exchange_id(exchange), reason = str_of(from->reason);
    char *head = h2o_mem_alloc_pool(&exchange->pool, head_size(from, common, id.len + reason.len)),
         *out = head;
    out = PUT(out, "HTTP/1.1 ");
    *out++ = (char)('0' + from->status / 100); /* three digits, always */
    *out++ = (char)('0' + from->status / 10 % 10);
    *out++ = (char)('0' + from->status % 10);
    *out++ = ' ';
    out = put_str(out, reason);
    out = PUT(out, "\r\n");
    freshen(common);
    out = put(out, common->text, has_date(from) ? common->server_len : common->len);
    if (from->content_type.len != 0) {
        out = PUT(out, "Content-Type: ");
        out = put_str(out, from->content_type);
        out = PUT(out, "\r\n");
    }
    out = PUT(out, "X-Request-Id: ");
    out = id.len == IDS_LEN ? put(out, id.base, IDS_LEN) : put_str(out, id); /* most are of our own */
    out = PUT(out, "\r\n");
    for (size_t i = 0; i < from->n_fields; i++) {
        out = put_str(out, from->fields[i].name);
        out = PUT(out, ": ");
        out = put_str(out, from->fields[i].value);
        out = PUT(out, "\r\n");
    }
    if (from->content_length != SINK_LENGTH_UNKNOWN && from->status != 204 && from->status != 304) {
        out = PUT(out, "Content-Length: ");
        out = put_number(out, from->content_length);
        out = PUT(out, "\r\n");
    } else if (answer->delimiter == H1_CHUNKED) {
        out = PUT(out, "Transfer-Encoding: chunked\r\n");
    }
    if (!stays)
        out = PUT(out, "Connection: close\r\n");
    else if (exchange->minor_version == 0)
        out = PUT(out, "Connection: keep-alive\r\n");
    out = PUT(out, "\r\n");
    return h2o_iovec_init(head, (size_t)(out - head));
}

/* The body */

static void add(struct h1_answer *answer, const char *bytes, size_t len)
{
    if (len != 0)
        answer->out[answer->n_out++] = h2o_iovec_init(bytes, len);
}

/* A part of the body in the coding that was decided on (RFC 9112 section 7.1). */
static void add_body(struct h1_answer *answer, const struct str *parts, size_t n)
{
    size_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += parts[i].len;
    if (answer->delimiter == H1_NO_BODY)
        return;
    if (answer->delimiter == H1_CHUNKED && total > 0) {
        add(answer, answer->size_line,
            (size_t)snprintf(answer->size_line, sizeof(answer->size_line), "%zx\r\n", total));
    }
    for (size_t i = 0; i < n; i++)
        add(answer, parts[i].base, parts[i].len);
    if (answer->delimiter == H1_CHUNKED) {
        if (total > 0)
            add(answer, "\r\n", 2);
        if (answer->is_last)
            add(answer, "0\r\n\r\n", 5);
    } else if (answer->delimiter == H1_LENGTH) {
        answer->length_left = total > answer->length_left ? UINT64_MAX : answer->length_left - total;
    }
}

void h1_answer_add(struct h1_answer *answer, struct exchange *exchange, struct h1_fields *fields, bool stays,
                   const struct str *parts, size_t n, enum exchange_part part)
{
    answer->is_last = part != EXCHANGE_MORE;
    answer->out = n <= SINK_FEW_PARTS
                      ? answer->few_out
                      : h2o_mem_alloc_pool(&exchange->pool, (n + H1_ANSWER_FRAME) * sizeof(*answer->out));
    answer->n_out = 0;
    if (!answer->has_begun) {
        answer->out[answer->n_out++] = make_head(answer, exchange, fields, stays);
        exchange->head_len = answer->out[0].len;
        answer->has_begun = true;
    }
    add_body(answer, parts, n);
    /* what was promised by Content-Length is neither exceeded nor fallen short of */
    bool is_broken = answer->delimiter == H1_LENGTH &&
                     (answer->length_left == UINT64_MAX || (answer->is_last && answer->length_left != 0));
    answer->is_aborted = part == EXCHANGE_ABORTED || is_broken;
    if (answer->is_aborted)
        answer->is_last = true;
}

bool h1_answer_looks_whole(const struct h1_answer *answer)
{
    return answer->has_begun && (answer->delimiter == H1_LENGTH || answer->delimiter == H1_UNTIL_CLOSE);
}
