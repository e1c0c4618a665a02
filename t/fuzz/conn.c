/*
 * conn.c: fuzz target for connections: a real loop, two clients that send what the input says, handlers
 * that do all that handlers may do, and a clock that moves only when the input says so.
 *
 * The input is what clients send, in pieces whose sizes come from it too. '^' and a letter stand for
 * something that happens:
 *     ^.  nothing, for a while            ^t  a little time passes      ^T  much time passes
 *     ^a  handlers that wait go on        ^b  16 KiB are sent           ^2  now it is the other client
 *     ^r  the client stops or goes on reading                          ^h  the client closes its side
 *     ^c  the client closes               ^d  the server drains         ^i  it closes idle connections
 *     ^^  a '^' is sent
 * In paths, a handler is named: see conn_handlers.c.
 */
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/clock.h"
#include "conn_fuzz.h"

#define EVENTS ".tTab2rhcdi"

enum {
    MOST_TURNS = 20000, /* of the loop, until nothing happens any longer */
    QUIET_TURNS = 4,
    LITTLE_TIME = 300,
    MUCH_TIME = 7000,
    BULK = 16384,
};

static struct run run; /* the one that is under way */

/* The clock: these go before the ones in clock.c and in the C library. */

static uint64_t now_ms = 1000000;

uint64_t clock_turn;

uint64_t clock_ns(void)
{
    return now_ms * 1000000;
}

uint64_t clock_ms(void)
{
    return now_ms;
}

int gettimeofday(struct timeval *restrict tv, void *restrict zone)
{
    (void)zone;
    tv->tv_sec = (time_t)(now_ms / 1000);
    tv->tv_usec = (suseconds_t)(now_ms % 1000 * 1000);
    return 0;
}

void clock_iso(char out[CLOCK_ISO_LEN])
{
    memcpy(out, "2026-11-21T22:04:29.123Z", CLOCK_ISO_LEN);
}

/* Goes before the C library's: a socket pair knows no reset, but whoever asks for one is noticed. */
int setsockopt(int fd, int level, int name, const void *value, socklen_t len)
{
    for (size_t i = 0; level == SOL_SOCKET && name == SO_LINGER && i < CONN_FUZZ_CLIENTS; i++) {
        if (run.clients[i].server_fd == fd)
            run.clients[i].reset = true;
    }
    return (int)syscall(SYS_setsockopt, fd, level, name, value, len);
}

/* The loop */

static h2o_loop_t *loop(void)
{
    static h2o_loop_t *made;
    if (made == NULL) {
        signal(SIGPIPE, SIG_IGN);
        made = h2o_evloop_create();
    }
    return made;
}

static void receive(struct client *client)
{
    static char part[65536];
    ssize_t n;
    while (client->fd != -1 && !client->deaf && !client->ended &&
           ((n = read(client->fd, part, sizeof(part))) >= 0 || errno != EAGAIN)) {
        run.activity++;
        client->ended = n <= 0;
        client->unread = n < 0;
        if (n > 0)
            fuzz_append(&client->received, part, (size_t)n);
    }
}

/* The call that is under way, or NULL. */
static struct call *current(const struct client *client)
{
    struct call *last = client->n_calls == 0 ? NULL : client->calls[client->n_calls - 1];
    return last == NULL || last->exchange == NULL ? NULL : last;
}

static void turn(void)
{
    FUZZ_CHECK(h2o_evloop_run(loop(), 0) == 0, "the loop fails");
    conn_turn_end(&run.context);
    for (size_t i = 0; i < CONN_FUZZ_CLIENTS; i++) {
        struct call *call = current(&run.clients[i]);
        if (call != NULL && call->on_turn != NULL) {
            void (*on_turn)(struct call *) = call->on_turn;
            call->on_turn = NULL;
            run.activity++;
            on_turn(call);
        }
        receive(&run.clients[i]);
    }
}

static void turn_until_quiet(void)
{
    size_t quiet = 0, turns = 0;
    while (quiet < QUIET_TURNS) {
        size_t before = run.activity;
        turn();
        quiet = run.activity == before ? quiet + 1 : 0;
        FUZZ_CHECK(++turns < MOST_TURNS, "no end of it");
    }
}

/* What the script says */

static void connect_client(struct client *client)
{
    int pair[2];
    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0, "%m");
    int small = 16384; /* so that writing an answer takes several turns */
    setsockopt(pair[1], SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    for (size_t i = 0; i < CONN_FUZZ_CLIENTS; i++) {
        if (run.clients[i].server_fd == pair[0] || run.clients[i].server_fd == pair[1])
            run.clients[i].server_fd = -1; /* the server has closed it, and the number is free again */
    }
    *client = (struct client){.run = &run, .fd = pair[0], .server_fd = pair[1]};
    conn_accept(&run.context,
                h2o_evloop_socket_create(loop(), pair[1], H2O_SOCKET_FLAG_IS_ACCEPTED_CONNECTION), NULL);
}

/* Sends all of it, unless the server has closed or does not read. */
static void send_piece(struct client *client, const char *bytes, size_t len)
{
    for (int tries = 0; len > 0 && client->fd != -1 && !client->stuck && !client->half;) {
        ssize_t n = send(client->fd, bytes, len, MSG_NOSIGNAL);
        if (n > 0) {
            fuzz_append(&client->sent, bytes, (size_t)n);
            bytes += n;
            len -= (size_t)n;
        } else {
            client->stuck = errno != EAGAIN || ++tries == QUIET_TURNS;
            turn();
        }
    }
}

static void send_in_pieces(struct client *client, const char *bytes, size_t len, struct fuzz_chance *chance)
{
    size_t most = fuzz_below(chance, 2) == 0 ? len : 1 + fuzz_below(chance, len + 1);
    while (len > 0) {
        size_t n = 1 + fuzz_below(chance, most);
        n = n < len ? n : len;
        send_piece(client, bytes, n);
        for (size_t turns = fuzz_below(chance, 3); turns > 0; turns--)
            turn();
        bytes += n;
        len -= n;
    }
}

static void excuse_all(void)
{
    for (size_t i = 0; i < CONN_FUZZ_CLIENTS; i++)
        run.clients[i].excused = true;
}

static void pass_time(uint64_t ms)
{
    excuse_all();
    turn_until_quiet();
    now_ms += ms;
    turn_until_quiet();
}

/*
 * Nobody works on for a client who has left. (Behind a full buffer the server cannot see him leave, and once
 * the answer has begun, only sending more of it tells.)
 */
static void check_gone(void)
{
    for (size_t i = 0; i < CONN_FUZZ_CLIENTS; i++) {
        const struct client *client = &run.clients[i];
        const struct call *call = current(client);
        FUZZ_CHECK(client->fd != -1 || client->sent.len >= 65536 || call == NULL || call->started,
                   "a request goes on after its client has left");
    }
}

static void release_all(void)
{
    for (size_t i = 0; i < CONN_FUZZ_CLIENTS; i++) {
        struct call *call = current(&run.clients[i]);
        if (call != NULL && call->on_release != NULL) {
            void (*on_release)(struct call *) = call->on_release;
            call->on_release = NULL;
            on_release(call);
        }
    }
}

static void close_client(struct client *client)
{
    if (client->fd != -1)
        close(client->fd);
    client->fd = -1;
    client->excused = true;
}

static void half_close(struct client *client)
{
    if (client->fd != -1)
        shutdown(client->fd, SHUT_WR);
    client->half = true;
}

/* Returns the client who goes on sending. */
static struct client *happen(char what, struct client *client)
{
    static const char bulk[BULK];
    switch (what) {
    case '.':
        turn_until_quiet();
        break;
    case 't':
        pass_time(LITTLE_TIME);
        break;
    case 'T':
        pass_time(MUCH_TIME);
        check_gone();
        break;
    case 'a':
        release_all();
        break;
    case 'b':
        send_piece(client, bulk, sizeof(bulk));
        break;
    case '2':
        client = &run.clients[client == &run.clients[0]];
        if (client->run == NULL)
            connect_client(client);
        break;
    case 'r':
        client->deaf = !client->deaf;
        break;
    case 'h':
        half_close(client);
        break;
    case 'c':
        close_client(client);
        break;
    case 'd':
        conn_drain(&run.context);
        break;
    case 'i':
        excuse_all();
        conn_close_idle(&run.context);
        break;
    }
    return client;
}

/* Sends what the script says, and lets happen what it says in between. */
static void play(const char *script, size_t len)
{
    struct fuzz_chance chance = fuzz_chance_of((const uint8_t *)script, len);
    struct client *client = &run.clients[0];
    struct fuzz_bytes bytes = {0};
    connect_client(client);
    for (const char *at = script, *end = script + len; at < end; at++) {
        bool special = *at == '^' && at + 1 < end && at[1] != '\0' && strchr("^" EVENTS, at[1]) != NULL;
        at += special;
        if (!special || *at == '^') {
            fuzz_append(&bytes, at, 1);
            continue;
        }
        send_in_pieces(client, bytes.base, bytes.len, &chance);
        bytes.len = 0;
        client = happen(*at, client);
    }
    send_in_pieces(client, bytes.base, bytes.len, &chance);
    free(bytes.base);
}

/* All that waits for something gets it; what then still waits will wait for ever. */
static void settle(void)
{
    for (size_t i = 0; i < CONN_FUZZ_CLIENTS; i++)
        run.clients[i].deaf = false;
    for (size_t before = run.activity - 1; before != run.activity;) {
        before = run.activity;
        release_all();
        turn_until_quiet();
    }
    for (size_t i = 0; i < CONN_FUZZ_CLIENTS; i++) {
        if (run.clients[i].run != NULL)
            conn_answers_check_idle(&run, &run.clients[i]);
    }
}

/* The clients leave, and time passes until the server has forgotten them. */
static void leave(void)
{
    for (size_t i = 0; i < CONN_FUZZ_CLIENTS; i++) {
        if (run.clients[i].fd != -1)
            shutdown(run.clients[i].fd, SHUT_WR);
    }
    turn_until_quiet();
    for (int i = 0; i < 3 && !h2o_linklist_is_empty(&run.context.connections); i++) {
        now_ms += MUCH_TIME;
        turn_until_quiet();
    }
    FUZZ_CHECK(h2o_linklist_is_empty(&run.context.connections), "a connection stays for ever");
}

static void free_client(struct client *client)
{
    if (client->fd != -1)
        close(client->fd);
    for (size_t i = 0; i < client->n_calls; i++) {
        struct call *call = client->calls[i];
        FUZZ_CHECK(call->exchange == NULL, "a request stays for ever");
        free(call->method.base);
        free(call->path.base);
        free(call->got.base);
        free(call->sent.base);
        free(call);
    }
    free(client->calls);
    free(client->sent.base);
    free(client->received.base);
}

static void on_full(struct store_limit *limit, const struct store *wants, size_t wanted)
{
    run.full = true;
    run.make_room(limit, wants, wanted);
}

static void begin_run(void)
{
    run = (struct run){
        .conf = {.server = "", /* clang-format off */
                 .limits = {.head = 1024, .target = 200, .fields = 12, .body = 100000,
                            .body_total = 133000, .head_time = 1000,
                            .body_time = 1000, .body_rate = 1000, .idle = 3000, .stall = 2000,
                            .requests = 40}}, /* clang-format on */
        .context = {.loop = loop(), .exchanges = &run.exchanges, .timeouts = timeouts_new(loop())},
    };
    run.context.conf = &run.conf;
    exchanges_init(&run.exchanges, &conn_handlers_ops, NULL);
    for (size_t i = 0; i < CONN_FUZZ_CLIENTS; i++)
        run.clients[i].fd = run.clients[i].server_fd = -1;
    conn_context_init(&run.context);
    run.make_room = run.context.bodies.bodies.limit.make_room;
    run.context.bodies.bodies.limit.make_room = on_full;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    begin_run();
    play((const char *)data, size);
    settle();
    leave();
    for (size_t i = 0; i < CONN_FUZZ_CLIENTS; i++) {
        if (run.clients[i].run != NULL)
            conn_answers_check(&run, &run.clients[i]);
    }
    conn_context_dispose(&run.context);
    exchanges_dispose(&run.exchanges);
    timeouts_free(run.context.timeouts);
    FUZZ_CHECK(run.context.bodies.bodies.limit.used == 0, "%zu bytes of bodies are left",
               run.context.bodies.bodies.limit.used);
    for (size_t i = 0; i < CONN_FUZZ_CLIENTS; i++)
        free_client(&run.clients[i]);
    return 0;
}
