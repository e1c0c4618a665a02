/* listen.c: opens the sockets that workers accept from. */
#include "process/listen.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

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
};

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
    errpos = "listen";
    if (listen(fd, BACKLOG) != 0)
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
 * requests. A first bind without it says whether somebody is there.
 */
static bool port_is_free(const struct addrinfo *info, const char *address)
{
    int on = 1, off = 0;
    int fd = socket(info->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return true; /* the real attempt will say why */
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (info->ai_family == AF_INET6)
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
    bool is_free = bind(fd, info->ai_addr, info->ai_addrlen) == 0;
    if (!is_free)
        log_error("cannot listen on %s", address);
    close(fd);
    return is_free;
}

static int open_tcp(struct listener *listener, unsigned workers)
{
    struct addrinfo *info = look_up(listener->address);
    if (info == NULL)
        return -1;
    int result = -1;
    if (!port_is_free(info, listener->address))
        goto done;
    for (unsigned i = 0; i < workers; i++) {
        int fd = open_tcp_socket(info, listener->address);
        if (fd < 0)
            goto done;
        listener->fds[listener->n_fds++] = fd;
    }
    result = 0;
done:
    freeaddrinfo(info);
    return result;
}

/* Is there a socket on this path that nobody answers on any more? Connecting to a plain file fails alike. */
static bool unix_socket_is_stale(const struct sockaddr_un *address)
{
    struct stat status;
    if (lstat(address->sun_path, &status) != 0 || !S_ISSOCK(status.st_mode))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return false;
    bool stale =
        connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0 && errno == ECONNREFUSED;
    close(fd);
    return stale;
}

static int open_unix(struct listener *listener, const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *errpos = "socket";
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
        if (!unix_socket_is_stale(&address)) {
            errno = EADDRINUSE;
            goto failed;
        }
        unlink(path);
        if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
            goto failed;
    }
    listener->unix_path = mem_strdup(path);
    errpos = "listen";
    if (listen(fd, BACKLOG) != 0)
        goto failed;
    listener->fds[listener->n_fds++] = fd;
    return 0;
failed:
    log_error("cannot listen on %s: %s", listener->address, errpos);
    if (fd >= 0)
        close(fd);
    return -1;
}

int listen_open(struct listener *listener, const char *address, unsigned workers)
{
    *listener = (struct listener){.address = address, .fds = mem_calloc(workers, sizeof(int))};
    int result =
        strncmp(address, "unix:", 5) == 0 ? open_unix(listener, address + 5) : open_tcp(listener, workers);
    if (result != 0)
        listen_close(listener, 1);
    return result;
}

int listen_fd(const struct listener *listener, unsigned worker)
{
    return listener->fds[worker % listener->n_fds];
}

void listen_shut(struct listener *listener)
{
    for (size_t i = 0; i < listener->n_fds; i++)
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

void listen_close(struct listener *listener, int remove)
{
    for (size_t i = 0; i < listener->n_fds; i++)
        close(listener->fds[i]);
    if (listener->unix_path != NULL && remove)
        remove_path(listener->unix_path);
    free(listener->unix_path);
    free(listener->fds);
    *listener = (struct listener){0};
}
