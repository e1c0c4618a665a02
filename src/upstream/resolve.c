/* resolve.c: the addresses of servers, looked up in threads of libh2o's where they have names. */
#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/un.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "upstream/upstream_private.h"

enum {
    FAILED_LOOKUP_MS = 1000, /* before a name that could not be looked up is tried again */
    MOST_ADDRESSES = 16,
};

static void set_unix_address(struct upstream_server *server)
{
    struct upstream_address *address = server->addresses = mem_calloc(1, sizeof(*address));
    struct sockaddr_un *un = (struct sockaddr_un *)&address->socket;
    size_t len = strlen(server->conf->path);
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, server->conf->path, len); /* the conf has seen to its length */
    address->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
    server->n_addresses = 1;
}

/* Returns false for what is no IP address. */
static bool set_ip_address(struct upstream_server *server)
{
    struct upstream_address address = {0};
    struct sockaddr_in *in = (struct sockaddr_in *)&address.socket;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address.socket;
    if (inet_pton(AF_INET, server->conf->host, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        in->sin_port = htons((uint16_t)server->conf->port);
        address.len = sizeof(*in);
    } else if (inet_pton(AF_INET6, server->conf->host, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((uint16_t)server->conf->port);
        address.len = sizeof(*in6);
    } else {
        return false;
    }
    server->addresses = mem_alloc(sizeof(address));
    server->addresses[0] = address;
    server->n_addresses = 1;
    return true;
}

/* Those that were there before stay where a name cannot be looked up any more. */
static void take_addresses(struct upstream_server *server, const struct addrinfo *found)
{
    struct upstream_address *addresses = mem_calloc(MOST_ADDRESSES, sizeof(*addresses));
    size_t n = 0;
    for (; found != NULL && n < MOST_ADDRESSES; found = found->ai_next) {
        if (found->ai_addrlen > sizeof(addresses[n].socket))
            continue;
        addresses[n].len = found->ai_addrlen;
        memcpy(&addresses[n++].socket, found->ai_addr, found->ai_addrlen);
    }
    free(server->addresses);
    server->addresses = addresses;
    server->n_addresses = n;
    server->address = 0;
}

/* A name that is looked up. It is the thread's until its message is sent, but for server, which is the
 * loop's. */
struct upstream_lookup {
    h2o_multithread_message_t message;
    h2o_multithread_receiver_t *receiver;
    struct upstream_server *server; /* NULL once nobody wants to know */
    const char *host;               /* the conf's, which outlives the worker's threads */
    char port[8];
    int error;
    struct addrinfo *found;
};

static void *look_up(void *arg)
{
    struct upstream_lookup *lookup = arg;
    struct addrinfo hints = {.ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV,
                             .ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_protocol = IPPROTO_TCP};
    lookup->error = getaddrinfo(lookup->host, lookup->port, &hints, &lookup->found);
    h2o_multithread_send_message(lookup->receiver, &lookup->message);
    return NULL;
}

static void on_looked_up(struct upstream_server *server, const char *error, const struct addrinfo *found)
{
    struct upstream_context *context = server->upstream->context;
    unsigned pause = context->conf->resolve;
    uint32_t left_out = 0;
    server->lookup = NULL;
    if (error == NULL) {
        take_addresses(server, found);
        if (upstream_forget_complaint(server, UPSTREAM_CANNOT_LOOK_UP, &left_out) == COMPLAIN_OVER)
            log_info("%s can be looked up again%s", server->conf->host, complain_left_out(left_out));
    } else {
        upstream_complain(server, NULL, UPSTREAM_CANNOT_LOOK_UP, "cannot look up %s: %s", server->conf->host,
                          error);
        pause = pause < FAILED_LOOKUP_MS ? pause : FAILED_LOOKUP_MS;
    }
    server->resolve_at = clock_ms() + pause;

    h2o_linklist_t waiting;
    h2o_linklist_init_anchor(&waiting);
    h2o_linklist_insert_list(&waiting, &server->resolving);
    while (!h2o_linklist_is_empty(&waiting)) {
        struct upstream_request *request =
            H2O_STRUCT_FROM_MEMBER(struct upstream_request, link, waiting.next);
        if (server->n_addresses > 0) {
            upstream_detach(request);
            upstream_acquire(request);
        } else {
            upstream_server_failed(request);
        }
    }
}

static void on_messages(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    struct upstream_context *context = H2O_STRUCT_FROM_MEMBER(struct upstream_context, receiver, receiver);
    while (!h2o_linklist_is_empty(messages)) {
        struct upstream_lookup *lookup =
            H2O_STRUCT_FROM_MEMBER(struct upstream_lookup, message.link, messages->next);
        h2o_linklist_unlink(&lookup->message.link);
        context->n_lookups--;
        if (lookup->server != NULL)
            on_looked_up(lookup->server, lookup->error == 0 ? NULL : gai_strerror(lookup->error),
                         lookup->found);
        if (lookup->error == 0)
            freeaddrinfo(lookup->found);
        free(lookup);
    }
}

/*
 * A thread for each lookup, of which a server has one at a time. libh2o's threads are no help here: it starts
 * none while one that it has just started has not run yet, so that the names of a conf wait for each other.
 */
void upstream_resolve(struct upstream_server *server)
{
    struct upstream_context *context = server->upstream->context;
    if (!server->is_name || server->lookup != NULL || clock_ms() < server->resolve_at)
        return;
    struct upstream_lookup *lookup = mem_calloc(1, sizeof(*lookup));
    lookup->receiver = &context->receiver;
    lookup->server = server;
    lookup->host = server->conf->host;
    snprintf(lookup->port, sizeof(lookup->port), "%u", server->conf->port);
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int code = pthread_create(&thread, &attributes, look_up, lookup);
    pthread_attr_destroy(&attributes);
    if (code == 0) {
        server->lookup = lookup;
        context->n_lookups++;
    } else {
        upstream_complain(server, NULL, UPSTREAM_CANNOT_LOOK_UP, "cannot look up %s: %s", server->conf->host,
                          strerror(code));
        server->resolve_at = clock_ms() + FAILED_LOOKUP_MS;
        free(lookup);
    }
}

void upstream_resolve_init(struct upstream_server *server)
{
    struct upstream_context *context = server->upstream->context;
    if (server->conf->path != NULL) {
        set_unix_address(server);
    } else if (!set_ip_address(server)) {
        server->is_name = true;
        if (context->queue == NULL) {
            context->queue = h2o_multithread_create_queue(context->loop);
            h2o_multithread_register_receiver(context->queue, &context->receiver, on_messages);
        }
        upstream_resolve(server);
    }
}

void upstream_resolve_dispose(struct upstream_server *server)
{
    if (server->lookup != NULL)
        server->lookup->server = NULL; /* n_lookups stays: its thread has the queue */
    free(server->addresses);
}
