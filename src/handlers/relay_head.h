/* relay_head.h: the head of a request on its way to an upstream (RFC 9110 section 7.6). */
#ifndef HAYFORK_HANDLERS_RELAY_HEAD_H
#define HAYFORK_HANDLERS_RELAY_HEAD_H

#include "conf/conf.h"
#include "handlers/relay_fields.h"
#include "http/problem.h"
#include "http/request.h"

/* The {name}s of a route's path. */
struct relay_names {
    struct str at[ROUTE_MAX_CAPTURES];
    size_t n;
    bool are_in_headers; /* `headers` or `send` hold one of them */
};

void relay_names_init(struct relay_names *names, const struct conf_route *route);

/* The client's head, and what of it counts here. In the request's memory. */
struct relay_head {
    const struct conf_route *route;
    const struct relay_names *names;
    const struct arena *arena; /* the request's */
    struct request_message message;
    struct str method, path, query; /* raw */
    struct str id, trace;           /* the request's */
    bool trace_is_clients;          /* it came with it */
    struct relay_fields fields;     /* sorted */
    bool counts_forwards;           /* it has a Max-Forwards that counts: */
    uint64_t max_forwards;
    struct str *captures; /* as they came */
    struct str *decoded;  /* the same, percent-decoded; only where names->are_in_headers */
};

/*
 * Keeps what it needs of the request. Returns a problem of status 0, or what is wrong with the request so
 * that it cannot be passed on.
 */
struct problem relay_head_init(struct relay_head *head, const struct conf_route *route,
                               const struct relay_names *names, const struct request *request);

/* Is it OPTIONS that ends here (RFC 9110 section 7.6.2)? */
bool relay_head_ends_here(const struct relay_head *head);

/* For headers_fill: what a {name} of the path stands for, percent-decoded. arg is the head. */
bool relay_head_find(void *arg, const char *name, struct str *value);

/* A head as an upstream gets it. Where the host is the server's own, it goes between the two texts. */
struct relay_head_text {
    struct str text, after_host;
    bool host_is_servers;
};

/* Writes it, in the request's memory. length is the body's, or BODY_LENGTH_UNKNOWN for a chunked one. */
struct relay_head_text relay_head_write(struct relay_head *head, uint64_t length);

#endif
