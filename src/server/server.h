/* server.h: what a worker serves: its connections, and which handler answers a request. */
#ifndef HAYFORK_SERVER_SERVER_H
#define HAYFORK_SERVER_SERVER_H

#include <h2o.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"
#include "handlers/handler.h"
#include "loop/outbox.h"
#include "metrics/shm.h"
#include "loop/timeouts.h"

struct access;
struct server;

/*
 * handlers[i] serves conf->routes[i]; the array and the handlers become the server's. slot is where this
 * worker counts its answers and shows the current route; unrouted counts requests that are for no route.
 * timeouts must outlive it, and access, which it uses; this and outbox may be NULL.
 */
struct server *server_new(h2o_loop_t *loop, const struct conf *conf, struct handler **handlers,
                          struct shm_slot *slot, struct series *unrouted, struct timeouts *timeouts,
                          struct outbox *outbox, struct access *access);

/* Takes over an accepted socket and serves the requests on it: the routes of listen, of conf->listen. */
void server_accept(struct server *server, h2o_socket_t *socket, const struct conf_listen *listen);

/* From now on every answer closes its connection. */
void server_drain(struct server *server);

/* To be called between two turns of the loop: see conn_turn_end. */
void server_turn_end(struct server *server);

/* How many steps requests have taken: one when they arrive, and one when they are answered. */
uint64_t server_steps(const struct server *server);

/* Closes a connection of that listener, so that another one has its place: see conn_make_way. */
bool server_make_way(struct server *server, const struct conf_listen *listen);

/* How many requests are being answered. */
uint64_t server_in_flight(const struct server *server);

/* Closes the connections on which no request has begun. */
void server_close_idle(struct server *server);

/* Closes all connections. */
void server_free(struct server *server);

#endif
