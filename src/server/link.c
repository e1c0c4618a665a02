/*
 * link.c: bytes that a client has sent and that wait to be understood.
 *
 * They are read into a buffer that all connections share; only what cannot be dealt with yet is copied into
 * memory of the connection's own, so that an idle one holds none.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "server/conn_private.h"
#include "base/mem.h"

enum {
    LEAST_ROOM = CONN_INPUT_SIZE / 16, /* for one read */
};

/* What comes after the head of a pending request is there at the client's will: it counts as a body does. */
static void count_own(struct conn *conn, size_t size)
{
    struct store_limit *bodies = &conn->context->bodies;
    store_discount(bodies, conn->own_counted);
    conn->own_counted = conn->has_request ? size : 0;
    store_count(bodies, conn->own_counted);
}

static void free_own(struct conn *conn)
{
    free(conn->own_input);
    conn->own_input = NULL;
    count_own(conn, 0);
}

void conn_consume(struct conn *conn, size_t n)
{
    if (n == 0)
        return;
    conn->input += n;
    conn->input_len -= n;
    if (conn->input_len == 0 && conn->own_input != NULL)
        free_own(conn);
}

void conn_drop_input(struct conn *conn)
{
    conn->input_len = 0;
    if (conn->own_input != NULL)
        free_own(conn);
}

/* May so many bytes be the connection's own? */
static bool may_own(const struct conn *conn, size_t size)
{
    return !conn->has_request || size <= conn->own_counted ||
           store_has_room(&conn->context->bodies, conn->body.store, size - conn->own_counted);
}

bool conn_keep_input(struct conn *conn)
{
    if (conn->input_len == 0 || conn->own_input != NULL)
        return true;
    if (!may_own(conn, conn->input_len))
        return false;
    conn->own_capacity = conn->input_len;
    conn->own_input = memcpy(mem_alloc(conn->input_len), conn->input, conn->input_len);
    conn->input = conn->own_input;
    count_own(conn, conn->own_capacity);
    return true;
}

/* Makes room after what waits to be understood. Returns how much there is; 0 where there is no memory for
 * it. */
static size_t make_room(struct conn *conn)
{
    size_t room = conn->own_capacity - (size_t)(conn->input - conn->own_input) - conn->input_len;
    if (room >= LEAST_ROOM)
        return room;
    conn->input = memmove(conn->own_input, conn->input, conn->input_len);
    if (conn->own_capacity - conn->input_len < LEAST_ROOM) {
        size_t capacity = conn->own_capacity * 2 < 2 * LEAST_ROOM ? 2 * LEAST_ROOM : conn->own_capacity * 2;
        if (!may_own(conn, capacity))
            return 0;
        conn->own_capacity = capacity;
        conn->input = conn->own_input = mem_realloc(conn->own_input, conn->own_capacity);
        count_own(conn, conn->own_capacity);
    }
    return conn->own_capacity - conn->input_len;
}

bool conn_fill(struct conn *conn)
{
    struct conn_context *context = conn->context;
    size_t room = CONN_INPUT_SIZE;
    char *to = context->input;
    if (conn->input_len > 0) {
        room = make_room(conn);
        to = conn->input + conn->input_len;
    }
    if (room == 0) {
        errno = ENOBUFS;
        return false;
    }
    errno = 0;
    ssize_t n = recv(h2o_socket_get_fd(conn->socket), to, room, 0);
    if (n <= 0)
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    if (conn->input_len == 0)
        conn->input = to;
    conn->input_len += (size_t)n;
    return true;
}
