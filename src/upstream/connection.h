/* connection.h: one connection to a server: being made, in use or idle. */
#ifndef HAYFORK_UPSTREAM_CONNECTION_H
#define HAYFORK_UPSTREAM_CONNECTION_H

#include <h2o.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "upstream/resolve.h"

struct upstream_connection;
struct upstream_lease;
struct upstream_server;

struct upstream_connection_ops {
    /* It is there, or why says why it will not be. */
    void (*connected)(struct upstream_connection *connection, const char *why);
    /* There is something to be read, or its end, or an error. */
    void (*readable)(struct upstream_connection *connection, const char *error);
    /* It was idle for long enough. */
    void (*expired)(struct upstream_connection *connection);
};

struct upstream_connection {
    const struct upstream_connection_ops *ops;
    struct upstream_server *server;
    h2o_socket_t *socket;
    struct upstream_lease *lease; /* who has it; NULL while it is idle */
    bool reused;
    uint64_t since;      /* clock_ms */
    uint64_t quiet_at;   /* of the loop's clock: when it was read last, if to the end */
    h2o_linklist_t link; /* among the idle ones */
    h2o_timeout_entry_t timer;
};

/*
 * Begins to connect to the address. Returns NULL with errno set where that fails at once; if lack_is, the
 * server was not asked at all. *under_way is whether `connected` will be called; if not, the connection is
 * there.
 */
struct upstream_connection *upstream_connection_new(h2o_loop_t *loop, struct upstream_server *server,
                                                    const struct upstream_address *address,
                                                    const struct upstream_connection_ops *ops,
                                                    bool *under_way);

/* Closes and frees it; it must not be idle. */
void upstream_connection_free(struct upstream_connection *connection);

/* Says who has it; NULL is nobody. */
void upstream_connection_lend(struct upstream_connection *connection, struct upstream_lease *lease);

/* From now on `readable` is called; not any longer. */
void upstream_connection_watch(struct upstream_connection *connection);
void upstream_connection_ignore(struct upstream_connection *connection);

/* One recv(2). */
ssize_t upstream_connection_receive(struct upstream_connection *connection, char *bytes, size_t size);

/* Nobody has it: it goes to the front of the list of those that are idle, for as long as the timeout says. */
void upstream_connection_idle(struct upstream_connection *connection, h2o_linklist_t *list,
                              h2o_timeout_t *timeout);

/* It is not idle any longer. */
void upstream_connection_wake(struct upstream_connection *connection);

static inline bool upstream_connection_is_idle(struct upstream_connection *connection)
{
    return h2o_linklist_is_linked(&connection->link);
}

/*
 * An idle one is looked at before it is used: the server may have closed it just now, or have sent what
 * nobody asked for, which would be taken for the next answer. With may_repeat, one that was read to the end
 * within this millisecond was looked at; but what cannot be asked twice makes sure.
 */
bool upstream_connection_is_quiet(const struct upstream_connection *connection, bool may_repeat);

#endif
