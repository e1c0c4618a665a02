/*
 * link.c: one socket to a client: what has come and waits to be understood, and what is written.
 *
 * Input is read into a buffer that all links share; only what cannot be dealt with yet is copied into memory
 * of the link's own, so that an idle one holds none.
 */
#include "server/link.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include "base/mem.h"

enum {
    LEAST_ROOM = LINK_INPUT_SIZE / 16, /* bytes, for one read */
    SLICE = 256 * 1024,                /* bytes handed to the socket at once */
    TURN = 512 * 1024,                 /* bytes after which the other links go first */
    LEAST_TAKEN = 16 * 1024,           /* bytes that a client takes in each limits.stall, or is cut off */
};

static void write_next(struct link *link);

/* Input */

/* What comes after the head of a pending request is there at the client's will: it counts as a body does. */
static void count_own(struct link *link, size_t size)
{
    struct store_limit *limit = link->env->limit;
    store_discount(limit, link->own_counted);
    link->own_counted = link->counts != NULL ? size : 0;
    store_count(limit, link->own_counted);
}

static void free_own(struct link *link)
{
    free(link->own_input);
    link->own_input = NULL;
    count_own(link, 0);
}

void link_consume(struct link *link, size_t n)
{
    if (n == 0)
        return;
    link->input += n;
    link->input_len -= n;
    if (link->input_len == 0 && link->own_input != NULL)
        free_own(link);
}

void link_drop_input(struct link *link)
{
    link->input_len = 0;
    if (link->own_input != NULL)
        free_own(link);
}

void link_count_with(struct link *link, const struct body *body)
{
    link->counts = body;
}

/* May so many bytes be the link's own? */
static bool may_own(const struct link *link, size_t size)
{
    return link->counts == NULL || size <= link->own_counted ||
           store_has_room(link->env->limit, link->counts->store, size - link->own_counted);
}

/*
 * Before another link reads: what is left in the shared buffer becomes this link's own. False where there is
 * no memory for it.
 */
static bool keep_input(struct link *link)
{
    if (link->input_len == 0 || link->own_input != NULL)
        return true;
    if (!may_own(link, link->input_len))
        return false;
    link->own_capacity = link->input_len;
    link->own_input = memcpy(mem_alloc(link->input_len), link->input, link->input_len);
    link->input = link->own_input;
    count_own(link, link->own_capacity);
    return true;
}

/* Makes room after what waits to be understood. Returns how much there is; 0 where there is no memory for
 * it. */
static size_t make_room(struct link *link)
{
    size_t room = link->own_capacity - (size_t)(link->input - link->own_input) - link->input_len;
    if (room >= LEAST_ROOM)
        return room;
    link->input = memmove(link->own_input, link->input, link->input_len);
    if (link->own_capacity - link->input_len < LEAST_ROOM) {
        size_t capacity = link->own_capacity * 2 < 2 * LEAST_ROOM ? 2 * LEAST_ROOM : link->own_capacity * 2;
        if (!may_own(link, capacity))
            return 0;
        link->own_capacity = capacity;
        link->input = link->own_input = mem_realloc(link->own_input, link->own_capacity);
        count_own(link, link->own_capacity);
    }
    return link->own_capacity - link->input_len;
}

/*
 * Reads once, by recv(2), which is a little less work than read(2). Returns false at the end of the client's
 * bytes or on an error; errno tells which: 0 at the end, ENOBUFS where there is no memory for what would
 * come.
 */
static bool fill(struct link *link)
{
    size_t room = LINK_INPUT_SIZE;
    char *to = link->env->input;
    if (link->input_len > 0) {
        room = make_room(link);
        to = link->input + link->input_len;
    }
    if (room == 0) {
        errno = ENOBUFS;
        return false;
    }
    errno = 0;
    ssize_t n = recv(h2o_socket_get_fd(link->socket), to, room, 0);
    if (n <= 0)
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    if (link->input_len == 0)
        link->input = to;
    link->input_len += (size_t)n;
    return true;
}

bool link_read(struct link *link)
{
    struct link_env *env = link->env;
    env->reading = link;
    if (!fill(link)) {
        if (errno == 0)
            link->ops->ended(link);
        else if (errno == ENOBUFS)
            link->ops->full(link);
        else
            link->ops->broken(link, false);
    } else if (link->input_len > 0) {
        link->ops->input(link);
    }
    bool is_there = env->reading == link;
    if (is_there && !keep_input(link))
        link->ops->full(link);
    env->reading = NULL;
    return is_there;
}

static void on_readable(h2o_socket_t *socket, const char *error)
{
    struct link *link = socket->data;
    if (error != NULL)
        link->ops->broken(link, false);
    else
        link_read(link);
}

void link_start_reading(struct link *link)
{
    if (!h2o_socket_is_reading(link->socket) && !link->input_ended)
        h2o_socket_read_start(link->socket, on_readable);
}

void link_stop_reading(struct link *link)
{
    if (h2o_socket_is_reading(link->socket))
        h2o_socket_read_stop(link->socket);
}

void link_end_input(struct link *link)
{
    link->input_ended = true;
    link_stop_reading(link);
}

/* The reader */

/*
 * How much the client has acknowledged so far. A reader that trickles lets every write complete in the
 * end; this tells it from one that reads. Returns otherwise where the socket is none of TCP.
 */
static uint64_t bytes_acked(const struct link *link, uint64_t otherwise)
{
    struct tcp_info info;
    socklen_t len = sizeof(info);
    if (getsockopt(h2o_socket_get_fd(link->socket), IPPROTO_TCP, TCP_INFO, &info, &len) != 0 ||
        len < offsetof(struct tcp_info, tcpi_bytes_acked) + sizeof(info.tcpi_bytes_acked))
        return otherwise;
    return info.tcpi_bytes_acked;
}

uint64_t link_taken(const struct link *link)
{
    return bytes_acked(link, link->written);
}

size_t link_unacked(const struct link *link)
{
    int bytes;
    return ioctl(h2o_socket_get_fd(link->socket), SIOCOUTQ, &bytes) == 0 && bytes > 0 ? (size_t)bytes : 0;
}

static void set_timer(struct link *link, h2o_timeout_t *timeout, h2o_timeout_cb cb)
{
    link->timer.cb = cb;
    h2o_timeout_link(link->env->loop, timeout, &link->timer);
}

/* Looks again after limits.stall at a client who has taken enough, and gives up one who has not. */
static void judge_reader(struct link *link)
{
    uint64_t acked = bytes_acked(link, 0);
    bool took_enough = acked >= link->acked + LEAST_TAKEN;
    link->acked = acked;
    if (took_enough)
        set_timer(link, link->env->stall_timeout, link->timer.cb);
    else
        link->ops->broken(link, true);
}

static void on_stall(h2o_timeout_entry_t *entry)
{
    judge_reader(H2O_STRUCT_FROM_MEMBER(struct link, timer, entry));
}

static void on_rest_stall(h2o_timeout_entry_t *entry)
{
    struct link *link = H2O_STRUCT_FROM_MEMBER(struct link, timer, entry);
    if (link_unacked(link) > 0)
        judge_reader(link);
}

void link_watch_reader(struct link *link)
{
    set_timer(link, link->env->stall_timeout, on_rest_stall);
}

/* Output */

void link_begin(struct link *link)
{
    h2o_timeout_unlink(&link->timer);
    link->n_out = 0;
    link->next = LINK_STAYS;
    link->is_given_up = false;
    link->written = 0;
    link->acked = 0;
    link->turn_at = 0;
}

static void on_nothing_to_write(h2o_timeout_entry_t *entry)
{
    struct link *link = H2O_STRUCT_FROM_MEMBER(struct link, timer, entry);
    link->ops->drained(link);
}

/* Goes on when what was handed to the socket is with the kernel. */
static void on_writable(h2o_socket_t *socket, const char *error)
{
    struct link *link = socket->data;
    h2o_timeout_unlink(&link->timer);
    if (error != NULL)
        link->ops->broken(link, false);
    else if (link->n_out > 0)
        write_next(link);
    else
        link->ops->drained(link);
}

/* The loop's clock stands still within a turn. */
static bool turn_is_over(struct link *link)
{
    uint64_t now = h2o_now(link->env->loop);
    if (link->turn_at != now) {
        link->turn_at = now;
        link->turn_from = link->written;
    }
    return link->written - link->turn_from >= TURN;
}

/*
 * libh2o calls this within the same turn of the loop when the kernel takes all at once. A client that reads
 * as fast as we write would keep everybody else waiting to the end of its answer.
 */
static void on_written(h2o_socket_t *socket, const char *error)
{
    struct link *link = socket->data;
    bool has_more = link->n_out > 0 || link->next == LINK_MORE;
    if (error == NULL && has_more && turn_is_over(link)) {
        if (!h2o_timeout_is_linked(&link->timer)) /* it went by the outbox */
            set_timer(link, link->env->stall_timeout, on_stall);
        h2o_socket_notify_write(socket, on_writable);
    } else {
        on_writable(socket, error);
    }
}

/* Takes up to SLICE bytes from what is to be written. */
static size_t take_slice(struct link *link, h2o_iovec_t *slice, size_t max)
{
    size_t n = 0, room = SLICE;
    while (n < max && room > 0 && link->n_out > 0) {
        h2o_iovec_t *first = link->out;
        slice[n] = h2o_iovec_init(first->base, first->len < room ? first->len : room);
        room -= slice[n].len;
        link->written += slice[n].len;
        first->base += slice[n].len;
        first->len -= slice[n].len;
        n++;
        if (first->len == 0) {
            link->out++;
            link->n_out--;
        }
    }
    return n;
}

static void write_by_the_loop(struct link *link, h2o_iovec_t *parts, size_t n)
{
    h2o_socket_write(link->socket, parts, n, on_written);
    set_timer(link, link->env->stall_timeout, on_stall);
}

/* What was put into the outbox is sent. What the client's socket did not take goes out as it takes more. */
static void on_sent(void *arg, int error, const struct iovec *rest, size_t n)
{
    struct link *link = arg;
    h2o_iovec_t parts[OUTBOX_PARTS];
    link->message = NULL;
    if (link->is_given_up)
        return; /* meanwhile; the timer ends it */
    for (size_t i = 0; i < n; i++)
        parts[i] = h2o_iovec_init(rest[i].iov_base, rest[i].iov_len);
    if (error == 0 && n > 0)
        write_by_the_loop(link, parts, n);
    else
        on_written(link->socket, error != 0 ? "write" : NULL);
}

static void write_next(struct link *link)
{
    h2o_iovec_t slice[64];
    struct iovec parts[OUTBOX_PARTS];
    size_t n = take_slice(link, slice, sizeof(slice) / sizeof(slice[0]));
    for (size_t i = 0; i < n && i < OUTBOX_PARTS; i++)
        parts[i] = (struct iovec){slice[i].base, slice[i].len};
    bool is_last = link->n_out == 0 && link->next == LINK_ENDS;
    link->message = outbox_put(link->env->outbox, h2o_socket_get_fd(link->socket), parts, n,
                               is_last ? MSG_MORE : 0, on_sent, link);
    if (link->message == NULL)
        write_by_the_loop(link, slice, n);
}

bool link_is_writing(const struct link *link)
{
    return h2o_socket_is_writing(link->socket);
}

void link_write(struct link *link, h2o_iovec_t *parts, size_t n, enum link_next next)
{
    link->out = parts;
    link->n_out = n;
    link->next = next;
    if (n == 0)
        set_timer(link, link->env->now_timeout, on_nothing_to_write);
    else if (!h2o_socket_is_writing(link->socket))
        write_next(link);
    /* else what link_write_first was given is being written, and on_written goes on */
}

void link_write_first(struct link *link, const char *text, size_t len)
{
    h2o_iovec_t out = h2o_iovec_init(text, len);
    write_by_the_loop(link, &out, 1);
}

void link_give_up(struct link *link)
{
    link->is_given_up = true;
    link->n_out = 0;
    link->next = LINK_STAYS;
    h2o_timeout_unlink(&link->timer);
    set_timer(link, link->env->now_timeout, on_nothing_to_write);
}

void link_shut(struct link *link)
{
    shutdown(h2o_socket_get_fd(link->socket), SHUT_WR);
}

bool link_has_unread(const struct link *link)
{
    int bytes;
    return ioctl(h2o_socket_get_fd(link->socket), FIONREAD, &bytes) == 0 && bytes > 0;
}

/* Life */

void link_env_init(struct link_env *env, h2o_loop_t *loop, struct timeouts *timeouts, uint64_t stall,
                   struct outbox *outbox, struct store_limit *limit)
{
    *env = (struct link_env){
        .loop = loop,
        .outbox = outbox,
        .limit = limit,
        .now_timeout = timeouts_get(timeouts, 0),
        .stall_timeout = timeouts_get(timeouts, stall),
        .input = mem_alloc(LINK_INPUT_SIZE),
    };
}

void link_env_dispose(struct link_env *env)
{
    free(env->input);
}

void link_open(struct link *link, struct link_env *env, const struct link_ops *ops, h2o_socket_t *socket)
{
    link->env = env;
    link->ops = ops;
    link->socket = socket;
    socket->data = link;
    h2o_socket_dont_read(socket, 1); /* fill reads */
}

void link_close(struct link *link, bool reset)
{
    if (link->env->reading == link)
        link->env->reading = NULL;
    h2o_timeout_unlink(&link->timer);
    outbox_take_back(link->message);
    if (reset) {
        struct linger at_once = {.l_onoff = 1, .l_linger = 0};
        setsockopt(h2o_socket_get_fd(link->socket), SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
    }
    h2o_socket_close(link->socket);
    link_drop_input(link);
}
