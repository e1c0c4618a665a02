/* request.c: what there is to know about a request, for those who answer it. */
#include <netinet/in.h>

#include "server/conn_private.h"

struct str conn_field(h2o_req_t *req, struct str name)
{
    struct conn *conn = (struct conn *)req->conn;
    struct str value;
    return http1_find(conn->fields, conn->n_fields, conn->head_bytes, name, &value) ? value
                                                                                    : (struct str){NULL, 0};
}

struct str conn_field_list(h2o_req_t *req, struct str name)
{
    struct conn *conn = (struct conn *)req->conn;
    struct str value, only = {NULL, 0};
    size_t n = 0, size = 0;
    for (uint32_t i = 0; i < conn->n_fields; i++) {
        if (!http1_find(&conn->fields[i], 1, conn->head_bytes, name, &value))
            continue;
        only = value;
        size += value.len + 2;
        n++;
    }
    if (n <= 1)
        return only;
    char *list = h2o_mem_alloc_pool(&req->pool, size), *out = list;
    for (uint32_t i = 0; i < conn->n_fields; i++) {
        if (http1_find(&conn->fields[i], 1, conn->head_bytes, name, &value))
            out = mempcpy(mempcpy(out, value.base, value.len), ", ", 2);
    }
    return (struct str){list, size - 2};
}

void conn_keep(h2o_req_t *req, void *kept)
{
    ((struct conn *)req->conn)->kept = kept;
}

const struct conf_listen *conn_listen(const h2o_req_t *req)
{
    return ((const struct conn *)req->conn)->listen;
}

size_t conn_fields(h2o_req_t *req, const struct http1_field **fields, const char **bytes)
{
    struct conn *conn = (struct conn *)req->conn;
    *fields = conn->fields;
    *bytes = conn->head_bytes;
    return conn->n_fields;
}

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

static void look_at_peer(struct conn *conn)
{
    static const unsigned char mapped[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}; /* IPv4 in IPv6 */
    struct sockaddr_storage address = {0};
    const unsigned char *v6 = ((const struct sockaddr_in6 *)&address)->sin6_addr.s6_addr;
    conn->peer_known = true;
    h2o_socket_getpeername(conn->socket, (struct sockaddr *)&address);
    bool is_mapped = address.ss_family == AF_INET6 && memcmp(v6, mapped, sizeof(mapped)) == 0;
    if (address.ss_family == AF_INET || is_mapped) {
        struct in_addr v4 = ((const struct sockaddr_in *)&address)->sin_addr;
        if (is_mapped)
            memcpy(&v4, v6 + sizeof(mapped), sizeof(v4));
        inet_ntop(AF_INET, &v4, conn->peer, sizeof(conn->peer));
        conn->network = network_of_v4(ntohl(v4.s_addr));
    } else if (address.ss_family == AF_INET6) {
        inet_ntop(AF_INET6, v6, conn->peer, sizeof(conn->peer));
        conn->network = network_of_v6(v6);
    }
}

struct str conn_peer(h2o_req_t *req)
{
    struct conn *conn = (struct conn *)req->conn;
    if (!conn->peer_known)
        look_at_peer(conn);
    return str_of(conn->peer);
}

struct sink_client conn_client(h2o_req_t *req)
{
    struct str address = conn_peer(req);
    return (struct sink_client){((const struct conn *)req->conn)->network, address};
}
