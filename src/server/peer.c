/* peer.c: who is at the other end of a connection. */
#include "server/peer.h"

#include <netinet/in.h>

/* An IPv4 address, of which only one is a client's; but not what is on loopback (RFC 6890). */
static uint64_t network_of_v4(uint32_t address)
{
    return address >> 24 == 127 ? 0
                                : UINT64_C(0xffff) << 32 | address; /* which no IPv6 address begins with */
}

static uint64_t network_of_v6(const unsigned char *address)
{
    uint64_t network = 0;
    for (size_t i = 0; i < 8; i++)
        network = network << 8 | address[i];
    return network; /* of ::1 that is 0 */
}

/* As inet_ntop(3) does, for a tenth of the work: with an access log it is done for each connection. */
static void write_v4(uint32_t address, char *out)
{
    for (int shift = 24; shift >= 0; shift -= 8) {
        unsigned byte = address >> shift & 0xff;
        if (byte >= 100)
            *out++ = (char)('0' + byte / 100);
        if (byte >= 10)
            *out++ = (char)('0' + byte / 10 % 10);
        *out++ = (char)('0' + byte % 10);
        *out++ = shift > 0 ? '.' : '\0';
    }
}

static void look(struct peer *peer)
{
    static const unsigned char mapped[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}; /* IPv4 in IPv6 */
    struct sockaddr_storage address = {0};
    const unsigned char *v6 = ((const struct sockaddr_in6 *)&address)->sin6_addr.s6_addr;
    peer->is_known = true;
    h2o_socket_getpeername(peer->socket, (struct sockaddr *)&address);
    bool is_mapped = address.ss_family == AF_INET6 && memcmp(v6, mapped, sizeof(mapped)) == 0;
    if (address.ss_family == AF_INET || is_mapped) {
        struct in_addr v4 = ((const struct sockaddr_in *)&address)->sin_addr;
        if (is_mapped)
            memcpy(&v4, v6 + sizeof(mapped), sizeof(v4));
        write_v4(ntohl(v4.s_addr), peer->address);
        peer->network = network_of_v4(ntohl(v4.s_addr));
    } else if (address.ss_family == AF_INET6) {
        inet_ntop(AF_INET6, v6, peer->address, sizeof(peer->address));
        peer->network = network_of_v6(v6);
    }
}

void peer_init(struct peer *peer, h2o_socket_t *socket)
{
    *peer = (struct peer){.socket = socket};
}

struct sink_client peer_client(struct peer *peer)
{
    if (!peer->is_known)
        look(peer);
    return (struct sink_client){peer->network, str_of(peer->address)};
}
