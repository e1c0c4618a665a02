/* exchange.h: from a parsed request to its route's handler, and from a sink to libh2o's response. */
#ifndef HAYFORK_SERVER_EXCHANGE_H
#define HAYFORK_SERVER_EXCHANGE_H

#include <h2o.h>
#include <stddef.h>
#include <stdint.h>

#include "conf/conf.h"
#include "handlers/handler.h"
#include "loop/outbox.h"
#include "metrics/shm.h"
#include "loop/timeouts.h"

struct http;

/*
 * handlers[i] serves conf->routes[i]; the array and the handlers become http's. slot is where this worker
 * counts its answers and shows the current route. timeouts must outlive it; outbox may be NULL.
 */
struct http *http_new(h2o_loop_t *loop, const struct conf *conf, struct handler **handlers,
                      struct shm_slot *slot, struct timeouts *timeouts, struct outbox *outbox);

/* Takes over an accepted socket and serves the requests on it: the routes of listen, of conf->listen. */
void http_accept(struct http *http, h2o_socket_t *socket, const struct conf_listen *listen);

/* From now on every answer closes its connection. */
void http_drain(struct http *http);

/* To be called between two turns of the loop: see conn_turn_end. */
void http_turn_end(struct http *http);

/* How many steps requests have taken: one when they arrive, and one when they are answered. */
uint64_t http_steps(const struct http *http);

/* Closes the connections on which no request has begun. */
void http_close_idle(struct http *http);

/* Closes all connections. */
void http_free(struct http *http);

#endif
