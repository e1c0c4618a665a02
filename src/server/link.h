/*
 * link.h: one socket to a client: what has come and waits to be understood, and what is written, with an eye
 * on who reads it.
 *
 * It knows nothing of HTTP. Its owner makes sense of what has come, and hands over what is to be written
 * together with what follows it.
 */
#ifndef HAYFORK_SERVER_LINK_H
#define HAYFORK_SERVER_LINK_H

#include <h2o.h>
#include <stdbool.h>

#include "base/store.h"
#include "http/body.h"
#include "loop/outbox.h"
#include "loop/timeouts.h"

struct link;

enum {
    LINK_INPUT_SIZE = 64 * 1024, /* bytes: one read; also how much should wait to be understood */
};

/* What its owner is told; it may close the link from within. */
struct link_ops {
    /* More has come: link->input has all that waits. What the owner does not consume stays there. */
    void (*input)(struct link *link);
    /* The client has closed its side: no more will come. */
    void (*ended)(struct link *link);
    /* There is no memory for what has come, or will. */
    void (*full)(struct link *link);
    /* All that was handed over is with the kernel. */
    void (*drained)(struct link *link);
    /* Nothing can be sent or received any longer; or, stalled, the client does not take what is sent. */
    void (*broken)(struct link *link, bool stalled);
};

/* What all links of a worker share. */
struct link_env {
    h2o_loop_t *loop;
    struct outbox *outbox;     /* NULL: what is written is written at once */
    struct store_limit *limit; /* of what waits, as far as it counts: see link_count_with */
    h2o_timeout_t *now_timeout, *stall_timeout;
    char *input;          /* what one read brought */
    struct link *reading; /* whose input lies there; NULL once that link is closed */
};

/* What follows on what is written. */
enum link_next {
    LINK_STAYS, /* nothing, or another answer */
    LINK_MORE,  /* more of the same answer, once this is with the kernel */
    LINK_ENDS,  /* link_shut, as soon as this is with the kernel */
};

struct link {
    struct link_env *env;
    const struct link_ops *ops;
    h2o_socket_t *socket;

    char *input;      /* bytes that wait to be understood: in own_input, or in env->input while it is used */
    size_t input_len; /* where it is 0, input points nowhere */
    bool input_ended; /* the client has closed its side */
    char *own_input;  /* malloc'ed, or NULL: nothing waits, or what does is in env->input */
    size_t own_capacity;
    size_t own_counted;        /* bytes of it that count as a body's */
    const struct body *counts; /* with which body what waits counts; NULL: it does not */

    h2o_iovec_t *out; /* what is still to be written: the owner's */
    size_t n_out;
    enum link_next next;
    bool is_given_up;               /* see link_give_up */
    struct outbox_message *message; /* that waits for the end of the turn, or NULL */
    h2o_timeout_entry_t timer;      /* stall, or a deferred end of writing */
    uint64_t written;               /* bytes that were handed to the kernel since link_begin */
    uint64_t acked;                 /* bytes that the client had taken at the last look */
    uint64_t turn_at;               /* the loop's time of the turn in which it was written last */
    uint64_t turn_from;             /* written, at the beginning of that turn */
};

/* stall is limits.stall in ms. All that is pointed to must outlive the links. */
void link_env_init(struct link_env *env, h2o_loop_t *loop, struct timeouts *timeouts, uint64_t stall,
                   struct outbox *outbox, struct store_limit *limit);

/* No link may be left. */
void link_env_dispose(struct link_env *env);

/* Takes over the socket. The link is all zero before. */
void link_open(struct link *link, struct link_env *env, const struct link_ops *ops, h2o_socket_t *socket);

/* With reset, the client sees an error instead of an orderly end. Nobody is called. */
void link_close(struct link *link, bool reset);

/* Input */

/*
 * Reads once, and tells the owner what follows from it: input, ended, full or broken. Returns whether the
 * link is still there then.
 */
bool link_read(struct link *link);

/* Looks for what the client sends, unless it has closed its side; or does so no longer. */
void link_start_reading(struct link *link);
void link_stop_reading(struct link *link);

/* The first n bytes of the input are understood. */
void link_consume(struct link *link, size_t n);

/* Forgets what waits to be understood. */
void link_drop_input(struct link *link);

/*
 * From now on memory for what waits counts as if it were kept of this body, whose client may send it at will;
 * with NULL it does not count.
 */
void link_count_with(struct link *link, const struct body *body);

/* The client has closed its side, and no more is looked for. */
void link_end_input(struct link *link);

/* Output */

/* Another answer begins: its reader has all of limits.stall, and written counts from 0. */
void link_begin(struct link *link);

/*
 * Writes n parts, and calls drained: never before this returns. The array is used up; it and the bytes must
 * stay until then. Not to be called again before that.
 */
void link_write(struct link *link, h2o_iovec_t *parts, size_t n, enum link_next next);

/*
 * Writes a short text at once, while nothing else is being written; what link_write gets meanwhile waits for
 * it. The bytes must stay. drained is called after it.
 */
void link_write_first(struct link *link, const char *text, size_t len);

/* What was handed over need not be written. drained is called soon. */
void link_give_up(struct link *link);

/* Is the kernel yet to take what it was last given? */
bool link_is_writing(const struct link *link);

/*
 * The last answer is with the kernel: from now on its reader has limits.stall, as if we were still writing.
 */
void link_watch_reader(struct link *link);

/*
 * How many bytes the client has acknowledged of what was ever sent; where the socket is none of TCP, how many
 * were handed over since link_begin.
 */
uint64_t link_taken(const struct link *link);

/* Bytes that the kernel holds, because the client has not acknowledged them. */
size_t link_unacked(const struct link *link);

/* Sends the end, and what has waited for it. */
void link_shut(struct link *link);

/* Has anything come that was not read? close(2) would send a reset then. */
bool link_has_unread(const struct link *link);

#endif
