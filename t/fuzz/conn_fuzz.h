/* conn_fuzz.h: what the parts of the fuzz target for connections share. */
#ifndef HAYFORK_CONN_FUZZ_H
#define HAYFORK_CONN_FUZZ_H

#include <h2o.h>

#include "server/conn.h"
#include "fuzz.h"

/* One request as its handler saw it, and what the handler did. It outlives the exchange. */
struct call {
    struct client *client;
    unsigned number;           /* on its connection, from 0 */
    struct exchange *exchange; /* NULL once the request's memory is gone */
    struct body *body;         /* NULL then, too */
    int rejected;              /* the status, where it was not a request */
    int minor_version;
    struct fuzz_bytes method, path;

    struct fuzz_bytes got; /* of the body */
    bool reading, ended, broken;

    struct fuzz_bytes sent; /* as the answer's body */
    int status;
    size_t promised;                          /* Content-Length, or SIZE_MAX */
    bool started, writing, finished, aborted; /* of the answer; writing: its last part is under way */
    unsigned n_parts;
    void (*on_room)(struct call *call);    /* whenever the last part is written */
    void (*on_turn)(struct call *call);    /* once, in the next turn of the loop */
    void (*on_release)(struct call *call); /* once, when the script says so, or at its end */
};

/* One connection, seen from its client. */
struct client {
    struct run *run;
    int fd;        /* -1: not connected, or closed by the client */
    int server_fd; /* of the other end */
    bool stuck;    /* the server does not read: no more is sent */
    bool deaf;     /* does not read what the server sends */
    bool ended;    /* the server has closed */
    bool reset;    /* the server asked for a reset instead of an orderly end */
    bool unread;   /* the server has closed with bytes unread, which makes a reset of it */
    bool half;     /* the client has closed its side */
    bool excused;  /* time limits or the client itself may have cut off anything */
    struct fuzz_bytes sent, received;
    struct call **calls;
    size_t n_calls;
};

enum { CONN_FUZZ_CLIENTS = 2 };

struct run {
    struct conf conf;
    struct exchanges exchanges;
    struct conn_context context;
    struct client clients[CONN_FUZZ_CLIENTS];
    size_t activity; /* grows with all that happens */
    bool full;       /* the memory for bodies was used up: what was sent may be thrown away unseen */
    void (*make_room)(struct store_limit *limit, const struct store *wants, size_t wanted); /* conn's */
};

/* conn_handlers.c: of the run that has the exchanges. */
extern const struct exchanges_ops conn_handlers_ops;

/* conn_answers.c */

/* Nothing happens any longer, and all handlers have had their turns: is nobody left waiting? */
void conn_answers_check_idle(const struct run *run, const struct client *client);

/* The connection is over: is all that the client received what handlers sent, and framed so? */
void conn_answers_check(const struct run *run, const struct client *client);

#endif
