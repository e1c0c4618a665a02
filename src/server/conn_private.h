/* conn_private.h: what server/conn.c (life and death) and the other conn_*.c share. */
#ifndef HAYFORK_SERVER_CONN_PRIVATE_H
#define HAYFORK_SERVER_CONN_PRIVATE_H

#include "server/conn.h"
#include "http/sink.h"

enum conn_phase {
    CONN_IDLE,    /* nothing of a request has come */
    CONN_NEXT,    /* something is here after the last request; the other connections have their turn first */
    CONN_HEAD,    /* part of a head has come */
    CONN_REQUEST, /* a request is being answered; its body may still be coming */
    CONN_SKIP,    /* answered; what is left of its body is read and thrown away */
    CONN_LINGER,  /* our side is closed; what still comes is thrown away, so that the client reads the answer
                   */
};

enum {
    CONN_FEW_PARTS = SINK_FEW_PARTS,
    CONN_INPUT_SIZE = 64 * 1024, /* one read; also how much may wait after a pending request */
    CONN_SKIP_MAX =
        1024 * 1024, /* bytes of an unwanted body that are read rather than the connection closed */
    CONN_BODY_TICK_MS = 1000,
};

/* How the client finds the end of the answer's body (RFC 9112 section 6.3). */
enum conn_delimiter { CONN_NO_BODY, CONN_LENGTH, CONN_CHUNKED, CONN_UNTIL_CLOSE };

struct conn {
    h2o_conn_t super;
    h2o_socket_t *socket;
    struct conn_context *context;
    const struct conf_listen *listen;
    h2o_linklist_t link;
    enum conn_phase phase;
    unsigned n_requests;
    bool peer_known;             /* what follows is; someone has asked for it */
    char peer[INET6_ADDRSTRLEN]; /* the client's address */
    uint64_t network;            /* see struct sink_client */
    h2o_timeout_entry_t timer;   /* of the phase: idle, head, next, linger; or until the client is watched */
    h2o_timeout_entry_t body_timer;  /* ticks while a body is awaited */
    h2o_timeout_entry_t write_timer; /* stall, or a deferred end of writing */
    h2o_timeout_entry_t gone_timer;  /* the client's side is closed while its request waits */

    char *input; /* bytes that wait to be understood: in own_input, or in context->input while it is used */
    size_t input_len; /* where it is 0, input points nowhere */
    char *own_input;  /* malloc'ed, or NULL: nothing waits, or what does is in context->input */
    size_t own_capacity;
    size_t own_counted;      /* bytes of it that count as a body's */
    bool input_ended;        /* the client has closed its side */
    struct http1_head *head; /* a head that came in pieces; else NULL */

    h2o_linklist_t turn_link; /* in context->next_turn, or not linked */
    unsigned turn_share;      /* what it may still have of its turn, having waited for it: see has_turn */

    /* the pending request */
    bool has_request;
    void *kept;                                  /* by conn_keep, or NULL */
    struct st_h2o_mem_pool_chunk_t *first_chunk; /* of the request's memory */
    const char *head_bytes;                      /* in the request's memory */
    const struct http1_field *fields;
    uint32_t n_fields;
    bool keep_alive;     /* after this answer, as far as is known */
    bool client_stays;   /* the client did not ask for the close: it may be sending its next request */
    bool is_head;        /* HEAD: an answer without a body */
    bool wants_continue; /* the client waits for 100 (Continue) */
    enum http1_body body_kind;
    bool body_done;    /* all of it was read, or it broke */
    bool body_reading; /* its handler wants more */
    bool body_lost;    /* there was no memory for a part of it, while its handler wanted none */
    bool in_body_event;
    uint64_t body_left;  /* of a body with Content-Length */
    uint64_t body_taken; /* bytes read so far */
    uint64_t body_since; /* clock_ms: since when it is awaited, moved on by pauses */
    uint64_t paused_at;  /* clock_ms, 0 if not paused */
    struct http1_chunks chunks;
    struct body body;
    h2o_linklist_t body_link; /* in context->incoming, or not linked */
    uint64_t progress_at;     /* of the loop's clock: when it was put there, */
    uint64_t progress_taken;  /* and body_taken then */

    /* the answer */
    h2o_ostream_t final;
    bool head_sent;
    bool aborted;
    enum conn_delimiter delimiter;
    uint64_t length_left; /* for CONN_LENGTH: bytes that the handler still owes */
    h2o_send_state_t send_state;
    h2o_iovec_t *out; /* what is to be written: few_out, or in the request's memory */
    size_t n_out;
    struct outbox_message *message; /* that waits for the end of the turn, or NULL */
    h2o_iovec_t few_out[CONN_FEW_PARTS + 4];
    char size_line[20];      /* of the current chunk */
    uint64_t written;        /* bytes of the answer that were handed to the socket */
    uint64_t written_before; /* when gone_timer was set */
    uint64_t acked;          /* bytes that the client had taken at the last look */
    uint64_t turn_at;        /* the loop's time of the turn in which it was written last */
    uint64_t turn_from;      /* written, at the beginning of that turn */

    h2o_req_t req; /* large; initialised only while has_request */
};

/* server/link.c */

/*
 * Reads once, by recv(2), which is a little less work than read(2). Returns false at the end of the client's
 * bytes or on an error; errno tells which: 0 at the end, ENOBUFS where there is no memory for what would
 * come.
 */
bool conn_fill(struct conn *conn);

/* The first n bytes of the input are understood. */
void conn_consume(struct conn *conn, size_t n);

/*
 * Before another connection reads: what is left in the shared buffer becomes this connection's own. False
 * where there is no memory for it.
 */
bool conn_keep_input(struct conn *conn);

/* Forgets what waits to be understood. */
void conn_drop_input(struct conn *conn);

/* server/h1_answer.c */

void conn_response_context_init(struct conn_context *context);

/* Prepares for the answer of the request that was just begun. */
void conn_response_init(struct conn *conn);

/* Writes 100 (Continue) (RFC 9110 section 15.2.1). */
void conn_send_continue(struct conn *conn);

/* The last answer is with the kernel: from now on its reader has limits.stall, as if we were still writing.
 */
void conn_watch_reader(struct conn *conn);

/* Bytes of our answers that the kernel holds, because the client has not acknowledged them. */
size_t conn_unacked(const struct conn *conn);

/* server/h1_body.c */

/* Prepares for the body of the request that was just begun. */
void conn_body_begin(struct conn *conn, const struct http1_head *head);

/* Gives the handler what has come, while it wants it. */
void conn_body_feed(struct conn *conn);

/* From now on what is fed is thrown away. */
void conn_body_skip(struct conn *conn);

/* There is no memory for what has come: 503. */
void conn_body_refuse(struct conn *conn);

/* The request ends: so does what is kept of its body. */
void conn_body_end(struct conn *conn);

/* May the connection stay open when the pending request has been answered? */
bool conn_may_persist(const struct conn *conn);

/* server/bodies.c */

void conn_bodies_init(struct conn_context *context);

/* More of a body has come, of which something is kept. */
void conn_body_progress(struct conn *conn);

/* It is not the client that is waited for now. */
void conn_body_no_progress(struct conn *conn);

/* There is no memory for a body that has come: says so in the log. */
void conn_body_refused(struct conn *conn);

/* server/conn.c */

/* Looks for what the client sends, unless it has closed its side. */
void conn_start_reading(struct conn *conn);

/* The answer is out, or was aborted. */
void conn_end_request(struct conn *conn);

/*
 * Is the connection kept after its last answer, so that the client can read that before it is closed? It is
 * also where there is anything unread in the end.
 */
bool conn_lingers(const struct conn *conn);

/* Closes the connection and frees it. With reset, the client sees an error instead of an orderly end. */
void conn_close(struct conn *conn, bool reset);

#endif
