/* sd.c: what a service manager is told, and what it hands over. */
#include "process/sd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"

enum { FIRST_FD = 3 }; /* sd_listen_fds(3) */

/* "@name" is an abstract address (unix(7)). Returns its length, or 0 if it is not an address. */
static socklen_t address_of(const char *path, struct sockaddr_un *address)
{
    size_t len = strlen(path);
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if ((path[0] != '/' && path[0] != '@') || len < 2 || len >= sizeof(address->sun_path))
        return 0;
    memcpy(address->sun_path, path, len);
    if (path[0] == '@')
        address->sun_path[0] = '\0';
    return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + (path[0] == '/'));
}

static bool send_text(const char *path, const char *text)
{
    struct sockaddr_un address;
    socklen_t len = address_of(path, &address);
    int fd = len == 0 ? -1 : socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    errno = len == 0 ? EINVAL : errno;
    bool sent = fd >= 0 && sendto(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT,
                                  (struct sockaddr *)&address, len) >= 0;
    if (fd >= 0) {
        int error = errno;
        close(fd);
        errno = error;
    }
    return sent;
}

void sd_notify(const char *format, ...)
{
    static bool complained;
    const char *path = getenv("NOTIFY_SOCKET");
    if (path == NULL || path[0] == '\0')
        return;
    va_list args;
    va_start(args, format);
    char *text = mem_vprintf(format, args);
    va_end(args);
    if (!send_text(path, text) && !complained) {
        complained = true;
        log_warn("cannot tell the service manager at $NOTIFY_SOCKET (%s)", path);
    }
    free(text);
}

/* Reads a number of the environment. Returns false if it is not one, or too large. */
static bool number(const char *name, unsigned long long most, unsigned long long *value)
{
    const char *text = getenv(name);
    char *end;
    if (text == NULL || text[0] < '0' || text[0] > '9')
        return false;
    errno = 0;
    *value = strtoull(text, &end, 10);
    return errno == 0 && *end == '\0' && *value <= most;
}

unsigned sd_watchdog_ms(void)
{
    unsigned long long us, pid;
    if (!number("WATCHDOG_USEC", (unsigned long long)INT_MAX * 1000, &us))
        return 0;
    if (getenv("WATCHDOG_PID") != NULL &&
        (!number("WATCHDOG_PID", INT_MAX, &pid) || pid != (unsigned long long)getpid()))
        return 0;
    return (unsigned)(us / 1000);
}

static bool is_listening_socket(int fd)
{
    int listens = 0, type = 0;
    socklen_t len = sizeof(listens), type_len = sizeof(type);
    return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && listens != 0 &&
           getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &type_len) == 0 && type == SOCK_STREAM;
}

struct sd_sockets sd_take_sockets(void)
{
    unsigned long long pid, n;
    struct sd_sockets taken = {0};
    const char *names = getenv("LISTEN_FDNAMES");
    if (getenv("LISTEN_FDS") == NULL)
        return taken;
    if (!number("LISTEN_PID", INT_MAX, &pid) || pid != (unsigned long long)getpid() ||
        !number("LISTEN_FDS", INT_MAX - FIRST_FD, &n))
        n = 0; /* they are someone else's */
    for (int fd = FIRST_FD; fd < FIRST_FD + (int)n; fd++) {
        size_t len = names == NULL ? 0 : strcspn(names, ":");
        char *name = mem_strndup(names == NULL ? "" : names, len);
        if (names != NULL)
            names += len + (names[len] == ':');
        if (fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
            log_warnx("$LISTEN_FDS counts %llu descriptors, and there are %d", n, fd - FIRST_FD);
            free(name);
            break;
        }
        if (!is_listening_socket(fd)) {
            log_warnx("$LISTEN_FDS counts descriptor %d%s%s, which is no listening stream socket", fd,
                      name[0] == '\0' ? "" : ", named ", name);
            free(name);
            continue;
        }
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        MEM_GROW(&taken.sockets, taken.n);
        taken.sockets[taken.n++] = (struct sd_socket){fd, name};
    }
    unsetenv("LISTEN_PID");
    unsetenv("LISTEN_FDS");
    unsetenv("LISTEN_FDNAMES");
    return taken;
}

void sd_close_sockets(struct sd_sockets *sockets)
{
    for (size_t i = 0; i < sockets->n; i++) {
        close(sockets->sockets[i].fd);
        free(sockets->sockets[i].name);
    }
    free(sockets->sockets);
    *sockets = (struct sd_sockets){0};
}
