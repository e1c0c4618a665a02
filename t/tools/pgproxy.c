/*
 * pgproxy.c: a proxy between Hayfork and PostgreSQL that understands where messages begin and end, and does
 * harm there.
 *
 *     pgproxy [-s SEED] [-r FAULT=RATE]... [-c SHARE] [-g MESSAGES] [-d MS] [-q] LISTEN SERVER
 *
 * LISTEN and SERVER are each the path of a Unix socket, or a port of 127.0.0.1. For each message the
 * generator decides whether one of the faults below befalls it; RATE is its probability, 0 unless it is
 * given; for a row it is a fifth of that, because there are so many. A SHARE (0) of the connections is spared
 * in its first MESSAGES (100) each way, so that some of them live. -d is how long a delay lasts at most
 * (30 ms). SIGUSR1 makes the proxy quiet: everything passes as it is; -q starts it so; SIGUSR2 ends that.
 * SIGTERM ends the proxy, which then prints how often each fault has happened; each is a line of standard
 * output when it happens, too.
 *
 * Nothing is changed that nobody could notice: bytes of a value, a row more or less, the order of two rows.
 * What a fault leads to is always against the protocol (PostgreSQL 15, chapter 55.2), unless it is none: a
 * server must bear delays and small parts. Two such faults could make up for each other (one answer's end and
 * the next one's beginning are dropped), so a connection gets only one. Decisions depend only on the seed,
 * the connection's number, the direction and the message's number.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum {
    MAX_LINKS = 256,
    READ_SIZE = 64 * 1024,
    HEADER = 5, /* a message's type and length */
    SSL_REQUEST = 80877103,
    GSS_REQUEST = 80877104,
    CANCEL_REQUEST = 80877102,
};

/*
 * Which faults there are. Those from FAULT_TYPE on are against the protocol, those from FAULT_COLUMNS on are
 * for messages from the server only.
 */
enum fault {
    FAULT_REFUSE,  /* of a connection, not of a message: it is reset as soon as it is there */
    FAULT_DELAY,   /* it comes later, and so does what is after it */
    FAULT_SPLIT,   /* it comes in small parts */
    FAULT_STALL,   /* neither it nor anything after it ever comes */
    FAULT_FIN,     /* the connection closes after it */
    FAULT_RESET,   /* it is reset there */
    FAULT_TEAR,    /* it closes, or is reset, in the middle of it */
    FAULT_TYPE,    /* its type is another one, or none at all */
    FAULT_LENGTH,  /* its length is wrong */
    FAULT_COLUMNS, /* a row's number of columns is wrong */
    FAULT_FIELD,   /* the length of a value in a row is wrong */
    FAULT_STATUS,  /* ReadyForQuery tells another state of the transaction, or none */
    FAULT_DROP,    /* it is left out */
    FAULT_TWICE,   /* it comes twice */
    FAULT_SWAP,    /* it changes places with the next one, which is of another type */
    FAULTS,
};

static const char *const fault_names[FAULTS] = {
    "refuse", "delay",   "split", "stall",  "fin",  "reset", "tear", "type",
    "length", "columns", "field", "status", "drop", "twice", "swap",
};

struct bytes {
    unsigned char *at;
    size_t len, room;
};

enum framing {
    FIRST, /* the client's first packet has no type */
    BYTE,  /* the server answers a request for encryption with one byte */
    TYPED,
    RAW, /* encrypted, or a cancel request: not ours to read */
};

enum ending { GOES_ON, ENDS_FIN, ENDS_RESET };

/* One direction of a connection. */
struct flow {
    int from, to;
    bool of_server;
    enum framing framing;
    struct bytes in, out;
    uint64_t random; /* state of the generator */
    bool decided;    /* what befalls the next message */
    int fault;       /* … -1 if nothing does */
    unsigned messages;
    uint64_t not_before; /* ms: out stays here until then */
    size_t portion;      /* most bytes to write at once, 0 for no limit */
    enum ending ending;  /* what happens once out is empty */
    bool at_end;         /* nothing more will come in */
};

struct link {
    unsigned number;
    bool spared;
    bool harmed; /* a fault against the protocol has happened: a second one could hide the first */
    struct flow client, server; /* what comes from each */
};

struct proxy {
    uint64_t seed;
    double rates[FAULTS];
    double share;
    unsigned spared_messages, delay;
    bool quiet;
    const char *server;
    int listener, signals;
    struct link *links[MAX_LINKS];
    size_t n_links;
    unsigned n_connections;
    unsigned long n_messages, counts[FAULTS];
};

static void fail(const char *what)
{
    perror(what);
    exit(71);
}

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* SplitMix64: small, and any seed is a good one. */
static uint64_t draw(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static unsigned draw_below(struct flow *flow, size_t limit)
{
    return (unsigned)(draw(&flow->random) % limit);
}

static double draw_share(uint64_t *state)
{
    return (double)(draw(state) >> 11) / 9007199254740992.0;
}

/* Bytes */

static unsigned char *bytes_room(struct bytes *bytes, size_t more)
{
    if (bytes->room - bytes->len < more) {
        bytes->room = (bytes->len + more) * 2;
        bytes->at = realloc(bytes->at, bytes->room);
        if (bytes->at == NULL)
            fail("realloc");
    }
    return bytes->at + bytes->len;
}

static void bytes_add(struct bytes *bytes, const unsigned char *at, size_t len)
{
    if (len > 0)
        memcpy(bytes_room(bytes, len), at, len);
    bytes->len += len;
}

static void bytes_drop(struct bytes *bytes, size_t len)
{
    bytes->len -= len;
    if (len > 0)
        memmove(bytes->at, bytes->at + len, bytes->len);
}

static uint32_t get32(const unsigned char *at)
{
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

static void put32(unsigned char *at, uint32_t value)
{
    for (int i = 3; i >= 0; i--, value >>= 8)
        at[i] = (unsigned char)value;
}

static unsigned get16(const unsigned char *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

/* The length of the whole message that begins at at, or 0 if not all of it is there. */
static size_t message_length(const unsigned char *at, size_t there)
{
    if (there < HEADER)
        return 0;
    size_t len = 1 + (size_t)get32(at + 1);
    return len <= there ? len : 0;
}

/* Faults. Each function below changes the message at the end of flow->out; false if the fault is none for it.
 */

/* Not S, N and A: they may come at any time and say nothing about a query. */
static bool is_step(unsigned char type)
{
    return type != '\0' && strchr("123CEIZTtns", type) != NULL;
}

static bool change_type(struct flow *flow, unsigned char *message)
{
    static const char nobodys[] = "bjyY7*?\x7f\xff";
    static const char known[] = "123CDEGHITWZnst";
    const char *from = flow->of_server && draw_below(flow, 2) == 0 ? known : nobodys;
    unsigned char was = message[0];
    do
        message[0] = (unsigned char)from[draw_below(flow, strlen(from))];
    while (message[0] == was);
    return true;
}

static bool change_length(struct flow *flow, unsigned char *message)
{
    uint32_t len = get32(message + 1), little = 1 + draw_below(flow, 4);
    switch (draw_below(flow, 6)) {
    case 0:
        len = little - 1;
        break;
    case 1:
        len = 0x80000000u | (uint32_t)draw(&flow->random);
        break;
    case 2:
        len = 0x7fffffffu - little;
        break;
    case 3:
        len += (uint32_t)draw_below(flow, message[0] == 'D' ? 1u << 8 : 1u << 24);
        break;
    case 4:
        len += little;
        break;
    default:
        if (len < 4 + little)
            return false;
        len -= little;
        break;
    }
    if (len == get32(message + 1))
        return false;
    put32(message + 1, len);
    return true;
}

static bool change_columns(struct flow *flow, unsigned char *message)
{
    if (strchr("DTt", message[0]) == NULL)
        return false;
    unsigned n = get16(message + HEADER), other[] = {n + 1, n - 1, 0, 0x7fff, 0xffff};
    n = other[draw_below(flow, 5)];
    if (n == get16(message + HEADER))
        return false;
    message[HEADER] = (unsigned char)(n >> 8);
    message[HEADER + 1] = (unsigned char)n;
    return true;
}

/* The last value's length: any other one leaves bytes over, or wants bytes that are not there. */
static bool change_field(struct flow *flow, unsigned char *message)
{
    unsigned n = message[0] == 'D' ? get16(message + HEADER) : 0;
    if (n == 0)
        return false;
    unsigned char *at = message + HEADER + 2;
    for (unsigned i = 1; i < n; i++)
        at += 4 + (get32(at) == UINT32_MAX ? 0 : get32(at));
    uint32_t len = get32(at);
    uint32_t other[] = {len + 1 + draw_below(flow, 4), 0x7fffffffu, 0x80000000u, UINT32_MAX - 1, len - 1};
    bool has_bytes = len != 0 && len != UINT32_MAX;
    put32(at, other[draw_below(flow, has_bytes ? 5 : 4)]);
    return get32(at) != len && !(len == UINT32_MAX && get32(at) == 0);
}

static bool change_status(struct flow *flow, unsigned char *message)
{
    static const char states[] = "TEXi\x01\xff";
    if (message[0] != 'Z')
        return false;
    message[HEADER] = (unsigned char)states[draw_below(flow, strlen(states))];
    return true;
}

/* The message, of which there is room for one more after it, comes twice. */
static bool repeat(struct flow *flow, const unsigned char *message, size_t len)
{
    if (!is_step(message[0]))
        return false;
    flow->out.len += len;
    memcpy(flow->out.at + flow->out.len - len, message, len);
    return true;
}

/* The next message goes first. */
static bool swap(struct flow *flow, size_t len)
{
    unsigned char *message = flow->in.at;
    size_t next = message_length(message + len, flow->in.len - len);
    if (next == 0 || message[len] == message[0] || !is_step(message[0]) ||
        !(is_step(message[len]) || message[len] == 'D'))
        return false;
    flow->out.len = 0;
    bytes_add(&flow->out, message + len, next);
    bytes_add(&flow->out, message, len);
    bytes_drop(&flow->in, next);
    return true;
}

static bool delay(struct flow *flow, unsigned longest)
{
    if (draw_below(flow, 20) == 0)
        longest *= 10;
    flow->not_before = now_ms() + 1 + draw_below(flow, longest);
    return true;
}

static bool split(struct flow *flow, size_t len)
{
    flow->portion = draw_below(flow, 2) == 0 ? 1 : 1 + draw_below(flow, 7);
    flow->portion += len / 128; /* a long one should not take all day */
    return true;
}

static bool tear(struct flow *flow, size_t len)
{
    flow->out.len = 1 + draw_below(flow, len - 1);
    flow->ending = draw_below(flow, 2) == 0 ? ENDS_FIN : ENDS_RESET;
    return true;
}

/* Lets a fault befall the first message of flow->in, which is alone in flow->out, too. False if it does not.
 */
static bool inflict(const struct proxy *proxy, struct flow *flow, enum fault fault, size_t len)
{
    unsigned char *message = flow->out.at;
    if (!flow->of_server && fault >= FAULT_COLUMNS)
        return false;
    switch (fault) {
    case FAULT_DELAY:
        return delay(flow, proxy->delay);
    case FAULT_SPLIT:
        return split(flow, len);
    case FAULT_STALL:
        flow->not_before = UINT64_MAX;
        return true;
    case FAULT_FIN:
        flow->ending = ENDS_FIN;
        return true;
    case FAULT_RESET:
        flow->ending = ENDS_RESET;
        return true;
    case FAULT_TEAR:
        return tear(flow, len);
    case FAULT_TYPE:
        return change_type(flow, message);
    case FAULT_LENGTH:
        return change_length(flow, message);
    case FAULT_COLUMNS:
        return change_columns(flow, message);
    case FAULT_FIELD:
        return change_field(flow, message);
    case FAULT_STATUS:
        return change_status(flow, message);
    case FAULT_DROP:
        flow->out.len = 0;
        return is_step(message[0]);
    case FAULT_TWICE:
        return repeat(flow, message, len);
    case FAULT_SWAP:
        return swap(flow, len);
    case FAULT_REFUSE:
    case FAULTS:
        break;
    }
    return false;
}

/* What befalls the next message: drawn for each, so that a spared one does not change what comes later. */
static int decide(const struct proxy *proxy, const struct link *link, struct flow *flow)
{
    double share = draw_share(&flow->random);
    if (flow->of_server && flow->in.at[0] == 'D')
        share *= 5;
    flow->messages++;
    if (proxy->quiet || (link->spared && flow->messages <= proxy->spared_messages))
        return -1;
    for (int fault = FAULT_REFUSE + 1; fault < FAULTS; fault++) {
        share -= proxy->rates[fault];
        if (share < 0)
            return link->harmed && fault >= FAULT_TYPE ? -1 : fault;
    }
    return -1;
}

static void record(struct proxy *proxy, struct link *link, const struct flow *flow, enum fault fault,
                   unsigned char type)
{
    proxy->counts[fault]++;
    link->harmed = link->harmed || fault >= FAULT_TYPE;
    printf("connection %u, message %u of the %s (%c): %s\n", link->number, flow->messages,
           flow->of_server ? "server" : "client", type, fault_names[fault]);
}

/* Passes the first message of flow->in on to flow->out. False if it has to wait until flow->out is empty. */
static bool pass_message(struct proxy *proxy, struct link *link, struct flow *flow, size_t len)
{
    if (!flow->decided) {
        flow->fault = decide(proxy, link, flow);
        flow->decided = true;
        proxy->n_messages++;
    }
    if (flow->fault >= 0 && flow->out.len > 0)
        return false;
    flow->decided = false;
    unsigned char type = flow->in.at[0];
    bytes_room(&flow->out, 2 * len);
    bytes_add(&flow->out, flow->in.at, len);
    if (flow->fault >= 0 && inflict(proxy, flow, (enum fault)flow->fault, len)) {
        record(proxy, link, flow, (enum fault)flow->fault, type);
    } else if (flow->fault >= 0) {
        flow->out.len = 0; /* it may have been changed in part */
        bytes_add(&flow->out, flow->in.at, len);
    }
    bytes_drop(&flow->in, len);
    return true;
}

/* The start of a connection (PostgreSQL 15, chapters 55.2.1 and 55.2.10). Returns the length of what passes.
 */
static size_t pass_start(struct link *link, struct flow *flow)
{
    const unsigned char *at = flow->in.at;
    if (flow->framing == BYTE) {
        if (flow->in.len == 0)
            return 0;
        flow->framing = at[0] == 'S' || at[0] == 'G' ? RAW : TYPED;
        if (flow->framing == RAW)
            link->client.framing = RAW;
        return at[0] == 'E' ? 0 : 1;
    }
    size_t len = flow->in.len < 8 ? 0 : get32(at);
    if (len < 8 || flow->in.len < len)
        return 0;
    uint32_t code = get32(at + 4);
    if (code == SSL_REQUEST || code == GSS_REQUEST)
        link->server.framing = BYTE;
    else
        flow->framing = code == CANCEL_REQUEST ? RAW : TYPED;
    return len;
}

/* Moves what may go from flow->in to flow->out: whole messages, up to one that something befalls. */
static void flow_pass(struct proxy *proxy, struct link *link, struct flow *flow)
{
    while (flow->in.len > 0 && flow->out.len < READ_SIZE && flow->ending == GOES_ON && flow->portion == 0 &&
           flow->not_before <= now_ms()) {
        size_t len = flow->in.len;
        if (flow->framing == TYPED) {
            len = message_length(flow->in.at, flow->in.len);
            if (len == 0 || !pass_message(proxy, link, flow, len))
                break;
            continue;
        }
        if (flow->framing != RAW) {
            enum framing was = flow->framing;
            len = pass_start(link, flow);
            if (len == 0 && flow->framing == was)
                break;
        }
        bytes_add(&flow->out, flow->in.at, len);
        bytes_drop(&flow->in, len);
    }
    if (flow->at_end && flow->not_before == UINT64_MAX) {
        flow->out.len = 0;
        flow->ending = ENDS_FIN;
    }
    /* what breaks off goes out as it came */
    if (flow->at_end && flow->ending == GOES_ON && flow->out.len == 0 && flow->not_before <= now_ms()) {
        bytes_add(&flow->out, flow->in.at, flow->in.len);
        flow->in.len = 0;
        flow->ending = ENDS_FIN;
    }
}

/* Sockets */

static void flow_read(struct flow *flow)
{
    ssize_t n = recv(flow->from, bytes_room(&flow->in, READ_SIZE), READ_SIZE, MSG_DONTWAIT);
    if (n > 0)
        flow->in.len += (size_t)n;
    else if (n == 0 || (errno != EAGAIN && errno != EINTR))
        flow->at_end = true;
}

/* False if the other side is gone. */
static bool flow_write(struct flow *flow)
{
    size_t len = flow->portion > 0 && flow->portion < flow->out.len ? flow->portion : flow->out.len;
    ssize_t n = len == 0 ? 0 : send(flow->to, flow->out.at, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR;
    bytes_drop(&flow->out, (size_t)n);
    if (flow->out.len == 0)
        flow->portion = 0;
    return true;
}

static bool wants_to_read(const struct flow *flow)
{
    return !flow->at_end && flow->ending == GOES_ON &&
           (flow->in.len < READ_SIZE ||
            (flow->framing == TYPED && message_length(flow->in.at, flow->in.len) == 0));
}

static bool wants_to_write(const struct flow *flow, uint64_t now)
{
    return flow->out.len > 0 && flow->not_before <= now;
}

static int open_socket(const char *name, bool listens)
{
    struct sockaddr_un path = {.sun_family = AF_UNIX};
    struct sockaddr_in port = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr *address = (struct sockaddr *)&path;
    socklen_t len = sizeof(path);
    if (strchr(name, '/') == NULL) {
        port.sin_port = htons((uint16_t)atoi(name));
        address = (struct sockaddr *)&port;
        len = sizeof(port);
    } else if (strlen(name) >= sizeof(path.sun_path)) {
        errno = ENAMETOOLONG;
        fail(name);
    } else {
        strcpy(path.sun_path, name);
    }
    int fd = socket(address->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0), on = 1;
    if (fd < 0)
        fail("socket");
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (listens && (bind(fd, address, len) != 0 || listen(fd, 128) != 0))
        fail(name);
    if (!listens && connect(fd, address, len) != 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static void close_socket(int fd, bool reset)
{
    struct linger linger = {.l_onoff = 1};
    if (reset)
        setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
    else
        shutdown(fd, SHUT_WR); /* what was not read would make a reset of it */
    close(fd);
}

static struct flow flow_of(const struct proxy *proxy, unsigned number, int from, int to, bool of_server)
{
    uint64_t state = proxy->seed + (uint64_t)number * 2 + of_server;
    return (struct flow){.from = from,
                         .to = to,
                         .of_server = of_server,
                         .framing = of_server ? TYPED : FIRST,
                         .random = draw(&state)};
}

static void link_open(struct proxy *proxy)
{
    int on = 1, client = accept4(proxy->listener, NULL, NULL, SOCK_CLOEXEC);
    if (client < 0)
        return;
    unsigned number = ++proxy->n_connections;
    uint64_t state = proxy->seed ^ (uint64_t)number << 32;
    bool refused = draw_share(&state) < proxy->rates[FAULT_REFUSE] && !proxy->quiet;
    if (refused) {
        proxy->counts[FAULT_REFUSE]++;
        printf("connection %u: refuse\n", number);
    }
    int server = refused || proxy->n_links == MAX_LINKS ? -1 : open_socket(proxy->server, false);
    if (server < 0) {
        close_socket(client, true);
        return;
    }
    setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    struct link *link = calloc(1, sizeof(*link));
    if (link == NULL)
        fail("calloc");
    *link = (struct link){
        .number = number,
        .spared = draw_share(&state) < proxy->share,
        .client = flow_of(proxy, number, client, server, false),
        .server = flow_of(proxy, number, server, client, true),
    };
    proxy->links[proxy->n_links++] = link;
}

static void link_close(struct link *link, enum ending ending)
{
    close_socket(link->client.from, ending == ENDS_RESET);
    close_socket(link->server.from, false);
    free(link->client.in.at);
    free(link->client.out.at);
    free(link->server.in.at);
    free(link->server.out.at);
    free(link);
}

/* One direction's turn. Returns how the connection ends, if it does now. */
static enum ending flow_turn(struct proxy *proxy, struct link *link, struct flow *flow)
{
    if (wants_to_read(flow))
        flow_read(flow);
    size_t left;
    do {
        flow_pass(proxy, link, flow);
        left = flow->in.len + flow->out.len;
        if (flow->not_before <= now_ms() && !flow_write(flow))
            return ENDS_FIN;
        if (flow->out.len == 0 && flow->ending != GOES_ON)
            return flow->ending;
    } while (flow->out.len == 0 && flow->in.len < left); /* a message may have waited for just that */
    return GOES_ON;
}

/* How long to wait, in ms: until the next delay is over, or for ever. A change of the mode interrupts it. */
static int next_pause(const struct proxy *proxy, uint64_t now)
{
    uint64_t first = UINT64_MAX;
    for (size_t i = 0; i < proxy->n_links; i++) {
        const struct flow *flows[] = {&proxy->links[i]->client, &proxy->links[i]->server};
        for (int side = 0; side < 2; side++) {
            if (flows[side]->not_before > now && flows[side]->not_before < first)
                first = flows[side]->not_before;
        }
    }
    return first == UINT64_MAX ? -1 : first - now > 1000 ? 1000 : (int)(first - now);
}

static void wait_for_something(const struct proxy *proxy, struct pollfd *polled)
{
    uint64_t now = now_ms();
    polled[0] = (struct pollfd){.fd = proxy->signals, .events = POLLIN};
    polled[1] = (struct pollfd){.fd = proxy->listener, .events = POLLIN};
    for (size_t i = 0; i < proxy->n_links; i++) {
        const struct flow *client = &proxy->links[i]->client, *server = &proxy->links[i]->server;
        struct pollfd *pair = polled + 2 + 2 * i;
        pair[0] = (struct pollfd){.fd = client->from};
        pair[1] = (struct pollfd){.fd = server->from};
        pair[0].events =
            (short)((wants_to_read(client) ? POLLIN : 0) | (wants_to_write(server, now) ? POLLOUT : 0));
        pair[1].events =
            (short)((wants_to_read(server) ? POLLIN : 0) | (wants_to_write(client, now) ? POLLOUT : 0));
        for (int side = 0; side < 2; side++) {
            if (pair[side].events == 0)
                pair[side].fd = -1; /* else its hang-up would wake us all the time */
        }
    }
    if (poll(polled, 2 + 2 * proxy->n_links, next_pause(proxy, now)) < 0 && errno != EINTR)
        fail("poll");
}

static void report(const struct proxy *proxy)
{
    printf("total: %u connections, %lu messages", proxy->n_connections, proxy->n_messages);
    for (int fault = 0; fault < FAULTS; fault++)
        printf(", %s %lu", fault_names[fault], proxy->counts[fault]);
    printf("\n");
}

/* False if it is time to go. */
static bool on_signal(struct proxy *proxy)
{
    struct signalfd_siginfo info;
    if (read(proxy->signals, &info, sizeof(info)) != sizeof(info))
        return true;
    if (info.ssi_signo == SIGTERM || info.ssi_signo == SIGINT)
        return false;
    proxy->quiet = info.ssi_signo == SIGUSR1;
    printf("%s\n", proxy->quiet ? "quiet" : "no longer quiet");
    return true;
}

static void serve(struct proxy *proxy)
{
    struct pollfd polled[2 + 2 * MAX_LINKS];
    while (true) {
        wait_for_something(proxy, polled);
        if (polled[0].revents != 0 && !on_signal(proxy))
            return;
        for (size_t i = 0; i < proxy->n_links;) {
            struct link *link = proxy->links[i];
            enum ending ending = flow_turn(proxy, link, &link->client);
            if (ending == GOES_ON)
                ending = flow_turn(proxy, link, &link->server);
            if (ending == GOES_ON) {
                i++;
                continue;
            }
            link_close(link, ending);
            proxy->links[i] = proxy->links[--proxy->n_links];
        }
        if (polled[1].revents != 0)
            link_open(proxy);
    }
}

static void usage(const char *wrong)
{
    fprintf(stderr,
            "pgproxy: %s\nusage: pgproxy [-s SEED] [-r FAULT=RATE]... [-c SHARE] [-g MESSAGES] [-d MS] [-q] "
            "LISTEN SERVER\n",
            wrong);
    exit(64);
}

static void set_rate(struct proxy *proxy, const char *text)
{
    const char *equals = strchr(text, '=');
    for (int fault = 0; equals != NULL && fault < FAULTS; fault++) {
        size_t len = strlen(fault_names[fault]);
        if (len == (size_t)(equals - text) && strncmp(text, fault_names[fault], len) == 0) {
            proxy->rates[fault] = atof(equals + 1);
            return;
        }
    }
    usage("-r takes FAULT=RATE");
}

int main(int argc, char **argv)
{
    struct proxy proxy = {.seed = 1, .spared_messages = 100, .delay = 30};
    for (int option; (option = getopt(argc, argv, "s:r:c:g:d:q")) != -1;) {
        if (option == 's')
            proxy.seed = strtoull(optarg, NULL, 10);
        else if (option == 'r')
            set_rate(&proxy, optarg);
        else if (option == 'c')
            proxy.share = atof(optarg);
        else if (option == 'g')
            proxy.spared_messages = (unsigned)atoi(optarg);
        else if (option == 'd')
            proxy.delay = (unsigned)atoi(optarg);
        else if (option == 'q')
            proxy.quiet = true;
        else
            usage("no such option");
    }
    if (argc - optind != 2 || proxy.delay == 0)
        usage("LISTEN and SERVER are missing, or a delay of nothing");
    sigset_t signals;
    sigemptyset(&signals);
    for (size_t i = 0; i < 4; i++)
        sigaddset(&signals, (int[]){SIGTERM, SIGINT, SIGUSR1, SIGUSR2}[i]);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    proxy.signals = signalfd(-1, &signals, SFD_CLOEXEC);
    proxy.listener = open_socket(argv[optind], true);
    proxy.server = argv[optind + 1];
    if (proxy.signals < 0)
        fail("signalfd");
    setvbuf(stdout, NULL, _IOLBF, 0);
    printf("ready\n");
    serve(&proxy);
    for (size_t i = 0; i < proxy.n_links; i++)
        link_close(proxy.links[i], ENDS_FIN);
    report(&proxy);
    return 0;
}
