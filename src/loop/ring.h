/* ring.h: a ring of io_uring(7) by which messages can be sent, and nothing else done. */
#ifndef HAYFORK_LOOP_RING_H
#define HAYFORK_LOOP_RING_H

#include <liburing.h>

/*
 * Makes a ring for so many messages. What is put into a ring is done by the kernel without a system call of
 * its own, so that no filter for system calls sees it: this one takes sendmsg(2) alone (io_uring_register(2),
 * IORING_REGISTER_RESTRICTIONS, since Linux 5.10), for good. Returns 0, or -errno, also where the kernel has
 * rings that cannot be restricted. To be closed with io_uring_queue_exit.
 */
int ring_open(struct io_uring *ring, unsigned entries);

#endif
