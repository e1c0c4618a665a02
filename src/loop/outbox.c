/*
 * outbox.c: what a worker sends in one turn of its loop goes to the kernel together, by io_uring(7).
 *
 * Whoever is sent something wakes up, and at the end of the system call often takes the processor at once: a
 * client reads its one answer, sends its next request and sleeps again, and the worker comes back to a turn
 * of which it has answered one request. With 100 relays under way that happened nine times for ten of them.
 * Within one system call nobody comes in between. Figures are in bench/NOTES.md.
 *
 * All messages are sent without waiting, so the call returns when all of them are done; what the socket did
 * not take is the caller's to send, by way of the loop.
 */
#include "loop/outbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "base/mem.h"
#include "loop/ring.h"

enum {
    MOST = 256, /* messages; a power of two, as what is in the outbox goes round */
    FLAGS = MSG_NOSIGNAL | MSG_DONTWAIT,
};

struct outbox_message {
    outbox_cb cb; /* NULL once it was taken back */
    void *arg;
    int fd;
    int flags;    /* of send(2) */
    ssize_t sent; /* or -errno */
    struct iovec parts[OUTBOX_PARTS];
    struct msghdr header;
};

struct outbox {
    h2o_loop_t *loop;
    h2o_timeout_t timeout; /* 0: the end of the turn */
    h2o_timeout_entry_t timer;
    struct io_uring ring;
    bool has_ring, is_open;
    unsigned head, tail; /* messages are those between; from 0 again when none is left in a turn */
    struct outbox_message *messages; /* MOST of them */
};

static struct outbox_message *message_at(struct outbox *outbox, unsigned i)
{
    return &outbox->messages[i % MOST];
}

/* Returns the number of bytes that the socket took, or -errno. */
static ssize_t send_one(int fd, const struct msghdr *header, int flags)
{
    ssize_t sent;
    do
        sent = sendmsg(fd, header, flags | FLAGS);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : sent;
}

/* Takes from the parts what was sent of them. Returns what is an error for good. */
static int take_sent(struct iovec *parts, size_t *n, ssize_t sent)
{
    size_t whole = 0;
    if (sent < 0)
        return sent == -EAGAIN ? 0 : (int)sent;
    for (; whole < *n && (size_t)sent >= parts[whole].iov_len; whole++)
        sent -= (ssize_t)parts[whole].iov_len;
    *n -= whole;
    memmove(parts, parts + whole, *n * sizeof(*parts));
    if (*n > 0)
        parts[0] = (struct iovec){(char *)parts[0].iov_base + sent, parts[0].iov_len - (size_t)sent};
    return 0;
}

int outbox_send_now(int fd, struct iovec *parts, size_t *n)
{
    struct msghdr header = {.msg_iov = parts, .msg_iovlen = *n};
    return take_sent(parts, n, send_one(fd, &header, 0));
}

/* Hands over all that is prepared. Returns how many messages the kernel took, in their order. */
static unsigned submit(struct io_uring *ring, unsigned n)
{
    unsigned taken = 0;
    while (taken < n) {
        int more = io_uring_submit_and_wait(ring, n - taken);
        if (more > 0)
            taken += (unsigned)more;
        else if (more != -EINTR)
            break;
    }
    return taken;
}

/* Takes the results of n messages. */
static void reap(struct outbox *outbox, unsigned n)
{
    while (n > 0) {
        struct io_uring_cqe *done;
        int error = io_uring_wait_cqe(&outbox->ring, &done);
        if (error == -EINTR)
            continue;
        if (error != 0) {
            errno = -error;
            log_fatal("io_uring failed");
        }
        struct outbox_message *message = io_uring_cqe_get_data(done);
        message->sent = done->res;
        io_uring_cqe_seen(&outbox->ring, done);
        n--;
    }
}

static void give_up_ring(struct outbox *outbox)
{
    log_warnx("io_uring failed: this worker sends without it from now on");
    io_uring_queue_exit(&outbox->ring);
    outbox->has_ring = false;
}

/* Sends the messages in one system call. Returns how many of them are dealt with. */
static unsigned send_together(struct outbox *outbox, struct outbox_message **messages, unsigned n)
{
    bool can_send = true;
    for (unsigned i = 0; i < n; i++) {
        struct io_uring_sqe *entry = io_uring_get_sqe(&outbox->ring);
        io_uring_prep_sendmsg(entry, messages[i]->fd, &messages[i]->header,
                              (unsigned)messages[i]->flags | FLAGS);
        io_uring_sqe_set_data(entry, messages[i]);
    }
    unsigned taken = submit(&outbox->ring, n);
    reap(outbox, taken);
    for (unsigned i = 0; i < taken; i++) {
        ssize_t error = messages[i]->sent;
        if (error == -EINVAL || error == -EOPNOTSUPP || error == -ENOSYS)
            can_send = false; /* a kernel or a policy has rings, but not for this */
        else if (error != -ENOMEM && error != -ECANCELED && error != -EINTR)
            continue;
        messages[i]->sent =
            send_one(messages[i]->fd, &messages[i]->header, messages[i]->flags); /* it was not the socket */
    }
    if (taken < n || !can_send)
        give_up_ring(outbox);
    return taken;
}

/* Sends those of outbox->head to end. */
static void send_all(struct outbox *outbox, unsigned end)
{
    struct outbox_message *some[MOST];
    unsigned n = 0, done = 0;
    for (unsigned i = outbox->head; i != end; i++) {
        if (message_at(outbox, i)->cb != NULL)
            some[n++] = message_at(outbox, i);
    }
    if (n > 1 && outbox->has_ring)
        done = send_together(outbox, some, n);
    for (; done < n; done++)
        some[done]->sent = send_one(some[done]->fd, &some[done]->header, some[done]->flags);
}

/*
 * What the callbacks put in goes out in the next round, which libh2o begins at once. Where they put nothing
 * in, the next message is the first again, so that most turns use the same few.
 */
static void on_turn_end(h2o_timeout_entry_t *entry)
{
    struct outbox *outbox = H2O_STRUCT_FROM_MEMBER(struct outbox, timer, entry);
    unsigned end = outbox->tail;
    send_all(outbox, end);
    for (; outbox->head != end; outbox->head++) {
        struct outbox_message *message = message_at(outbox, outbox->head);
        if (message->cb == NULL)
            continue;
        size_t n = message->header.msg_iovlen;
        int error = take_sent(message->parts, &n, message->sent);
        message->cb(message->arg, error, message->parts, n);
    }
    if (outbox->head == outbox->tail)
        outbox->head = outbox->tail = 0;
}

struct outbox_message *outbox_put(struct outbox *outbox, int fd, const struct iovec *parts, size_t n,
                                  int flags, outbox_cb cb, void *arg)
{
    size_t total = 0;
    if (outbox == NULL || !outbox->has_ring || !outbox->is_open || outbox->tail - outbox->head == MOST ||
        n > OUTBOX_PARTS)
        return NULL;
    for (size_t i = 0; i < n; i++)
        total += parts[i].iov_len;
    if (total > OUTBOX_BYTES)
        return NULL;
    struct outbox_message *message = message_at(outbox, outbox->tail++);
    message->cb = cb;
    message->arg = arg;
    message->fd = fd;
    message->flags = flags;
    memcpy(message->parts, parts, n * sizeof(*parts));
    message->header = (struct msghdr){.msg_iov = message->parts, .msg_iovlen = n};
    /* again in each turn, so that it is never further back than the loop's clock says */
    if (outbox->timer.registered_at != h2o_now(outbox->loop)) {
        h2o_timeout_unlink(&outbox->timer);
        h2o_timeout_link(outbox->loop, &outbox->timeout, &outbox->timer);
    }
    return message;
}

void outbox_take_back(struct outbox_message *message)
{
    if (message != NULL)
        message->cb = NULL;
}

struct outbox *outbox_new(h2o_loop_t *loop)
{
    struct outbox *outbox = mem_calloc(1, sizeof(*outbox));
    int error = ring_open(&outbox->ring, MOST);
    if (error != 0) {
        free(outbox);
        errno = -error;
        return NULL;
    }
    outbox->loop = loop;
    outbox->messages = mem_alloc(MOST * sizeof(*outbox->messages)); /* not cleared: it is not all used */
    outbox->has_ring = true;
    outbox->timer.cb = on_turn_end;
    return outbox;
}

void outbox_open(struct outbox *outbox)
{
    if (outbox == NULL)
        return;
    h2o_timeout_init(outbox->loop, &outbox->timeout, 0);
    outbox->is_open = true;
}

void outbox_free(struct outbox *outbox)
{
    if (outbox == NULL)
        return;
    if (outbox->is_open) {
        h2o_timeout_unlink(&outbox->timer);
        h2o_timeout_dispose(outbox->loop, &outbox->timeout);
    }
    if (outbox->has_ring)
        io_uring_queue_exit(&outbox->ring);
    free(outbox->messages);
    free(outbox);
}
