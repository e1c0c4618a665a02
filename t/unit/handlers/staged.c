/* staged.c: requests of real connections come through the stages of their route. */
#include "handlers/staged.h"

#include <h2o.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "http/layer.h"
#include "server/server.h"
#include "unit/tap.h"

enum { WAIT_MS = 20, LONG_MS = 60 * 1000, MOST_TURNS = 5000, LARGE = 3 * 1024 * 1024, PIECE = 100 * 1000 };

static h2o_loop_t *loop;
static struct timeouts *timeouts;
static struct shm_slot slot;
static struct conf *conf;
static char large[LARGE];
static unsigned wait_ms = WAIT_MS; /* for which the stage waits that does */

/* What was seen. */
static unsigned n_entered, n_waiting_gone, n_handled, n_handler_gone, n_rooms;
static uint32_t shown; /* as the current route, while the handler ran */
static size_t n_passed;

/* The handler: a large answer in pieces. */

struct sending {
    size_t sent;
};

static void send_next(struct sink *sink)
{
    struct sending *sending = sink->data;
    size_t left = LARGE - sending->sent, n = left < PIECE ? left : PIECE;
    struct str part = {large + sending->sent, n};
    sending->sent += n;
    if (n == left)
        sink->ops->finish(sink, &part, 1);
    else
        sink->ops->push(sink, &part, 1);
}

static void on_handler_room(struct sink *sink)
{
    n_rooms++;
    send_next(sink);
}

static void on_handler_gone(struct sink *sink)
{
    (void)sink;
    n_handler_gone++;
}

static void handle(struct handler *handler, const struct request *request)
{
    struct sink *sink = request->sink;
    struct sending *sending = arena_alloc(&sink->arena, sizeof(*sending));
    (void)handler;
    n_handled++;
    shown = atomic_load(&slot.route);
    *sending = (struct sending){0};
    sink->data = sending;
    sink->room = on_handler_room;
    sink->gone = on_handler_gone;
    sink->ops->start(sink, &(struct sink_head){.status = 200, .content_length = LARGE});
    send_next(sink);
}

static void handler_free(struct handler *handler)
{
    free(handler);
}

/* A stage that waits. */

struct waiting {
    h2o_timeout_entry_t timer;
    struct stage_run *run;
};

static void on_wait_over(h2o_timeout_entry_t *entry)
{
    stage_go_on(H2O_STRUCT_FROM_MEMBER(struct waiting, timer, entry)->run);
}

static void on_waiting_gone(struct sink *sink)
{
    h2o_timeout_unlink(&((struct waiting *)sink->data)->timer);
    n_waiting_gone++;
}

static enum stage_outcome wait_enter(struct stage *stage, struct stage_run *run)
{
    struct sink *sink = run->request.sink;
    struct waiting *waiting = arena_alloc(&sink->arena, sizeof(*waiting));
    (void)stage;
    n_entered++;
    *waiting = (struct waiting){.timer = {.cb = on_wait_over}, .run = run};
    sink->data = waiting;
    sink->gone = on_waiting_gone;
    h2o_timeout_link(loop, timeouts_get(timeouts, wait_ms), &waiting->timer);
    return STAGE_WAITS;
}

static void stage_free(struct stage *stage)
{
    free(stage);
}

static struct stage *make_waiting(const struct conf_route *route, const struct stage_env *env)
{
    static const struct stage_ops ops = {.enter = wait_enter, .free = stage_free};
    (void)route, (void)env;
    struct stage *stage = mem_calloc(1, sizeof(*stage));
    stage->ops = &ops;
    return stage;
}

/* A stage that counts what passes. */

static void count_push(struct sink *sink, const struct str *parts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        n_passed += parts[i].len;
    layer_push(sink, parts, n);
}

static void count_finish(struct sink *sink, const struct str *parts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        n_passed += parts[i].len;
    layer_finish(sink, parts, n);
}

static enum stage_outcome count_enter(struct stage *stage, struct stage_run *run)
{
    static const struct sink_ops ops = {
        .start = layer_start,
        .push = count_push,
        .finish = count_finish,
        .abort = layer_abort,
        .cut = layer_cut,
        .taken = layer_taken,
        .client = layer_client,
        .request_id = layer_request_id,
        .trace = layer_trace,
    };
    struct layer *layer = arena_alloc(&run->request.sink->arena, sizeof(*layer));
    (void)stage;
    layer_init(layer, &ops, run->request.sink);
    run->request.sink = &layer->sink;
    return STAGE_NEXT;
}

static struct stage *make_counting(const struct conf_route *route, const struct stage_env *env)
{
    static const struct stage_ops ops = {.enter = count_enter, .free = stage_free};
    (void)route, (void)env;
    struct stage *stage = mem_calloc(1, sizeof(*stage));
    stage->ops = &ops;
    return stage;
}

/* The server */

static struct conf *load_conf(void)
{
    static const char text[] = "listen: 127.0.0.1:1\nroutes:\n  GET /:\n    text: not answered\n";
    char path[32];
    int fd = memfd_create("conf", MFD_CLOEXEC);
    if (fd < 0 || write(fd, text, sizeof(text) - 1) < 0)
        abort();
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    struct conf *loaded = conf_load(path, NULL, 0, stderr);
    close(fd);
    if (loaded == NULL)
        abort();
    return loaded;
}

static struct handler *handler_new(stage_maker *const *makers)
{
    const struct stage_env env = {.conf = conf, .loop = loop, .timeouts = timeouts};
    struct handler *handler = mem_calloc(1, sizeof(*handler));
    *handler = (struct handler){.handle = handle, .free = handler_free};
    return handler_staged(handler, makers, &conf->routes[0], &env, &slot);
}

static struct series counted;

static struct server *serve(stage_maker *const *makers)
{
    struct handler **handlers = mem_calloc(1, sizeof(*handlers));
    handlers[0] = handler_new(makers);
    handlers[0]->shown_as = 7;
    handlers[0]->series = &counted;
    memset(&counted, 0, sizeof(counted));
    n_entered = n_waiting_gone = n_handled = n_handler_gone = n_rooms = 0;
    n_passed = 0;
    return server_new(loop, conf, handlers, &slot, NULL, timeouts, NULL, NULL);
}

/* Returns the client's end of a connection, on which a request was sent. */
static int request(struct server *server)
{
    static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0 ||
        write(pair[0], text, sizeof(text) - 1) < 0)
        abort();
    server_accept(server, h2o_evloop_socket_create(loop, pair[1], H2O_SOCKET_FLAG_IS_ACCEPTED_CONNECTION),
                  &conf->listen[0]);
    return pair[0];
}

static void turn_until(const unsigned *count)
{
    for (int i = 0; i < MOST_TURNS && *count == 0; i++)
        h2o_evloop_run(loop, 1);
}

/* Reads an answer to its end. Is it all of the large one? */
static bool reads_large(int client)
{
    static char got[LARGE + 1000];
    size_t len = 0;
    const char *body = NULL;
    for (int i = 0; i < MOST_TURNS && (body == NULL || len < (size_t)(body - got) + LARGE); i++) {
        ssize_t n = read(client, got + len, sizeof(got) - len);
        if (n > 0)
            len += (size_t)n;
        else
            h2o_evloop_run(loop, 1);
        const char *end = body == NULL ? memmem(got, len, "\r\n\r\n", 4) : NULL;
        if (end != NULL)
            body = end + 4;
    }
    return body != NULL && len == (size_t)(body - got) + LARGE && memcmp(body, large, LARGE) == 0;
}

static void test_none(void)
{
    struct handler *handler = handler_new((stage_maker *const[]){NULL});
    ok(handler->handle == handle, "a route without stages has its handler and nothing in front");
    handler->free(handler);
}

static void test_waiting(void)
{
    struct server *server = serve((stage_maker *const[]){make_counting, make_waiting, NULL});
    int client = request(server);
    ok(n_entered == 1 && n_handled == 0, "a request waits in a stage");
    turn_until(&n_handled);
    ok(n_handled == 1 && shown == 7, "later it comes to the handler, whose route is shown then");
    is_int(atomic_load(&slot.route), 0, "and not after that");
    ok(reads_large(client), "its answer is the handler's");
    turn_until(&n_handler_gone);
    ok(n_rooms > 0 && n_handler_gone == 1, "which was told of room and of the end");
    is_int((long long)n_passed, LARGE, "all of it has come through the stage that wraps");
    is_int(n_waiting_gone, 0, "the stage that has waited is told no more");
    is_int((long long)counted.answers[series_place(200)], 1, "it counts as one answer");
    close(client);
    server_free(server);
}

static void test_leaving(void)
{
    struct server *server = serve((stage_maker *const[]){make_waiting, make_counting, NULL});
    wait_ms = LONG_MS;
    close(request(server));
    turn_until(&n_waiting_gone); /* after a second: a client that has closed its side may still be reading */
    ok(n_waiting_gone == 1 && n_handled == 0, "a stage is told of a client that leaves while it waits");

    wait_ms = WAIT_MS;
    int client = request(server);
    turn_until(&n_rooms);
    close(client);
    turn_until(&n_handler_gone);
    ok(n_handler_gone == 1 && n_waiting_gone == 1, "while the handler answers, it is the one that is told");

    wait_ms = LONG_MS;
    n_entered = 0;
    client = request(server);
    turn_until(&n_entered);
    server_free(server);
    ok(n_waiting_gone == 2 && n_handled == 1, "a stage is also told where the server ends");
    close(client);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < LARGE; i++)
        large[i] = (char)(i % 251);
    loop = h2o_evloop_create();
    timeouts = timeouts_new(loop);
    conf = load_conf();
    test_none();
    test_waiting();
    test_leaving();
    conf_free(conf);
    timeouts_free(timeouts);
    return done_testing();
}
