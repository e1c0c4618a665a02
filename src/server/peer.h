/* peer.h: who is at the other end of a connection. */
#ifndef HAYFORK_SERVER_PEER_H
#define HAYFORK_SERVER_PEER_H

#include <h2o.h>
#include <stdbool.h>

#include "base/str.h"
#include "http/sink.h"

struct peer {
    h2o_socket_t *socket;
    bool is_known; /* what follows is: somebody has asked */
    char address[INET6_ADDRSTRLEN];
    uint64_t network;
};

void peer_init(struct peer *peer, h2o_socket_t *socket);

/* The client; its address stays as long as the peer. */
struct sink_client peer_client(struct peer *peer);

#endif
