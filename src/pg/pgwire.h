/*
 * pgwire.h: the messages of PostgreSQL's protocol, version 3 (PostgreSQL 15, chapter 55): writes those that a
 * client sends, takes apart those that a server sends. Pure: it knows no sockets.
 *
 * libpq makes the connection (hosts, passwords, certificates, TLS). From there on messages are read here, a
 * row at a time where it lies: libpq itself would keep whole results in memory.
 */
#ifndef HAYFORK_PG_PGWIRE_H
#define HAYFORK_PG_PGWIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/store.h"
#include "base/str.h"

enum {
    PGWIRE_HEAD = 5, /* bytes: the type, and the length of what follows with its own 4 bytes */
    PGWIRE_MAX_MESSAGE = 0x3fffffff, /* bytes: what PostgreSQL can have in one piece (its MaxAllocSize) */
    PGWIRE_LONG = 16 * 1024,         /* bytes: such a value is better not copied */
};

/* The types of a server's messages (section 55.7). */
enum pgwire_type {
    PGWIRE_PARSE_COMPLETE = '1',
    PGWIRE_BIND_COMPLETE = '2',
    PGWIRE_CLOSE_COMPLETE = '3',
    PGWIRE_NOTIFICATION = 'A',
    PGWIRE_COMMAND_COMPLETE = 'C',
    PGWIRE_DATA_ROW = 'D',
    PGWIRE_ERROR = 'E',
    PGWIRE_EMPTY_QUERY = 'I',
    PGWIRE_NOTICE = 'N',
    PGWIRE_NO_DATA = 'n',
    PGWIRE_PARAMETER_STATUS = 'S',
    PGWIRE_ROW_DESCRIPTION = 'T',
    PGWIRE_PARAMETER_DESCRIPTION = 't',
    PGWIRE_READY = 'Z',
};

/*
 * Writing. Messages are appended to a buffer that grows, and taken from its front. Long values are not copied
 * into it, but remembered with their place. The server refuses a message that is longer than
 * PGWIRE_MAX_MESSAGE: it is the caller who sees to that.
 */

/* A value that comes before what is at base + at. */
struct pgwire_long {
    size_t at;
    struct str bytes;
    struct store *store; /* that they lie in; kept */
};

/* All zero at first. */
struct pgwire_writer {
    char *base; /* what was taken is before base + from */
    size_t from, len, capacity;
    struct pgwire_long *longs; /* in their order */
    size_t n_longs;
    size_t longs_taken; /* all of so many, */
    size_t long_from;   /* and so many bytes of the next one */
    size_t longs_left;  /* bytes of the others, and of its rest */
    bool describes_portal;
};

/* How many bytes were not taken yet. */
size_t pgwire_left(const struct pgwire_writer *writer);

/* The bytes to be taken next, at least one if any are left. They stay until something is written. */
struct str pgwire_peek(const struct pgwire_writer *writer);

/* So many of these were taken. */
void pgwire_take(struct pgwire_writer *writer, size_t n);

/* Frees what it holds: it is empty then. */
void pgwire_writer_dispose(struct pgwire_writer *writer);

/* Parse: sql gets a name. types[0..n) are those of the first parameters, 0 is left to the server. */
void pgwire_parse(struct pgwire_writer *writer, const char *name, const char *sql, const uint32_t *types,
                  size_t n);

/* Close, of a prepared statement; it need not be there. */
void pgwire_close(struct pgwire_writer *writer, const char *name);

/* Describe, of a prepared statement. */
void pgwire_describe(struct pgwire_writer *writer, const char *name);

/*
 * Bind to the unnamed portal, all values and all columns as text; a base that is NULL is SQL NULL. Then
 * Execute, all rows. Values of PGWIRE_LONG bytes and more are not copied where there is a store: that is
 * where they lie, unless they stay for ever, and it is kept until they were taken. store may be NULL.
 */
void pgwire_execute(struct pgwire_writer *writer, const char *name, const struct str *values, size_t n,
                    struct store *store);

/*
 * Likewise, but value i is an array (section 8.15) of what is value i in each of the n_rows rows, at least
 * one; elements of built-in types, between which PostgreSQL has a comma.
 */
void pgwire_execute_arrays(struct pgwire_writer *writer, const char *name, const struct str *const *rows,
                           size_t n_rows, size_t n);

/* What is executed next is described first (Describe of the portal): what comes is as of its statement. */
void pgwire_describe_portal(struct pgwire_writer *writer);

void pgwire_sync(struct pgwire_writer *writer);

/* Reading */

struct pgwire_message {
    unsigned char type;
    const char *body;
    size_t len; /* of the body */
};

enum pgwire_got {
    PGWIRE_MORE,    /* wants that many bytes in all */
    PGWIRE_MESSAGE, /* there is one, of wants bytes in all */
    PGWIRE_GARBAGE, /* a length that no message has */
};

/* Finds the message that begins at bytes. It lies where the bytes are. */
enum pgwire_got pgwire_next(const char *bytes, size_t len, struct pgwire_message *message, size_t *wants);

/* A value of a row. len is -1 for SQL NULL; the text is not terminated. */
struct pgwire_value {
    const char *text;
    int32_t len;
};

/* A row, as a place after which its values lie. */
struct pgwire_row {
    const char *at;
};

/* Is the message's body a row of n values, all within its bytes? Only then may the others be called. */
bool pgwire_row(const struct pgwire_message *message, size_t n, struct pgwire_row *row);

/* The next value; at most n times. */
struct pgwire_value pgwire_row_next(struct pgwire_row *row);

/* Value number i, counted from 0, of a row that stands at its beginning. */
struct pgwire_value pgwire_row_value(struct pgwire_row row, size_t i);

struct pgwire_field {
    const char *name;
    uint32_t type; /* an OID */
};

/*
 * The fields of a RowDescription; the names stay in the message. *fields is allocated, to be freed with
 * free(). False, and *fields NULL, if the message is not well formed.
 */
bool pgwire_fields(const struct pgwire_message *message, struct pgwire_field **fields, size_t *n);

/* The types in a ParameterDescription, likewise. */
bool pgwire_types(const struct pgwire_message *message, uint32_t **types, size_t *n);

/* Is the body one text with its NUL at the end, as in CommandComplete? */
bool pgwire_is_text(const struct pgwire_message *message);

/* The name and value of a ParameterStatus. False if it is not well formed. */
bool pgwire_parameter(const struct pgwire_message *message, const char **name, const char **value);

/* Is the body a list of fields, as ErrorResponse and NoticeResponse have it (section 55.8)? */
bool pgwire_is_error(const struct pgwire_message *message);

/*
 * A field of such a body: code is one of libpq's PG_DIAG_…, which are the protocol's own letters. An empty
 * text if it is not there. Lives as long as the body.
 */
const char *pgwire_error_field(const char *body, int code);

/*
 * Is it the error with that SQLSTATE which the server's own function of that name raises about our message
 * itself, and not from within a function that a statement calls?
 */
bool pgwire_error_is(const char *body, const char *state, const char *function);

#endif
