/* conn_handlers.c: handlers for the fuzz target, one for each way of reading a body and of answering. */
#include "conn_fuzz.h"

static const char text[] = "The quick brown fox jumps over the lazy dog.\n";
static const char large[300 * 1024];

enum { TEXT_LEN = sizeof(text) - 1, PARTS = 3, LARGE_ANSWERS = 2, MANY = 70 };

/* Answering */

static void begin(struct call *call, int status, size_t promised)
{
    struct sink *sink = &call->exchange->sink;
    const char *number = arena_printf(&sink->arena, "%u", call->number);
    struct sink_field field = {STR("X-Number"), str_of(number)};
    struct sink_head head = {
        .status = status, .reason = "Fuzzed", .content_length = promised, .fields = &field, .n_fields = 1};
    call->status = status;
    call->promised = promised;
    sink->ops->start(sink, &head);
}

static void on_room(struct sink *sink)
{
    struct call *call = sink->data;
    FUZZ_CHECK(&call->exchange->sink == sink && call->writing,
               "room for more of an answer that is not written");
    call->client->run->activity++;
    call->writing = false;
    if (call->on_room != NULL)
        call->on_room(call);
}

/* Sends a part of the answer; the bytes must live as long as the request. */
static void send_parts(struct call *call, const struct str *parts, size_t n, enum exchange_part part)
{
    struct sink *sink = &call->exchange->sink;
    for (size_t i = 0; i < n; i++)
        fuzz_append(&call->sent, parts[i].base, parts[i].len);
    call->finished = part == EXCHANGE_LAST;
    call->aborted = part == EXCHANGE_ABORTED;
    call->writing = part == EXCHANGE_MORE;
    call->started = true;
    if (call->finished)
        sink->ops->finish(sink, parts, n);
    else if (call->writing)
        sink->ops->push(sink, parts, n);
    else
        sink->ops->abort(sink);
}

static void push(struct call *call, const char *bytes, size_t len, enum exchange_part part)
{
    struct str copy = {arena_copy(&call->exchange->sink.arena, (struct str){bytes, len}), len};
    call->n_parts++;
    send_parts(call, &copy, len == 0 ? 0 : 1, part);
}

static void answer_with(struct call *call, int status, const char *bytes, size_t len)
{
    begin(call, status, len);
    push(call, bytes, len, EXCHANGE_LAST);
}

static void answer(struct call *call)
{
    answer_with(call, 200, text, TEXT_LEN);
}

static void abort_answer(struct call *call)
{
    send_parts(call, NULL, 0, EXCHANGE_ABORTED);
}

static void push_and_finish(struct call *call)
{
    push(call, text, TEXT_LEN, call->n_parts < PARTS ? EXCHANGE_MORE : EXCHANGE_LAST);
}

static void push_in_turn(struct call *call)
{
    if (!call->writing)
        push_and_finish(call);
    if (!call->finished)
        call->on_turn = push_in_turn;
}

static void finish(struct call *call)
{
    if (call->writing)
        call->on_room = finish;
    else
        push(call, text, TEXT_LEN, EXCHANGE_LAST);
}

/* Handlers that do not look at the body */

static void later(struct call *call)
{
    call->on_turn = answer;
}

static void hold(struct call *call)
{
    call->on_release = answer;
}

static void empty(struct call *call)
{
    begin(call, 204, SIZE_MAX);
    push(call, NULL, 0, EXCHANGE_LAST);
}

static void unchanged(struct call *call)
{
    begin(call, 304, TEXT_LEN);
    push(call, NULL, 0, EXCHANGE_LAST);
}

static void stream(struct call *call)
{
    begin(call, 201, SIZE_MAX);
    call->on_room = push_and_finish;
    push(call, NULL, 0, EXCHANGE_MORE);
}

static void stream_held(struct call *call)
{
    begin(call, 200, SIZE_MAX);
    push(call, text, TEXT_LEN, EXCHANGE_MORE);
    call->on_release = finish;
}

static void stream_length(struct call *call)
{
    begin(call, 200, (PARTS + 1) * TEXT_LEN);
    call->on_room = push_and_finish;
    push_and_finish(call);
}

static void stream_turns(struct call *call)
{
    begin(call, 200, SIZE_MAX);
    call->on_turn = push_in_turn;
}

static void too_short(struct call *call)
{
    begin(call, 200, 10 * TEXT_LEN);
    call->on_room = push_and_finish;
    push_and_finish(call);
}

static void too_long(struct call *call)
{
    begin(call, 200, TEXT_LEN + 5);
    call->on_room = push_and_finish;
    push_and_finish(call);
}

static void abort_at_once(struct call *call)
{
    begin(call, 200, SIZE_MAX);
    abort_answer(call);
}

static void abort_begun(struct call *call)
{
    begin(call, 200, SIZE_MAX);
    call->on_room = abort_answer;
    push_and_finish(call);
}

static void abort_length(struct call *call)
{
    begin(call, 200, 2 * TEXT_LEN);
    call->on_room = abort_answer;
    push_and_finish(call);
}

static void abort_while_writing(struct call *call)
{
    begin(call, 200, SIZE_MAX);
    push_and_finish(call);
    abort_answer(call);
}

static void answer_large(struct call *call)
{
    struct str part = {large, sizeof(large)};
    begin(call, 200, call->number % 2 == 0 ? SIZE_MAX : sizeof(large));
    if (call->number < LARGE_ANSWERS)
        send_parts(call, &part, 1, EXCHANGE_LAST);
    else
        abort_answer(call);
}

static void answer_in_many_parts(struct call *call)
{
    struct str parts[MANY];
    for (size_t i = 0; i < MANY; i++)
        parts[i] = (struct str){text, i % (TEXT_LEN + 1)};
    begin(call, 200, SIZE_MAX);
    send_parts(call, parts, MANY, EXCHANGE_LAST);
}

/* Handlers that read the body */

static void read_on(struct call *call)
{
    call->reading = true;
    body_read(call->body);
}

/* Keeps the contract of body.h in view: what comes, and when it may. Returns the call. */
static struct call *note_event(struct body *body, enum body_event event, struct str bytes)
{
    struct call *call = body->data;
    FUZZ_CHECK(call->exchange != NULL, "a body goes on after its request");
    FUZZ_CHECK(call->reading, "event %d while paused", event);
    FUZZ_CHECK(!call->ended && !call->broken, "event %d after the last one", event);
    call->client->run->activity++;
    call->ended = event == BODY_END;
    call->broken = event == BODY_BROKEN;
    if (event == BODY_DATA) {
        FUZZ_CHECK(bytes.len > 0, "no data");
        fuzz_append(&call->got, bytes.base, bytes.len);
        FUZZ_CHECK(call->got.len <= call->client->run->conf.limits.body, "%zu bytes of a body",
                   call->got.len);
    }
    if (body->length != BODY_LENGTH_UNKNOWN)
        FUZZ_CHECK(call->ended ? call->got.len == body->length : call->got.len <= body->length,
                   "%zu bytes of %zu", call->got.len, (size_t)body->length);
    if (call->broken)
        FUZZ_CHECK(body->status == 400 || body->status == 408 || body->status == 413 ||
                       (body->status == 503 && call->client->run->full),
                   "%d", body->status);
    return call;
}

static void pause_body(struct call *call)
{
    call->reading = false;
    body_pause(call->body);
}

static void read_with(struct call *call, void (*on_event)(struct body *, enum body_event, struct str))
{
    call->body->on_event = on_event;
    call->body->data = call;
    read_on(call);
}

/* Answers with the body, or with what was wrong with it. */
static void answer_body(struct call *call)
{
    if (call->broken)
        answer_with(call, call->body->status, text, TEXT_LEN);
    else
        answer_with(call, 200, call->got.base, call->got.len);
}

static void on_read(struct body *body, enum body_event event, struct str bytes)
{
    struct call *call = note_event(body, event, bytes);
    if (event != BODY_DATA)
        answer_body(call);
}

static void read_all(struct call *call)
{
    read_with(call, on_read);
}

static void read_later(struct call *call)
{
    call->on_turn = read_all;
}

static void read_when_released(struct call *call)
{
    call->on_release = read_all;
}

static void on_drip(struct body *body, enum body_event event, struct str bytes)
{
    struct call *call = note_event(body, event, bytes);
    if (event != BODY_DATA) {
        answer_body(call);
        return;
    }
    pause_body(call);
    call->on_turn = read_on;
}

static void drip(struct call *call)
{
    read_with(call, on_drip);
}

static void on_first(struct body *body, enum body_event event, struct str bytes)
{
    struct call *call = note_event(body, event, bytes);
    if (!call->started)
        answer(call);
}

static void answer_early(struct call *call)
{
    read_with(call, on_first);
}

static void on_given_up(struct body *body, enum body_event event, struct str bytes)
{
    struct call *call = note_event(body, event, bytes);
    if (event == BODY_DATA)
        pause_body(call);
    call->on_turn = answer;
}

static void give_up(struct call *call)
{
    read_with(call, on_given_up);
}

/* Sends the body back as it comes, and takes no more than is written. */
static void on_duplex(struct body *body, enum body_event event, struct str bytes)
{
    struct call *call = note_event(body, event, bytes);
    switch (event) {
    case BODY_DATA:
        pause_body(call);
        push(call, bytes.base, bytes.len, EXCHANGE_MORE);
        break;
    case BODY_END:
        push(call, NULL, 0, EXCHANGE_LAST);
        break;
    case BODY_BROKEN:
        abort_answer(call);
        break;
    }
}

static void duplex(struct call *call)
{
    begin(call, 200, SIZE_MAX);
    call->on_room = read_on;
    read_with(call, on_duplex);
}

struct collected {
    struct body_whole whole;
    struct call *call;
};

static void on_collected(struct body_whole *whole, bool complete)
{
    struct call *call = ((struct collected *)whole)->call;
    FUZZ_CHECK(call->exchange != NULL && !call->started, "collected twice, or too late");
    call->ended = complete;
    call->broken = !complete;
    if (complete)
        fuzz_append(&call->got, whole->bytes, whole->len);
    answer_body(call);
}

static void collect(struct call *call)
{
    const struct arena *arena = &call->exchange->sink.arena;
    struct collected *collected = arena_alloc(arena, sizeof(*collected));
    *collected = (struct collected){
        .whole = {.arena = arena, .done = on_collected},
        .call = call,
    };
    body_collect(&collected->whole, call->body);
}

/* Requests */

static const struct {
    const char *name;
    void (*handle)(struct call *call);
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

static void on_gone(struct sink *sink)
{
    struct call *call = sink->data;
    call->client->run->activity++;
    call->exchange = NULL;
    call->body = NULL;
    call->on_room = call->on_turn = call->on_release = NULL;
}

static struct client *client_of(struct run *run, const struct exchange *exchange)
{
    int fd = h2o_socket_get_fd(exchange->peer->socket);
    size_t i = 0;
    while (i < CONN_FUZZ_CLIENTS && run->clients[i].server_fd != fd)
        i++;
    FUZZ_CHECK(i < CONN_FUZZ_CLIENTS, "a request from nobody");
    return &run->clients[i];
}

static struct call *call_new(struct exchange *exchange)
{
    struct run *run = H2O_STRUCT_FROM_MEMBER(struct run, exchanges, exchange->all);
    struct client *client = client_of(run, exchange);
    struct call *call = mem_calloc(1, sizeof(*call));
    struct call *before = client->n_calls == 0 ? NULL : client->calls[client->n_calls - 1];
    FUZZ_CHECK(before == NULL || before->exchange == NULL, "two requests at once");
    *call = (struct call){
        .client = client,
        .number = (unsigned)client->n_calls,
        .exchange = exchange,
        .body = exchange->body,
        .minor_version = exchange->minor_version,
    };
    fuzz_append(&call->method, exchange->method.base, exchange->method.len);
    fuzz_append(&call->path, exchange->path.base, exchange->path.len);
    MEM_GROW(&client->calls, client->n_calls);
    client->calls[client->n_calls++] = call;
    exchange->sink.data = call;
    exchange->sink.room = on_room;
    exchange->sink.gone = on_gone;
    run->activity++;
    return call;
}

static void on_request(struct exchange *exchange)
{
    struct call *call = call_new(exchange);
    struct str path = fuzz_str(&call->path);
    const char *query = memchr(path.base, '?', path.len);
    if (query != NULL)
        path.len = (size_t)(query - path.base);
    for (size_t i = 0; i < sizeof(handlers) / sizeof(handlers[0]); i++) {
        if (str_equal(path, str_of(handlers[i].name))) {
            handlers[i].handle(call);
            return;
        }
    }
    answer(call);
}

static void on_reject(struct exchange *exchange, int status, const char *detail)
{
    struct call *call = call_new(exchange);
    call->rejected = status;
    answer_with(call, status, detail, strlen(detail));
}

const struct exchanges_ops conn_handlers_ops = {.request = on_request, .reject = on_reject};
