/* link.c: messages with descriptors between workers and helpers. */
#include "helpers/link.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(HELPERS_FDS * sizeof(int))];
};

bool helpers_send(int socket, const void *data, size_t len, const int *fds, unsigned n_fds)
{
    union control control = {0};
    struct iovec part = {(void *)data, len};
    struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
    if (n_fds > 0) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(n_fds * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(n_fds * sizeof(int));
        memcpy(CMSG_DATA(header), fds, n_fds * sizeof(int));
    }
    ssize_t sent;
    do {
        sent = sendmsg(socket, &message, MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)len;
}

/* Takes the descriptors that came; those that are too many are closed. */
static unsigned take_fds(struct msghdr *message, int *fds, unsigned most)
{
    unsigned n = 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL;
         header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t at = 0; at + sizeof(int) <= header->cmsg_len - CMSG_LEN(0); at += sizeof(int)) {
            int fd;
            memcpy(&fd, CMSG_DATA(header) + at, sizeof(fd));
            if (n < most)
                fds[n++] = fd;
            else
                close(fd);
        }
    }
    return n;
}

ssize_t helpers_receive(int socket, void *data, size_t size, int *fds, unsigned *n_fds)
{
    union control control = {0};
    struct iovec part = {data, size};
    struct msghdr message = {
        .msg_iov = &part,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };
    ssize_t got;
    do {
        got = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    } while (got < 0 && errno == EINTR);
    unsigned most = *n_fds;
    *n_fds = got < 0 ? 0 : take_fds(&message, fds, most);
    if (got < 0 || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) == 0)
        return got;
    while (*n_fds > 0)
        close(fds[--*n_fds]);
    errno = EMSGSIZE;
    return -1;
}
