/*
 * upstream.c: unit tests for the HTTP client: a real loop, and in the same process a server that says what
 * the test says, in every two parts.
 */
#include "upstream/request.h"

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "metrics/shm.h"
#include "unit/tap.h"
#include "upstream/context.h"

enum { MOST_PEERS = 8, PATIENCE_MS = 20000, QUIET_TURNS = 3, PLENTY = 4 << 20 };

static h2o_loop_t *loop;
static struct outbox *outbox;
static struct timeouts *timeouts;
static int listener;
static unsigned port;
static struct conf conf;
static struct conf_upstream upstreams[1];
static struct conf_server servers[2];
static struct upstream_context *context;
static h2o_timeout_t *long_time, *short_time;

/* What has become of a request. */
struct asked {
    struct upstream_request request;
    int status; /* of the answer */
    int error;  /* instead of an answer, or after its head */
    bool ended; /* the last part of the body has come */
    bool hold;  /* leave parts with the client for ever */
    bool to_resume;
    unsigned n_rooms;
    uint64_t length;
    char *body;
    size_t len;
};

static struct asked *asked_of(struct upstream_request *request)
{
    return (struct asked *)((char *)request - offsetof(struct asked, request));
}

static void on_head(struct upstream_request *request, const struct http1_response *response,
                    const char *bytes, uint64_t length)
{
    (void)bytes;
    asked_of(request)->status = response->status;
    asked_of(request)->length = length;
}

static void on_data(struct upstream_request *request, const struct str *parts, size_t n, bool is_last)
{
    struct asked *asked = asked_of(request);
    for (size_t i = 0; i < n; i++) {
        asked->body = mem_realloc(asked->body, asked->len + parts[i].len + 1);
        memcpy(asked->body + asked->len, parts[i].base, parts[i].len);
        asked->len += parts[i].len;
    }
    asked->ended = is_last;
    asked->to_resume = !is_last && !asked->hold;
}

static void on_error(struct upstream_request *request, int status, const char *detail)
{
    (void)detail;
    asked_of(request)->error = status;
}

static void on_room(struct upstream_request *request)
{
    asked_of(request)->n_rooms++;
}

static const char *id_of(const struct upstream_request *request)
{
    (void)request;
    return "1";
}

static const struct upstream_ops ops = {on_head, on_data, on_error, on_room, id_of};

static void turn(struct asked *asked)
{
    h2o_evloop_run(loop, 0);
    if (asked != NULL && asked->to_resume) {
        asked->to_resume = false;
        upstream_resume(&asked->request);
    }
}

static void turns(struct asked *asked, int n)
{
    while (n-- > 0)
        turn(asked);
}

static bool is_over(const struct asked *asked)
{
    return asked->ended || asked->error != 0;
}

static void wait_for(struct asked *asked)
{
    for (uint64_t until = clock_ms() + PATIENCE_MS; !is_over(asked) && clock_ms() < until;)
        turn(asked);
}

static struct asked *new_request(const char *method)
{
    struct asked *asked = mem_calloc(1, sizeof(*asked));
    bool is_safe = strcmp(method, "POST") != 0;
    asked->request = (struct upstream_request){
        .ops = &ops,
        .head = is_safe ? (strcmp(method, "HEAD") == 0 ? STR("HEAD / HTTP/1.1\r\nHost: ")
                                                       : STR("GET / HTTP/1.1\r\nHost: "))
                        : STR("POST / HTTP/1.1\r\nHost: "),
        .after_host = STR("\r\n\r\n"),
        .host_is_servers = true,
        .is_head = strcmp(method, "HEAD") == 0,
        .is_safe = is_safe,
        .body_is_whole = true,
        .deadline = long_time,
        .lease = {.upstream = upstream_get(context, 0), .label = "GET /", .connect = long_time},
    };
    return asked;
}

static struct asked *ask(const char *method)
{
    struct asked *asked = new_request(method);
    upstream_request_start(&asked->request);
    return asked;
}

static void done(struct asked *asked)
{
    upstream_request_end(&asked->request);
    free(asked->body);
    free(asked);
}

/* The server */

static int accept_peer(struct asked *asked)
{
    int fd = -1;
    for (uint64_t until = clock_ms() + PATIENCE_MS; fd < 0 && clock_ms() < until && !is_over(asked);) {
        turn(asked);
        fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    }
    return fd;
}

/* Reads one request without a body, as text; the caller frees it. */
static char *read_request(int fd, struct asked *asked)
{
    char *text = mem_calloc(1, 65536);
    size_t len = 0;
    for (uint64_t until = clock_ms() + PATIENCE_MS; clock_ms() < until && strstr(text, "\r\n\r\n") == NULL;) {
        turn(asked);
        ssize_t n = read(fd, text + len, 65535 - len);
        if (n == 0)
            break;
        len += n > 0 ? (size_t)n : 0;
    }
    return text;
}

static void say(int fd, const char *bytes, size_t len)
{
    if (len > 0 && send(fd, bytes, len, MSG_NOSIGNAL) != (ssize_t)len)
        ok(false, "the server can say what it has to: %s", strerror(errno));
}

static void reset(int fd)
{
    struct linger at_once = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    close(fd);
}

static unsigned n_open(void)
{
    return upstream_get(context, 0)->n_open;
}

static void wait_until_closed(void)
{
    for (uint64_t until = clock_ms() + PATIENCE_MS; n_open() > 0 && clock_ms() < until;)
        turn(NULL);
}

static void forget_rest(void)
{
    for (size_t i = 0; i < upstream_get(context, 0)->n_servers; i++)
        upstream_get(context, 0)->servers[i].failures = 0;
}

static const struct shm_generation generation; /* which has places for none */

static void start_context(size_t n_servers, unsigned connections)
{
    servers[0].port = servers[1].port = port;
    upstreams[0] = (struct conf_upstream){.name = "test",
                                          .servers = servers,
                                          .n_servers = n_servers,
                                          .connections = connections,
                                          .idle = 60000,
                                          .age = 60000};
    outbox = outbox_new(loop);
    timeouts = timeouts_new(loop);
    context = upstream_context_new(loop, &conf, timeouts, outbox,
                                   (struct upstream_counted){.generation = &generation});
    long_time = upstream_timeout(context, 60000);
    short_time = upstream_timeout(context, 100);
    outbox_open(outbox);
}

static void end_context(void)
{
    upstream_context_free(context);
    timeouts_free(timeouts);
    h2o_evloop_run(loop, 0);
    outbox_free(outbox);
}

/* Answers in every two parts */

enum ending { STAYS, CLOSES, RESETS };

struct answer {
    const char *name, *bytes;
    enum ending ending;
    const char *body; /* what is to come of it; NULL where it is no answer */
    bool reusable;
    const char *method;
};

#define OK "HTTP/1.1 200 OK\r\n"

static const struct answer answers[] = {
    {"a length", OK "Content-Length: 5\r\n\r\nhello", STAYS, "hello", true, "GET"},
    {"an empty body", OK "Content-Length: 0\r\n\r\n", STAYS, "", true, "GET"},
    {"chunks", OK "Transfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n2;x=y\r\nlo\r\n0\r\n\r\n", STAYS, "hello",
     true, "GET"},
    {"chunks and a trailer", OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y\r\n\r\n", STAYS,
     "hello", true, "GET"},
    {"100 and 103 before it",
     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n" OK
     "Content-Length: 5\r\n\r\nhello",
     STAYS, "hello", true, "GET"},
    {"204", "HTTP/1.1 204 No Content\r\n\r\n", STAYS, "", true, "GET"},
    {"304", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n", STAYS, "", true, "GET"},
    {"HEAD", OK "Content-Length: 5\r\n\r\n", STAYS, "", true, "HEAD"},
    {"HEAD of chunks", OK "Transfer-Encoding: chunked\r\n\r\n", STAYS, "", true, "HEAD"},
    {"POST", OK "Content-Length: 5\r\n\r\nhello", STAYS, "hello", true, "POST"},
    {"the end of the connection", OK "\r\nhello", CLOSES, "hello", false, "GET"},
    {"HTTP/1.0", "HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", STAYS, "hello", false, "GET"},
    {"Connection: close", OK "Connection: close\r\nContent-Length: 5\r\n\r\nhello", STAYS, "hello", false,
     "GET"},
    {"bytes after the body", OK "Content-Length: 5\r\n\r\nhello!", STAYS, "hello", false, "GET"},
    {"an answer after the body", OK "Content-Length: 5\r\n\r\nhello" OK "Content-Length: 4\r\n\r\nevil",
     STAYS, "hello", false, "GET"},
    {"a body after 204", "HTTP/1.1 204 No Content\r\n\r\nhello", STAYS, "", false, "GET"},
    {"a body after HEAD", OK "Content-Length: 5\r\n\r\nhello", STAYS, "", false, "HEAD"},
    {"a short body", OK "Content-Length: 9\r\n\r\nhello", CLOSES, NULL, false, "GET"},
    {"a short body, reset", OK "Content-Length: 9\r\n\r\nhello", RESETS, NULL, false, "GET"},
    {"chunks without an end", OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", CLOSES, NULL, false,
     "GET"},
    {"a cut trailer", OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: y", CLOSES, NULL, false,
     "GET"},
    {"a chunk that is none", OK "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nfish\r\n", STAYS, NULL,
     false, "GET"},
    {"a chunk of 0x5", OK "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n", STAYS, NULL, false,
     "GET"},
    {"a reset instead of an end", OK "\r\nhello", RESETS, NULL, false, "GET"},
    {"a cut head", OK "Content-Le", CLOSES, NULL, false, "GET"},
    {"a cut head, reset", OK "Content-Le", RESETS, NULL, false, "GET"},
    {"garbage", "SSH-2.0-OpenSSH_9.2\r\n", STAYS, NULL, false, "GET"},
    {"two lengths", OK "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello", STAYS, NULL, false, "GET"},
    {"Content-Length: abc", OK "Content-Length: abc\r\n\r\nhello", STAYS, NULL, false, "GET"},
    {"a length and chunks",
     OK "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", STAYS, NULL, false,
     "GET"},
    {"an unknown coding", OK "Transfer-Encoding: gzip\r\n\r\nhello", CLOSES, NULL, false, "GET"},
    {"101", "HTTP/1.1 101 Switching Protocols\r\n\r\n", STAYS, NULL, false, "GET"},
    {"100 and nothing more", "HTTP/1.1 100 Continue\r\n\r\n", CLOSES, NULL, false, "GET"},
};

/* Returns what is wrong, or NULL. */
static const char *try_answer(const struct answer *answer, size_t first)
{
    size_t len = strlen(answer->bytes);
    struct asked *asked = ask(answer->method);
    int fd = accept_peer(asked);
    char *request = read_request(fd, asked);
    const char *wrong =
        strstr(request, " / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n") == NULL ? "another request" : NULL;
    free(request);
    say(fd, answer->bytes, first);
    turns(asked, QUIET_TURNS);
    bool is_early = is_over(asked); /* the rest may meet a closed connection */
    if (!is_early)
        say(fd, answer->bytes + first, len - first);
    else
        send(fd, answer->bytes + first, len - first, MSG_NOSIGNAL);
    if (answer->ending == RESETS)
        turns(asked, QUIET_TURNS); /* else the reset would take with it what was not read yet */
    if (answer->ending == RESETS)
        reset(fd);
    else if (answer->ending == CLOSES)
        close(fd);
    wait_for(asked);
    turns(NULL, QUIET_TURNS);
    if (!is_over(asked))
        wrong = "no end of it";
    else if (answer->body == NULL && (asked->ended || asked->error != 502))
        wrong = "taken for whole";
    else if (answer->body != NULL &&
             (!asked->ended || asked->len != strlen(answer->body) ||
              memcmp(asked->body != NULL ? asked->body : "", answer->body, asked->len) != 0))
        wrong = "another body";
    else if (n_open() != (answer->reusable ? 1 : 0))
        wrong = answer->reusable ? "the connection is gone" : "the connection stays";
    done(asked);
    if (answer->ending == STAYS)
        close(fd);
    wait_until_closed();
    forget_rest();
    return n_open() == 0 ? wrong : "a connection leaks";
}

static void test_answer(const struct answer *answer)
{
    size_t n_wrong = 0;
    for (size_t first = 0; first <= strlen(answer->bytes); first++) {
        const char *wrong = try_answer(answer, first);
        if (wrong != NULL) {
            fprintf(stderr, "# %s, %zu bytes and the rest: %s\n", answer->name, first, wrong);
            n_wrong++;
        }
    }
    is_int((long long)n_wrong, 0, "%s", answer->name);
}

/* Connections */

static const char hello[] = OK "Content-Length: 5\r\n\r\nhello";

/* Answers one request, so that its connection is idle. Returns the server's end. */
static int make_idle(void)
{
    struct asked *asked = ask("GET");
    int fd = accept_peer(asked);
    free(read_request(fd, asked));
    say(fd, hello, strlen(hello));
    wait_for(asked);
    ok(asked->ended, "a request is answered");
    done(asked);
    return fd;
}

static void test_reuse(void)
{
    int fd = make_idle();
    struct asked *asked = ask("GET");
    free(read_request(fd, asked));
    say(fd, hello, strlen(hello));
    wait_for(asked);
    ok(asked->ended && n_open() == 1, "the next request goes over the same connection");
    done(asked);
    say(fd, "x", 1);
    wait_until_closed();
    is_int(n_open(), 0, "an idle connection on which something comes is closed");
    close(fd);
}

/* The server closes, and the request is there before anybody can know. */
static void test_closed_in_the_instant(const char *method, bool has_seen_it)
{
    int fd = make_idle();
    struct asked *asked;
    if (has_seen_it) {
        asked = ask(method);
        free(read_request(fd, asked));
        close(fd);
    } else {
        close(fd);
        asked = ask(method);
    }
    int again = accept_peer(asked);
    bool may_repeat = strcmp(method, "POST") != 0 || !has_seen_it;
    if (may_repeat && again >= 0) {
        free(read_request(again, asked));
        say(again, hello, strlen(hello));
        wait_for(asked);
    }
    ok(may_repeat ? asked->ended : asked->error == 502, "a connection closed %s %s: %s",
       has_seen_it ? "with the request" : "before the request", method,
       may_repeat ? "another one is made" : "it is not sent again");
    is_int(upstream_get(context, 0)->servers[0].failures, 0, "... and the server does not rest for that");
    done(asked);
    close(again);
    wait_until_closed();
}

/* A new connection that is closed without an answer is a failure of the server. */
static void test_no_answer(void)
{
    struct asked *asked = ask("GET");
    int fd = accept_peer(asked);
    free(read_request(fd, asked));
    close(fd);
    wait_for(asked);
    is_int(asked->error, 502, "a new connection is closed without an answer: 502");
    is_int(upstream_get(context, 0)->servers[0].failures, 1, "... and the server rests");
    done(asked);
    asked = ask("GET");
    fd = accept_peer(asked);
    free(read_request(fd, asked));
    say(fd, hello, strlen(hello));
    wait_for(asked);
    ok(asked->ended, "a server that rests is asked where there is no other");
    is_int(upstream_get(context, 0)->servers[0].failures, 0, "... and its answer ends the rest");
    done(asked);
    close(fd);
    wait_until_closed();
}

static void test_client_leaves(void)
{
    struct asked *asked = ask("GET");
    int fd = accept_peer(asked);
    free(read_request(fd, asked));
    done(asked);
    is_int(n_open(), 0, "a client that leaves takes its connection with it");
    char c;
    turns(NULL, QUIET_TURNS);
    is_int(read(fd, &c, 1), 0, "... and the server sees that");
    close(fd);
}

static void test_deadline(void)
{
    struct asked *asked = new_request("GET");
    asked->request.deadline = short_time;
    upstream_request_start(&asked->request);
    int fd = accept_peer(asked);
    wait_for(asked);
    is_int(asked->error, 504, "a silent server: 504 at the deadline");
    done(asked);
    close(fd);
    wait_until_closed();
    is_int(n_open(), 0, "... and its connection is closed");
}

static void test_bound(void)
{
    end_context();
    start_context(1, 1);
    struct asked *first = ask("GET"), *second = ask("GET"), *third = new_request("GET");
    third->request.lease.connect = short_time;
    upstream_request_start(&third->request);
    int fd = accept_peer(first);
    free(read_request(fd, first));
    wait_for(third);
    is_int(third->error, 503, "no connection becomes free in time: 503");
    is_int(n_open(), 1, "there is one connection, as there may be");
    say(fd, hello, strlen(hello));
    wait_for(first);
    free(read_request(fd, second));
    say(fd, hello, strlen(hello));
    wait_for(second);
    ok(first->ended && second->ended, "who waits gets the connection that becomes free");
    done(first);
    done(second);
    done(third);
    close(fd);
    wait_until_closed();
}

static void test_other_server(void)
{
    end_context();
    start_context(2, 8);
    struct sockaddr_in nobody = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(nobody);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0); /* bound, and nobody listens */
    bind(fd, (struct sockaddr *)&nobody, len);
    getsockname(fd, (struct sockaddr *)&nobody, &len);
    struct upstream *upstream = upstream_get(context, 0);
    ((struct sockaddr_in *)&upstream->servers[0].addresses.at[0].socket)->sin_port = nobody.sin_port;
    upstream->turn = 0;
    struct asked *asked = ask("POST");
    int peer = accept_peer(asked);
    free(read_request(peer, asked));
    say(peer, hello, strlen(hello));
    wait_for(asked);
    ok(asked->ended, "what a server has certainly not seen goes to another");
    is_int(upstream->servers[0].failures, 1, "... and the first one rests");
    ok(upstream->servers[0].rests_until > clock_ms() + 500, "... for about a second");
    is_int(upstream->servers[0].in_hand + upstream->servers[1].in_hand, 0, "nothing is left in hand");
    done(asked);
    close(peer);
    wait_until_closed();

    ((struct sockaddr_in *)&upstream->servers[1].addresses.at[0].socket)->sin_port = nobody.sin_port;
    asked = ask("GET");
    wait_for(asked);
    is_int(asked->error, 502, "nobody can be reached: 502");
    done(asked);
    close(fd);
}

/* This process has no descriptor for another socket; with -1 it has again. */
static void set_descriptors(rlim_t most)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = most == (rlim_t)-1 ? limit.rlim_max : most;
    setrlimit(RLIMIT_NOFILE, &limit);
}

/* Asks, answers as the server, and lets the connection stay. Returns its descriptor. */
static int ask_and_answer(const char *name)
{
    struct asked *asked = ask("GET");
    int fd = accept_peer(asked);
    free(read_request(fd, asked));
    say(fd, hello, strlen(hello));
    wait_for(asked);
    ok(asked->ended, "%s", name);
    done(asked);
    return fd;
}

static void test_lack(void)
{
    end_context();
    start_context(2, 8);
    struct upstream *upstream = upstream_get(context, 0);
    set_descriptors(0);
    struct asked *asked = ask("POST");
    is_int(asked->error, 503, "no descriptor for a connection: 503, at once");
    done(asked);
    is_int((long long)(upstream->servers[0].failures + upstream->servers[1].failures), 0,
           "... and no server rests for that");
    set_descriptors((rlim_t)-1);
    upstream->turn = 0;
    int fd = ask_and_answer("with a descriptor the first one is asked again");

    set_descriptors(0);
    upstream->turn = 1;
    asked = ask("GET");
    char *text = read_request(fd, asked);
    say(fd, hello, strlen(hello));
    wait_for(asked);
    ok(strlen(text) > 0 && asked->ended, "a connection that is there already serves in its stead");
    free(text);
    done(asked);
    set_descriptors((rlim_t)-1);
    close(fd);
    wait_until_closed();
}

static void test_lack_for_a_name(void)
{
    end_context();
    servers[0].host = (char *)"localhost";
    start_context(1, 8);
    struct upstream_server *server = &upstream_get(context, 0)->servers[0];
    int fd = ask_and_answer("a server that has a name");
    close(fd);
    wait_until_closed();
    server->addresses.n = 0;
    server->addresses.again_at = 0;
    set_descriptors(0);
    struct asked *asked = ask("GET");
    wait_for(asked);
    is_int(asked->error, 503, "no descriptor to look up a name with: 503");
    done(asked);
    asked = ask("GET");
    is_int(asked->error, 503, "... and at once while it is too early to try again");
    done(asked);
    is_int((long long)server->failures, 0, "... and the server does not rest");
    set_descriptors((rlim_t)-1);
    server->addresses.again_at = 0;
    close(ask_and_answer("with a descriptor it is found again"));
    wait_until_closed();
    servers[0].host = (char *)"127.0.0.1";
}

/* Back-pressure */

static void test_large_answer(void)
{
    end_context();
    start_context(1, 8);
    struct asked *asked = ask("GET");
    char *head = mem_printf(OK "Content-Length: %d\r\n\r\n", PLENTY), *zeroes = mem_calloc(1, PLENTY);
    int fd = accept_peer(asked);
    size_t sent = 0, before;
    asked->hold = true;
    free(read_request(fd, asked));
    say(fd, head, strlen(head));
    do {
        before = sent;
        for (ssize_t n; (n = send(fd, zeroes, (size_t)PLENTY - sent, MSG_NOSIGNAL)) > 0;)
            sent += (size_t)n;
        turns(asked, 20);
    } while (sent > before && sent < PLENTY);
    ok(asked->len <= UPSTREAM_BUFFER, "a client that takes nothing is given one buffer: %zu bytes",
       asked->len);
    asked->hold = false;
    asked->to_resume = true;
    for (uint64_t until = clock_ms() + PATIENCE_MS; !is_over(asked) && clock_ms() < until; turn(asked)) {
        ssize_t n = sent == PLENTY ? 0 : send(fd, zeroes, (size_t)PLENTY - sent, MSG_NOSIGNAL);
        sent += n > 0 ? (size_t)n : 0;
    }
    ok(asked->ended && asked->len == PLENTY, "... and gets all of it in the end: %zu bytes", asked->len);
    is_int((long long)asked->length, PLENTY, "its length was announced");
    done(asked);
    close(fd);
    free(head);
    free(zeroes);
    wait_until_closed();
}

/* What the server gets of a body. */
static size_t drain(int fd)
{
    static char bytes[65536];
    size_t total = 0;
    for (ssize_t n; (n = read(fd, bytes, sizeof(bytes))) > 0;)
        total += (size_t)n;
    return total;
}

static void test_large_request(void)
{
    struct asked *asked = new_request("POST");
    char *piece = mem_calloc(1, UPSTREAM_BUFFER);
    size_t given = 0, got = 0;
    asked->request.body_is_whole = false;
    asked->request.after_host = STR("\r\nContent-Length: 4194304\r\n\r\n");
    upstream_request_start(&asked->request);
    int fd = accept_peer(asked);
    turns(asked, QUIET_TURNS);
    is_int(asked->n_rooms, 1, "the head is sent, and there is room for the body");
    while (given < PLENTY && upstream_send(&asked->request, (struct str){piece, UPSTREAM_BUFFER},
                                           given + UPSTREAM_BUFFER == PLENTY))
        given += UPSTREAM_BUFFER;
    ok(given < PLENTY, "a server that reads nothing stops the client after %zu bytes", given);
    given += UPSTREAM_BUFFER;
    while (given < PLENTY) {
        unsigned rooms = asked->n_rooms;
        for (uint64_t until = clock_ms() + PATIENCE_MS; asked->n_rooms == rooms && clock_ms() < until;
             turn(asked))
            got += drain(fd);
        while (given < PLENTY && upstream_send(&asked->request, (struct str){piece, UPSTREAM_BUFFER},
                                               given + UPSTREAM_BUFFER == PLENTY))
            given += UPSTREAM_BUFFER;
        given += given < PLENTY ? UPSTREAM_BUFFER : 0;
    }
    for (uint64_t until = clock_ms() + PATIENCE_MS; got < PLENTY && clock_ms() < until; turn(asked))
        got += drain(fd);
    turns(asked, QUIET_TURNS);
    got += drain(fd);
    is_int((long long)got,
           PLENTY + (long long)strlen("POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n") +
               (long long)strlen("Content-Length: 4194304\r\n\r\n"),
           "all of it arrives");
    say(fd, hello, strlen(hello));
    wait_for(asked);
    ok(asked->ended && n_open() == 1, "... and is answered");
    done(asked);
    close(fd);
    free(piece);
    wait_until_closed();
}

static void test_chunked_request(void)
{
    struct asked *asked = new_request("POST");
    asked->request.body_is_whole = false;
    asked->request.is_chunked = true;
    asked->request.body = STR("first");
    upstream_request_start(&asked->request);
    int fd = accept_peer(asked);
    turns(asked, QUIET_TURNS);
    upstream_send(&asked->request, STR("and the second"), false);
    upstream_send(&asked->request, (struct str){NULL, 0}, true);
    char text[512] = "";
    turns(asked, QUIET_TURNS);
    ssize_t n = read(fd, text, sizeof(text) - 1);
    ok(n > 0, "the request comes");
    is_str(text, "POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n5\r\nfirst\r\ne\r\nand the second\r\n0\r\n\r\n",
           "a body of unknown length is sent in chunks");
    say(fd, hello, strlen(hello));
    wait_for(asked);
    ok(asked->ended, "... and answered");
    done(asked);
    close(fd);
    wait_until_closed();
}

/* The server has its say before it has read the body, and closes. */
static void test_early_answer(void)
{
    struct asked *asked = new_request("POST");
    char *piece = mem_calloc(1, UPSTREAM_BUFFER);
    asked->request.body_is_whole = false;
    upstream_request_start(&asked->request);
    int fd = accept_peer(asked);
    turns(asked, QUIET_TURNS);
    while (upstream_send(&asked->request, (struct str){piece, UPSTREAM_BUFFER}, false))
        continue;
    const char *no = "HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno";
    say(fd, no, strlen(no));
    wait_for(asked);
    ok(asked->ended && asked->status == 413, "an answer before the end of the request is passed on");
    is_int(n_open(), 0, "... and the connection is not used again");
    ok(!upstream_send(&asked->request, STR("x"), false), "... and nothing more is sent");
    done(asked);
    close(fd);
    free(piece);
}

static void listen_somewhere(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
    socklen_t len = sizeof(address);
    listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&address, len) != 0 || listen(listener, 64) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &len) != 0) {
        perror("listen");
        exit(EXIT_FAILURE);
    }
    port = ntohs(address.sin_port);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    log_open("test", LOG_LEVEL_ERROR);
    loop = h2o_evloop_create();
    listen_somewhere();
    conf = (struct conf){.upstreams = upstreams, .n_upstreams = 1, .resolve = 10000};
    conf.limits.head = 16384;
    conf.limits.fields = 100;
    conf.limits.stall = 60000;
    for (int i = 0; i < 2; i++)
        servers[i] = (struct conf_server){.address = (char *)(i == 0 ? "http://first" : "http://second"),
                                          .host = (char *)"127.0.0.1",
                                          .authority = (char *)"127.0.0.1"};
    start_context(1, 8);
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++)
        test_answer(&answers[i]);
    test_reuse();
    test_closed_in_the_instant("GET", false);
    test_closed_in_the_instant("GET", true);
    test_closed_in_the_instant("POST", false);
    test_closed_in_the_instant("POST", true);
    test_no_answer();
    test_client_leaves();
    test_deadline();
    test_bound();
    test_other_server();
    test_lack();
    test_lack_for_a_name();
    test_large_answer();
    test_large_request();
    test_chunked_request();
    test_early_answer();
    end_context();
    close(listener);
    h2o_evloop_destroy(loop);
    return done_testing();
}
