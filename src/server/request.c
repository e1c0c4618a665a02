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
    struct str list = {NULL, 0}, value;
    for (uint32_t i = 0; i < conn->n_fields; i++) {
        if (!http1_find(&conn->fields[i], 1, conn->head_bytes, name, &value))
            continue;
        if (list.base == NULL) {
            list = value;
        } else {
            char *longer = h2o_mem_alloc_pool(&req->pool, list.len + 2 + value.len), *out = longer;
            out = mempcpy(mempcpy(out, list.base, list.len), ", ", 2);
            out = mempcpy(out, value.base, value.len);
            list = (struct str){longer, (size_t)(out - longer)};
        }
    }
    return list;
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

struct str conn_peer(h2o_req_t *req)
{
    static const unsigned char mapped[] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff}; /* IPv4 in IPv6 */
    struct conn *conn = (struct conn *)req->conn;
    if (!conn->peer_known) {
        struct sockaddr_storage address = {0};
        const struct sockaddr_in *in = (const struct sockaddr_in *)&address;
        const unsigned char *v6 = ((const struct sockaddr_in6 *)&address)->sin6_addr.s6_addr;
        h2o_socket_getpeername(conn->socket, (struct sockaddr *)&address);
        if (address.ss_family == AF_INET)
            inet_ntop(AF_INET, &in->sin_addr, conn->peer, sizeof(conn->peer));
        else if (address.ss_family == AF_INET6 && memcmp(v6, mapped, sizeof(mapped)) == 0)
            inet_ntop(AF_INET, v6 + sizeof(mapped), conn->peer, sizeof(conn->peer));
        else if (address.ss_family == AF_INET6)
            inet_ntop(AF_INET6, v6, conn->peer, sizeof(conn->peer));
        conn->peer_known = true;
    }
    return str_of(conn->peer);
}
