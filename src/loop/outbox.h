/* outbox.h: what a worker sends in one turn of its loop goes to the kernel together, by io_uring(7). */
#ifndef HAYFORK_LOOP_OUTBOX_H
#define HAYFORK_LOOP_OUTBOX_H

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
 * in which they were initialised: where this comes after all of them, what they cause goes out in the
 * same turn, else in the next.
 */
void outbox_open(struct outbox *outbox);

/*
 * The message was handed to the kernel. error is 0, or -errno where its socket takes nothing any longer. rest
 * is what the socket did not take yet, n parts, none if all of it is sent; gone after the call.
 */
typedef void (*outbox_cb)(void *arg, int error, const struct iovec *rest, size_t n);

/*
 * Sends *n parts now, as far as the socket takes them. Returns an error as above; what is left of the parts
 * is at the beginning of the array then, and *n is their number.
 */
int outbox_send_now(int fd, struct iovec *parts, size_t *n);

/*
 * Has the parts sent at the end of this turn of the loop, and calls back in the same turn. What they point to
 * must stay until then. flags is 0, or MSG_MORE where the callback shuts the socket down for sending: the
 * kernel sends the end together with the parts then, in one segment that wakes the reader once. Returns NULL
 * where that cannot be: there is no outbox (NULL), it is full, or the message is too large for it; then the
 * caller sends it by itself.
 */
struct outbox_message *outbox_put(struct outbox *outbox, int fd, const struct iovec *parts, size_t n,
                                  int flags, outbox_cb cb, void *arg);

/* Nothing of the message is sent, and nobody is called. Its socket may be closed then. NULL is none. */
void outbox_take_back(struct outbox_message *message);

/* No message may be left. outbox may be NULL. */
void outbox_free(struct outbox *outbox);

#endif
