/*
 * io.h: bytes to and from PostgreSQL, on a connection that libpq has made; through TLS where it has.
 */
#ifndef HAYFORK_DB_IO_H
#define HAYFORK_DB_IO_H

#include <h2o.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pg/pgwire.h"

struct db_io {
    h2o_socket_t *socket; /* watches a duplicate of libpq's descriptor, which is libpq's to close */
    int fd;               /* libpq's */
    void *tls;            /* libpq's SSL, or NULL */
    char *in;             /* what was read; [from, to) is not used yet */
    size_t in_from, in_to, in_capacity;
    size_t wants;             /* bytes from in_from that the next message has */
    struct pgwire_writer out; /* what is to be sent */
    uint64_t n_sent;          /* bytes that ever were */
    bool out_broken;          /* nothing can be sent any longer; what the server has sent may still be read */
};

/*
 * Watches the descriptor that libpq uses at present. libh2o closes the descriptors that it watches and libpq
 * closes its own, perhaps to try the next host: each has one of its own. False if there is none available
 * (errno says why).
 */
bool db_io_watch(struct db_io *io, h2o_loop_t *loop, const PGconn *pg, void *data);
void db_io_unwatch(struct db_io *io);

/* libpq has done its part: bytes are ours from here on. False where they cannot be. */
bool db_io_begin(struct db_io *io, PGconn *pg);

enum db_io_result { DB_IO_DONE, DB_IO_WAIT, DB_IO_ENDED, DB_IO_FAILED };

/*
 * Reads once, what is there and fits. DB_IO_DONE: something came; DB_IO_WAIT: nothing now; DB_IO_ENDED: the
 * server has closed; DB_IO_FAILED: errno says why.
 */
enum db_io_result db_io_read(struct db_io *io);

/* Are there bytes in the TLS layer that no event will tell of? */
bool db_io_has_more(const struct db_io *io);

/* Takes the next message of those that were read, if it is complete. It stays where it is until the next
 * read. */
static inline enum pgwire_got db_io_next(struct db_io *io, struct pgwire_message *message)
{
    enum pgwire_got got = pgwire_next(io->in + io->in_from, io->in_to - io->in_from, message, &io->wants);
    if (got == PGWIRE_MESSAGE) {
        io->in_from += io->wants;
        io->wants = PGWIRE_HEAD;
    }
    return got;
}

/* How many bytes were ever put into io->out. What began there was not sent while n_sent is no more than that.
 */
uint64_t db_io_position(const struct db_io *io);

/*
 * Sends what is to be sent, but no more than holds up the loop for a moment. DB_IO_WAIT: the rest has to wait
 * until the socket takes more. Where it fails, the server may have said why: reading meets that, and then the
 * end.
 */
enum db_io_result db_io_flush(struct db_io *io);

/* Frees the buffers and stops to watch. n_sent stays: what was sent has to be known afterwards. */
void db_io_dispose(struct db_io *io);

#endif
