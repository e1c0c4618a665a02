/* link.c: what comes over a socket and what is written, as the owner of a link is told of it. */
#include "server/link.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "unit/tap.h"

enum { STALL_MS = 20, LIMIT = 6000, LARGE = 1024 * 1024, MOST_TURNS = 2000 };

static h2o_loop_t *loop;
static struct timeouts *timeouts;
static struct store_limit limit = {.most = LIMIT};
static struct link_env env;

/* A link, its client, and what its owner was told. */
struct owner {
    struct link link;
    int client;
    size_t takes;     /* bytes that it consumes of what has come */
    bool closes;      /* it closes the link then */
    const char *next; /* what it sends once there is room */
    char seen[64];    /* what waited, when it was told of it last */
    unsigned n_inputs, n_ended, n_full, n_drained, n_broken, n_stalled;
};

static struct owner *owner_of(struct link *link)
{
    return H2O_STRUCT_FROM_MEMBER(struct owner, link, link);
}

static void on_input(struct link *link)
{
    struct owner *owner = owner_of(link);
    owner->n_inputs++;
    snprintf(owner->seen, sizeof(owner->seen), "%.*s", (int)link->input_len, link->input);
    link_consume(link, owner->takes < link->input_len ? owner->takes : link->input_len);
    if (owner->closes)
        link_close(link, false);
}

static void on_ended(struct link *link)
{
    owner_of(link)->n_ended++;
    link_end_input(link);
}

static void on_full(struct link *link)
{
    owner_of(link)->n_full++;
    link_drop_input(link);
    link_stop_reading(link);
}

static void on_drained(struct link *link)
{
    static h2o_iovec_t part;
    struct owner *owner = owner_of(link);
    owner->n_drained++;
    if (owner->next != NULL) {
        part = h2o_iovec_init(owner->next, strlen(owner->next));
        owner->next = NULL;
        link_write(link, &part, 1, LINK_STAYS);
    }
}

static void on_broken(struct link *link, bool stalled)
{
    struct owner *owner = owner_of(link);
    owner->n_broken++;
    owner->n_stalled += stalled;
}

static const struct link_ops ops = {
    .input = on_input, .ended = on_ended, .full = on_full, .drained = on_drained, .broken = on_broken};

static void begin(struct owner *owner)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0)
        abort();
    *owner = (struct owner){.client = pair[0]};
    link_open(&owner->link, &env, &ops,
              h2o_evloop_socket_create(loop, pair[1], H2O_SOCKET_FLAG_IS_ACCEPTED_CONNECTION));
    link_begin(&owner->link);
}

static void end(struct owner *owner)
{
    if (!owner->closes)
        link_close(&owner->link, false);
    close(owner->client);
}

static void client_sends(struct owner *owner, const char *text)
{
    if (write(owner->client, text, strlen(text)) != (ssize_t)strlen(text))
        abort();
}

/* All that the client can read now. */
static const char *client_reads(struct owner *owner)
{
    static char text[256];
    ssize_t n = read(owner->client, text, sizeof(text) - 1);
    text[n < 0 ? 0 : n] = '\0';
    return text;
}

static void turn(void)
{
    h2o_evloop_run(loop, 1);
}

static void turn_until(const unsigned *count, unsigned enough)
{
    for (int i = 0; i < MOST_TURNS && *count < enough; i++)
        turn();
}

static void test_input(void)
{
    struct owner one, other;
    begin(&one);
    begin(&other);
    client_sends(&one, "one and");
    one.takes = 4;
    ok(link_read(&one.link), "a link is still there after its owner was told of input");
    is_str(one.seen, "one and", "the owner is told of what has come");
    client_sends(&other, "other");
    other.takes = 5;
    link_read(&other.link);
    client_sends(&one, " more");
    link_start_reading(&one.link);
    turn_until(&one.n_inputs, 2);
    is_str(one.seen, "and more", "what is not consumed stays, also while another link reads");
    one.takes = 64;
    client_sends(&one, "!");
    turn_until(&one.n_inputs, 3);
    ok(one.link.input_len == 0 && one.link.own_input == NULL, "a link holds no memory where nothing waits");
    ok(link_read(&one.link) && one.n_inputs == 3, "nothing has come: the owner is told nothing");
    end(&one);
    end(&other);
}

static void test_end(void)
{
    struct owner owner;
    begin(&owner);
    link_start_reading(&owner.link);
    shutdown(owner.client, SHUT_WR);
    turn_until(&owner.n_ended, 1);
    link_start_reading(&owner.link);
    turn();
    turn();
    is_int(owner.n_ended, 1, "the end of the client's side is told of once");
    owner.next = "still here";
    link_write(&owner.link, NULL, 0, LINK_MORE);
    turn_until(&owner.n_drained, 2);
    is_str(client_reads(&owner), "still here", "what is written reaches it all the same");
    end(&owner);
}

static void test_closing_within(void)
{
    struct owner owner;
    begin(&owner);
    owner.closes = true;
    client_sends(&owner, "bye");
    ok(!link_read(&owner.link), "an owner may close the link from within");
    end(&owner);
}

static void test_limit(void)
{
    struct owner one, other;
    struct body body = {.limit = &limit};
    begin(&one);
    begin(&other);
    char *text = calloc(1, LIMIT * 3 / 4 + 1);
    memset(text, 'x', LIMIT * 3 / 4);
    link_count_with(&one.link, &body);
    link_count_with(&other.link, &body);
    client_sends(&one, text);
    client_sends(&other, text);
    link_read(&one.link);
    ok(one.n_full == 0 && limit.used == strlen(text), "what waits beside a request counts");
    link_read(&other.link);
    ok(other.n_full == 1 && limit.used == strlen(text), "where there is no room for it, the owner is told");
    free(text);
    end(&one);
    end(&other);
    is_int((long long)limit.used, 0, "a link that is closed gives back what it held");
}

static void test_output(void)
{
    struct owner owner;
    begin(&owner);
    h2o_iovec_t parts[] = {{(char *)"some ", 5}, {(char *)"text, ", 6}};
    owner.next = "then more";
    link_write(&owner.link, parts, 2, LINK_MORE);
    ok(owner.n_drained == 0, "drained never comes from within link_write");
    turn_until(&owner.n_drained, 2);
    is_str(client_reads(&owner), "some text, then more", "all of it goes out in its order");
    is_int((long long)owner.link.written, 20, "what was written is counted");
    link_write(&owner.link, NULL, 0, LINK_STAYS);
    ok(owner.n_drained == 2, "not even where there is nothing to write");
    turn_until(&owner.n_drained, 3);
    is_int(owner.n_drained, 3, "then it comes soon");
    end(&owner);
}

static void test_first(void)
{
    struct owner owner;
    begin(&owner);
    h2o_iovec_t part = {(char *)"the answer", 10};
    link_write_first(&owner.link, "first ", 6);
    link_write(&owner.link, &part, 1, LINK_STAYS);
    turn_until(&owner.n_drained, 1);
    is_str(client_reads(&owner), "first the answer", "what is written meanwhile waits for the first text");
    is_int(owner.n_drained, 1, "and drained comes once for both");
    end(&owner);
}

static void test_large(void)
{
    struct owner owner;
    static char bytes[LARGE], got[LARGE];
    size_t len = 0;
    for (size_t i = 0; i < LARGE; i++)
        bytes[i] = (char)(i % 251);
    begin(&owner);
    h2o_iovec_t part = {bytes, LARGE};
    link_write(&owner.link, &part, 1, LINK_STAYS);
    for (int i = 0; i < MOST_TURNS && len < LARGE; i++) {
        ssize_t n = read(owner.client, got + len, LARGE - len);
        len += n > 0 ? (size_t)n : 0;
        turn();
    }
    turn_until(&owner.n_drained, 1);
    ok(len == LARGE && memcmp(bytes, got, LARGE) == 0, "what the socket does not take at once follows");
    is_int(owner.n_drained, 1, "drained comes once");
    end(&owner);
}

static void test_giving_up(void)
{
    struct owner owner;
    static char bytes[LARGE];
    begin(&owner);
    h2o_iovec_t part = {bytes, LARGE};
    link_write(&owner.link, &part, 1, LINK_MORE);
    link_give_up(&owner.link);
    turn_until(&owner.n_drained, 1);
    is_int(owner.n_drained, 1, "of an answer that is given up drained comes soon");
    ok(owner.link.written < LARGE, "and not all of it was written");
    end(&owner);
}

static void test_stall(void)
{
    struct owner owner;
    static char bytes[LARGE];
    begin(&owner);
    h2o_iovec_t part = {bytes, LARGE};
    link_write(&owner.link, &part, 1, LINK_STAYS);
    turn_until(&owner.n_broken, 1);
    ok(owner.n_stalled == 1 && owner.n_drained == 0, "a client that takes nothing is told of");
    end(&owner);

    begin(&owner);
    link_write(&owner.link, &(h2o_iovec_t){(char *)"taken", 5}, 1, LINK_STAYS);
    turn_until(&owner.n_drained, 1);
    client_reads(&owner);
    link_watch_reader(&owner.link);
    for (int i = 0; i < MOST_TURNS && h2o_timeout_is_linked(&owner.link.timer); i++)
        turn();
    is_int(owner.n_broken, 0, "one that has taken all of its answer is not");
    end(&owner);
}

static void test_client_gone(void)
{
    struct owner owner;
    begin(&owner);
    close(owner.client);
    owner.client = -1;
    link_write(&owner.link, &(h2o_iovec_t){(char *)"gone", 4}, 1, LINK_STAYS);
    turn_until(&owner.n_broken, 1);
    ok(owner.n_broken == 1 && owner.n_stalled == 0, "a client that has left is told of");
    end(&owner);
}

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    loop = h2o_evloop_create();
    timeouts = timeouts_new(loop);
    link_env_init(&env, loop, timeouts, STALL_MS, NULL, &limit);
    test_input();
    test_end();
    test_closing_within();
    test_limit();
    test_output();
    test_first();
    test_large();
    test_giving_up();
    test_stall();
    test_client_gone();
    link_env_dispose(&env);
    timeouts_free(timeouts);
    return done_testing();
}
