/* io.c: bytes to and from PostgreSQL. */
#include "db/io.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/mem.h"

enum {
    IN_FIRST = 16 * 1024,   /* bytes: enough for most turns */
    IN_BULK = 64 * 1024,    /* for one that was filled */
    IN_LEAST = 4 * 1024,    /* room for a read, or it is not worth its system call */
    IN_MOST = 1 << 30,      /* read at a time */
    OUT_PIECE = 256 * 1024, /* sent at a time, */
    OUT_MOST = 1024 * 1024, /* and in one turn of the loop */
};

bool db_io_watch(struct db_io *io, h2o_loop_t *loop, const PGconn *pg, void *data)
{
    db_io_unwatch(io);
    int fd = fcntl(PQsocket(pg), F_DUPFD_CLOEXEC, 0);
    if (fd < 0)
        return false;
    io->socket = h2o_evloop_socket_create(loop, fd, 0);
    io->socket->data = data;
    h2o_socket_dont_read(io->socket, 1); /* libpq reads, and then we do */
    return true;
}

void db_io_unwatch(struct db_io *io)
{
    if (io->socket != NULL)
        h2o_socket_close(io->socket);
    io->socket = NULL;
}

bool db_io_begin(struct db_io *io, PGconn *pg)
{
    if (PQgssEncInUse(pg) || PQsetnonblocking(pg, 1) != 0) /* it would wait for ever to say good-bye */
        return false;
    io->fd = PQsocket(pg);
    io->tls = PQsslInUse(pg) ? PQsslStruct(pg, "OpenSSL") : NULL;
    io->in_from = io->in_to = 0;
    io->n_sent = 0;
    io->out_broken = false;
    io->wants = PGWIRE_HEAD;
    return true;
}

/* Makes room behind in_to for a read: what is left moves to the front, the buffer grows for a large message.
 */
static void make_room(struct db_io *io)
{
    size_t left = io->in_to - io->in_from;
    bool was_filled = io->in_to == io->in_capacity && io->in_capacity > 0;
    size_t capacity = io->in_capacity;
    if (capacity == 0)
        capacity = IN_FIRST;
    else if (was_filled && capacity < IN_BULK)
        capacity = IN_BULK;
    else if (left == 0 && capacity > IN_BULK && io->wants <= IN_BULK)
        capacity = IN_BULK; /* a large row has gone */
    if (capacity < io->wants)
        capacity = io->wants < capacity * 2 ? capacity * 2 : io->wants;
    if (left > 0 && io->in_from > 0)
        memmove(io->in, io->in + io->in_from, left);
    io->in_from = 0;
    io->in_to = left;
    if (capacity - left < IN_LEAST && capacity - left < io->wants)
        capacity += IN_LEAST;
    if (capacity != io->in_capacity) {
        io->in = mem_realloc(io->in, capacity);
        io->in_capacity = capacity;
    }
}

static enum db_io_result tls_result(struct db_io *io, int result)
{
    int saved = errno;
    switch (SSL_get_error(io->tls, result)) {
    case SSL_ERROR_WANT_READ:
    case SSL_ERROR_WANT_WRITE:
        return DB_IO_WAIT;
    case SSL_ERROR_ZERO_RETURN:
        return DB_IO_ENDED;
    case SSL_ERROR_SYSCALL:
        errno = saved;
        return saved == 0 ? DB_IO_ENDED : DB_IO_FAILED;
    default:
        errno = EPROTO;
        return ERR_GET_REASON(ERR_peek_error()) == SSL_R_UNEXPECTED_EOF_WHILE_READING ? DB_IO_ENDED
                                                                                      : DB_IO_FAILED;
    }
}

enum db_io_result db_io_read(struct db_io *io)
{
    if (io->in_from == io->in_to || io->in_capacity - io->in_to < IN_LEAST ||
        io->wants > io->in_capacity - io->in_from)
        make_room(io);
    size_t room = io->in_capacity - io->in_to;
    if (room == 0)
        return DB_IO_WAIT; /* the messages that are there have to be taken first */
    if (io->tls != NULL) {
        ERR_clear_error();
        errno = 0;
        int got = SSL_read(io->tls, io->in + io->in_to, room < IN_MOST ? (int)room : IN_MOST);
        if (got <= 0)
            return tls_result(io, got);
        io->in_to += (size_t)got;
        return DB_IO_DONE;
    }
    ssize_t got;
    do
        got = recv(io->fd, io->in + io->in_to, room, 0);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return errno == EAGAIN || errno == EWOULDBLOCK ? DB_IO_WAIT : DB_IO_FAILED;
    if (got == 0)
        return DB_IO_ENDED;
    io->in_to += (size_t)got;
    return DB_IO_DONE;
}

bool db_io_has_more(const struct db_io *io)
{
    return io->tls != NULL && SSL_pending(io->tls) > 0;
}

uint64_t db_io_position(const struct db_io *io)
{
    return io->n_sent + pgwire_left(&io->out);
}

/*
 * What could not be sent through TLS has to be tried again as it is, or with more after it (SSL_write(3)):
 * a piece only ever becomes longer.
 */
static enum db_io_result send_some(struct db_io *io)
{
    for (size_t left = OUT_MOST; pgwire_left(&io->out) > 0;) {
        struct str piece = pgwire_peek(&io->out);
        size_t size = piece.len < OUT_PIECE ? piece.len : OUT_PIECE;
        ssize_t sent;
        if (io->tls != NULL) {
            ERR_clear_error();
            errno = 0;
            sent = SSL_write(io->tls, piece.base, (int)size);
            if (sent <= 0)
                return tls_result(io, (int)sent);
        } else {
            sent = send(io->fd, piece.base, size, MSG_NOSIGNAL);
            if (sent < 0 && errno == EINTR)
                continue;
            if (sent < 0)
                return errno == EAGAIN || errno == EWOULDBLOCK ? DB_IO_WAIT : DB_IO_FAILED;
        }
        pgwire_take(&io->out, (size_t)sent);
        io->n_sent += (size_t)sent;
        if (left <= (size_t)sent)
            return pgwire_left(&io->out) > 0 ? DB_IO_WAIT : DB_IO_DONE;
        left -= (size_t)sent;
    }
    return DB_IO_DONE;
}

enum db_io_result db_io_flush(struct db_io *io)
{
    if (io->out_broken)
        return DB_IO_FAILED;
    enum db_io_result result = send_some(io);
    io->out_broken = result == DB_IO_FAILED || result == DB_IO_ENDED;
    return result;
}

void db_io_dispose(struct db_io *io)
{
    db_io_unwatch(io);
    free(io->in);
    pgwire_writer_dispose(&io->out);
    *io = (struct db_io){.n_sent = io->n_sent};
}
