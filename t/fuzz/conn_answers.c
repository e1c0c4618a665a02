/*
 * conn_answers.c: reads what clients sent and received, each as a plain second reader would, and compares
 * it with what handlers saw and did.
 */
#include "conn_fuzz.h"

/* Requests as the parser finds them when all bytes are there at once. */

struct expected {
    struct http1_head head;
    struct str bytes; /* the head */
    struct fuzz_bytes body;
    bool whole; /* its body is */
};

struct requests {
    struct expected *list;
    size_t n;
    bool bad; /* what comes after them is not a request, or the last one's body is broken */
};

/* The body that begins here, as far as it is there. Returns its length with everything around it. */
static size_t read_body(struct expected *expected, struct str bytes, bool *bad)
{
    struct http1_chunks chunks = {0};
    size_t at = 0, consumed;
    struct str data;
    enum http1_chunk_result result = HTTP1_CHUNK_DATA;
    if (expected->head.body != HTTP1_BODY_CHUNKED) {
        uint64_t length = expected->head.content_length;
        expected->whole = length <= bytes.len;
        at = expected->whole ? (size_t)length : bytes.len;
        fuzz_append(&expected->body, bytes.base, at);
        return at;
    }
    while (result == HTTP1_CHUNK_DATA) {
        result = http1_decode_chunk(&chunks, bytes.base + at, bytes.len - at, &consumed, &data);
        at += consumed;
        if (result == HTTP1_CHUNK_DATA)
            fuzz_append(&expected->body, data.base, data.len);
    }
    expected->whole = result == HTTP1_CHUNK_END;
    *bad = result == HTTP1_CHUNK_INVALID;
    return at;
}

static struct requests read_requests(const struct run *run, struct str bytes)
{
    struct requests requests = {0};
    enum http1_result result;
    size_t head_len;
    bool whole = true;
    while (whole && !requests.bad && bytes.len > 0) {
        MEM_GROW(&requests.list, requests.n);
        struct expected *expected = &requests.list[requests.n];
        memset(expected, 0, sizeof(*expected));
        result = http1_parse_head(&expected->head, bytes.base, bytes.len, &run->context.limits, &head_len);
        requests.bad = result == HTTP1_INVALID ||
                       (result == HTTP1_COMPLETE && expected->head.body == HTTP1_BODY_LENGTH &&
                        expected->head.content_length > run->conf.limits.body);
        if (result != HTTP1_COMPLETE || requests.bad)
            break;
        requests.n++;
        expected->bytes = (struct str){bytes.base, head_len};
        struct str rest = {bytes.base + head_len, bytes.len - head_len};
        size_t body_len = read_body(expected, rest, &requests.bad);
        bytes = (struct str){rest.base + body_len, rest.len - body_len};
        whole = expected->whole;
    }
    return requests;
}

static void free_requests(struct requests *requests)
{
    for (size_t i = 0; i < requests->n; i++)
        free(requests->list[i].body.base);
    free(requests->list);
}

/* Is this the path of the request, as a handler sees it? */
static bool is_path_of(struct str seen, const struct expected *expected)
{
    struct str sent = http1_str(expected->bytes.base, expected->head.path);
    struct str method = http1_str(expected->bytes.base, expected->head.method);
    if (sent.len == 0)
        return str_equal(seen, str_equal(method, STR("OPTIONS")) ? STR("*") : STR("/"));
    if (*sent.base == '?') /* of a URI that has no path */
        return seen.len == sent.len + 1 && *seen.base == '/' &&
               memcmp(seen.base + 1, sent.base, sent.len) == 0;
    return str_equal(seen, sent);
}

/* What a handler saw is what was sent. */
static void check_request(const struct call *call, const struct expected *expected)
{
    struct str got = fuzz_str(&call->got), body = fuzz_str(&expected->body);
    FUZZ_CHECK(str_equal(fuzz_str(&call->method), http1_str(expected->bytes.base, expected->head.method)) &&
                   is_path_of(fuzz_str(&call->path), expected),
               "request %u is another", call->number);
    FUZZ_CHECK(got.len <= body.len && (got.len == 0 || memcmp(got.base, body.base, got.len) == 0),
               "request %u has another body", call->number);
    FUZZ_CHECK(!call->ended || (expected->whole && got.len == body.len),
               "request %u: a body that was cut was taken for whole", call->number);
}

/* Answers */

/* What is left to be read of what the client received. */
struct reader {
    const struct client *client;
    const char *at, *end;
    bool excused; /* what is missing of answers is not to be wondered at */
    bool closing; /* an answer said so */
};

/* The head of an answer. */
struct answer {
    int status;
    size_t length; /* SIZE_MAX: none given */
    bool chunked, close, keep_alive;
    int number;
};

/* A line without its CRLF; false if it is not all there. */
static bool next_line(struct reader *reader, struct str *line)
{
    const char *end = memmem(reader->at, (size_t)(reader->end - reader->at), "\r\n", 2);
    if (end == NULL)
        return false;
    *line = (struct str){reader->at, (size_t)(end - reader->at)};
    reader->at = end + 2;
    return true;
}

/* A number with nothing around it. */
static size_t read_number(struct str text)
{
    size_t number = 0;
    FUZZ_CHECK(text.len > 0 && text.len < 10, "no number");
    for (size_t i = 0; i < text.len; i++) {
        FUZZ_CHECK(text.base[i] >= '0' && text.base[i] <= '9', "no number");
        number = number * 10 + (size_t)(text.base[i] - '0');
    }
    return number;
}

static void read_answer_field(struct answer *answer, struct str line)
{
    const char *colon = memmem(line.base, line.len, ": ", 2);
    FUZZ_CHECK(colon != NULL && colon > line.base, "a field without a name");
    struct str name = {line.base, (size_t)(colon - line.base)};
    struct str value = {colon + 2, line.len - name.len - 2};
    if (str_equal(name, STR("Content-Length"))) {
        FUZZ_CHECK(answer->length == SIZE_MAX && !answer->chunked, "two lengths");
        answer->length = read_number(value);
    } else if (str_equal(name, STR("Transfer-Encoding"))) {
        FUZZ_CHECK(answer->length == SIZE_MAX && !answer->chunked, "two lengths");
        FUZZ_CHECK(str_equal(value, STR("chunked")), "another coding");
        answer->chunked = true;
    } else if (str_equal(name, STR("Connection"))) {
        answer->close = str_equal(value, STR("close"));
        answer->keep_alive = str_equal(value, STR("keep-alive"));
    } else if (str_equal(name, STR("X-Number"))) {
        answer->number = (int)read_number(value);
    }
}

/* Returns false if the head is not all there. */
static bool read_answer_head(struct reader *reader, struct answer *answer)
{
    struct str line;
    *answer = (struct answer){.length = SIZE_MAX, .number = -1};
    if (!next_line(reader, &line))
        return false;
    FUZZ_CHECK(line.len > 13 && memcmp(line.base, "HTTP/1.1 ", 9) == 0 && line.base[12] == ' ',
               "no status line: %.*s", (int)line.len, line.base);
    answer->status = (int)read_number((struct str){line.base + 9, 3});
    while (next_line(reader, &line)) {
        if (line.len == 0)
            return true;
        read_answer_field(answer, line);
    }
    return false;
}

/* Reads up to max bytes of the body; false if fewer are there. */
static bool take(struct reader *reader, size_t max, struct fuzz_bytes *body)
{
    size_t here = (size_t)(reader->end - reader->at), n = here < max ? here : max;
    fuzz_append(body, reader->at, n);
    reader->at += n;
    return n == max;
}

/* Returns whether the body is whole; what there is of it is added to body. */
static bool read_chunked_body(struct reader *reader, struct fuzz_bytes *body)
{
    struct str line;
    for (;;) {
        if (!next_line(reader, &line)) {
            reader->at = reader->end;
            return false;
        }
        char digits[16];
        int used = 0;
        unsigned size;
        FUZZ_CHECK(line.len > 0 && line.len < sizeof(digits), "a size of %zu digits", line.len);
        memcpy(digits, line.base, line.len);
        digits[line.len] = '\0';
        FUZZ_CHECK(sscanf(digits, "%8x%n", &size, &used) == 1 && (size_t)used == line.len, "no size: %s",
                   digits);
        if (!take(reader, size, body))
            return false;
        if (!next_line(reader, &line)) {
            reader->at = reader->end;
            return false;
        }
        FUZZ_CHECK(line.len == 0, "a chunk that is too long");
        if (size == 0)
            return true;
    }
}

/* By its handler, or because that kept no promise. */
static bool is_aborted(const struct call *call)
{
    size_t promised = call->promised, sent = call->sent.len;
    return call->aborted || (call->started && promised != SIZE_MAX && promised < sent) ||
           (call->finished && promised != SIZE_MAX && promised > sent);
}

/* The body's end is what it must be, and what there is of it is what the handler sent. */
static void check_body(const struct reader *reader, const struct call *call, bool whole,
                       const struct fuzz_bytes *body)
{
    FUZZ_CHECK(body->len <= call->sent.len &&
                   (body->len == 0 || memcmp(body->base, call->sent.base, body->len) == 0),
               "answer %u has another body", call->number);
    if (whole) {
        FUZZ_CHECK(call->finished && body->len == call->sent.len, "answer %u is cut but looks whole",
                   call->number);
    } else {
        FUZZ_CHECK(reader->at == reader->end, "answer %u is cut, but something follows", call->number);
        FUZZ_CHECK(!call->finished || reader->excused || is_aborted(call), "answer %u is cut", call->number);
        FUZZ_CHECK(!is_aborted(call) || call->promised == SIZE_MAX || reader->client->reset,
                   "answer %u was aborted, and no reset tells", call->number);
    }
}

static void read_answer_body(struct reader *reader, const struct call *call, const struct answer *answer)
{
    bool is_head = str_equal(fuzz_str(&call->method), STR("HEAD"));
    struct fuzz_bytes body = {0};
    if (is_head || answer->status == 204 || answer->status == 304)
        return;
    if (answer->chunked) {
        FUZZ_CHECK(call->minor_version == 1, "chunks for HTTP/1.0");
        check_body(reader, call, read_chunked_body(reader, &body), &body);
    } else if (answer->length != SIZE_MAX) {
        check_body(reader, call, take(reader, answer->length, &body), &body);
    } else {
        FUZZ_CHECK(answer->close, "a body without an end");
        take(reader, (size_t)(reader->end - reader->at), &body);
        check_body(reader, call, reader->client->ended && !reader->client->reset, &body);
    }
    free(body.base);
}

static void skip_continue(struct reader *reader, const struct expected *expected)
{
    static const char line[] = "HTTP/1.1 100 Continue\r\n\r\n";
    size_t len = sizeof(line) - 1;
    if ((size_t)(reader->end - reader->at) < len || memcmp(reader->at, line, len) != 0)
        return;
    FUZZ_CHECK(expected != NULL && expected->head.expects_continue && expected->head.body != HTTP1_BODY_NONE,
               "100 (Continue) for one who did not ask");
    reader->at += len;
}

/* Reads the answer of an call. Returns false if there is none, or a part only. */
static bool read_answer(struct reader *reader, const struct call *call)
{
    struct answer answer;
    bool begun = reader->at < reader->end;
    FUZZ_CHECK(!begun || !reader->closing, "something comes after the last answer");
    if (!begun || !read_answer_head(reader, &answer)) {
        FUZZ_CHECK(!call->finished || reader->excused || is_aborted(call), "answer %u is missing",
                   call->number);
        reader->at = reader->end;
        return false;
    }
    FUZZ_CHECK(answer.status == call->status && answer.number == (int)call->number,
               "answer %d (%d) for request %u", answer.number, answer.status, call->number);
    FUZZ_CHECK(answer.close || call->minor_version == 1 || answer.keep_alive, "HTTP/1.0 is left in doubt");
    FUZZ_CHECK(answer.close || call->rejected == 0, "a connection goes on behind what is no request");
    reader->closing = answer.close;
    read_answer_body(reader, call, &answer);
    return true;
}

/* A refused request is where the parser says that it is. */
static void check_rejected(const struct call *call, const struct requests *requests)
{
    const struct client *client = call->client;
    bool too_slow = call->rejected == 408 && client->excused; /* what comes later might complete it */
    FUZZ_CHECK(call->number + 1 == client->n_calls, "a request behind what is no request");
    FUZZ_CHECK(too_slow || (call->number == requests->n && requests->bad), "%d for a good request",
               call->rejected);
}

/* Whoever closes his side early gets his answers all the same, as far as his requests are whole. */
static void check_half_closed(const struct client *client, const struct requests *requests, bool answered)
{
    size_t n = client->n_calls;
    FUZZ_CHECK(n >= requests->n, "%zu requests sent, %zu seen", requests->n, n);
    FUZZ_CHECK(answered || n == 0 || (n == requests->n && !requests->list[n - 1].whole),
               "no answer for one who has closed his side");
}

/* An call and what was sent and received of it. Returns whether there is an answer that is whole. */
static bool check_call(struct reader *reader, const struct call *call, const struct requests *requests)
{
    const struct client *client = call->client;
    FUZZ_CHECK(!reader->closing, "a request behind the last answer");
    if (call->rejected != 0) {
        check_rejected(call, requests);
    } else {
        FUZZ_CHECK(call->number < requests->n, "more requests than were sent");
        const struct expected *expected = &requests->list[call->number];
        check_request(call, expected);
        skip_continue(reader, expected);
        reader->excused = client->excused || (client->half && !expected->whole);
    }
    return read_answer(reader, call);
}

void conn_answers_check(const struct run *run, const struct client *client)
{
    struct requests requests = read_requests(run, fuzz_str(&client->sent));
    struct reader reader = {.client = client, .at = "", .end = "", .excused = client->excused};
    if (client->received.len > 0) {
        reader.at = client->received.base;
        reader.end = reader.at + client->received.len;
    }
    bool answered = true, aborted = false;
    for (size_t i = 0; i < client->n_calls; i++) {
        const struct call *call = client->calls[i];
        FUZZ_CHECK(answered || client->fd == -1, "a request behind one without an answer");
        aborted = aborted || is_aborted(call);
        answered = check_call(&reader, call, &requests);
    }
    FUZZ_CHECK(reader.at == reader.end, "%zu bytes too many", (size_t)(reader.end - reader.at));
    bool said_close = client->n_calls > 0 && client->n_calls <= requests.n &&
                      !requests.list[client->n_calls - 1].head.keep_alive;
    FUZZ_CHECK(!client->unread || client->excused || aborted || said_close,
               "closed with bytes unread, which takes the answer with it");
    if (client->half && !client->excused && !aborted && !reader.closing && !run->full)
        check_half_closed(client, &requests, answered);
    free_requests(&requests);
}

void conn_answers_check_idle(const struct run *run, const struct client *client)
{
    if (client->fd == -1 || client->ended || client->excused)
        return;
    struct requests requests = read_requests(run, fuzz_str(&client->sent));
    FUZZ_CHECK(!requests.bad, "open behind what is no request");
    FUZZ_CHECK(client->n_calls == requests.n, "%zu requests sent, %zu seen", requests.n, client->n_calls);
    if (requests.n > 0)
        FUZZ_CHECK(client->calls[requests.n - 1]->exchange == NULL || !requests.list[requests.n - 1].whole,
                   "a request waits for ever");
    free_requests(&requests);
}
