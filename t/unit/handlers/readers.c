/* readers.c: clients to whom answers are streamed, and what they may hold while they take their time. */
#include "handlers/readers.h"

#include <arpa/inet.h>

#include "base/log.h"
#include "unit/tap.h"

enum {
    KILOBYTE = 1024,
    MEGABYTE = 1024 * KILOBYTE,
    SPOOL = 8 * MEGABYTE,
    RATE = 16 * KILOBYTE,
    CONNECTIONS = 8,
    CLIENTS = 64,
    LOOKS = 10, /* in a second */
};

/* A client that takes so many bytes a second of its answer. */
struct client {
    struct reader reader;
    struct sink sink;
    char address[INET6_ADDRSTRLEN];
    uint64_t network, taken, pace;
    struct spool_block *blocks[512];
    size_t n_blocks;
    unsigned n_goes_on;
    bool is_there;
};

static struct readers *readers;
static struct readers_source *source;
static struct client clients[CLIENTS];
static uint64_t now;
static uint64_t waiting; /* the network of somebody who waits for a connection, or NOBODY */
static const uint64_t NOBODY = UINT64_MAX, SOMEBODY = 7;

static struct client *client_of(struct sink *sink)
{
    return (struct client *)((char *)sink - offsetof(struct client, sink));
}

static void leave(struct client *client)
{
    while (client->n_blocks > 0)
        reader_give(&client->reader, client->blocks[--client->n_blocks]);
    reader_end(&client->reader);
    client->is_there = false;
}

static void cut(struct sink *sink)
{
    leave(client_of(sink));
}

static uint64_t taken(struct sink *sink)
{
    return client_of(sink)->taken;
}

static struct sink_client client_data(struct sink *sink)
{
    return (struct sink_client){client_of(sink)->network, str_of(client_of(sink)->address)};
}

static void on_go_on(struct reader *reader)
{
    struct client *client = H2O_STRUCT_FROM_MEMBER(struct client, reader, reader);
    client->n_goes_on++;
    reader_let_go(reader, now);
}

static const struct sink_ops ops = {.cut = cut, .taken = taken, .client = client_data};

static unsigned most(const void *of)
{
    (void)of;
    return CONNECTIONS;
}

static bool is_wanted(const void *of, uint64_t network)
{
    (void)of;
    return waiting != NOBODY && (network == 0 || waiting != network);
}

/* A client from 192.0.2.HOST, or from loopback, that takes pace bytes a second. */
static struct client *arrive(struct client *client, unsigned host, uint64_t pace)
{
    *client = (struct client){.sink = {.ops = &ops, .route = "GET /list"}, .pace = pace, .is_there = true};
    client->network = host == 0 ? 0 : host;
    snprintf(client->address, sizeof(client->address), host == 0 ? "127.0.0.1" : "192.0.2.%u", host);
    reader_begin(&client->reader, source, &client->sink, on_go_on);
    return client;
}

/* The same, and it holds a connection from the beginning. */
static struct client *hold(struct client *client, unsigned host, uint64_t pace)
{
    arrive(client, host, pace);
    reader_hold(&client->reader, now);
    return client;
}

/* Lets answers for the client come until they may not wait. Returns how many bytes they are. */
static size_t fill(struct client *client)
{
    while (reader_may_spool(&client->reader))
        client->blocks[client->n_blocks++] = reader_take(&client->reader);
    return client->n_blocks * SPOOL_PAGE;
}

/* That time goes by, in which all take what they do. */
static void pass(unsigned ms)
{
    for (unsigned i = 0; i < ms * LOOKS / 1000; i++) {
        now += 1000 / LOOKS;
        for (size_t j = 0; j < CLIENTS; j++)
            clients[j].taken += clients[j].pace / LOOKS;
        readers_look(readers, now);
    }
}

static unsigned n_there(void)
{
    unsigned n = 0;
    for (size_t i = 0; i < CLIENTS; i++)
        n += clients[i].is_there;
    return n;
}

static void all_leave(void)
{
    for (size_t i = 0; i < CLIENTS; i++) {
        if (clients[i].is_there)
            leave(&clients[i]);
    }
    waiting = NOBODY;
}

static void test_spool(void)
{
    size_t quarter = SPOOL / 4;
    ok(fill(arrive(&clients[0], 1, 0)) == quarter, "one answer may have a quarter of the spool");
    ok(fill(arrive(&clients[1], 1, 0)) == 0, "and all answers to one address together");
    ok(fill(arrive(&clients[2], 2, 0)) == quarter, "another address has its own");
    ok(fill(arrive(&clients[3], 0, 0)) == quarter, "so has one answer to a client on loopback,");
    ok(fill(arrive(&clients[4], 0, 0)) == quarter, "and the next, as clients of a proxy all come from there");
    ok(fill(arrive(&clients[5], 3, 0)) == 0, "until the spool is full");
    leave(&clients[2]);
    ok(fill(&clients[5]) == quarter, "what is given back is for others");
    pass(60000);
    ok(n_there() == 5, "as long as nobody needs the room, they may take their time");
    all_leave();
}

static void test_full_spool(void)
{
    for (unsigned i = 0; i < 4; i++)
        fill(arrive(&clients[i], i + 1, i == 3 ? RATE : i * 1000));
    hold(&clients[4], 5, 10 * RATE);
    pass(4000);
    ok(n_there() == 5, "one who holds a connection for want of room waits for a while");
    pass(4000);
    ok(!clients[0].is_there && clients[1].is_there && clients[2].is_there,
       "then the slowest of those in the spool makes room, and no more than one");
    ok(clients[4].n_goes_on > 0, "and the other one goes on");
    fill(&clients[4]);
    fill(arrive(&clients[0], 6, RATE));
    hold(&clients[5], 7, 10 * RATE);
    pass(60000);
    ok(!clients[1].is_there, "if more is needed it is the next one");
    ok(clients[3].is_there && clients[4].is_there,
       "who takes what can be asked of it is never cut off for that");
    all_leave();
}

static void test_kept(void)
{
    for (unsigned i = 0; i < 16; i++) {
        arrive(&clients[i], i + 1, i < 8 ? 500 : RATE);
        reader_keep(&clients[i].reader, MEGABYTE);
    }
    ok(fill(&clients[0]) == 0, "whole answers count, too");
    pass(4000);
    ok(n_there() == 16, "if they are too many, nothing happens at once");
    pass(4000);
    ok(n_there() == 9, "but then the slow ones are cut off, as many as it takes");
    all_leave();
    for (unsigned i = 0; i < 40; i++) {
        arrive(&clients[i], i + 1, i < 36 ? 500 : RATE);
        reader_keep(&clients[i].reader, MEGABYTE);
    }
    pass(500);
    ok(n_there() == 32, "if they are four times what there may be, this takes no second");
    pass(1500);
    ok(n_there() == 16, "of what is twice as much they are rid of in two,");
    pass(4000);
    ok(n_there() == 9, "and of the rest as before");
    for (unsigned i = 36; i < 40; i++)
        ok(clients[i].is_there, "who takes what can be asked of it gets all of it");
    all_leave();
    ok(fill(arrive(&clients[0], 1, 0)) == SPOOL / 4, "and then all room is there again");
    all_leave();
}

static void test_rate(void)
{
    ok(fill(arrive(&clients[0], 1, 0)) == 0, "spool 0: nothing waits there");
    all_leave();
    hold(&clients[0], 1, 0);
    hold(&clients[1], 2, RATE / 2);
    hold(&clients[2], 3, RATE + RATE / 50);
    hold(&clients[3], 0, RATE / 2);
    pass(4500);
    ok(n_there() == 4, "holding a connection for some seconds is nothing");
    pass(1000);
    ok(!clients[0].is_there && n_there() == 3, "but who takes nothing is cut off then");
    pass(6000);
    ok(!clients[1].is_there && !clients[3].is_there,
       "and who takes too little, later, wherever it comes from");
    pass(3600000);
    ok(clients[2].is_there, "one that takes enough is not");
    all_leave();
}

static void test_rests(void)
{
    struct client *client = hold(&clients[0], 1, 0);
    for (unsigned i = 0; i < 100; i++) {
        client->taken += 128 * KILOBYTE;
        pass(7500);
    }
    ok(client->is_there, "it may take what it has to in large steps");
    client->taken += 100 * MEGABYTE;
    pass(15000);
    ok(client->is_there, "a very large step");
    pass(10000);
    ok(!client->is_there, "does not allow for a very long rest");

    client = hold(&clients[0], 1, 0);
    for (unsigned i = 0; i < 100; i++) {
        pass(3000);
        reader_let_go(&client->reader, now);
        pass(3000);
        reader_hold(&client->reader, now);
    }
    ok(client->is_there, "time in which the client had to wait does not count");
    all_leave();
}

static void test_wanted(void)
{
    for (unsigned i = 0; i < CONNECTIONS; i++)
        hold(&clients[i], i + 1, i * 2 * RATE + i * RATE / 50);
    pass(900);
    waiting = SOMEBODY;
    pass(100);
    ok(n_there() == CONNECTIONS,
       "who has just begun to hold a connection is not cut off, even if it is wanted");
    pass(200);
    ok(!clients[0].is_there && clients[1].is_there, "a second later the slowest is");
    waiting = NOBODY;
    pass(4000);
    ok(n_there() == CONNECTIONS - 1, "and nobody else, if that was enough");
    waiting = SOMEBODY;
    pass(60000);
    ok(n_there() == CONNECTIONS - 2, "if it is not, all who take less than four times the least rate");
    for (unsigned i = 2; i < CONNECTIONS; i++)
        ok(clients[i].is_there, "%u KB a second is enough", i * 2 * RATE / KILOBYTE);
    all_leave();
}

static void test_share(void)
{
    for (unsigned i = 0; i < 7; i++)
        hold(&clients[i], i < 6 ? 1 : 2, 100 * RATE);
    pass(60000);
    ok(n_there() == 7, "all of one address may hold connections that nobody else wants");
    waiting = 1;
    pass(10000);
    ok(n_there() == 7, "if only that address wants more, it waits");
    ok(readers_refuse(source, &clients[0].sink), "or is refused");
    ok(!readers_refuse(source, &clients[6].sink), "which others are not");
    waiting = SOMEBODY;
    pass(10000);
    ok(n_there() == 3 && clients[6].is_there, "it keeps a quarter of them if others want one");
    ok(readers_refuse(source, &clients[0].sink) || !clients[0].is_there, "and gets no more");
    waiting = NOBODY;
    ok(!readers_refuse(source, &clients[6].sink), "nobody is refused while there are enough");
    all_leave();

    for (unsigned i = 0; i < 7; i++)
        hold(&clients[i], 0, 100 * RATE);
    waiting = SOMEBODY;
    pass(60000);
    ok(n_there() == 7, "on loopback there are no shares");
    ok(!readers_refuse(source, &clients[0].sink), "there nobody is refused");
    all_leave();
}

static void make(struct readers_conf conf)
{
    static const char of;
    readers = readers_new(&conf);
    source = readers_source(
        readers, &(struct readers_source_conf){
                     .kind = "lane", .name = "read", .of = &of, .most = most, .is_wanted = is_wanted});
    ok(readers_source(readers, &(struct readers_source_conf){.kind = "lane", .name = "read", .of = &of}) ==
           source,
       "a source is made once");
}

static void test_off(void)
{
    arrive(&clients[0], 1, 0);
    reader_keep(&clients[0].reader, 100 * MEGABYTE);
    reader_hold(&clients[0].reader, now);
    waiting = SOMEBODY;
    pass(3600000);
    ok(clients[0].is_there, "rate 0: nobody is too slow");
    hold(&clients[1], 1, 0);
    hold(&clients[2], 1, 0);
    pass(2000);
    ok(n_there() == 2, "but none has more than its share");
    all_leave();
}

int main(void)
{
    h2o_loop_t *loop = h2o_evloop_create();
    struct timeouts *timeouts = timeouts_new(loop);
    log_open("test", LOG_LEVEL_ERROR);
    now = 1000000;
    waiting = NOBODY;
    make((struct readers_conf){.loop = loop, .timeouts = timeouts, .spool = SPOOL, .rate = RATE});
    test_spool();
    test_full_spool();
    test_kept();
    readers_free(readers);
    make((struct readers_conf){.loop = loop, .timeouts = timeouts, .rate = RATE});
    test_rate();
    test_rests();
    test_wanted();
    test_share();
    readers_free(readers);
    make((struct readers_conf){.loop = loop, .timeouts = timeouts});
    test_off();
    readers_free(readers);
    timeouts_free(timeouts);
    h2o_evloop_destroy(loop);
    return done_testing();
}
