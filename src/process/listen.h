/* listen.h: opens the sockets that workers accept from. */
#ifndef HAYFORK_PROCESS_LISTEN_H
#define HAYFORK_PROCESS_LISTEN_H

#include <stddef.h>

/*
 * One address of the conf. A TCP address has one socket per worker, all bound with SO_REUSEPORT, so that
 * the kernel spreads connections; the master keeps every one open, and a worker that takes a dead one's
 * place inherits its socket with what waits in its queue. A Unix socket has a single one for all.
 */
struct listener {
    const char *address; /* as the conf has it; belongs to the conf */
    char *unix_path;     /* to be removed at the end, or NULL */
    int *fds;
    size_t n_fds;
};

/*
 * Opens address ("8080", "127.0.0.1:8080", "[::1]:8080", "unix:/path") for so many workers. A port alone
 * means every IPv4 and IPv6 address. An unanswered Unix socket left behind by a dead process is replaced.
 * Returns 0, or -1 after logging what failed with the address named.
 */
int listen_open(struct listener *listener, const char *address, unsigned workers);

/* The socket for this worker index. */
int listen_fd(const struct listener *listener, unsigned worker);

/* No more connections come, to no process that has the sockets: they are refused. */
void listen_shut(struct listener *listener);

/* Closes the sockets; removes a Unix socket's path when remove is not 0. */
void listen_close(struct listener *listener, int remove);

#endif
