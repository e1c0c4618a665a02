/*
 * http1.c: fuzz target for the parser of requests: however the bytes arrive, they mean the same, and what
 * is accepted is what a plain second reading of the same bytes finds.
 *
 * The input is what a client sends on one connection: requests, one after the other.
 */
#include "http/http1.h"

#include <strings.h>

#include "fuzz.h"

static const struct http1_limits wide = {.head = 16384, .target = 8192, .fields = HTTP1_MAX_FIELDS};
static const struct http1_limits narrow = {.head = 128, .target = 24, .fields = 3};

/* What the parser makes of a head. */
struct outcome {
    enum http1_result result;
    size_t head_len;
    struct http1_head head;
};

/* Heads */

/* Parses bytes that arrive in steps of 1 to most_at_once; each time all of them lie somewhere else. */
static void parse_in_steps(struct outcome *outcome, struct str bytes, const struct http1_limits *limits,
                           struct fuzz_chance *chance, size_t most_at_once)
{
    memset(outcome, 0, sizeof(*outcome));
    size_t len = 0;
    do {
        size_t step = 1 + fuzz_below(chance, most_at_once);
        len = step < bytes.len - len ? len + step : bytes.len;
        char *exact = fuzz_copy(bytes.base, len);
        outcome->result = http1_parse_head(&outcome->head, exact, len, limits, &outcome->head_len);
        free(exact);
    } while (outcome->result == HTTP1_INCOMPLETE && len < bytes.len);
}

static void parse_at_once(struct outcome *outcome, struct str bytes, const struct http1_limits *limits)
{
    memset(outcome, 0, sizeof(*outcome));
    char *exact = fuzz_copy(bytes.base, bytes.len);
    outcome->result = http1_parse_head(&outcome->head, exact, bytes.len, limits, &outcome->head_len);
    free(exact);
}

static bool same_span(struct http1_span a, struct http1_span b)
{
    return a.at == b.at && a.len == b.len;
}

/* A line that is too long is refused before it ends; at once, something else about it may come first. */
static bool is_bound(int status)
{
    return status == 414 || status == 431;
}

static void check_same(const struct outcome *a, const struct outcome *b)
{
    const struct http1_head *x = &a->head, *y = &b->head;
    FUZZ_CHECK(a->result == b->result, "%d at once, %d in steps: %s / %s", a->result, b->result,
               x->error.detail, y->error.detail);
    FUZZ_CHECK(x->error.status == y->error.status || is_bound(x->error.status) || is_bound(y->error.status),
               "%d (%s) at once, %d (%s) in steps", x->error.status, x->error.detail, y->error.status,
               y->error.detail);
    if (a->result != HTTP1_COMPLETE)
        return;
    FUZZ_CHECK(a->head_len == b->head_len, "%zu at once, %zu in steps", a->head_len, b->head_len);
    FUZZ_CHECK(same_span(x->method, y->method) && same_span(x->path, y->path) &&
                   same_span(x->authority, y->authority),
               "another request line");
    FUZZ_CHECK(x->minor_version == y->minor_version && x->keep_alive == y->keep_alive &&
                   x->expects_continue == y->expects_continue && x->body == y->body &&
                   x->content_length == y->content_length,
               "another meaning");
    FUZZ_CHECK(x->n_fields == y->n_fields &&
                   memcmp(x->fields, y->fields, x->n_fields * sizeof(x->fields[0])) == 0,
               "other fields");
}

static bool is_inside(struct http1_span span, size_t from, size_t to)
{
    return span.at >= from && span.at <= to && span.len <= to - span.at;
}

static bool is_named(struct str name, const char *text)
{
    return name.len == strlen(text) && strncasecmp(name.base, text, name.len) == 0;
}

/* A name and a value that no reader can see the end of anywhere else. */
static void check_field(struct str name, struct str value)
{
    FUZZ_CHECK(name.len > 0, "an empty name");
    for (size_t i = 0; i < name.len; i++)
        FUZZ_CHECK(name.base[i] > ' ' && name.base[i] < 0x7f &&
                       strchr("\"(),/:;<=>?@[\\]{}", name.base[i]) == NULL,
                   "byte %d in a name", name.base[i]);
    for (size_t i = 0; i < value.len; i++) {
        unsigned char c = (unsigned char)value.base[i];
        FUZZ_CHECK((c >= ' ' && c != 0x7f) || c == '\t', "byte %d in a value", c);
    }
    if (value.len > 0)
        FUZZ_CHECK(strchr(" \t", value.base[0]) == NULL && strchr(" \t", value.base[value.len - 1]) == NULL,
                   "blanks around a value");
}

/* Framing (RFC 9112 section 6) as a second reader finds it among the fields. */
static void check_framing(const struct http1_head *head, const char *bytes)
{
    unsigned n_lengths = 0, n_codings = 0, n_hosts = 0;
    for (uint32_t i = 0; i < head->n_fields; i++) {
        struct str name = http1_str(bytes, head->fields[i].name);
        struct str value = http1_str(bytes, head->fields[i].value);
        check_field(name, value);
        n_hosts += is_named(name, "Host");
        n_lengths += is_named(name, "Content-Length");
        n_codings += is_named(name, "Transfer-Encoding");
        if (is_named(name, "Content-Length")) {
            char number[32];
            int n = snprintf(number, sizeof(number), "%llu", (unsigned long long)head->content_length);
            size_t zeroes = 0;
            while (zeroes + 1 < value.len && value.base[zeroes] == '0')
                zeroes++;
            FUZZ_CHECK(value.len - zeroes == (size_t)n && memcmp(value.base + zeroes, number, (size_t)n) == 0,
                       "a Content-Length that was read as %s", number);
        }
        if (is_named(name, "Transfer-Encoding"))
            FUZZ_CHECK(is_named(value, "chunked"), "another coding");
    }
    FUZZ_CHECK(n_lengths + n_codings <= 1, "%u lengths, %u codings", n_lengths, n_codings);
    FUZZ_CHECK(n_hosts <= 1 && (n_hosts == 1 || head->minor_version == 0), "%u hosts", n_hosts);
    FUZZ_CHECK((head->body == HTTP1_BODY_CHUNKED) == (n_codings == 1), "codings do not decide");
    FUZZ_CHECK((head->body == HTTP1_BODY_LENGTH) == (n_lengths == 1 && head->content_length > 0),
               "the length does not decide");
    FUZZ_CHECK(n_codings == 0 || head->minor_version == 1, "a coding on HTTP/1.0");
}

/* A host that everybody takes for the same one. */
static void check_authority(struct str authority)
{
    struct str host = authority;
    const char *colon = memrchr(host.base, ':', host.len);
    if (colon != NULL && host.base[0] != '[') {
        host.len = (size_t)(colon - host.base);
        FUZZ_CHECK(host.len > 0, "a port without a host");
    }
    FUZZ_CHECK(host.len == 0 || host.base[0] != '.', "an empty label at the beginning");
    FUZZ_CHECK(memmem(host.base, host.len, "..", 2) == NULL, "an empty label");
    for (size_t i = 0; i < authority.len; i++)
        FUZZ_CHECK(strchr("/?#@\\\"<>{}|^` ", authority.base[i]) == NULL, "byte %d in a host",
                   authority.base[i]);
}

/* What a complete head must be. */
static void check_complete(const struct outcome *outcome, struct str bytes, const struct http1_limits *limits)
{
    const struct http1_head *head = &outcome->head;
    size_t len = outcome->head_len, n_lines = 0;
    size_t blank = len >= 2 && memcmp(bytes.base, "\r\n", 2) == 0 ? 2 : 0;
    FUZZ_CHECK(len >= 16 && len <= bytes.len && len <= limits->head, "%zu bytes", len);
    FUZZ_CHECK(memmem(bytes.base + blank, len - blank, "\r\n\r\n", 4) == bytes.base + len - 4,
               "not exactly one empty line");
    for (size_t i = 0; i < len; i++) {
        FUZZ_CHECK((bytes.base[i] == '\r') == (i + 1 < len && bytes.base[i + 1] == '\n'), "a bare CR or LF");
        FUZZ_CHECK(bytes.base[i] != '\0', "a NUL");
        n_lines += bytes.base[i] == '\n';
    }
    FUZZ_CHECK(n_lines == head->n_fields + 2 + blank / 2, "%zu lines, %u fields", n_lines, head->n_fields);
    FUZZ_CHECK(head->n_fields <= limits->fields, "%u fields", head->n_fields);
    size_t line_end = (size_t)((char *)memchr(bytes.base + blank, '\r', len) - bytes.base), at = line_end + 2;
    FUZZ_CHECK(head->method.at == blank && head->method.len > 0 && is_inside(head->method, blank, line_end),
               "the method is elsewhere");
    FUZZ_CHECK(is_inside(head->path, blank, line_end) && head->path.len <= limits->target,
               "the path is elsewhere");
    FUZZ_CHECK(head->path.len == 0 || strchr("/?*", bytes.base[head->path.at]) != NULL, "no path");
    FUZZ_CHECK(bytes.base[head->path.at] != '*' || head->path.len == 1, "* and more");
    FUZZ_CHECK(is_inside(head->authority, 0, len), "the authority is elsewhere");
    check_authority(http1_str(bytes.base, head->authority));
    for (uint32_t i = 0; i < head->n_fields; i++) {
        const char *cr = memchr(bytes.base + at, '\r', len - at);
        size_t end = (size_t)(cr - bytes.base);
        FUZZ_CHECK(head->fields[i].name.at == at, "field %u begins elsewhere", i);
        FUZZ_CHECK(is_inside(head->fields[i].name, at, end) && is_inside(head->fields[i].value, at, end),
                   "field %u is elsewhere", i);
        at = end + 2;
    }
    check_framing(head, bytes.base);
}

/* Bodies */

struct decoded {
    enum http1_chunk_result result;
    size_t consumed;
    struct fuzz_bytes body;
    struct http1_chunks chunks;
};

static struct decoded decode_in_steps(struct str bytes, struct fuzz_chance *chance, size_t most_at_once)
{
    struct decoded decoded = {.result = HTTP1_CHUNK_MORE};
    while (decoded.consumed < bytes.len &&
           (decoded.result == HTTP1_CHUNK_MORE || decoded.result == HTTP1_CHUNK_DATA)) {
        size_t len = 1 + fuzz_below(chance, most_at_once), consumed;
        if (len > bytes.len - decoded.consumed)
            len = bytes.len - decoded.consumed;
        char *exact = fuzz_copy(bytes.base + decoded.consumed, len);
        struct str data = {NULL, 0};
        decoded.result = http1_decode_chunk(&decoded.chunks, exact, len, &consumed, &data);
        FUZZ_CHECK(consumed > 0 && consumed <= len, "%zu of %zu consumed", consumed, len);
        if (decoded.result == HTTP1_CHUNK_MORE)
            FUZZ_CHECK(consumed == len, "%zu of %zu consumed", consumed, len);
        if (decoded.result == HTTP1_CHUNK_DATA) {
            FUZZ_CHECK(data.len > 0 && data.base >= exact && data.len <= (size_t)(exact + len - data.base),
                       "data outside the input");
            fuzz_append(&decoded.body, data.base, data.len);
        }
        decoded.consumed += consumed;
        free(exact);
    }
    return decoded;
}

/*
 * A chunked body as a plain second reader finds it: only one that is known to be good is given. Returns its
 * length with everything around it.
 */
static size_t read_chunks_plainly(struct str bytes, struct fuzz_bytes *body)
{
    size_t at = 0, size;
    do {
        size = 0;
        for (; at < bytes.len && strchr("0123456789abcdefABCDEF", bytes.base[at]) != NULL; at++)
            size = size * 16 + (size_t)strtol((char[]){bytes.base[at], '\0'}, NULL, 16);
        const char *line_end = memmem(bytes.base + at, bytes.len - at, "\r\n", 2);
        FUZZ_CHECK(line_end != NULL, "a size line without an end");
        at = (size_t)(line_end + 2 - bytes.base);
        if (size > 0) {
            FUZZ_CHECK(size + 2 <= bytes.len - at && memcmp(bytes.base + at + size, "\r\n", 2) == 0,
                       "a chunk without an end");
            fuzz_append(body, bytes.base + at, size);
            at += size + 2;
        }
    } while (size > 0);
    const char *end = memmem(bytes.base + at - 2, bytes.len - at + 2, "\r\n\r\n", 4);
    FUZZ_CHECK(end != NULL, "a body without an end");
    return (size_t)(end + 4 - bytes.base);
}

/* Returns the length of the chunked body, or all of the bytes where it is broken or not complete. */
static size_t check_chunks(struct str bytes, struct fuzz_chance *chance)
{
    struct decoded whole = decode_in_steps(bytes, &(struct fuzz_chance){0}, 1);
    size_t end = whole.result == HTTP1_CHUNK_END ? whole.consumed : bytes.len;
    for (size_t most = bytes.len; most > 1; most = most / 7) {
        struct decoded steps = decode_in_steps(bytes, chance, most);
        FUZZ_CHECK(str_equal(fuzz_str(&whole.body), fuzz_str(&steps.body)), "another body");
        FUZZ_CHECK(whole.consumed == steps.consumed, "another end");
        FUZZ_CHECK(whole.chunks.error.detail == steps.chunks.error.detail, "another error");
        if (whole.consumed < bytes.len)
            FUZZ_CHECK(whole.result == steps.result, "another result");
        free(steps.body.base);
    }
    if (whole.result == HTTP1_CHUNK_END) {
        struct fuzz_bytes plain = {0};
        FUZZ_CHECK(read_chunks_plainly(bytes, &plain) == end, "a plain reader finds another end");
        FUZZ_CHECK(str_equal(fuzz_str(&whole.body), fuzz_str(&plain)), "a plain reader finds another body");
        free(plain.base);
    }
    FUZZ_CHECK((whole.result == HTTP1_CHUNK_INVALID) == (whole.chunks.error.status != 0), "status %d",
               whole.chunks.error.status);
    free(whole.body.base);
    return end;
}

/* Checks what stands at the beginning of the bytes. Returns the length of the request, or of all of them. */
static size_t check_request(struct str bytes, const struct http1_limits *limits, struct fuzz_chance *chance)
{
    static struct outcome whole, steps;
    parse_at_once(&whole, bytes, limits);
    if (bytes.len <= 512) {
        parse_in_steps(&steps, bytes, limits, chance, 1);
        check_same(&whole, &steps);
    }
    parse_in_steps(&steps, bytes, limits, chance, bytes.len / 4 + 2);
    check_same(&whole, &steps);
    FUZZ_CHECK((whole.result == HTTP1_INVALID) == (whole.head.error.status != 0), "status %d",
               whole.head.error.status);
    if (whole.result != HTTP1_COMPLETE)
        return bytes.len;
    check_complete(&whole, bytes, limits);
    struct str body = {bytes.base + whole.head_len, bytes.len - whole.head_len};
    switch (whole.head.body) {
    case HTTP1_BODY_CHUNKED:
        return whole.head_len + check_chunks(body, chance);
    case HTTP1_BODY_LENGTH:
        return whole.head.content_length < body.len ? whole.head_len + whole.head.content_length : bytes.len;
    case HTTP1_BODY_UNTIL_CLOSE: /* that is for answers alone */
        FUZZ_CHECK(false, "a request that ends with its connection");
        break;
    case HTTP1_BODY_NONE:
        break;
    }
    return whole.head_len;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_chance chance = fuzz_chance_of(data, size);
    for (size_t at = 0; at < size;)
        at += check_request((struct str){(const char *)data + at, size - at}, &wide, &chance);
    if (size > 0)
        check_request((struct str){(const char *)data, size}, &narrow, &chance);
    return 0;
}
