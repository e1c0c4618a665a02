/* outbox.h: what a worker sends in one turn of its loop goes to the kernel together, by io_uring(7). */
#ifndef HAYFORK_OUTBOX_H
#define HAYFORK_OUTBOX_H

#include <h2o.h>
#include <sys/uio.h>

enum {
    OUTBOX_PARTS = 8,        /* of one message at most */
    OUTBOX_BYTES = 16 * 1024 /* in them: what is larger is not worth the wait */
};

struct outbox;
struct outbox_message;

/* For one worker, made after the fork. NULL, with errno set, where the kernel gives out no ring. */
struct outbox *outbox_new(h2o_loop_t *loop);

/*
 * Until this is called there is no room in the outbox, which may be NULL. libh2o's timeouts run in the order
 * in which they were initialised: where this comes behind all of them, what they bring about goes out in the
 * same turn, else in the next.
 */
void outbox_open(struct outbox *outbox);

/*
 * The message was handed to the kernel. sent is the number of bytes that it took, which may be fewer than
 * all, or -errno; -EAGAIN if it takes none for now. The parts are those of the message, and gone after the
 * call.
 */
typedef void (*outbox_cb)(void *arg, const struct iovec *parts, size_t n, ssize_t sent);

/*
 * Has the parts sent at the end of this turn of the loop, and calls back in the same turn. What they point to
 * must stay until then. Returns NULL where that cannot be: there is no outbox (NULL), it is full, or the
 * message is too large for it; then the caller sends it by itself, now.
 */
struct outbox_message *outbox_put(struct outbox *outbox, int fd, const struct iovec *parts, size_t n,
                                  outbox_cb cb, void *arg);

/* Nothing of the message is sent, and nobody is called. Its socket may be closed then. */
void outbox_take_back(struct outbox_message *message);

/* No message may be left. outbox may be NULL. */
void outbox_free(struct outbox *outbox);

#endif
