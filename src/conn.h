/* conn.h: HTTP/1.1 connections. */
#ifndef HAYFORK_CONN_H
#define HAYFORK_CONN_H

#include <h2o.h>

/* What all connections of a worker share. */
struct conn_context {
    h2o_accept_ctx_t accept;
};

void conn_context_init(struct conn_context *context, h2o_context_t *h2o, h2o_hostconf_t **hosts);

/* Takes over an accepted socket and serves the requests on it. */
void conn_accept(struct conn_context *context, h2o_socket_t *socket);

#endif
