/* upstream_private.h: what the parts of the HTTP client share. Private to upstream*.c. */
#ifndef HAYFORK_UPSTREAM_UPSTREAM_PRIVATE_H
#define HAYFORK_UPSTREAM_UPSTREAM_PRIVATE_H

#include <sys/socket.h>

#include "base/complain.h"
#include "upstream/request.h"

/* One read; no head is longer. Each relay in hand may hold one, so more would be dear with many slow clients.
 */
enum { UPSTREAM_BUFFER = 128 * 1024 };

enum upstream_phase {
    UPSTREAM_WAITING,    /* for one of the connections to be free */
    UPSTREAM_RESOLVING,  /* the server's name */
    UPSTREAM_CONNECTING, /* nothing is sent yet */
    UPSTREAM_EXCHANGE,   /* the request is being sent, or was; its answer is awaited or is coming */
    UPSTREAM_OVER,       /* no op will be called any more */
};

struct upstream_address {
    socklen_t len;
    struct sockaddr_storage socket;
};

struct upstream_server {
    struct upstream *upstream;
    const struct conf_server *conf;
    struct str authority; /* for Host */
    unsigned in_hand;     /* requests */
    bool recovers;        /* it works again, but not for long */
    unsigned failures;    /* in a row */
    uint64_t answered_at; /* of the loop's clock: the last answer */
    uint64_t rests_until; /* clock_ms, while there are failures */
    h2o_linklist_t idle;  /* connections, the one used last in front */

    struct upstream_address *addresses;
    size_t n_addresses;
    size_t address; /* the one that worked last */
    bool is_name;
    uint64_t resolve_at; /* clock_ms: not again before */
    struct upstream_lookup *lookup;
    h2o_linklist_t resolving; /* requests that wait for it */
};

struct upstream {
    struct upstream_context *context;
    const struct conf_upstream *conf;
    struct upstream_server *servers;
    size_t n_servers;
    size_t turn; /* who is asked first among equals */
    unsigned n_open, n_idle;
    h2o_linklist_t waiting; /* requests */
    bool is_serving;        /* those that wait */
    h2o_timeout_t *idle;
};

struct upstream_connection {
    h2o_socket_t *socket;
    struct upstream_server *server;
    struct upstream_request *request; /* NULL while it is idle */
    bool reused;
    uint64_t since;    /* clock_ms */
    uint64_t quiet_at; /* of the loop's clock: when it was read last, if to the end */
    h2o_linklist_t link;
    h2o_timeout_entry_t timer;
};

struct upstream_context {
    h2o_loop_t *loop;
    const struct conf *conf;
    struct outbox *outbox;
    struct upstream *upstreams;
    struct http1_limits limits;
    struct http1_response response; /* the head being parsed: most come in one piece */
    char *input;                    /* what one read brought */
    h2o_timeout_t *stall, *at_once;
    struct timeouts *timeouts;
    h2o_multithread_queue_t *queue; /* NULL where no server has a name */
    h2o_multithread_receiver_t receiver;
    unsigned n_lookups;
    uint64_t chance;
    bool is_over; /* the worker ends: nothing is sent any more */
    h2o_timeout_entry_t end_timer;
};

/* upstream/context.c */

/* What is complained about. The first is the upstream's, not one server's. */
#define UPSTREAM_FULL           "all connections are in use"
#define UPSTREAM_CANNOT_LOOK_UP "cannot look up its name"
#define UPSTREAM_CANNOT_CONNECT "cannot connect"
#define UPSTREAM_NO_ANSWER      "no answer"
#define UPSTREAM_LATE_ANSWER    "no answer by the deadline"
#define UPSTREAM_BAD_ANSWER     "bad answer"

/* Logs a trouble with a server, as complain does; request, or NULL, is the one that met it. */
void upstream_complain(const struct upstream_server *server, const struct upstream_request *request,
                       const char *trouble, const char *format, ...) __attribute__((format(printf, 4, 5)));

/* There is no trouble just now: forgets that it was logged, as complain_forget does, if that is some time
 * ago. */
enum complain_past upstream_forget_complaint(const struct upstream_server *server, const char *trouble,
                                             uint32_t *left_out);

/* upstream/pool.c */

/* Finds a connection for a request that has none, or makes one, or has it wait, or fails it. */
void upstream_acquire(struct upstream_request *request);

/* The worker ends: 503 for those that wait for a connection. */
void upstream_give_up_waiting(struct upstream *upstream);

/* The exchange on it is over: the next request may have it, or it is closed. */
void upstream_release(struct upstream_connection *connection, bool reusable);

/* Takes the request from its connection, its server and whatever it waits for. */
struct upstream_connection *upstream_detach(struct upstream_request *request);

/* The server failed this request before it was processed: it rests, and another server is tried. */
void upstream_server_failed(struct upstream_request *request);

/* The server rests for a while. */
void upstream_server_rest(struct upstream_server *server);

/* The server has answered. */
void upstream_server_works(struct upstream_server *server);

/* upstream/resolve.c */

/* Fills in the address of a server that has no name, and looks up the name of one that has. */
void upstream_resolve_init(struct upstream_server *server);

/* Looks the name up again if it is time to, off the loop. */
void upstream_resolve(struct upstream_server *server);

void upstream_resolve_dispose(struct upstream_server *server);

/* upstream/request.c */

/* The connection is there: sends the request. */
void upstream_begin(struct upstream_request *request);

/* No answer will come, or not all of it. */
void upstream_fail(struct upstream_request *request, int status, const char *detail);

/*
 * The connection is gone without a byte of an answer: tries again where the server cannot have processed the
 * request, or where that does no harm.
 */
void upstream_no_answer(struct upstream_request *request, const char *why);

/* upstream/answer.c: the callback for all connections that are not being made. */
void upstream_on_readable(h2o_socket_t *socket, const char *error);

/* Waits for more of the answer. */
void upstream_expect_more(struct upstream_request *request);

#endif
