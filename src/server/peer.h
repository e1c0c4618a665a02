/* peer.h: who is at the other end of a connection. */
#ifndef HAYFORK_SERVER_PEER_H
#define HAYFORK_SERVER_PEER_H

#include <h2o.h>
#include <stdbool.h>

#include "base/str.h"
#include "http/sink.h"

/* All zero at first but for the socket. Looked at when somebody asks. */
struct peer {
    h2o_socket_t *socket;
    bool is_known;
    char address[INET6_ADDRSTRLEN];
    uint64_t network;
};

/* The client; its address stays as long as the peer. */
struct sink_client peer_client(struct peer *peer);

#endif
