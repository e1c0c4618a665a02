/* listen.h: the sockets that workers accept from. They outlive generations of workers. */
#ifndef HAYFORK_PROCESS_LISTEN_H
#define HAYFORK_PROCESS_LISTEN_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "conf/conf.h"

/*
 * One address. A TCP address has one socket for each worker, all bound with SO_REUSEPORT, so that the kernel
 * spreads connections; the master keeps every one open, and a worker that takes a dead one's place inherits
 * its socket with what waits in its queue. Where a later generation has fewer workers, each accepts from
 * several, so that no queue is dropped. A Unix socket has a single one for all, as has an address of which it
 * matters more that somebody answers than that the work is spread: who is busy does not take from it.
 */
struct listener {
    char *address;   /* as the conf has it; owned */
    char *unix_path; /* to be removed at the end, or NULL; owned */
    dev_t device;    /* of that path, so that another server's socket is not removed */
    ino_t inode;
    int *fds;
    size_t n_fds;
    bool shared; /* every worker accepts from every socket */
    bool passed; /* by the service manager, which has them, too: they are never shut */
    bool kept;   /* some generation has it: the master's mark */
};

/*
 * Opens address ("8080", "127.0.0.1:8080", "[::1]:8080", "unix:/path") for so many workers: bound, and not
 * listening yet, so that nobody can connect before there is a worker. A port alone means every IPv4 and IPv6
 * address. An unanswered Unix socket left behind by a dead process is replaced. Returns 0, or -1 after
 * logging what failed with the address named.
 */
int listen_open(struct listener *listener, const char *address, unsigned workers, bool ours,
                const struct conf_socket_rights *rights);

/* The same, with a single socket for all workers. */
int listen_open_shared(struct listener *listener, const char *address, bool ours,
                       const struct conf_socket_rights *rights);

/*
 * Makes a listener of n sockets that the service manager has opened; they are duplicated. Returns 0, or -1
 * after logging.
 */
int listen_of_passed(struct listener *listener, const char *address, const int *fds, size_t n);

/* Gives a Unix socket's file its mode, owner and group. Returns false with errno set where it cannot. */
bool listen_set_rights(const struct listener *listener, const struct conf_socket_rights *rights);

/* Is the path of a Unix socket still its own? Else nobody can connect to it any longer. Others have none. */
bool listen_has_path(const struct listener *listener);

/* Adds sockets, where more workers than before want one each. Returns 0, or -1 as above. */
int listen_grow(struct listener *listener, unsigned workers);

/* Does a worker with this index, of so many, accept from the socket fds[which]? */
bool listen_is_for(const struct listener *listener, size_t which, unsigned index, unsigned workers);

/* From now on clients can connect to this socket; also where they can already. Returns 0, or -1 with errno
 * set. */
int listen_begin(int fd);

/*
 * From now on clients are refused, in all processes that have the sockets. Connections that the kernel has
 * taken, or is about to, can still be accepted.
 */
void listen_refuse(struct listener *listener);

/* No more connections come, to no process that has the sockets: they are refused. What waits is reset. */
void listen_shut(struct listener *listener);

/* Closes the sockets; removes a Unix socket's path if remove is set and the path is still its own. */
void listen_close(struct listener *listener, bool remove);

#endif
