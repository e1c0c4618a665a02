/* outbox.c: what is put into the outbox in a turn of the loop goes out at its end. */
#include "loop/outbox.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "unit/tap.h"

enum {
    PAIRS = 300,
    PUSHED_MS = 150, /* the kernel sends what waits for more after 200 ms (tcp(7), TCP_CORK) */
};

static h2o_loop_t *loop;
static struct outbox *outbox;

/* A message to one end of a pair of sockets, and what became of it. */
struct letter {
    int to, from;
    int n_calls, error;
    size_t left; /* bytes of it that were not sent */
    struct outbox_message *message;
    struct letter *next;      /* put into the outbox once this one is sent */
    struct letter *unwelcome; /* taken back then */
};

static struct letter letters[PAIRS];

static struct iovec part(const char *text)
{
    return (struct iovec){(char *)text, strlen(text)};
}

static void on_sent(void *arg, int error, const struct iovec *rest, size_t n)
{
    struct letter *letter = arg;
    letter->n_calls++;
    letter->error = error;
    letter->left = 0;
    for (size_t i = 0; i < n; i++)
        letter->left += rest[i].iov_len;
    letter->message = NULL;
    if (letter->next != NULL) {
        struct iovec text = part("next");
        letter->next->message = outbox_put(outbox, letter->next->to, &text, 1, 0, on_sent, letter->next);
    }
    if (letter->unwelcome != NULL)
        outbox_take_back(letter->unwelcome->message);
}

static bool post(struct letter *letter, const char *text)
{
    struct iovec parts = part(text);
    letter->message = outbox_put(outbox, letter->to, &parts, 1, 0, on_sent, letter);
    return letter->message != NULL;
}

/* So many pairs of sockets, whose letters are not written yet. */
static void begin(size_t n)
{
    for (size_t i = 0; i < n; i++) {
        int fds[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) != 0)
            abort();
        letters[i] = (struct letter){.to = fds[0], .from = fds[1]};
    }
}

static void end(size_t n)
{
    for (size_t i = 0; i < n; i++) {
        close(letters[i].to);
        close(letters[i].from);
    }
}

/* What has come to the other end so far. */
static const char *arrived(const struct letter *letter)
{
    static char text[256];
    ssize_t n = recv(letter->from, text, sizeof(text) - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

static void test_turn(size_t n)
{
    begin(n);
    for (size_t i = 0; i < n; i++)
        post(&letters[i], "hello");
    is_str(arrived(&letters[0]), "", "with %zu messages, nothing is sent before the end of the turn", n);
    h2o_evloop_run(loop, 0);
    size_t whole = 0, called = 0;
    for (size_t i = 0; i < n; i++) {
        whole += strcmp(arrived(&letters[i]), "hello") == 0;
        called += letters[i].n_calls == 1 && letters[i].error == 0 && letters[i].left == 0;
    }
    ok(whole == n, "then all of them have arrived");
    ok(called == n, "and each sender was told once");
    end(n);
}

static void test_parts(void)
{
    begin(2);
    post(&letters[1], "another");
    struct iovec parts[] = {part("a head, "), part("and "), part("a body")};
    ok(outbox_put(outbox, letters[0].to, parts, 3, 0, on_sent, &letters[0]) != NULL, "a message of parts");
    memset(parts, 0, sizeof(parts));
    h2o_evloop_run(loop, 0);
    is_str(arrived(&letters[0]), "a head, and a body", "arrives in one piece; the array may be gone");
    end(2);
}

static void test_chain(void)
{
    begin(3);
    letters[0].next = &letters[2];
    post(&letters[0], "first");
    post(&letters[1], "second");
    h2o_evloop_run(loop, 0);
    is_str(arrived(&letters[2]), "next",
           "what is put in because something was sent goes out in the same turn");
    ok(letters[2].n_calls == 1, "and its sender is told");
    end(3);
}

static void test_taken_back(void)
{
    begin(3);
    post(&letters[0], "unwanted");
    post(&letters[1], "wanted");
    outbox_take_back(letters[0].message);
    h2o_evloop_run(loop, 0);
    is_str(arrived(&letters[0]), "", "what was taken back is not sent");
    ok(letters[0].n_calls == 0, "and nobody is called for it");
    is_str(arrived(&letters[1]), "wanted", "the others are");

    letters[1].unwelcome = &letters[2];
    post(&letters[1], "first");
    post(&letters[2], "second");
    h2o_evloop_run(loop, 0);
    ok(letters[1].n_calls == 2 && letters[2].n_calls == 0,
       "one whose sender ends in the callback of another is not called");
    end(3);
}

static void test_trouble(void)
{
    begin(3);
    char much[8192];
    memset(much, 'x', sizeof(much));
    while (send(letters[0].to, much, sizeof(much), 0) > 0)
        continue;
    close(letters[1].from);
    letters[1].from = dup(letters[0].from);
    for (size_t i = 0; i < 3; i++)
        post(&letters[i], "hello");
    h2o_evloop_run(loop, 0);
    ok(letters[0].error == 0 && letters[0].left == 5,
       "a socket that takes nothing does not hold up the turn");
    ok(letters[1].error == -EPIPE, "one whose other end is closed is an error, and no signal");
    ok(letters[2].error == 0 && letters[2].left == 0, "and the message behind them is sent");
    end(3);
}

/* Makes the letter's sockets two of TCP. */
static void by_tcp(struct letter *letter)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int from = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (bind(listener, (struct sockaddr *)&address, len) != 0 || listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&address, &len) != 0 ||
        connect(from, (struct sockaddr *)&address, len) != 0)
        abort();
    close(letter->to);
    close(letter->from);
    letter->to = accept(listener, NULL, NULL);
    letter->from = from;
    close(listener);
}

/* The last words of some connections: the end goes out with them. */
static void test_last(size_t n)
{
    struct iovec text = part("good bye");
    begin(n);
    size_t before = 0, after = 0, called = 0;
    uint64_t begun = clock_ms();
    for (size_t i = 0; i < n; i++) {
        by_tcp(&letters[i]);
        outbox_put(outbox, letters[i].to, &text, 1, MSG_MORE, on_sent, &letters[i]);
    }
    h2o_evloop_run(loop, 0);
    for (size_t i = 0; i < n; i++) {
        char some[16];
        called += letters[i].n_calls == 1 && letters[i].error == 0 && letters[i].left == 0;
        bool has_come = recv(letters[i].from, some, 1, MSG_DONTWAIT | MSG_PEEK) >= 0;
        before += has_come && clock_ms() - begun < PUSHED_MS;
        close(letters[i].to);
        letters[i].to = -1;
        after += recv(letters[i].from, some, sizeof(some), MSG_WAITALL) == 8 &&
                 recv(letters[i].from, some, sizeof(some), 0) == 0;
    }
    ok(called == n && before == 0, "of %zu with MSG_MORE nothing has arrived when their senders are told", n);
    ok(after == n, "all of it has when they have closed their sockets, and the end");
    end(n);
}

/* More than the socket holds, in parts of which one is empty: sent and received by turns. */
static void test_rest(void)
{
    enum { EACH = 300000, TIMES = 3 };
    begin(1);
    char *text = malloc(EACH * TIMES), *got = malloc(EACH * TIMES);
    for (size_t i = 0; i < EACH * TIMES; i++)
        text[i] = (char)(i % 251);
    struct iovec parts[] = {{text, EACH}, {NULL, 0}, {text + EACH, EACH}, {text + 2 * EACH, EACH}};
    size_t n = 4, at = 0;
    int turns = 0, error = 0;
    while (error == 0 && n > 0) {
        error = outbox_send_now(letters[0].to, parts, &n);
        turns++;
        for (ssize_t more; (more = recv(letters[0].from, got + at, EACH * TIMES - at, 0)) > 0;)
            at += (size_t)more;
    }
    ok(turns > 1, "a socket takes of many bytes what it has room for");
    ok(at == EACH * TIMES && memcmp(text, got, at) == 0, "what it leaves is the rest, in its order");
    free(text);
    free(got);
    end(1);
}

static void test_bounds(void)
{
    begin(PAIRS);
    size_t taken = 0;
    for (size_t i = 0; i < PAIRS; i++)
        taken += post(&letters[i], "hello");
    ok(taken == 256, "256 messages have room, and the next have not");
    h2o_evloop_run(loop, 0);
    ok(post(&letters[PAIRS - 1], "hello"), "in the next turn they have");
    h2o_evloop_run(loop, 0);
    ok(letters[0].n_calls == 1 && letters[255].n_calls == 1 && letters[PAIRS - 1].n_calls == 1,
       "all that had room are sent");

    struct iovec parts[OUTBOX_PARTS + 1] = {{NULL, 0}};
    ok(outbox_put(outbox, letters[0].to, parts, OUTBOX_PARTS + 1, 0, on_sent, NULL) == NULL,
       "too many parts");
    char *large = calloc(1, OUTBOX_BYTES + 1);
    parts[0] = (struct iovec){large, OUTBOX_BYTES + 1};
    ok(outbox_put(outbox, letters[0].to, parts, 1, 0, on_sent, NULL) == NULL, "too many bytes");
    ok(outbox_put(NULL, letters[0].to, parts, 0, 0, on_sent, NULL) == NULL, "no outbox");
    free(large);
    end(PAIRS);
}

int main(void)
{
    loop = h2o_evloop_create();
    outbox = outbox_new(loop);
    if (outbox == NULL) {
        printf("1..0 # SKIP no io_uring: %s\n", strerror(errno));
        return 0;
    }
    struct letter early = {.to = -1};
    ok(!post(&early, "hello"), "an outbox that is not open yet has no room");
    outbox_open(outbox);
    test_turn(1);
    test_turn(100);
    test_turn(200); /* the second and third time the places go round */
    test_parts();
    test_chain();
    test_taken_back();
    test_trouble();
    test_last(1);
    test_last(20);
    test_rest();
    test_bounds();
    outbox_free(outbox);
    h2o_evloop_destroy(loop);
    return done_testing();
}
