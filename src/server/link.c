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

void conn_consume(struct conn *conn, size_t n)
{
    if (n == 0)
        return;
    conn->input += n;
    conn->input_len -= n;
    if (conn->input_len == 0 && conn->own_input != NULL) {
        free(conn->own_input);
        conn->own_input = NULL;
    }
}

void conn_keep_input(struct conn *conn)
{
    if (conn->input_len == 0 || conn->own_input != NULL)
        return;
    conn->own_capacity = conn->input_len;
    conn->own_input = memcpy(mem_alloc(conn->input_len), conn->input, conn->input_len);
    conn->input = conn->own_input;
}

/* Makes room behind what waits to be understood. Returns how much there is. */
static size_t make_room(struct conn *conn)
{
    size_t room = conn->own_capacity - (size_t)(conn->input - conn->own_input) - conn->input_len;
    if (room >= LEAST_ROOM)
        return room;
    memmove(conn->own_input, conn->input, conn->input_len);
    if (conn->own_capacity - conn->input_len < LEAST_ROOM) {
        conn->own_capacity =
            conn->own_capacity * 2 < 2 * LEAST_ROOM ? 2 * LEAST_ROOM : conn->own_capacity * 2;
        conn->own_input = mem_realloc(conn->own_input, conn->own_capacity);
    }
    conn->input = conn->own_input;
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
    errno = 0;
    ssize_t n = recv(h2o_socket_get_fd(conn->socket), to, room, 0);
    if (n <= 0)
        return n < 0 && (errno == EAGAIN || errno == EINTR);
    if (conn->input_len == 0)
        conn->input = to;
    conn->input_len += (size_t)n;
    return true;
}
