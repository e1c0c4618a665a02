/* ring.c: a ring of io_uring(7) by which messages can be sent, and nothing else done. */
#include "loop/ring.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

/* liburing up to 2.3 declares functions for these two, and does not have them. */
static int do_register(const struct io_uring *ring, unsigned what, const void *with, unsigned n)
{
    return syscall(SYS_io_uring_register, ring->ring_fd, what, with, n) < 0 ? -errno : 0;
}

int ring_open(struct io_uring *ring, unsigned entries)
{
    const struct io_uring_restriction restrictions[] = {
        {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_SENDMSG},
        {.opcode = IORING_RESTRICTION_SQE_FLAGS_ALLOWED, .sqe_flags = 0},
    }; /* and no IORING_RESTRICTION_REGISTER_OP: from then on nothing can be registered either */
    int error = io_uring_queue_init(entries, ring, IORING_SETUP_R_DISABLED);
    if (error != 0)
        return error;
    error = do_register(ring, IORING_REGISTER_RESTRICTIONS, restrictions,
                        sizeof(restrictions) / sizeof(restrictions[0]));
    if (error == 0)
        error = do_register(ring, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    if (error != 0)
        io_uring_queue_exit(ring);
    return error;
}
