/* ring.c: a ring sends messages, and does nothing else. */
#include "loop/ring.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "unit/tap.h"

static struct io_uring ring;

/* Has the kernel do what was put into the ring. Returns what came of it. */
static int result(void)
{
    struct io_uring_cqe *done;
    if (io_uring_submit(&ring) < 0 || io_uring_wait_cqe(&ring, &done) != 0)
        abort();
    int res = done->res;
    io_uring_cqe_seen(&ring, done);
    return res;
}

static void test_message(void)
{
    int pair[2];
    char got[8] = "";
    struct iovec text = {"hello", 5};
    struct msghdr message = {.msg_iov = &text, .msg_iovlen = 1};
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, pair) != 0)
        abort();
    io_uring_prep_sendmsg(io_uring_get_sqe(&ring), pair[0], &message, MSG_DONTWAIT);
    is_int(result(), 5, "a message is sent");
    is_int(read(pair[1], got, sizeof(got) - 1), 5, "and arrives");
    is_str(got, "hello", "as it is");
    io_uring_prep_recv(io_uring_get_sqe(&ring), pair[1], got, 1, MSG_DONTWAIT);
    is_int(result(), -EACCES, "none is received");
    io_uring_prep_send(io_uring_get_sqe(&ring), pair[0], "x", 1, MSG_DONTWAIT);
    is_int(result(), -EACCES, "nor sent in another way");
    io_uring_prep_write(io_uring_get_sqe(&ring), pair[0], "x", 1, 0);
    is_int(result(), -EACCES, "nor written");
    struct io_uring_sqe *entry = io_uring_get_sqe(&ring);
    io_uring_prep_sendmsg(entry, pair[0], &message, MSG_DONTWAIT);
    io_uring_sqe_set_flags(entry, IOSQE_ASYNC);
    is_int(result(), -EACCES, "nor by a thread of the kernel's");
    close(pair[0]);
    close(pair[1]);
}

static void test_others(void)
{
    struct open_how how = {.flags = O_WRONLY};
    io_uring_prep_openat(io_uring_get_sqe(&ring), AT_FDCWD, "/dev/null", O_WRONLY, 0);
    is_int(result(), -EACCES, "no file is opened");
    io_uring_prep_openat(io_uring_get_sqe(&ring), AT_FDCWD, "/dev/null", O_RDONLY, 0);
    is_int(result(), -EACCES, "not for reading either");
    io_uring_prep_openat2(io_uring_get_sqe(&ring), AT_FDCWD, "/dev/null", &how);
    is_int(result(), -EACCES, "nor by openat2");
    io_uring_prep_unlink(io_uring_get_sqe(&ring), "/nowhere", 0);
    is_int(result(), -EACCES, "none is removed");
    io_uring_prep_nop(io_uring_get_sqe(&ring));
    is_int(result(), -EACCES, "not even nothing is done");
}

static int do_register(unsigned what, void *with, unsigned n)
{
    return syscall(SYS_io_uring_register, ring.ring_fd, what, with, n) < 0 ? -errno : 0;
}

static void test_register(void)
{
    int fd = 0;
    struct io_uring_restriction all = {.opcode = IORING_RESTRICTION_SQE_OP, .sqe_op = IORING_OP_OPENAT};
    is_int(do_register(IORING_REGISTER_FILES, &fd, 1), -EACCES, "no files are registered");
    is_int(do_register(IORING_REGISTER_PERSONALITY, NULL, 0), -EACCES, "nor rights");
    ok(do_register(IORING_REGISTER_RESTRICTIONS, &all, 1) < 0, "nor other restrictions");
}

int main(void)
{
    int error = ring_open(&ring, 8);
    if (error != 0) {
        printf("1..0 # SKIP no io_uring that can be restricted: %s\n", strerror(-error));
        return 0;
    }
    test_message();
    test_others();
    test_register();
    io_uring_queue_exit(&ring);
    return done_testing();
}
