/*
 * echo.c: a server for tests: tells clients, and its standard output, what a handler saw of each request.
 *
 *     echo PORT|unix:PATH [-o KEY=VALUE]...       the keys are the conf's: -o limits.body=1K
 *
 * One process and one loop, on the same connections as the real server. Every request that reaches a
 * handler is written to standard output as one line of JSON, once: when its body is whole, is broken, or
 * is known not to be wanted; or, with "broken":"gone", when the client left before that. The same line is
 * the answer. These paths do something else:
 *
 *     /whole                     collects the body in one piece
 *     /nobody                    answers at once and leaves the body alone
 *     /late?ms=&pause=&every=    reads the body only after ms, then pauses behind every so many bytes
 *     /slow?ms=                  reads the body, and answers ms later
 *     /stream?n=&chunk=          n bytes of no declared length, in pieces of chunk bytes
 *     /abort?after=&length=      gives up behind so many bytes, of length if that is given
 *     /short?length=&send=       declares one length and sends another; with &chunk=, in pieces
 *     /204 /304                  that status, from a handler that sends a body all the same
 *
 * The three kinds of streams take &status=, too.
 *
 * A client that leaves before it was answered adds the line {"gone":PATH}.
 */
#include <h2o.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/clock.h"
#include "server/conn.h"
#include "base/json.h"
#include "process/listen.h"
#include "base/log.h"
#include "base/mem.h"
#include "http/problem.h"

enum {
    KEEP = 16 * 1024, /* bytes of a body that are shown; of longer ones, only the length */
    TICK_MS = 5,
    PERIOD = 26,
    PATTERN_SIZE = 4096 * PERIOD,
    MAX_OVERRIDES = 32,
};

struct echo {
    h2o_loop_t *loop;
    struct conf *conf;
    struct exchanges exchanges;
    struct conn_context connections;
    h2o_timeout_t ticks;
    char pattern[PATTERN_SIZE]; /* what streams are made of: abc…zabc… */
};

/* What is made of an exchange. It lives in the request's memory; on_gone is called before that goes. */
struct call {
    struct echo *echo;
    struct exchange *exchange;
    struct sink *sink;
    struct str path, query;
    unsigned peer; /* the client's port */
    bool logged, answered;

    struct body *body;
    struct body_whole whole;
    char *kept;
    uint64_t taken, pause_every, pause_next;
    unsigned pause_ms;

    h2o_timeout_entry_t timer;
    uint64_t due; /* clock_ms */
    void (*on_due)(struct call *call);

    uint64_t stream_at, stream_end;
    size_t stream_piece;
    bool stream_aborts;
};

static volatile sig_atomic_t stopped;

static void on_signal(int number)
{
    (void)number;
    stopped = 1;
}

/* The number that the query gives to a name; otherwise, where it gives none. */
static uint64_t query_number(const struct call *call, const char *name, uint64_t otherwise)
{
    size_t len = strlen(name);
    const char *p = call->query.base, *end = p + call->query.len;
    while (p < end) {
        const char *next = memchr(p, '&', (size_t)(end - p));
        if ((size_t)(end - p) > len && memcmp(p, name, len) == 0 && p[len] == '=')
            return strtoull(p + len + 1, NULL, 10);
        p = next == NULL ? end : next + 1;
    }
    return otherwise;
}

/* Timers */

static void on_tick(h2o_timeout_entry_t *entry)
{
    struct call *call = H2O_STRUCT_FROM_MEMBER(struct call, timer, entry);
    if (clock_ms() >= call->due)
        call->on_due(call);
    else
        h2o_timeout_link(call->echo->loop, &call->echo->ticks, entry);
}

static void after(struct call *call, uint64_t ms, void (*on_due)(struct call *))
{
    call->due = clock_ms() + ms;
    call->on_due = on_due;
    call->timer.cb = on_tick;
    h2o_timeout_link(call->echo->loop, &call->echo->ticks, &call->timer);
}

/* What the handler saw */

static void put_text(struct json_writer *json, const char *text)
{
    json_raw(json, text, strlen(text));
}

/* Bytes of any kind as a JSON string, each byte that is not plain ASCII as the character of its number. */
static void put_bytes(struct json_writer *json, const char *bytes, size_t len)
{
    json_char(json, '"');
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)bytes[i];
        if (c >= ' ' && c < 0x7f && c != '"' && c != '\\')
            json_char(json, (char)c);
        else
            json->len += (size_t)sprintf(json_reserve(json, 7), "\\u%04x", c);
    }
    json_char(json, '"');
}

static void put_number(struct json_writer *json, uint64_t number)
{
    json->len += (size_t)sprintf(json_reserve(json, 21), "%llu", (unsigned long long)number);
}

/* broken: a JSON value, or NULL. bytes: the body, or NULL where it was not looked at or is long. */
static struct json_writer describe(const struct call *call, const char *broken, const char *bytes)
{
    const struct exchange *exchange = call->exchange;
    struct json_writer json = json_writer_on(NULL, 0);
    put_text(&json, "{\"peer\":");
    put_number(&json, call->peer);
    put_text(&json, ",\"method\":");
    put_bytes(&json, exchange->method.base, exchange->method.len);
    put_text(&json, ",\"path\":");
    put_bytes(&json, exchange->path.base, exchange->path.len);
    put_text(&json, ",\"authority\":");
    put_bytes(&json, exchange->authority.base, exchange->authority.len);
    put_text(&json, exchange->minor_version == 1 ? ",\"version\":\"1.1\"" : ",\"version\":\"1.0\"");
    put_text(&json, ",\"length\":");
    put_number(&json, call->taken);
    put_text(&json, ",\"body\":");
    if (bytes == NULL)
        put_text(&json, "null");
    else
        put_bytes(&json, bytes, call->taken);
    if (broken != NULL) {
        put_text(&json, ",\"broken\":");
        put_text(&json, broken);
    }
    put_text(&json, "}\n");
    return json;
}

static void log_text(const char *text, size_t len)
{
    fwrite(text, 1, len, stdout);
    fflush(stdout);
}

/* Writes the request's line, and returns it in the request's memory. */
static struct str log_request(struct call *call, const char *broken, const char *bytes)
{
    struct json_writer json = describe(call, broken, bytes);
    struct str line = {arena_copy(&call->sink->arena, (struct str){json.base, json.len}), json.len};
    log_text(line.base, line.len);
    free(json.base);
    call->logged = true;
    return line;
}

/* The body as it is shown: what was kept of it, if that is all. */
static const char *shown_body(const struct call *call)
{
    return call->taken == 0 ? "" : call->taken <= KEEP ? call->kept : NULL;
}

/* Answers */

static void begin_answer(struct call *call, int status, const char *type, size_t length)
{
    call->answered = true;
    struct sink_head head = {.status = status, .content_type = str_of(type), .content_length = length};
    call->sink->ops->start(call->sink, &head);
}

static void answer(struct call *call, int status, const char *type, struct str bytes)
{
    begin_answer(call, status, type, bytes.len);
    call->sink->ops->finish(call->sink, &bytes, 1);
}

static void answer_problem(struct call *call, int status, const char *detail)
{
    struct json_writer json = json_writer_on(NULL, 0);
    put_text(&json, "{\"type\":\"about:blank\",\"title\":");
    json_string(&json, problem_reason(status), strlen(problem_reason(status)));
    put_text(&json, ",\"status\":");
    put_number(&json, (uint64_t)status);
    put_text(&json, ",\"detail\":");
    json_string(&json, detail, strlen(detail));
    put_text(&json, "}\n");
    struct str text = {arena_copy(&call->sink->arena, (struct str){json.base, json.len}), json.len};
    free(json.base);
    answer(call, status, "application/problem+json", text);
}

static void answer_seen(struct call *call, const char *bytes)
{
    answer(call, 200, "application/json", log_request(call, NULL, bytes));
}

static void answer_broken(struct call *call)
{
    char status[12];
    snprintf(status, sizeof(status), "%d", call->body->status);
    log_request(call, status, shown_body(call));
    answer_problem(call, call->body->status, call->body->detail);
}

/* Streams */

static void stream_next(struct call *call)
{
    struct sink *sink = call->sink;
    uint64_t left = call->stream_end - call->stream_at;
    size_t n = left < call->stream_piece ? (size_t)left : call->stream_piece;
    struct str part = {call->echo->pattern + call->stream_at % PERIOD, n};
    call->stream_at += n;
    if (left == 0 && call->stream_aborts)
        sink->ops->abort(sink);
    else if (n == left && !call->stream_aborts)
        sink->ops->finish(sink, &part, n > 0);
    else
        sink->ops->push(sink, &part, 1);
}

static void on_room(struct sink *sink)
{
    stream_next(sink->data);
}

static void stream(struct call *call, size_t declared, uint64_t n, bool aborts)
{
    uint64_t piece = query_number(call, "chunk", PATTERN_SIZE - PERIOD);
    call->stream_end = n;
    call->stream_piece = piece == 0 || piece > PATTERN_SIZE - PERIOD ? PATTERN_SIZE - PERIOD : (size_t)piece;
    call->stream_aborts = aborts;
    call->sink->room = on_room;
    begin_answer(call, (int)query_number(call, "status", 200), "text/plain", declared);
    stream_next(call);
}

/* Bodies */

static void read_on(struct call *call)
{
    body_read(call->body);
}

static void take(struct call *call, struct str bytes)
{
    if (call->taken + bytes.len <= KEEP) {
        if (call->kept == NULL)
            call->kept = mem_alloc(KEEP);
        memcpy(call->kept + call->taken, bytes.base, bytes.len);
    }
    call->taken += bytes.len;
    if (call->pause_every != 0 && call->taken >= call->pause_next) {
        call->pause_next = call->taken + call->pause_every;
        body_pause(call->body);
        after(call, call->pause_ms, read_on);
    }
}

static void answer_shown(struct call *call)
{
    answer_seen(call, shown_body(call));
}

static void answer_later(struct call *call)
{
    answer(call, 200, "application/json", STR("{\"slow\":true}\n"));
}

static void on_body_end(struct call *call)
{
    if (str_equal(call->path, STR("/slow"))) {
        log_request(call, NULL, shown_body(call));
        after(call, query_number(call, "ms", 200), answer_later);
    } else {
        answer_shown(call);
    }
}

static void on_body_event(struct body *body, enum body_event event, struct str bytes)
{
    struct call *call = body->data;
    if (h2o_timeout_is_linked(&call->timer))
        log_fatalx("something of a body came while it was paused");
    switch (event) {
    case BODY_DATA:
        take(call, bytes);
        break;
    case BODY_END:
        on_body_end(call);
        break;
    case BODY_BROKEN:
        answer_broken(call);
        break;
    }
}

static void on_whole(struct body_whole *whole, bool complete)
{
    struct call *call = H2O_STRUCT_FROM_MEMBER(struct call, whole, whole);
    call->taken = whole->len;
    if (complete)
        answer_seen(call, whole->len == 0 ? "" : whole->len <= KEEP ? whole->bytes : NULL);
    else
        answer_broken(call);
}

/* Requests */

static void handle_late(struct call *call)
{
    call->pause_ms = (unsigned)query_number(call, "pause", 0);
    if (call->pause_ms != 0)
        call->pause_every = call->pause_next = query_number(call, "every", 1);
    after(call, query_number(call, "ms", 200), read_on);
}

static void handle(struct call *call)
{
    struct str path = call->path;
    struct body *body = call->body;
    if (str_equal(path, STR("/whole"))) {
        call->whole = (struct body_whole){.arena = &call->sink->arena, .done = on_whole};
        body_collect(&call->whole, body);
        return;
    }
    body->on_event = on_body_event;
    body->data = call;
    if (str_equal(path, STR("/nobody"))) {
        answer_seen(call, NULL);
    } else if (str_equal(path, STR("/late"))) {
        handle_late(call);
    } else if (str_equal(path, STR("/stream"))) {
        log_request(call, NULL, NULL);
        stream(call, SIZE_MAX, query_number(call, "n", 100), false);
    } else if (str_equal(path, STR("/abort"))) {
        log_request(call, NULL, NULL);
        stream(call, query_number(call, "length", SIZE_MAX), query_number(call, "after", 100), true);
    } else if (str_equal(path, STR("/short"))) {
        log_request(call, NULL, NULL);
        stream(call, query_number(call, "length", 100), query_number(call, "send", 50), false);
    } else if (str_equal(path, STR("/204")) || str_equal(path, STR("/304"))) {
        log_request(call, NULL, NULL);
        answer(call, path.base[1] == '2' ? 204 : 304, "text/plain", STR("not to be sent"));
    } else {
        body_read(body);
    }
}

static void on_gone(struct sink *sink)
{
    struct call *call = sink->data;
    h2o_timeout_unlink(&call->timer);
    if (!call->logged) {
        struct json_writer json = describe(call, "\"gone\"", shown_body(call));
        log_text(json.base, json.len);
        free(json.base);
    } else if (!call->answered) {
        struct json_writer json = json_writer_on(NULL, 0);
        put_text(&json, "{\"gone\":");
        put_bytes(&json, call->exchange->path.base, call->exchange->path.len);
        put_text(&json, "}\n");
        log_text(json.base, json.len);
        free(json.base);
    }
    free(call->kept);
}

static unsigned peer_port(const struct exchange *exchange)
{
    struct sockaddr_storage address = {0};
    h2o_socket_getpeername(exchange->peer->socket, (struct sockaddr *)&address);
    int32_t port = h2o_socket_getport((struct sockaddr *)&address);
    return port < 0 ? 0 : (unsigned)port;
}

static struct call *call_new(struct exchange *exchange)
{
    struct echo *echo = H2O_STRUCT_FROM_MEMBER(struct echo, exchanges, exchange->all);
    struct sink *sink = &exchange->sink;
    struct call *call = arena_alloc(&sink->arena, sizeof(*call));
    *call = (struct call){.echo = echo, .exchange = exchange, .sink = sink, .peer = peer_port(exchange)};
    sink->data = call;
    sink->gone = on_gone;
    return call;
}

static void on_request(struct exchange *exchange)
{
    struct call *call = call_new(exchange);
    struct str path = exchange->path;
    const char *mark = memchr(path.base, '?', path.len);
    call->path = path;
    if (mark != NULL) {
        call->path.len = (size_t)(mark - path.base);
        call->query = (struct str){mark + 1, path.len - call->path.len - 1};
    }
    call->body = exchange->body;
    handle(call);
}

static void on_reject(struct exchange *exchange, int status, const char *detail)
{
    struct call *call = call_new(exchange);
    call->logged = true; /* no handler sees it */
    answer_problem(call, status, detail);
}

static void on_acceptable(h2o_socket_t *listener, const char *error)
{
    struct echo *echo = listener->data;
    h2o_socket_t *socket;
    if (error != NULL)
        return;
    while ((socket = h2o_evloop_socket_accept(listener)) != NULL)
        conn_accept(&echo->connections, socket, NULL);
}

/* Starting and ending */

/* The conf of a server that has no conf file but these overrides. Ends the program where they are wrong. */
static struct conf *load_conf(const struct conf_override *overrides, size_t n)
{
    static const char text[] = "routes:\n  GET /:\n    text: echo\n";
    char path[32];
    int fd = memfd_create("conf", MFD_CLOEXEC);
    if (fd < 0 || write(fd, text, sizeof(text) - 1) < 0)
        log_fatal("cannot make a conf file");
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    struct conf *conf = conf_load(path, overrides, n, stderr);
    close(fd);
    if (conf == NULL)
        exit(EXIT_FAILURE);
    return conf;
}

static struct conf *read_arguments(int argc, char **argv)
{
    struct conf_override overrides[MAX_OVERRIDES];
    size_t n = 0;
    char *listen = NULL;
    int option;
    while ((option = getopt(argc, argv, "o:")) != -1) {
        char *equals = option == 'o' ? strchr(optarg, '=') : NULL;
        if (equals == NULL || n == MAX_OVERRIDES - 1)
            break;
        *equals = '\0';
        overrides[n++] = (struct conf_override){optarg, equals + 1};
    }
    if (option != -1 || optind != argc - 1)
        log_fatalx("usage: echo PORT|unix:PATH [-o KEY=VALUE]...");
    bool is_port = strspn(argv[optind], "0123456789") == strlen(argv[optind]);
    listen = mem_printf("\"%s%s\"", is_port ? "127.0.0.1:" : "", argv[optind]);
    overrides[n++] = (struct conf_override){"listen", listen};
    struct conf *conf = load_conf(overrides, n);
    free(listen);
    return conf;
}

static void echo_init(struct echo *echo, struct conf *conf)
{
    static const struct exchanges_ops ops = {.request = on_request, .reject = on_reject};
    echo->conf = conf;
    for (size_t i = 0; i < sizeof(echo->pattern); i++)
        echo->pattern[i] = (char)('a' + i % PERIOD);
    echo->loop = h2o_evloop_create();
    exchanges_init(&echo->exchanges, &ops, NULL);
    h2o_timeout_init(echo->loop, &echo->ticks, TICK_MS);
    echo->connections = (struct conn_context){
        .loop = echo->loop,
        .conf = conf,
        .timeouts = timeouts_new(echo->loop),
        .outbox = conf->io_uring == CONF_ON ? outbox_new(echo->loop) : NULL,
        .exchanges = &echo->exchanges,
    };
    conn_context_init(&echo->connections);
    outbox_open(echo->connections.outbox);
}

static void echo_free(struct echo *echo)
{
    h2o_loop_t *loop = echo->loop;
    conn_context_dispose(&echo->connections);
    exchanges_dispose(&echo->exchanges);
    timeouts_free(echo->connections.timeouts);
    outbox_free(echo->connections.outbox);
    h2o_timeout_dispose(loop, &echo->ticks);
    h2o_evloop_destroy(loop);
    conf_free(echo->conf);
    free(echo);
}

int main(int argc, char **argv)
{
    log_open("echo", LOG_LEVEL_WARN);
    struct echo *echo = mem_calloc(1, sizeof(*echo));
    echo_init(echo, read_arguments(argc, argv));
    signal(SIGPIPE, SIG_IGN);
    sigaction(SIGTERM, &(struct sigaction){.sa_handler = on_signal}, NULL);
    sigaction(SIGINT, &(struct sigaction){.sa_handler = on_signal}, NULL);

    struct listener listener;
    if (listen_open(&listener, echo->conf->listen[0].address, 1, false, &echo->conf->listen[0].rights) != 0 ||
        listen_begin(listener.fds[0]) != 0)
        return EXIT_FAILURE;
    h2o_socket_t *socket = h2o_evloop_socket_create(echo->loop, dup(listener.fds[0]), 0);
    socket->data = echo;
    h2o_socket_dont_read(socket, 1);
    h2o_socket_read_start(socket, on_acceptable);
    while (!stopped) {
        h2o_evloop_run(echo->loop, 100);
        conn_turn_end(&echo->connections);
    }
    h2o_socket_close(socket);
    listen_close(&listener, true);
    echo_free(echo);
    return EXIT_SUCCESS;
}
