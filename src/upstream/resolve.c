/* resolve.c: the addresses of servers, looked up in threads of their own where they have names. */
#include "upstream/resolve.h"

#include <netdb.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/lack.h"
#include "base/log.h"
#include "base/mem.h"
#include "upstream/trouble.h"

enum {
    FAILED_LOOKUP_MS = 1000, /* before a name that could not be looked up is tried again */
    MOST_ADDRESSES = 16,
};

struct upstream_resolver {
    h2o_loop_t *loop;
    const struct conf *conf;
    h2o_multithread_queue_t *queue; /* NULL where no server has a name */
    h2o_multithread_receiver_t receiver;
    unsigned n_lookups;
};

static void set_unix_address(struct upstream_addresses *addresses)
{
    struct upstream_address *address = addresses->at = mem_calloc(1, sizeof(*address));
    struct sockaddr_un *un = (struct sockaddr_un *)&address->socket;
    size_t len = strlen(addresses->conf->path);
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, addresses->conf->path, len); /* the conf has seen to its length */
    address->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
    addresses->n = 1;
}

/* Returns false for what is not an IP address. */
static bool set_ip_address(struct upstream_addresses *addresses)
{
    struct upstream_address address = {0};
    struct sockaddr_in *in = (struct sockaddr_in *)&address.socket;
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&address.socket;
    if (inet_pton(AF_INET, addresses->conf->host, &in->sin_addr) == 1) {
        in->sin_family = AF_INET;
        in->sin_port = htons((uint16_t)addresses->conf->port);
        address.len = sizeof(*in);
    } else if (inet_pton(AF_INET6, addresses->conf->host, &in6->sin6_addr) == 1) {
        in6->sin6_family = AF_INET6;
        in6->sin6_port = htons((uint16_t)addresses->conf->port);
        address.len = sizeof(*in6);
    } else {
        return false;
    }
    addresses->at = mem_alloc(sizeof(address));
    addresses->at[0] = address;
    addresses->n = 1;
    return true;
}

/* Those that were there before stay where a name cannot be looked up any longer. */
static void take_addresses(struct upstream_addresses *addresses, const struct addrinfo *found)
{
    struct upstream_address *at = mem_calloc(MOST_ADDRESSES, sizeof(*at));
    size_t n = 0;
    for (; found != NULL && n < MOST_ADDRESSES; found = found->ai_next) {
        if (found->ai_addrlen > sizeof(at[n].socket))
            continue;
        at[n].len = found->ai_addrlen;
        memcpy(&at[n++].socket, found->ai_addr, found->ai_addrlen);
    }
    free(addresses->at);
    addresses->at = at;
    addresses->n = n;
    addresses->works = 0;
}

/* A name that is being looked up. It is the thread's until its message is sent, but for addresses, which is
 * the loop's. */
struct upstream_lookup {
    h2o_multithread_message_t message;
    h2o_multithread_receiver_t *receiver;
    struct upstream_addresses *addresses; /* NULL once nobody wants to know */
    const char *host;                     /* the conf's, which outlives the worker's threads */
    char port[8];
    int error;
    int lack; /* an error of errno, where it failed for lack of a descriptor; else 0 */
    struct addrinfo *found;
};

/* getaddrinfo(3) does not tell whether there was a descriptor for it. */
static int find_lack(void)
{
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return lack_is(errno) ? errno : 0;
    close(fd);
    return 0;
}

static void *look_up(void *arg)
{
    struct upstream_lookup *lookup = arg;
    struct addrinfo hints = {.ai_flags = AI_ADDRCONFIG | AI_NUMERICSERV,
                             .ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_protocol = IPPROTO_TCP};
    lookup->error = getaddrinfo(lookup->host, lookup->port, &hints, &lookup->found);
    lookup->lack = lookup->error == 0 ? 0 : find_lack();
    h2o_multithread_send_message(lookup->receiver, &lookup->message);
    return NULL;
}

static void complain_about(const struct upstream_addresses *addresses, const char *why)
{
    upstream_trouble_log(addresses->upstream, addresses->conf, NULL, UPSTREAM_CANNOT_LOOK_UP,
                         "cannot look up %s: %s", addresses->conf->host, why);
}

/* Takes what a look-up has found, which is nothing where it failed. */
static void on_looked_up(struct upstream_addresses *addresses, const struct upstream_lookup *lookup)
{
    unsigned pause = addresses->resolver->conf->resolve;
    uint32_t left_out = 0;
    addresses->lookup = NULL;
    addresses->lacks = lookup->lack != 0;
    if (lookup->error == 0) {
        take_addresses(addresses, lookup->found);
        if (upstream_trouble_forget(addresses->upstream, addresses->conf, UPSTREAM_CANNOT_LOOK_UP,
                                    &left_out) == COMPLAIN_OVER)
            log_info("%s can be looked up again%s", addresses->conf->host, complain_left_out(left_out));
    } else {
        complain_about(addresses, lookup->lack != 0 ? strerror(lookup->lack) : gai_strerror(lookup->error));
        pause = pause < FAILED_LOOKUP_MS ? pause : FAILED_LOOKUP_MS;
    }
    addresses->again_at = clock_ms() + pause;
    addresses->ops->looked_up(addresses);
}

static void on_messages(h2o_multithread_receiver_t *receiver, h2o_linklist_t *messages)
{
    struct upstream_resolver *resolver = H2O_STRUCT_FROM_MEMBER(struct upstream_resolver, receiver, receiver);
    while (!h2o_linklist_is_empty(messages)) {
        struct upstream_lookup *lookup =
            H2O_STRUCT_FROM_MEMBER(struct upstream_lookup, message.link, messages->next);
        h2o_linklist_unlink(&lookup->message.link);
        resolver->n_lookups--;
        if (lookup->addresses != NULL)
            on_looked_up(lookup->addresses, lookup);
        if (lookup->error == 0)
            freeaddrinfo(lookup->found);
        free(lookup);
    }
}

/*
 * A thread for each look-up, of which a server has one at a time. libh2o's threads are no help here: it
 * starts none while one that it has just started has not run yet, so that the names of a conf wait for each
 * other.
 */
void upstream_resolve(struct upstream_addresses *addresses)
{
    struct upstream_resolver *resolver = addresses->resolver;
    if (!addresses->is_name || addresses->lookup != NULL || clock_ms() < addresses->again_at)
        return;
    struct upstream_lookup *lookup = mem_calloc(1, sizeof(*lookup));
    lookup->receiver = &resolver->receiver;
    lookup->addresses = addresses;
    lookup->host = addresses->conf->host;
    snprintf(lookup->port, sizeof(lookup->port), "%u", addresses->conf->port);
    pthread_attr_t attributes;
    pthread_t thread;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int code = pthread_create(&thread, &attributes, look_up, lookup);
    pthread_attr_destroy(&attributes);
    if (code == 0) {
        addresses->lookup = lookup;
        resolver->n_lookups++;
    } else {
        complain_about(addresses, strerror(code));
        addresses->lacks = true; /* a thread */
        addresses->again_at = clock_ms() + FAILED_LOOKUP_MS;
        free(lookup);
    }
}

void upstream_resolve_init(struct upstream_addresses *addresses, struct upstream_resolver *resolver,
                           const struct conf_upstream *upstream, const struct conf_server *server,
                           const struct upstream_resolve_ops *ops)
{
    *addresses =
        (struct upstream_addresses){.ops = ops, .resolver = resolver, .upstream = upstream, .conf = server};
    if (server->path != NULL) {
        set_unix_address(addresses);
    } else if (!set_ip_address(addresses)) {
        addresses->is_name = true;
        if (resolver->queue == NULL) {
            resolver->queue = h2o_multithread_create_queue(resolver->loop);
            h2o_multithread_register_receiver(resolver->queue, &resolver->receiver, on_messages);
        }
        upstream_resolve(addresses);
    }
}

void upstream_resolve_works(struct upstream_addresses *addresses, size_t i)
{
    addresses->works = i;
}

void upstream_resolve_dispose(struct upstream_addresses *addresses)
{
    if (addresses->lookup != NULL)
        addresses->lookup->addresses = NULL; /* n_lookups stays: its thread has the queue */
    free(addresses->at);
}

struct upstream_resolver *upstream_resolver_new(h2o_loop_t *loop, const struct conf *conf)
{
    struct upstream_resolver *resolver = mem_calloc(1, sizeof(*resolver));
    resolver->loop = loop;
    resolver->conf = conf;
    return resolver;
}

void upstream_resolver_free(struct upstream_resolver *resolver)
{
    if (resolver->n_lookups > 0)
        return; /* a thread still has the queue, for a moment */
    if (resolver->queue != NULL) {
        h2o_multithread_unregister_receiver(resolver->queue, &resolver->receiver);
        h2o_multithread_destroy_queue(resolver->queue);
    }
    free(resolver);
}
