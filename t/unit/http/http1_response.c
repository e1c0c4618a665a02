/* http1_response.c: unit tests for the parser of answers: each head at once and in every two parts. */
#include "http/http1_response.h"

#include <stdlib.h>

#include "base/mem.h"
#include "unit/tap.h"

static const struct http1_limits limits = {.head = 256, .target = 0, .fields = 4};

struct good {
    const char *name, *head;
    bool to_head;
    int status;
    enum http1_body body;
    uint64_t length;
    bool keep_alive;
};

static const struct good goods[] = {
    {"an empty body", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, 200, HTTP1_BODY_NONE, 0, true},
    {"a length", "HTTP/1.1 200 OK\r\ncontent-length:  12 \r\n\r\n", false, 200, HTTP1_BODY_LENGTH, 12, true},
    {"chunks", "HTTP/1.1 404 Not Found\r\nTransfer-Encoding: CHUNKED\r\n\r\n", false, 404, HTTP1_BODY_CHUNKED,
     0, true},
    {"the end of the connection", "HTTP/1.1 200 OK\r\n\r\n", false, 200, HTTP1_BODY_UNTIL_CLOSE, 0, false},
    {"no reason", "HTTP/1.1 200 \r\nContent-Length: 1\r\n\r\n", false, 200, HTTP1_BODY_LENGTH, 1, true},
    {"not even the blank before it", "HTTP/1.1 200\r\nContent-Length: 1\r\n\r\n", false, 200,
     HTTP1_BODY_LENGTH, 1, true},
    {"a reason with bytes outside ASCII", "HTTP/1.1 200 Tr\xc3\xa8s bien\r\nContent-Length: 1\r\n\r\n", false,
     200, HTTP1_BODY_LENGTH, 1, true},
    {"close", "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 1\r\n\r\n", false, 200,
     HTTP1_BODY_LENGTH, 1, false},
    {"HTTP/1.2, which is read as 1.1 (RFC 9110 section 2.5)", "HTTP/1.2 200 OK\r\nContent-Length: 1\r\n\r\n",
     false, 200, HTTP1_BODY_LENGTH, 1, true},
    {"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n", false, 200, HTTP1_BODY_LENGTH, 1, false},
    {"HTTP/1.0 that stays", "HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\n", false,
     200, HTTP1_BODY_LENGTH, 1, true},
    {"204", "HTTP/1.1 204 No Content\r\n\r\n", false, 204, HTTP1_BODY_NONE, 0, true},
    {"204 that says 0", "HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n", false, 204, HTTP1_BODY_NONE,
     0, true},
    {"304 with the length that 200 would have", "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n",
     false, 304, HTTP1_BODY_NONE, 9, true},
    {"100", "HTTP/1.1 100 Continue\r\n\r\n", false, 100, HTTP1_BODY_NONE, 0, true},
    {"to HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n", true, 200, HTTP1_BODY_NONE, 9, true},
    {"to HEAD, chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", true, 200, HTTP1_BODY_NONE,
     0, true},
    {"to HEAD, without a length", "HTTP/1.1 200 OK\r\n\r\n", true, 200, HTTP1_BODY_NONE, 0, true},
};

static const struct {
    const char *name, *head, *detail;
} bads[] = {
    {"nothing like it", "hello\r\n\r\n", "the answer does not begin with HTTP/1.1 or HTTP/1.0"},
    {"an empty line first", "\r\nHTTP/1.1 200 OK\r\n\r\n", NULL},
    {"HTTP/0.9", "<html>\r\n\r\n", "the answer does not begin with HTTP/1.1 or HTTP/1.0"},
    {"HTTP/2", "HTTP/2 200\r\n\r\n", "the answer does not begin with HTTP/1.1 or HTTP/1.0"},
    {"small letters", "http/1.1 200 OK\r\n\r\n", "the answer does not begin with HTTP/1.1 or HTTP/1.0"},
    {"ICY", "ICY 200 OK\r\n\r\n", "the answer does not begin with HTTP/1.1 or HTTP/1.0"},
    {"two digits", "HTTP/1.1 20 OK\r\n\r\n", "the status line is not valid"},
    {"four digits", "HTTP/1.1 2000 OK\r\n\r\n", "the status line is not valid"},
    {"no digits", "HTTP/1.1 abc OK\r\n\r\n", "the status line is not valid"},
    {"two blanks", "HTTP/1.1  200 OK\r\n\r\n", "the status line is not valid"},
    {"no status", "HTTP/1.1\r\n\r\n", "the status line is not valid"},
    {"99", "HTTP/1.1 099 OK\r\n\r\n", "the status is not one from 100 to 599"},
    {"600", "HTTP/1.1 600 OK\r\n\r\n", "the status is not one from 100 to 599"},
    {"a control character in the reason", "HTTP/1.1 200 O\001K\r\n\r\n",
     "the status line has a control character"},
    {"101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
     "101 (Switching Protocols) was not asked for"},
    {"a bare LF", "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", "a line ends in LF alone"},
    {"a bare LF at the end", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\n", "a line ends in LF alone"},
    {"a bare CR", "HTTP/1.1 200 OK\r\nX: a\rb\r\n\r\n", "A field's value has a control character."},
    {"a folded field", "HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n",
     "A field is folded over several lines, or begins with a space."},
    {"a blank before the colon", "HTTP/1.1 200 OK\r\nContent-Length : 0\r\n\r\n",
     "A field's name is not valid, or there is a space before its colon."},
    {"two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
     "there are two Content-Length fields"},
    {"two equal lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
     "there are two Content-Length fields"},
    {"two lengths in one", "HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
     "Content-Length is not one whole number in range"},
    {"abc", "HTTP/1.1 200 OK\r\nContent-Length: abc\r\n\r\n",
     "Content-Length is not one whole number in range"},
    {"nothing", "HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n",
     "Content-Length is not one whole number in range"},
    {"a sign", "HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n",
     "Content-Length is not one whole number in range"},
    {"less than nothing", "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
     "Content-Length is not one whole number in range"},
    {"2 to the 64", "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551616\r\n\r\n",
     "Content-Length is not one whole number in range"},
    {"a length and chunks", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
     "Content-Length and Transfer-Encoding come together"},
    {"gzip", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n", "Transfer-Encoding is not chunked"},
    {"gzip, chunked", "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
     "Transfer-Encoding is not chunked"},
    {"two codings", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
     "there are two Transfer-Encoding fields"},
    {"chunks of HTTP/1.0", "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
     "HTTP/1.0 has no Transfer-Encoding"},
    {"204 with a body", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n",
     "an answer that has no body announces one"},
    {"204 with chunks", "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n",
     "an answer that has no body announces one"},
    {"103 with a body", "HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n",
     "an answer that has no body announces one"},
    {"too many fields", "HTTP/1.1 200 OK\r\nA: 1\r\nB: 2\r\nC: 3\r\nD: 4\r\nE: 5\r\n\r\n",
     "There are too many fields."},
    {"too many options",
     "HTTP/1.1 200 OK\r\nConnection: "
     ",,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,\r\nConnection: "
     ",,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,,\r\n\r\n",
     "Connection has too many options."},
};

/* Parses bytes that come in two parts, each time in memory of their own size. */
static enum http1_result parse(struct http1_response *response, const char *bytes, size_t len, size_t first,
                               bool to_head, size_t *head_len)
{
    enum http1_result result = HTTP1_INCOMPLETE;
    size_t steps[] = {first, len};
    memset(response, 0, sizeof(*response));
    for (int i = 0; i < 2 && result == HTTP1_INCOMPLETE; i++) {
        char *exact = memcpy(mem_alloc(steps[i] + (steps[i] == 0)), bytes, steps[i]);
        result = http1_parse_response(response, exact, steps[i], to_head, &limits, head_len);
        free(exact);
    }
    return result;
}

static void test_good(const struct good *good)
{
    size_t len = strlen(good->head), wrong = 0;
    char *with_more = mem_printf("%sHTTP/1.1 more", good->head);
    for (size_t first = 0; first <= len; first++) {
        struct http1_response response;
        size_t head_len = 0;
        enum http1_result result =
            parse(&response, with_more, strlen(with_more), first, good->to_head, &head_len);
        const struct http1_head *head = &response.head;
        wrong += result != HTTP1_COMPLETE || head_len != len || response.status != good->status ||
                 head->body != good->body || head->content_length != good->length ||
                 head->keep_alive != good->keep_alive;
    }
    is_int((long long)wrong, 0, "%s", good->name);
    free(with_more);
}

static void test_incomplete(const struct good *good)
{
    size_t len = strlen(good->head), wrong = 0;
    for (size_t some = 0; some < len; some++) {
        struct http1_response response;
        size_t head_len;
        wrong += parse(&response, good->head, some, 0, good->to_head, &head_len) != HTTP1_INCOMPLETE;
    }
    is_int((long long)wrong, 0, "%s: no part of it is taken for the whole", good->name);
}

static void test_bad(const char *name, const char *head, const char *detail)
{
    size_t len = strlen(head), wrong = 0;
    struct http1_response response;
    for (size_t first = 0; first <= len; first++) {
        size_t head_len;
        wrong += parse(&response, head, len, first, false, &head_len) != HTTP1_INVALID ||
                 response.head.error.status != 502 ||
                 (detail != NULL && strcmp(response.head.error.detail, detail) != 0);
    }
    is_int((long long)wrong, 0, "refused: %s", name);
    if (wrong != 0)
        tap_show("it says", response.head.error.detail);
}

static void test_nul(void)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n";
    struct http1_response response;
    size_t head_len;
    is_int(parse(&response, head, sizeof(head) - 1, 0, false, &head_len), HTTP1_INVALID, "refused: a NUL");
}

static void test_reason(void)
{
    struct http1_response response;
    size_t head_len;
    const char *head = "HTTP/1.1 299 Very well indeed\r\nContent-Length: 0\r\n\r\n";
    parse(&response, head, strlen(head), 3, false, &head_len);
    struct str reason = http1_str(head, response.reason);
    ok(str_equal(reason, STR("Very well indeed")), "the reason is all that is behind the status");
}

/* A head of this size. */
static char *long_head(size_t len)
{
    static const char begin[] = "HTTP/1.1 200 OK\r\nX: ", end[] = "\r\n\r\n";
    size_t filler = len - sizeof(begin) - sizeof(end) + 2;
    char *x = memset(mem_alloc(filler), 'x', filler);
    char *head = mem_printf("%s%.*s%s", begin, (int)filler, x, end);
    free(x);
    return head;
}

static void test_bound(void)
{
    struct http1_response response;
    size_t head_len;
    char *most = long_head(limits.head), *more = long_head(limits.head + 1);
    is_int((long long)strlen(most), (long long)limits.head, "a head as large as it may be");
    for (size_t first = 0; first <= limits.head; first += 64) {
        is_int(parse(&response, most, strlen(most), first, false, &head_len), HTTP1_COMPLETE,
               "... is taken, in parts of %zu and the rest", first);
        is_int(parse(&response, more, strlen(more), first, false, &head_len), HTTP1_INVALID,
               "... and with one byte more it is not");
    }
    is_int(parse(&response, more, limits.head, 0, false, &head_len), HTTP1_INVALID,
           "an endless head is refused before its end");
    free(most);
    free(more);
}

int main(void)
{
    for (size_t i = 0; i < sizeof(goods) / sizeof(goods[0]); i++) {
        test_good(&goods[i]);
        test_incomplete(&goods[i]);
    }
    for (size_t i = 0; i < sizeof(bads) / sizeof(bads[0]); i++)
        test_bad(bads[i].name, bads[i].head, bads[i].detail);
    test_nul();
    test_reason();
    test_bound();
    return done_testing();
}
