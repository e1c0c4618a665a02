/* listen.c: the sockets that workers accept from. */
#include "process/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

enum {
    BACKLOG = 65535, /* the kernel clips it to net.core.somaxconn */
    /* Bytes of an answer that the kernel takes beyond what it may send; accepted sockets inherit it. Else it
     * takes megabytes, and holds them long after a connection whose client reads none is closed. */
    UNSENT_MAX = 128 * 1024,
    /* Seconds for which the kernel keeps a connection to itself until its client has said something: what is
     * accepted has its request with it, which saves a one-request connection a turn of the loop (ab -c 4 and
     * 64: 0.80 and 0.85 of our CPU). Who still says nothing comes after that, and head_time begins. */
    SILENT_S = 1,
    /* Workers whose master was killed take what is in the queue, and free the address after a tenth of a
     * second: a new master that is started at once waits for that, looking again now and then. */
    FREED_MS = 1000,
    LOOK_AGAIN_MS = 50,
};

/* Waits before an address is tried again. Returns false at this time (clock_ms), when it is somebody's. */
static bool wait_for_address(uint64_t until)
{
    if (clock_ms() >= until)
        return false;
    poll(NULL, 0, LOOK_AGAIN_MS);
    return true;
}

/* Splits "host:port" and looks it up without asking a name server. Returns NULL after logging. */
static struct addrinfo *look_up(const char *address)
{
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICHOST | AI_NUMERICSERV};
    const char *colon = strrchr(address, ':');
    const char *port = colon == NULL ? address : colon + 1;
    char *host = NULL;
    if (colon == NULL) {
        host = mem_strdup("::");
    } else if (address[0] == '[' && colon > address + 1 && colon[-1] == ']') {
        host = mem_strndup(address + 1, (size_t)(colon - address - 2));
    } else {
        host = mem_strndup(address, (size_t)(colon - address));
    }
    struct addrinfo *found = NULL;
    int error = getaddrinfo(host, port, &hints, &found);
    if (error == 0 && colon == NULL) {
        int probe = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (probe < 0) { /* a kernel without IPv6 */
            freeaddrinfo(found);
            error = getaddrinfo("0.0.0.0", port, &hints, &found);
        } else {
            close(probe);
        }
    }
    free(host);
    if (error != 0) {
        log_errorx("cannot listen on %s: %s", address, gai_strerror(error));
        return NULL;
    }
    return found;
}

/* errpos names the step that failed in the one message at the end. */
static int open_tcp_socket(const struct addrinfo *info, const char *address)
{
    const char *errpos = "socket";
    int on = 1, off = 0, unsent = UNSENT_MAX, silent = SILENT_S;
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        goto failed;
    errpos = "setsockopt";
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0)
        goto failed;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0)
        goto failed;
    if (info->ai_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) != 0)
        goto failed;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent)) != 0)
        goto failed;
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) != 0) /* for accepted ones, too */
        goto failed;
    if (setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &silent, sizeof(silent)) != 0)
        goto failed;
    errpos = "bind";
    if (bind(fd, info->ai_addr, info->ai_addrlen) != 0)
        goto failed;
    return fd;
failed:
    log_error("cannot listen on %s: %s", address, errpos);
    if (fd >= 0)
        close(fd);
    return -1;
}

/*
 * SO_REUSEPORT would let two servers of one user share the port without a word, each getting half of the
 * requests. A first bind without it says whether someone is there.
 */
static bool port_is_free(const struct addrinfo *info, const char *address)
{
    int on = 1, off = 0;
    uint64_t until = clock_ms() + FREED_MS;
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return true; /* the real attempt will say why */
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (info->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    bool is_free;
    do
        is_free = bind(fd, info->ai_addr, info->ai_addrlen) == 0;
    while (!is_free && errno == EADDRINUSE && wait_for_address(until));
    if (!is_free)
        log_error("cannot listen on %s", address);
    close(fd);
    return is_free;
}

static void add(struct listener *listener, int fd)
{
    MEM_GROW(&listener->fds, listener->n_fds);
    listener->fds[listener->n_fds++] = fd;
}

/* Opens sockets until there is one for each worker; with check, unless someone has the port. */
static int open_tcp(struct listener *listener, unsigned workers, bool check)
{
    struct addrinfo *info = look_up(listener->address);
    if (info == NULL)
        return -1;
    int result = !check || port_is_free(info, listener->address) ? 0 : -1;
    while (result == 0 && listener->n_fds < workers) {
        int fd = open_tcp_socket(info, listener->address);
        if (fd < 0)
            result = -1;
        else
            add(listener, fd);
    }
    freeaddrinfo(info);
    return result;
}

/* Is there a socket on this path that nobody answers on any more? Connecting to a plain file fails alike. */
static bool unix_socket_is_stale(const struct sockaddr_un *address)
{
    struct stat status;
    if (lstat(address->sun_path, &status) != 0 || !S_ISSOCK(status.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0); /* its queue may be full */
    if (fd < 0)
        return false;
    bool stale =
        connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0 && errno == ECONNREFUSED;
    close(fd);
    return stale;
}

/*
 * Opens the file of a Unix socket to look at it and to change its rights. Returns -1 with errno set where the
 * path is not its own: whoever may write in the folder could else lead root to another file.
 */
static int open_own_path(const struct listener *listener)
{
    struct stat status;
    int fd = open(listener->unix_path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 ||
        (fstat(fd, &status) == 0 && status.st_dev == listener->device && status.st_ino == listener->inode))
        return fd;
    close(fd);
    errno = ENOENT;
    return -1;
}

/* Root has given up its right to do that to files of others, but not that to be their owner. */
static bool change_mode(int file, mode_t mode)
{
    char path[32];
    struct stat status;
    snprintf(path, sizeof(path), "/proc/self/fd/%d", file); /* O_PATH is too little for fchmod */
    if (fstat(file, &status) != 0)
        return false;
    setfsuid(status.st_uid);
    bool changed = chmod(path, mode) == 0;
    setfsuid(geteuid());
    return changed;
}

bool listen_set_rights(const struct listener *listener, const struct conf_socket_rights *rights)
{
    uid_t owner = rights->has_owner ? rights->owner : (uid_t)-1;
    gid_t group = rights->has_group ? rights->group : (gid_t)-1;
    bool has_account = rights->has_owner || rights->has_group;
    if (listener->unix_path == NULL || (!has_account && !rights->has_mode))
        return true;
    int file = open_own_path(listener);
    bool set = file >= 0 && (!has_account || fchownat(file, "", owner, group, AT_EMPTY_PATH) == 0) &&
               (!rights->has_mode || change_mode(file, rights->mode));
    if (file >= 0) {
        int error = errno;
        close(file);
        errno = error;
    }
    return set;
}

static int open_unix(struct listener *listener, const char *path, const struct conf_socket_rights *rights)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *errpos = "socket";
    uint64_t until = clock_ms() + FREED_MS;
    int fd = -1;
    if (strlen(path) >= sizeof(address.sun_path)) {
        log_errorx("cannot listen on %s: the path is longer than %zu bytes", listener->address,
                   sizeof(address.sun_path) - 1);
        return -1;
    }
    strcpy(address.sun_path, path);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        goto failed;
    errpos = "bind";
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        if (errno != EADDRINUSE)
            goto failed;
        bool stale;
        do
            stale = unix_socket_is_stale(&address);
        while (!stale && wait_for_address(until));
        if (!stale) {
            errno = EADDRINUSE;
            goto failed;
        }
        unlink(path);
        if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
            goto failed;
    }
    listener->unix_path = mem_strdup(path);
    listener->shared = true;
    errpos = "stat";
    struct stat status;
    if (lstat(path, &status) != 0)
        goto failed;
    listener->device = status.st_dev;
    listener->inode = status.st_ino;
    errpos = "its mode, owner and group";
    if (!listen_set_rights(listener, rights)) /* nobody can connect yet: it does not listen */
        goto failed;
    add(listener, fd);
    return 0;
failed:
    log_error("cannot listen on %s: %s", listener->address, errpos);
    if (fd >= 0)
        close(fd);
    return -1;
}

int listen_open(struct listener *listener, const char *address, unsigned workers, bool ours,
                const struct conf_socket_rights *rights)
{
    *listener = (struct listener){.address = mem_strdup(address)};
    int result = strncmp(address, "unix:", 5) == 0 ? open_unix(listener, address + 5, rights)
                                                   : open_tcp(listener, workers, !ours);
    if (result != 0)
        listen_close(listener, true);
    return result;
}

int listen_open_shared(struct listener *listener, const char *address, bool ours,
                       const struct conf_socket_rights *rights)
{
    int result = listen_open(listener, address, 1, ours, rights);
    listener->shared = result == 0;
    return result;
}

int listen_of_passed(struct listener *listener, const char *address, const int *fds, size_t n)
{
    int on = 1, unsent = UNSENT_MAX, silent = SILENT_S;
    *listener = (struct listener){.address = mem_strdup(address), .shared = true, .passed = true};
    for (size_t i = 0; i < n; i++) {
        int fd = fcntl(fds[i], F_DUPFD_CLOEXEC, 0);
        if (fd < 0) {
            log_error("cannot listen on %s", address);
            listen_close(listener, false);
            return -1;
        }
        /* As for our own; a Unix socket has none of these. */
        setsockopt(fd, IPPROTO_TCP, TCP_NOTSENT_LOWAT, &unsent, sizeof(unsent));
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
        setsockopt(fd, IPPROTO_TCP, TCP_DEFER_ACCEPT, &silent, sizeof(silent));
        add(listener, fd);
    }
    return 0;
}

static bool is_own_path(const struct listener *listener)
{
    int file = listener->unix_path == NULL ? -1 : open_own_path(listener);
    if (file >= 0)
        close(file);
    return file >= 0;
}

bool listen_has_path(const struct listener *listener)
{
    return listener->unix_path == NULL || is_own_path(listener);
}

int listen_grow(struct listener *listener, unsigned workers)
{
    return listener->shared ? 0 : open_tcp(listener, workers, false);
}

bool listen_is_for(const struct listener *listener, size_t which, unsigned index, unsigned workers)
{
    return listener->shared || which % workers == index;
}

int listen_begin(int fd)
{
    return listen(fd, BACKLOG);
}

/*
 * A listening socket that is bound to a network interface takes connections from that one alone, and there is
 * none of this number: a client's next attempt is refused at once, as if nobody listened. What is in the
 * socket's queue, or in the middle of its handshake, belongs to the socket already, and is not asked again
 * for its interface. That takes no privilege, unlike a filter that would drop what begins a handshake
 * (socket(7), SO_BINDTODEVICE and SO_ATTACH_FILTER).
 */
void listen_refuse(struct listener *listener)
{
    int nowhere = INT_MAX;
    for (size_t i = 0; !listener->passed && i < listener->n_fds; i++) {
        int family = 0;
        socklen_t len = sizeof(family);
        if (getsockopt(listener->fds[i], SOL_SOCKET, SO_DOMAIN, &family, &len) == 0 && family == AF_UNIX)
            shutdown(listener->fds[i], SHUT_RD); /* what waits can still be accepted */
        else if (setsockopt(listener->fds[i], SOL_SOCKET, SO_BINDTOIFINDEX, &nowhere, sizeof(nowhere)) != 0)
            log_debug("%s cannot be closed to new connections before it is shut", listener->address);
    }
}

void listen_shut(struct listener *listener)
{
    for (size_t i = 0; !listener->passed && i < listener->n_fds; i++)
        shutdown(listener->fds[i], SHUT_RD);
}

/*
 * Removes a Unix socket's path. Root may have given up its right to write in others' folders
 * (process/privileges.h), but not that to be them: for the kernel's look at the folder it is its owner.
 */
static void remove_path(const char *path)
{
    struct stat folder;
    if (unlink(path) == 0 || errno != EACCES)
        return;
    const char *slash = strrchr(path, '/');
    char *name = mem_strndup(path, (size_t)(slash - path) + 1);
    if (stat(name, &folder) == 0) {
        setfsuid(folder.st_uid);
        unlink(path);
        setfsuid(geteuid());
    }
    free(name);
}

void listen_close(struct listener *listener, bool remove)
{
    if (remove && is_own_path(listener))
        remove_path(listener->unix_path);
    for (size_t i = 0; i < listener->n_fds; i++)
        close(listener->fds[i]);
    free(listener->address);
    free(listener->unix_path);
    free(listener->fds);
    *listener = (struct listener){0};
}
