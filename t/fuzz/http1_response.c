/*
 * http1_response.c: fuzz target for the parser of answers: however the bytes arrive, they mean the same, and
 * what is accepted is what a plain second reading of the same bytes finds.
 *
 * The input is what a server sends; its first byte says whether that is to HEAD.
 */
#include "http/http1_response.h"

#include <strings.h>

#include "fuzz.h"

static const struct http1_limits wide = {.head = 16384, .fields = HTTP1_MAX_FIELDS};
static const struct http1_limits narrow = {.head = 96, .fields = 3};

struct outcome {
    enum http1_result result;
    size_t head_len;
    struct http1_response response;
};

/* Parses bytes that arrive in steps of 1 to most_at_once; each time all of them lie somewhere else. */
static void parse(struct outcome *outcome, struct str bytes, bool to_head, const struct http1_limits *limits,
                  struct fuzz_chance *chance, size_t most_at_once)
{
    memset(outcome, 0, sizeof(*outcome));
    size_t len = 0;
    do {
        size_t step = 1 + fuzz_below(chance, most_at_once);
        len = step < bytes.len - len ? len + step : bytes.len;
        char *exact = fuzz_copy(bytes.base, len);
        outcome->result =
            http1_parse_response(&outcome->response, exact, len, to_head, limits, &outcome->head_len);
        free(exact);
    } while (outcome->result == HTTP1_INCOMPLETE && len < bytes.len);
}

static void check_same(const struct outcome *a, const struct outcome *b)
{
    const struct http1_head *x = &a->response.head, *y = &b->response.head;
    FUZZ_CHECK(a->result == b->result, "%d at once, %d in steps: %s / %s", a->result, b->result,
               x->error.detail, y->error.detail);
    FUZZ_CHECK((a->result == HTTP1_INVALID) == (x->error.status == 502), "status %d", x->error.status);
    if (a->result != HTTP1_COMPLETE)
        return;
    FUZZ_CHECK(a->head_len == b->head_len, "%zu at once, %zu in steps", a->head_len, b->head_len);
    FUZZ_CHECK(a->response.status == b->response.status && x->body == y->body &&
                   x->content_length == y->content_length && x->keep_alive == y->keep_alive,
               "another meaning");
    FUZZ_CHECK(x->n_fields == y->n_fields &&
                   memcmp(x->fields, y->fields, x->n_fields * sizeof(x->fields[0])) == 0,
               "other fields");
}

/* Lines end in CRLF and nothing else, and hold no control characters. */
static void check_bytes(const char *bytes, size_t len)
{
    FUZZ_CHECK(len >= 4 && memcmp(bytes + len - 4, "\r\n\r\n", 4) == 0, "no empty line at the end");
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)bytes[i];
        FUZZ_CHECK(c != '\r' || bytes[i + 1] == '\n', "a CR alone at %zu", i);
        FUZZ_CHECK(c != '\n' || (i > 0 && bytes[i - 1] == '\r'), "an LF alone at %zu", i);
        FUZZ_CHECK(c >= ' ' || c == '\t' || c == '\r' || c == '\n', "byte %d at %zu", c, i);
    }
}

static bool is_named(struct str name, const char *text)
{
    return name.len == strlen(text) && strncasecmp(name.base, text, name.len) == 0;
}

/* Framing (RFC 9112 section 6.3) as a second reader finds it among the fields. */
static void check_framing(const struct outcome *outcome, const char *bytes, bool to_head)
{
    const struct http1_head *head = &outcome->response.head;
    unsigned n_lengths = 0, n_codings = 0;
    int status = outcome->response.status;
    bool has_none = status < 200 || status == 204 || status == 304 || to_head;
    for (uint32_t i = 0; i < head->n_fields; i++) {
        struct str name = http1_str(bytes, head->fields[i].name);
        struct str value = http1_str(bytes, head->fields[i].value);
        FUZZ_CHECK(name.len > 0 && memchr(name.base, ' ', name.len) == NULL, "a name");
        if (is_named(name, "Content-Length")) {
            char digits[32] = "";
            FUZZ_CHECK(value.len > 0 && value.len < sizeof(digits), "%zu digits", value.len);
            memcpy(digits, value.base, value.len);
            FUZZ_CHECK(strspn(digits, "0123456789") == value.len, "%s", digits);
            FUZZ_CHECK(strtoull(digits, NULL, 10) == head->content_length, "%s", digits);
            n_lengths++;
        }
        if (is_named(name, "Transfer-Encoding")) {
            FUZZ_CHECK(is_named(value, "chunked"), "another coding");
            n_codings++;
        }
    }
    FUZZ_CHECK(n_lengths + n_codings <= 1, "%u lengths, %u codings", n_lengths, n_codings);
    enum http1_body body = has_none                    ? HTTP1_BODY_NONE
                           : n_codings > 0             ? HTTP1_BODY_CHUNKED
                           : n_lengths == 0            ? HTTP1_BODY_UNTIL_CLOSE
                           : head->content_length == 0 ? HTTP1_BODY_NONE
                                                       : HTTP1_BODY_LENGTH;
    FUZZ_CHECK(head->body == body, "%d instead of %d", head->body, body);
    FUZZ_CHECK(body != HTTP1_BODY_UNTIL_CLOSE || !head->keep_alive, "a connection that ends stays");
    FUZZ_CHECK(status >= 100 && status <= 599 && status != 101, "%d", status);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct outcome whole, pieces;
    if (size == 0)
        return 0;
    struct fuzz_chance chance = fuzz_chance_of(data, size);
    struct str bytes = {(const char *)data + 1, size - 1};
    bool to_head = (data[0] & 1) == 0; /* 'H' */
    for (int i = 0; i < 2; i++) {
        const struct http1_limits *limits = i == 0 ? &wide : &narrow;
        parse(&whole, bytes, to_head, limits, &chance, SIZE_MAX / 2);
        parse(&pieces, bytes, to_head, limits, &chance, 1);
        check_same(&whole, &pieces);
        parse(&pieces, bytes, to_head, limits, &chance, 16);
        check_same(&whole, &pieces);
        if (whole.result != HTTP1_COMPLETE)
            continue;
        FUZZ_CHECK(whole.head_len <= limits->head && whole.head_len <= bytes.len, "%zu", whole.head_len);
        check_bytes(bytes.base, whole.head_len);
        check_framing(&whole, bytes.base, to_head);
    }
    return 0;
}
