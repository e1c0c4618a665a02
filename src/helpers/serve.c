/* serve.c: a helper process, which does one job after the other for whichever worker takes it. */
#include "helpers/serve.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "helpers/link.h"

bool helpers_is_wanted(int socket)
{
    struct pollfd poll_fd = {.fd = socket, .events = POLLRDHUP};
    return poll(&poll_fd, 1, 0) <= 0 || (poll_fd.revents & (POLLRDHUP | POLLHUP | POLLERR)) == 0;
}

/* Offers itself. Returns the socket to whoever takes the offer, or -1 where nobody can. */
static int offer(int offers)
{
    const struct helpers_offer offer = {.version = HELPERS_VERSION};
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        log_fatal("cannot make a socket");
    bool sent = helpers_send(offers, &offer, sizeof(offer), &pair[1], 1);
    close(pair[1]);
    if (sent)
        return pair[0];
    close(pair[0]);
    return -1;
}

/* Waits for a job and does it. Returns false where none came: the worker has ended, or had no more use for
 * it.
 */
static bool serve_one(int socket, const struct helpers_service *service)
{
    char job[HELPERS_MESSAGE], answer[HELPERS_MESSAGE];
    int fds[HELPERS_FDS];
    unsigned n_fds = HELPERS_FDS;
    ssize_t len = helpers_receive(socket, job, sizeof(job), fds, &n_fds);
    bool is_job = len > 0 && n_fds == HELPERS_FDS;
    if (is_job) {
        struct helpers_call call = {job, (size_t)len, fds[0], fds[1], socket};
        size_t size = service->work(&call, answer, sizeof(answer));
        helpers_send(socket, answer, size, NULL, 0); /* where nobody waits any longer nothing is lost */
    }
    while (n_fds > 0)
        close(fds[--n_fds]);
    return is_job;
}

int helpers_open_memory(void)
{
    return open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
}

/* Bytes of memory that the process has; 0 where that is not known (proc(5)). */
static uint64_t resident(int memory)
{
    char text[128];
    unsigned long long pages = 0;
    ssize_t len = pread(memory, text, sizeof(text) - 1, 0);
    text[len > 0 ? len : 0] = '\0';
    return sscanf(text, "%*u %llu", &pages) == 1 ? pages * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

int helpers_serve(int offers, int memory, const struct helpers_service *service)
{
    uint64_t done = 0;
    while (done < service->most_jobs && resident(memory) <= service->most_memory) {
        int socket = offer(offers);
        if (socket < 0)
            break; /* no worker is left, and the master has ended */
        done += serve_one(socket, service);
        close(socket);
    }
    return EXIT_SUCCESS;
}
