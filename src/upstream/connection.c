/* connection.c: one connection to a server: being made, in use or idle. */
#include "upstream/connection.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/mem.h"

static void on_connected(h2o_socket_t *socket, const char *error)
{
    struct upstream_connection *connection = socket->data;
    int code = 0;
    socklen_t len = sizeof(code);
    if (getsockopt(h2o_socket_get_fd(socket), SOL_SOCKET, SO_ERROR, &code, &len) != 0)
        code = errno;
    connection->ops->connected(connection, code != 0 ? strerror(code) : error);
}

static void on_readable(h2o_socket_t *socket, const char *error)
{
    struct upstream_connection *connection = socket->data;
    connection->ops->readable(connection, error);
}

static void on_idle_timeout(h2o_timeout_entry_t *entry)
{
    struct upstream_connection *connection = H2O_STRUCT_FROM_MEMBER(struct upstream_connection, timer, entry);
    connection->ops->expired(connection);
}

struct upstream_connection *upstream_connection_new(h2o_loop_t *loop, struct upstream_server *server,
                                                    const struct upstream_address *address,
                                                    const struct upstream_connection_ops *ops,
                                                    bool *under_way)
{
    int family = address->socket.ss_family, on = 1;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return NULL;
    if (family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    *under_way = connect(fd, (const struct sockaddr *)&address->socket, address->len) != 0;
    if (*under_way && errno != EINPROGRESS) {
        /* no port is free for an IPv4 address; but of an IPv6 one: this machine does not speak that */
        int code = errno == EADDRNOTAVAIL && family == AF_INET ? ENOBUFS : errno;
        close(fd);
        errno = code;
        return NULL;
    }
    struct upstream_connection *connection = mem_calloc(1, sizeof(*connection));
    connection->ops = ops;
    connection->server = server;
    connection->socket = h2o_evloop_socket_create(loop, fd, 0);
    connection->socket->data = connection;
    connection->since = clock_ms();
    connection->timer.cb = on_idle_timeout;
    h2o_socket_dont_read(connection->socket, 1); /* upstream_connection_receive reads */
    if (*under_way)
        h2o_socket_notify_write(connection->socket, on_connected);
    return connection;
}

void upstream_connection_free(struct upstream_connection *connection)
{
    h2o_timeout_unlink(&connection->timer);
    h2o_socket_close(connection->socket);
    free(connection);
}

void upstream_connection_lend(struct upstream_connection *connection, struct upstream_lease *lease)
{
    connection->lease = lease;
}

void upstream_connection_watch(struct upstream_connection *connection)
{
    if (!h2o_socket_is_reading(connection->socket))
        h2o_socket_read_start(connection->socket, on_readable);
}

void upstream_connection_ignore(struct upstream_connection *connection)
{
    h2o_socket_read_stop(connection->socket);
}

ssize_t upstream_connection_receive(struct upstream_connection *connection, char *bytes, size_t size)
{
    ssize_t n = recv(h2o_socket_get_fd(connection->socket), bytes, size, 0);
    connection->quiet_at = n < (ssize_t)size ? h2o_now(h2o_socket_get_loop(connection->socket)) : 0;
    return n;
}

void upstream_connection_idle(struct upstream_connection *connection, h2o_linklist_t *list,
                              h2o_timeout_t *timeout)
{
    upstream_connection_watch(connection);
    h2o_linklist_insert(list->next, &connection->link);
    h2o_timeout_link(h2o_socket_get_loop(connection->socket), timeout, &connection->timer);
}

void upstream_connection_wake(struct upstream_connection *connection)
{
    h2o_linklist_unlink(&connection->link);
    h2o_timeout_unlink(&connection->timer);
    connection->reused = true;
}

bool upstream_connection_is_quiet(const struct upstream_connection *connection, bool may_repeat)
{
    char c;
    if (may_repeat && connection->quiet_at == h2o_now(h2o_socket_get_loop(connection->socket)))
        return true;
    return recv(h2o_socket_get_fd(connection->socket), &c, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
           (errno == EAGAIN || errno == EINTR);
}
