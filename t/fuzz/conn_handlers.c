/* conn_handlers.c: handlers for the fuzz target, one for each way of reading a body and of answering. */
#include "conn_fuzz.h"

static const char text[] = "The quick brown fox jumps over the lazy dog.\n";
static const char large[300 * 1024];

enum { TEXT_LEN = sizeof(text) - 1, PARTS = 3, LARGE_ANSWERS = 2, MANY = 70 };

/* Answering */

static void begin(struct exchange *exchange, int status, size_t promised)
{
    h2o_req_t *req = exchange->req;
    char *number = h2o_mem_alloc_pool(&req->pool, 16);
    int len = snprintf(number, 16, "%u", exchange->number);
    exchange->status = status;
    exchange->promised = promised;
    req->res.status = status;
    req->res.reason = "Fuzzed";
    req->res.content_length = promised;
    h2o_add_header_by_str(&req->pool, &req->res.headers, H2O_STRLIT("X-Number"), 0, NULL, number,
                          (size_t)len);
}

static void on_proceed(h2o_generator_t *generator, h2o_req_t *req)
{
    struct exchange *exchange = H2O_STRUCT_FROM_MEMBER(struct exchange, generator, generator);
    FUZZ_CHECK(exchange->req == req && exchange->writing, "room for more of an answer that is not written");
    exchange->client->run->activity++;
    exchange->writing = false;
    if (exchange->on_room != NULL)
        exchange->on_room(exchange);
}

/* Sends a part of the answer; the bytes must live as long as the request. */
static void send_parts(struct exchange *exchange, h2o_iovec_t *parts, size_t n, h2o_send_state_t state)
{
    for (size_t i = 0; i < n; i++)
        fuzz_append(&exchange->sent, parts[i].base, parts[i].len);
    exchange->finished = state == H2O_SEND_STATE_FINAL;
    exchange->aborted = state == H2O_SEND_STATE_ERROR;
    exchange->writing = state == H2O_SEND_STATE_IN_PROGRESS;
    exchange->generator.proceed = on_proceed;
    if (!exchange->started)
        h2o_start_response(exchange->req, &exchange->generator);
    exchange->started = true;
    h2o_send(exchange->req, parts, n, state);
}

static void push(struct exchange *exchange, const char *bytes, size_t len, h2o_send_state_t state)
{
    h2o_iovec_t part = h2o_strdup(&exchange->req->pool, bytes, len);
    exchange->n_parts++;
    send_parts(exchange, &part, len == 0 ? 0 : 1, state);
}

static void answer_with(struct exchange *exchange, int status, const char *bytes, size_t len)
{
    begin(exchange, status, len);
    push(exchange, bytes, len, H2O_SEND_STATE_FINAL);
}

static void answer(struct exchange *exchange)
{
    answer_with(exchange, 200, text, TEXT_LEN);
}

static void abort_answer(struct exchange *exchange)
{
    send_parts(exchange, NULL, 0, H2O_SEND_STATE_ERROR);
}

static void push_and_finish(struct exchange *exchange)
{
    push(exchange, text, TEXT_LEN,
         exchange->n_parts < PARTS ? H2O_SEND_STATE_IN_PROGRESS : H2O_SEND_STATE_FINAL);
}

static void push_in_turn(struct exchange *exchange)
{
    if (!exchange->writing)
        push_and_finish(exchange);
    if (!exchange->finished)
        exchange->on_turn = push_in_turn;
}

static void finish(struct exchange *exchange)
{
    if (exchange->writing)
        exchange->on_room = finish;
    else
        push(exchange, text, TEXT_LEN, H2O_SEND_STATE_FINAL);
}

/* Handlers that do not look at the body */

static void later(struct exchange *exchange)
{
    exchange->on_turn = answer;
}

static void hold(struct exchange *exchange)
{
    exchange->on_release = answer;
}

static void empty(struct exchange *exchange)
{
    begin(exchange, 204, SIZE_MAX);
    push(exchange, NULL, 0, H2O_SEND_STATE_FINAL);
}

static void unchanged(struct exchange *exchange)
{
    begin(exchange, 304, TEXT_LEN);
    push(exchange, NULL, 0, H2O_SEND_STATE_FINAL);
}

static void stream(struct exchange *exchange)
{
    begin(exchange, 201, SIZE_MAX);
    exchange->on_room = push_and_finish;
    push(exchange, NULL, 0, H2O_SEND_STATE_IN_PROGRESS);
}

static void stream_held(struct exchange *exchange)
{
    begin(exchange, 200, SIZE_MAX);
    push(exchange, text, TEXT_LEN, H2O_SEND_STATE_IN_PROGRESS);
    exchange->on_release = finish;
}

static void stream_length(struct exchange *exchange)
{
    begin(exchange, 200, (PARTS + 1) * TEXT_LEN);
    exchange->on_room = push_and_finish;
    push_and_finish(exchange);
}

static void stream_turns(struct exchange *exchange)
{
    begin(exchange, 200, SIZE_MAX);
    exchange->on_turn = push_in_turn;
}

static void too_short(struct exchange *exchange)
{
    begin(exchange, 200, 10 * TEXT_LEN);
    exchange->on_room = push_and_finish;
    push_and_finish(exchange);
}

static void too_long(struct exchange *exchange)
{
    begin(exchange, 200, TEXT_LEN + 5);
    exchange->on_room = push_and_finish;
    push_and_finish(exchange);
}

static void abort_at_once(struct exchange *exchange)
{
    begin(exchange, 200, SIZE_MAX);
    abort_answer(exchange);
}

static void abort_begun(struct exchange *exchange)
{
    begin(exchange, 200, SIZE_MAX);
    exchange->on_room = abort_answer;
    push_and_finish(exchange);
}

static void abort_length(struct exchange *exchange)
{
    begin(exchange, 200, 2 * TEXT_LEN);
    exchange->on_room = abort_answer;
    push_and_finish(exchange);
}

static void abort_while_writing(struct exchange *exchange)
{
    begin(exchange, 200, SIZE_MAX);
    push_and_finish(exchange);
    abort_answer(exchange);
}

static void answer_large(struct exchange *exchange)
{
    h2o_iovec_t part = h2o_iovec_init(large, sizeof(large));
    begin(exchange, 200, exchange->number % 2 == 0 ? SIZE_MAX : sizeof(large));
    if (exchange->number < LARGE_ANSWERS)
        send_parts(exchange, &part, 1, H2O_SEND_STATE_FINAL);
    else
        abort_answer(exchange);
}

static void answer_in_many_parts(struct exchange *exchange)
{
    h2o_iovec_t parts[MANY];
    for (size_t i = 0; i < MANY; i++)
        parts[i] = h2o_iovec_init(text, i % (TEXT_LEN + 1));
    begin(exchange, 200, SIZE_MAX);
    send_parts(exchange, parts, MANY, H2O_SEND_STATE_FINAL);
}

/* Handlers that read the body */

static void read_on(struct exchange *exchange)
{
    exchange->reading = true;
    body_read(exchange->body);
}

/* Keeps the contract of body.h in view: what comes, and when it may. Returns the exchange. */
static struct exchange *note_event(struct body *body, enum body_event event, struct str bytes)
{
    struct exchange *exchange = body->data;
    FUZZ_CHECK(exchange->req != NULL, "a body goes on after its request");
    FUZZ_CHECK(exchange->reading, "event %d while paused", event);
    FUZZ_CHECK(!exchange->ended && !exchange->broken, "event %d after the last one", event);
    exchange->client->run->activity++;
    exchange->ended = event == BODY_END;
    exchange->broken = event == BODY_BROKEN;
    if (event == BODY_DATA) {
        FUZZ_CHECK(bytes.len > 0, "no data");
        fuzz_append(&exchange->got, bytes.base, bytes.len);
        FUZZ_CHECK(exchange->got.len <= exchange->client->run->conf.limits.body, "%zu bytes of a body",
                   exchange->got.len);
    }
    if (body->length != BODY_LENGTH_UNKNOWN)
        FUZZ_CHECK(exchange->ended ? exchange->got.len == body->length : exchange->got.len <= body->length,
                   "%zu bytes of %zu", exchange->got.len, (size_t)body->length);
    if (exchange->broken)
        FUZZ_CHECK(body->status == 400 || body->status == 408 || body->status == 413 ||
                       (body->status == 503 && exchange->client->run->full),
                   "%d", body->status);
    return exchange;
}

static void pause_body(struct exchange *exchange)
{
    exchange->reading = false;
    body_pause(exchange->body);
}

static void read_with(struct exchange *exchange, void (*on_event)(struct body *, enum body_event, struct str))
{
    exchange->body->on_event = on_event;
    exchange->body->data = exchange;
    read_on(exchange);
}

/* Answers with the body, or with what was wrong with it. */
static void answer_body(struct exchange *exchange)
{
    if (exchange->broken)
        answer_with(exchange, exchange->body->status, text, TEXT_LEN);
    else
        answer_with(exchange, 200, exchange->got.base, exchange->got.len);
}

static void on_read(struct body *body, enum body_event event, struct str bytes)
{
    struct exchange *exchange = note_event(body, event, bytes);
    if (event != BODY_DATA)
        answer_body(exchange);
}

static void read_all(struct exchange *exchange)
{
    read_with(exchange, on_read);
}

static void read_later(struct exchange *exchange)
{
    exchange->on_turn = read_all;
}

static void read_when_released(struct exchange *exchange)
{
    exchange->on_release = read_all;
}

static void on_drip(struct body *body, enum body_event event, struct str bytes)
{
    struct exchange *exchange = note_event(body, event, bytes);
    if (event != BODY_DATA) {
        answer_body(exchange);
        return;
    }
    pause_body(exchange);
    exchange->on_turn = read_on;
}

static void drip(struct exchange *exchange)
{
    read_with(exchange, on_drip);
}

static void on_first(struct body *body, enum body_event event, struct str bytes)
{
    struct exchange *exchange = note_event(body, event, bytes);
    if (!exchange->started)
        answer(exchange);
}

static void answer_early(struct exchange *exchange)
{
    read_with(exchange, on_first);
}

static void on_given_up(struct body *body, enum body_event event, struct str bytes)
{
    struct exchange *exchange = note_event(body, event, bytes);
    if (event == BODY_DATA)
        pause_body(exchange);
    exchange->on_turn = answer;
}

static void give_up(struct exchange *exchange)
{
    read_with(exchange, on_given_up);
}

/* Sends the body back as it comes, and takes no more than is written. */
static void on_duplex(struct body *body, enum body_event event, struct str bytes)
{
    struct exchange *exchange = note_event(body, event, bytes);
    switch (event) {
    case BODY_DATA:
        pause_body(exchange);
        push(exchange, bytes.base, bytes.len, H2O_SEND_STATE_IN_PROGRESS);
        break;
    case BODY_END:
        push(exchange, NULL, 0, H2O_SEND_STATE_FINAL);
        break;
    case BODY_BROKEN:
        abort_answer(exchange);
        break;
    }
}

static void duplex(struct exchange *exchange)
{
    begin(exchange, 200, SIZE_MAX);
    exchange->on_room = read_on;
    read_with(exchange, on_duplex);
}

struct collected {
    struct body_whole whole;
    struct arena arena;
    struct exchange *exchange;
};

static void *alloc_for(void *arg, size_t size)
{
    return h2o_mem_alloc_pool(arg, size);
}

static void on_collected(struct body_whole *whole, bool complete)
{
    struct exchange *exchange = ((struct collected *)whole)->exchange;
    FUZZ_CHECK(exchange->req != NULL && !exchange->started, "collected twice, or too late");
    exchange->ended = complete;
    exchange->broken = !complete;
    if (complete)
        fuzz_append(&exchange->got, whole->bytes, whole->len);
    answer_body(exchange);
}

static void collect(struct exchange *exchange)
{
    struct collected *collected = h2o_mem_alloc_pool(&exchange->req->pool, sizeof(*collected));
    *collected = (struct collected){
        .whole = {.arena = &collected->arena, .done = on_collected},
        .arena = {alloc_for, &exchange->req->pool},
        .exchange = exchange,
    };
    body_collect(&collected->whole, exchange->body);
}

/* Requests */

static const struct {
    const char *name;
    void (*handle)(struct exchange *exchange);
} handlers[] = {
    {"/later", later},
    {"/hold", hold},
    {"/empty", empty},
    {"/unchanged", unchanged},
    {"/stream", stream},
    {"/stream-held", stream_held},
    {"/stream-length", stream_length},
    {"/stream-turns", stream_turns},
    {"/too-short", too_short},
    {"/too-long", too_long},
    {"/abort", abort_at_once},
    {"/abort-begun", abort_begun},
    {"/abort-length", abort_length},
    {"/abort-writing", abort_while_writing},
    {"/large", answer_large},
    {"/many", answer_in_many_parts},
    {"/read", read_all},
    {"/read-later", read_later},
    {"/read-held", read_when_released},
    {"/drip", drip},
    {"/early", answer_early},
    {"/give-up", give_up},
    {"/duplex", duplex},
    {"/collect", collect},
};

static void on_dispose(void *memory)
{
    struct exchange *exchange = *(struct exchange **)memory;
    exchange->client->run->activity++;
    exchange->req = NULL;
    exchange->body = NULL;
    exchange->on_room = exchange->on_turn = exchange->on_release = NULL;
}

static struct client *client_of(struct run *run, h2o_req_t *req)
{
    int fd = h2o_socket_get_fd(req->conn->callbacks->get_socket(req->conn));
    size_t i = 0;
    while (i < CONN_FUZZ_CLIENTS && run->clients[i].server_fd != fd)
        i++;
    FUZZ_CHECK(i < CONN_FUZZ_CLIENTS, "a request from nobody");
    return &run->clients[i];
}

static struct exchange *exchange_new(struct run *run, h2o_req_t *req, struct body *body)
{
    struct client *client = client_of(run, req);
    struct exchange *exchange = mem_calloc(1, sizeof(*exchange));
    struct exchange *before = client->n_exchanges == 0 ? NULL : client->exchanges[client->n_exchanges - 1];
    FUZZ_CHECK(before == NULL || before->req == NULL, "two requests at once");
    *exchange = (struct exchange){
        .client = client,
        .number = (unsigned)client->n_exchanges,
        .req = req,
        .body = body,
        .version = req->version,
    };
    fuzz_append(&exchange->method, req->method.base, req->method.len);
    fuzz_append(&exchange->path, req->path.base, req->path.len);
    MEM_GROW(&client->exchanges, client->n_exchanges);
    client->exchanges[client->n_exchanges++] = exchange;
    *(struct exchange **)h2o_mem_alloc_shared(&req->pool, sizeof(exchange), on_dispose) = exchange;
    run->activity++;
    return exchange;
}

void conn_handlers_request(void *arg, h2o_req_t *req, struct body *body)
{
    struct exchange *exchange = exchange_new(arg, req, body);
    struct str path = fuzz_str(&exchange->path);
    const char *query = memchr(path.base, '?', path.len);
    if (query != NULL)
        path.len = (size_t)(query - path.base);
    for (size_t i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++) {
        if (str_equal(path, str_of(handlers[i].name))) {
            handlers[i].handle(exchange);
            return;
        }
    }
    answer(exchange);
}

void conn_handlers_reject(void *arg, h2o_req_t *req, int status, const char *detail)
{
    struct exchange *exchange = exchange_new(arg, req, NULL);
    exchange->rejected = status;
    answer_with(exchange, status, detail, strlen(detail));
}
