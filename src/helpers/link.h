/*
 * link.h: messages with descriptors between workers and helpers (unix(7), SOCK_SEQPACKET, SCM_RIGHTS).
 *
 * A helper that has nothing to do offers itself: it makes a pair of sockets and sends one end to the workers,
 * by a socket that all of them read from. Whichever worker takes it has the helper for one job: what it sends
 * there is done, and what comes back is the answer. Where either of them ends, the other one sees the end of
 * that pair; nothing else has to be kept in step.
 */
#ifndef HAYFORK_HELPERS_LINK_H
#define HAYFORK_HELPERS_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

enum {
    HELPERS_FDS = 2,        /* descriptors beside a message at most */
    HELPERS_MESSAGE = 1024, /* bytes of one at most */
    HELPERS_VERSION = 1,    /* of what is said: counts up with each change of it */
};

/* What a helper says when it offers itself; with one descriptor. */
struct helpers_offer {
    unsigned version; /* HELPERS_VERSION: the program may be another one than the worker's */
};

/* Sends a message. Returns false with errno set: EPIPE where nobody can receive it any more. Never waits
 * where the socket does not. */
bool helpers_send(int socket, const void *data, size_t len, const int *fds, unsigned n_fds);

/*
 * Receives a message, with its descriptors, which are closed on exec; *n_fds is how many there may be, and
 * then how many came. Returns its length, 0 at the end, or -1 with errno set. A message that was cut is one
 * of length -1, with errno EMSGSIZE.
 */
ssize_t helpers_receive(int socket, void *data, size_t size, int *fds, unsigned *n_fds);

#endif
