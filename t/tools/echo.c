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
    h2o_globalconf_t config;
    h2o_context_t context;
    struct conf *conf;
    struct conn_context connections;
    h2o_timeout_t ticks;
    char pattern[PATTERN_SIZE]; /* what streams are made of: abc…zabc… */
};

/* One request and its answer. It lives in the request's memory; on_dispose is called when that goes. */
struct exchange {
    struct echo *echo;
    h2o_req_t *req;
    struct str path, query;
    unsigned peer; /* the client's port */
    bool logged, answered;

    struct body *body;
    struct arena arena; /* the request's */
    struct body_whole whole;
    char *kept;
    uint64_t taken, pause_every, pause_next;
    unsigned pause_ms;

    h2o_timeout_entry_t timer;
    uint64_t due; /* clock_ms */
    void (*on_due)(struct exchange *exchange);

    h2o_generator_t generator;
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
static uint64_t query_number(const struct exchange *exchange, const char *name, uint64_t otherwise)
{
    size_t len = strlen(name);
    const char *p = exchange->query.base, *end = p + exchange->query.len;
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
    struct exchange *exchange = H2O_STRUCT_FROM_MEMBER(struct exchange, timer, entry);
    if (clock_ms() >= exchange->due)
        exchange->on_due(exchange);
    else
        h2o_timeout_link(exchange->echo->context.loop, &exchange->echo->ticks, entry);
}

static void after(struct exchange *exchange, uint64_t ms, void (*on_due)(struct exchange *))
{
    exchange->due = clock_ms() + ms;
    exchange->on_due = on_due;
    exchange->timer.cb = on_tick;
    h2o_timeout_link(exchange->echo->context.loop, &exchange->echo->ticks, &exchange->timer);
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
static struct json_writer describe(const struct exchange *exchange, const char *broken, const char *bytes)
{
    const h2o_req_t *req = exchange->req;
    struct json_writer json = json_writer_on(NULL, 0);
    put_text(&json, "{\"peer\":");
    put_number(&json, exchange->peer);
    put_text(&json, ",\"method\":");
    put_bytes(&json, req->method.base, req->method.len);
    put_text(&json, ",\"path\":");
    put_bytes(&json, req->path.base, req->path.len);
    put_text(&json, ",\"authority\":");
    put_bytes(&json, req->authority.base, req->authority.len);
    put_text(&json, req->version == 0x101 ? ",\"version\":\"1.1\"" : ",\"version\":\"1.0\"");
    put_text(&json, ",\"length\":");
    put_number(&json, exchange->taken);
    put_text(&json, ",\"body\":");
    if (bytes == NULL)
        put_text(&json, "null");
    else
        put_bytes(&json, bytes, exchange->taken);
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
static h2o_iovec_t log_request(struct exchange *exchange, const char *broken, const char *bytes)
{
    struct json_writer json = describe(exchange, broken, bytes);
    h2o_iovec_t line = h2o_strdup(&exchange->req->pool, json.base, json.len);
    log_text(line.base, line.len);
    free(json.base);
    exchange->logged = true;
    return line;
}

/* The body as it is shown: what was kept of it, if that is all. */
static const char *shown_body(const struct exchange *exchange)
{
    return exchange->taken == 0 ? "" : exchange->taken <= KEEP ? exchange->kept : NULL;
}

/* Answers */

static void begin_answer(struct exchange *exchange, int status, const char *type, size_t length)
{
    h2o_req_t *req = exchange->req;
    exchange->answered = true;
    req->res.status = status;
    req->res.reason = problem_reason(status);
    req->res.content_length = length;
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, "Content-Type", type, strlen(type));
    h2o_start_response(req, &exchange->generator);
}

static void answer(struct exchange *exchange, int status, const char *type, h2o_iovec_t bytes)
{
    begin_answer(exchange, status, type, bytes.len);
    h2o_send(exchange->req, &bytes, 1, H2O_SEND_STATE_FINAL);
}

static void answer_problem(struct exchange *exchange, int status, const char *detail)
{
    struct json_writer json = json_writer_on(NULL, 0);
    put_text(&json, "{\"type\":\"about:blank\",\"title\":");
    json_string(&json, problem_reason(status), strlen(problem_reason(status)));
    put_text(&json, ",\"status\":");
    put_number(&json, (uint64_t)status);
    put_text(&json, ",\"detail\":");
    json_string(&json, detail, strlen(detail));
    put_text(&json, "}\n");
    h2o_iovec_t text = h2o_strdup(&exchange->req->pool, json.base, json.len);
    free(json.base);
    answer(exchange, status, "application/problem+json", text);
}

static void answer_seen(struct exchange *exchange, const char *bytes)
{
    answer(exchange, 200, "application/json", log_request(exchange, NULL, bytes));
}

static void answer_broken(struct exchange *exchange)
{
    char status[12];
    snprintf(status, sizeof(status), "%d", exchange->body->status);
    log_request(exchange, status, shown_body(exchange));
    answer_problem(exchange, exchange->body->status, exchange->body->detail);
}

/* Streams */

static void stream_next(struct exchange *exchange)
{
    uint64_t left = exchange->stream_end - exchange->stream_at;
    size_t n = left < exchange->stream_piece ? (size_t)left : exchange->stream_piece;
    h2o_iovec_t part = h2o_iovec_init(exchange->echo->pattern + exchange->stream_at % PERIOD, n);
    h2o_send_state_t state = H2O_SEND_STATE_IN_PROGRESS;
    exchange->stream_at += n;
    if (left == 0 && exchange->stream_aborts)
        state = H2O_SEND_STATE_ERROR;
    else if (n == left && !exchange->stream_aborts)
        state = H2O_SEND_STATE_FINAL;
    h2o_send(exchange->req, &part, n > 0, state);
}

static void on_proceed(h2o_generator_t *generator, h2o_req_t *req)
{
    (void)req;
    stream_next(H2O_STRUCT_FROM_MEMBER(struct exchange, generator, generator));
}

static void stream(struct exchange *exchange, size_t declared, uint64_t n, bool aborts)
{
    uint64_t piece = query_number(exchange, "chunk", PATTERN_SIZE - PERIOD);
    exchange->stream_end = n;
    exchange->stream_piece =
        piece == 0 || piece > PATTERN_SIZE - PERIOD ? PATTERN_SIZE - PERIOD : (size_t)piece;
    exchange->stream_aborts = aborts;
    exchange->generator.proceed = on_proceed;
    begin_answer(exchange, (int)query_number(exchange, "status", 200), "text/plain", declared);
    stream_next(exchange);
}

/* Bodies */

static void read_on(struct exchange *exchange)
{
    body_read(exchange->body);
}

static void take(struct exchange *exchange, struct str bytes)
{
    if (exchange->taken + bytes.len <= KEEP) {
        if (exchange->kept == NULL)
            exchange->kept = mem_alloc(KEEP);
        memcpy(exchange->kept + exchange->taken, bytes.base, bytes.len);
    }
    exchange->taken += bytes.len;
    if (exchange->pause_every != 0 && exchange->taken >= exchange->pause_next) {
        exchange->pause_next = exchange->taken + exchange->pause_every;
        body_pause(exchange->body);
        after(exchange, exchange->pause_ms, read_on);
    }
}

static void answer_shown(struct exchange *exchange)
{
    answer_seen(exchange, shown_body(exchange));
}

static void answer_later(struct exchange *exchange)
{
    answer(exchange, 200, "application/json", h2o_iovec_init(H2O_STRLIT("{\"slow\":true}\n")));
}

static void on_body_end(struct exchange *exchange)
{
    if (str_equal(exchange->path, STR("/slow"))) {
        log_request(exchange, NULL, shown_body(exchange));
        after(exchange, query_number(exchange, "ms", 200), answer_later);
    } else {
        answer_shown(exchange);
    }
}

static void on_body_event(struct body *body, enum body_event event, struct str bytes)
{
    struct exchange *exchange = body->data;
    if (h2o_timeout_is_linked(&exchange->timer))
        log_fatalx("something of a body came while it was paused");
    switch (event) {
    case BODY_DATA:
        take(exchange, bytes);
        break;
    case BODY_END:
        on_body_end(exchange);
        break;
    case BODY_BROKEN:
        answer_broken(exchange);
        break;
    }
}

static void *request_alloc(void *arg, size_t size)
{
    h2o_req_t *req = arg;
    return h2o_mem_alloc_pool(&req->pool, size);
}

static void on_whole(struct body_whole *whole, bool complete)
{
    struct exchange *exchange = H2O_STRUCT_FROM_MEMBER(struct exchange, whole, whole);
    exchange->taken = whole->len;
    if (complete)
        answer_seen(exchange, whole->len == 0 ? "" : whole->len <= KEEP ? whole->bytes : NULL);
    else
        answer_broken(exchange);
}

/* Requests */

static void handle_late(struct exchange *exchange)
{
    exchange->pause_ms = (unsigned)query_number(exchange, "pause", 0);
    if (exchange->pause_ms != 0)
        exchange->pause_every = exchange->pause_next = query_number(exchange, "every", 1);
    after(exchange, query_number(exchange, "ms", 200), read_on);
}

static void handle(struct exchange *exchange)
{
    struct str path = exchange->path;
    struct body *body = exchange->body;
    if (str_equal(path, STR("/whole"))) {
        exchange->arena = (struct arena){request_alloc, exchange->req};
        exchange->whole = (struct body_whole){.arena = &exchange->arena, .done = on_whole};
        body_collect(&exchange->whole, body);
        return;
    }
    body->on_event = on_body_event;
    body->data = exchange;
    if (str_equal(path, STR("/nobody"))) {
        answer_seen(exchange, NULL);
    } else if (str_equal(path, STR("/late"))) {
        handle_late(exchange);
    } else if (str_equal(path, STR("/stream"))) {
        log_request(exchange, NULL, NULL);
        stream(exchange, SIZE_MAX, query_number(exchange, "n", 100), false);
    } else if (str_equal(path, STR("/abort"))) {
        log_request(exchange, NULL, NULL);
        stream(exchange, query_number(exchange, "length", SIZE_MAX), query_number(exchange, "after", 100),
               true);
    } else if (str_equal(path, STR("/short"))) {
        log_request(exchange, NULL, NULL);
        stream(exchange, query_number(exchange, "length", 100), query_number(exchange, "send", 50), false);
    } else if (str_equal(path, STR("/204")) || str_equal(path, STR("/304"))) {
        log_request(exchange, NULL, NULL);
        answer(exchange, path.base[1] == '2' ? 204 : 304, "text/plain",
               h2o_iovec_init(H2O_STRLIT("not to be sent")));
    } else {
        body_read(body);
    }
}

static void on_dispose(void *memory)
{
    struct exchange *exchange = memory;
    h2o_timeout_unlink(&exchange->timer);
    if (!exchange->logged) {
        struct json_writer json = describe(exchange, "\"gone\"", shown_body(exchange));
        log_text(json.base, json.len);
        free(json.base);
    } else if (!exchange->answered) {
        struct json_writer json = json_writer_on(NULL, 0);
        put_text(&json, "{\"gone\":");
        put_bytes(&json, exchange->req->path.base, exchange->req->path.len);
        put_text(&json, "}\n");
        log_text(json.base, json.len);
        free(json.base);
    }
    free(exchange->kept);
}

static unsigned peer_port(h2o_req_t *req)
{
    struct sockaddr_storage address = {0};
    req->conn->callbacks->get_peername(req->conn, (struct sockaddr *)&address);
    int32_t port = h2o_socket_getport((struct sockaddr *)&address);
    return port < 0 ? 0 : (unsigned)port;
}

static struct exchange *exchange_new(struct echo *echo, h2o_req_t *req)
{
    struct exchange *exchange = h2o_mem_alloc_shared(&req->pool, sizeof(*exchange), on_dispose);
    *exchange = (struct exchange){.echo = echo, .req = req, .peer = peer_port(req)};
    return exchange;
}

static void on_request(void *arg, h2o_req_t *req, struct body *body)
{
    struct exchange *exchange = exchange_new(arg, req);
    const char *mark = memchr(req->path.base, '?', req->path.len);
    exchange->path = (struct str){req->path.base, req->path.len};
    if (mark != NULL) {
        exchange->path.len = (size_t)(mark - req->path.base);
        exchange->query = (struct str){mark + 1, req->path.len - exchange->path.len - 1};
    }
    exchange->body = body;
    handle(exchange);
}

static void on_reject(void *arg, h2o_req_t *req, int status, const char *detail)
{
    struct exchange *exchange = exchange_new(arg, req);
    exchange->logged = true; /* no handler sees it */
    answer_problem(exchange, status, detail);
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
    echo->conf = conf;
    for (size_t i = 0; i < sizeof(echo->pattern); i++)
        echo->pattern[i] = (char)('a' + i % PERIOD);
    h2o_config_init(&echo->config);
    h2o_config_register_host(&echo->config, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    h2o_context_init(&echo->context, h2o_evloop_create(), &echo->config);
    h2o_timeout_init(echo->context.loop, &echo->ticks, TICK_MS);
    echo->connections = (struct conn_context){
        .h2o = &echo->context,
        .hosts = echo->config.hosts,
        .conf = conf,
        .timeouts = timeouts_new(echo->context.loop),
        .outbox = conf->io_uring == CONF_ON ? outbox_new(echo->context.loop) : NULL,
        .on_request = on_request,
        .on_reject = on_reject,
        .arg = echo,
    };
    conn_context_init(&echo->connections);
    outbox_open(echo->connections.outbox);
}

static void echo_free(struct echo *echo)
{
    h2o_loop_t *loop = echo->context.loop;
    conn_context_dispose(&echo->connections);
    timeouts_free(echo->connections.timeouts);
    outbox_free(echo->connections.outbox);
    h2o_timeout_dispose(loop, &echo->ticks);
    h2o_context_dispose(&echo->context);
    h2o_config_dispose(&echo->config);
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
    h2o_socket_t *socket = h2o_evloop_socket_create(echo->context.loop, dup(listener.fds[0]), 0);
    socket->data = echo;
    h2o_socket_dont_read(socket, 1);
    h2o_socket_read_start(socket, on_acceptable);
    while (!stopped) {
        h2o_evloop_run(echo->context.loop, 100);
        conn_turn_end(&echo->connections);
    }
    h2o_socket_close(socket);
    listen_close(&listener, true);
    echo_free(echo);
    return EXIT_SUCCESS;
}
