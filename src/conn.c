/* conn.c: HTTP/1.1 connections. */
#include "conn.h"

void conn_context_init(struct conn_context *context, h2o_context_t *h2o, h2o_hostconf_t **hosts)
{
    *context = (struct conn_context){.accept = {.ctx = h2o, .hosts = hosts}};
}

void conn_accept(struct conn_context *context, h2o_socket_t *socket)
{
    h2o_accept(&context->accept, socket);
}
