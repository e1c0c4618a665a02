/* pool.c: which server a request goes to, and on which connection. */
#include "upstream/pool.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/random.h>

#include "base/clock.h"
#include "base/lack.h"
#include "base/log.h"
#include "base/mem.h"
#include "upstream/trouble.h"

enum {
    REST_MS = 1000,
    LONGEST_REST_MS = 30000,
    WANTED_MS = 250, /* who has waited so long for a connection does not get one just so */
};

/* What comes of trying a server. */
enum attempt {
    ATTEMPT_GOES_ON,
    ATTEMPT_FAILED, /* the server does not work */
    ATTEMPT_LACKS,  /* it was not even asked: it is this process that has no room */
};

static void connect_next(struct upstream_lease *lease);
static void serve_waiting(struct upstream *upstream);

/* Servers */

void upstream_pool_server_rest(struct upstream_server *server)
{
    struct upstream *upstream = server->upstream;
    uint64_t now = clock_ms();
    if (server->failures > 0 && now < server->rests_until)
        return; /* it fails all its requests, and that is one failure */
    upstream_pool_count(server, METRIC_UPSTREAM_RESTS);
    unsigned doublings = server->failures < 5 ? server->failures : 5;
    uint64_t rest = (uint64_t)REST_MS << doublings;
    if (rest > LONGEST_REST_MS)
        rest = LONGEST_REST_MS;
    upstream->chance = upstream->chance * 6364136223846793005u + 1442695040888963407u;
    server->rests_until = now + rest - rest / 5 + (upstream->chance >> 33) % (rest * 2 / 5);
    server->failures++;
}

void upstream_pool_server_works(struct upstream_server *server)
{
    const struct upstream *upstream = server->upstream;
    server->answered_at = h2o_now(upstream->env->loop);
    if (server->failures == 0 && !server->recovers)
        return;
    server->failures = 0;
    uint32_t left_out = 0;
    enum complain_past connecting =
        upstream_trouble_forget(upstream->conf, server->conf, UPSTREAM_CANNOT_CONNECT, &left_out);
    enum complain_past answering =
        upstream_trouble_forget(upstream->conf, server->conf, UPSTREAM_NO_ANSWER, &left_out);
    server->recovers = connecting == COMPLAIN_FRESH || answering == COMPLAIN_FRESH;
    if (!server->recovers && (connecting == COMPLAIN_OVER || answering == COMPLAIN_OVER))
        log_info("upstream server %s answers again%s", server->conf->address, complain_left_out(left_out));
}

/*
 * Of those that were not tried, the one with the fewest requests under way. One that rests is not asked, and
 * when its rest is over one request finds out how it is. If all rest, it is the one that rests least.
 */
static struct upstream_server *choose(const struct upstream_lease *lease)
{
    struct upstream *upstream = lease->upstream;
    struct upstream_server *best = NULL;
    bool best_works = false;
    uint64_t now = 0;
    size_t first = upstream->n_servers > 1 ? upstream->turn++ : 0;
    for (size_t i = 0; i < upstream->n_servers; i++) {
        size_t at = (first + i) % upstream->n_servers;
        struct upstream_server *server = &upstream->servers[at];
        if ((lease->servers_tried >> at & 1) != 0)
            continue;
        if (server->failures > 0 && now == 0)
            now = clock_ms();
        bool works = server->failures == 0 || (now >= server->rests_until && server->in_hand == 0);
        if (best == NULL || (works && !best_works) ||
            (works && best_works && server->in_hand < best->in_hand) ||
            (!works && !best_works && server->rests_until < best->rests_until)) {
            best = server;
            best_works = works;
        }
    }
    return best;
}

/* Connections */

/* There are so many more connections to the server. */
static void show_connections(const struct upstream_server *server, int more)
{
    counter_add(&server->shown->values[METRIC_UPSTREAM_CONNECTIONS], (uint64_t)more);
}

static void close_connection(struct upstream_connection *connection)
{
    struct upstream *upstream = connection->server->upstream;
    if (upstream_connection_is_idle(connection)) {
        upstream_connection_wake(connection);
        upstream->n_idle--;
    }
    show_connections(connection->server, -1);
    upstream_connection_free(connection);
    upstream->n_open--;
}

void upstream_pool_release(struct upstream_connection *connection, bool reusable)
{
    struct upstream_server *server = connection->server;
    struct upstream *upstream = server->upstream;
    if (!reusable || clock_ms() - connection->since >= upstream->conf->age) {
        close_connection(connection);
    } else {
        upstream_connection_idle(connection, &server->idle, upstream->idle);
        upstream->n_idle++;
    }
    serve_waiting(upstream);
}

static void on_expired(struct upstream_connection *connection)
{
    upstream_pool_release(connection, false);
}

static void on_readable(struct upstream_connection *connection, const char *error)
{
    if (connection->lease == NULL) /* closed by the server, or it says something unasked */
        upstream_pool_release(connection, false);
    else
        connection->lease->ops->readable(connection->lease, error);
}

static struct upstream_connection *first_idle(struct upstream_server *server)
{
    return H2O_STRUCT_FROM_MEMBER(struct upstream_connection, link, server->idle.next);
}

/* The idle connection that was used last, or NULL. */
static struct upstream_connection *take_idle(struct upstream_server *server, bool may_repeat)
{
    while (!h2o_linklist_is_empty(&server->idle)) {
        struct upstream_connection *connection = first_idle(server);
        if (!upstream_connection_is_quiet(connection, may_repeat)) {
            close_connection(connection);
            continue;
        }
        upstream_connection_wake(connection);
        server->upstream->n_idle--;
        return connection;
    }
    return NULL;
}

/* Makes room for a connection to another server. */
static void close_some_idle(struct upstream *upstream)
{
    for (size_t i = 0; i < upstream->n_servers; i++) {
        h2o_linklist_t *idle = &upstream->servers[i].idle;
        if (!h2o_linklist_is_empty(idle)) {
            close_connection(H2O_STRUCT_FROM_MEMBER(struct upstream_connection, link, idle->prev));
            return;
        }
    }
}

/* Leases and what they have */

static void show_in_hand(const struct upstream_server *server)
{
    atomic_store_explicit(&server->shown->values[METRIC_UPSTREAM_IN_FLIGHT], server->in_hand,
                          memory_order_relaxed);
}

static void attach(struct upstream_lease *lease, struct upstream_connection *connection)
{
    upstream_connection_lend(connection, lease);
    lease->connection = connection;
}

static struct upstream_connection *detach(struct upstream_lease *lease)
{
    struct upstream_connection *connection = lease->connection;
    if (connection != NULL)
        upstream_connection_lend(connection, NULL);
    lease->connection = NULL;
    return connection;
}

struct upstream_connection *upstream_pool_leave(struct upstream_lease *lease)
{
    struct upstream_connection *connection = detach(lease);
    if (lease->server != NULL) {
        lease->server->in_hand--;
        show_in_hand(lease->server);
    }
    lease->server = NULL;
    lease->state = UPSTREAM_LEASE_NONE;
    if (h2o_linklist_is_linked(&lease->link))
        h2o_linklist_unlink(&lease->link);
    h2o_timeout_unlink(&lease->timer);
    return connection;
}

/* Another server is to be tried; this one rests if it is to blame. */
static void give_up_server(struct upstream_lease *lease, enum attempt attempt)
{
    struct upstream_server *server = lease->server;
    lease->servers_tried |= (uint64_t)1 << (server - server->upstream->servers);
    if (attempt == ATTEMPT_LACKS)
        lease->lacks = true;
    else
        upstream_pool_server_rest(server);
    struct upstream_connection *connection = upstream_pool_leave(lease);
    if (connection != NULL)
        upstream_pool_release(connection, false);
}

static void try_another(struct upstream_lease *lease, enum attempt attempt)
{
    give_up_server(lease, attempt);
    upstream_pool_acquire(lease);
}

void upstream_pool_server_failed(struct upstream_lease *lease)
{
    try_another(lease, ATTEMPT_FAILED);
}

void upstream_pool_acquire_new(struct upstream_lease *lease)
{
    upstream_pool_release(upstream_pool_leave(lease), false);
    lease->wants_new = true;
    upstream_pool_acquire(lease);
}

static void fail(struct upstream_lease *lease, int status, const char *detail)
{
    upstream_pool_leave(lease);
    lease->ops->failed(lease, status, detail);
}

static void on_waited_too_long(h2o_timeout_entry_t *entry)
{
    struct upstream_lease *lease = H2O_STRUCT_FROM_MEMBER(struct upstream_lease, timer, entry);
    const struct conf_upstream *conf = lease->upstream->conf;
    const char *id = lease->ops->id(lease);
    if (lease->state == UPSTREAM_LEASE_WAITING) {
        upstream_trouble_log(conf, &conf->servers[0], id, UPSTREAM_FULL,
                             "%s: all %u connections to upstream %s are in use", lease->label,
                             conf->connections, conf->name);
        upstream_pool_count_full(lease->upstream);
        fail(lease, 503, "The upstream service is busy.");
    } else {
        const struct conf_server *server = lease->server->conf;
        upstream_trouble_log(conf, server, id, UPSTREAM_CANNOT_LOOK_UP, "%s: cannot look up %s: no answer",
                             lease->label, server->host);
        upstream_pool_count(lease->server, METRIC_UPSTREAM_LOOK_UP);
        upstream_pool_server_failed(lease);
    }
}

static void queue_up(struct upstream_lease *lease, enum upstream_lease_state state, h2o_linklist_t *list)
{
    lease->state = state;
    if (state == UPSTREAM_LEASE_WAITING && h2o_linklist_is_empty(list))
        lease->upstream->waiting_since = clock_ms();
    h2o_linklist_insert(list, &lease->link); /* at its end */
    lease->timer.cb = on_waited_too_long;
    h2o_timeout_link(lease->upstream->env->loop, lease->connect, &lease->timer);
}

static struct upstream_lease *first_of(const h2o_linklist_t *list)
{
    return H2O_STRUCT_FROM_MEMBER(struct upstream_lease, link, list->next);
}

bool upstream_pool_is_wanted(const struct upstream *upstream, uint64_t network)
{
    const h2o_linklist_t *anchor = &upstream->waiting;
    if (anchor->next == anchor || clock_ms() - upstream->waiting_since < WANTED_MS)
        return false;
    for (const h2o_linklist_t *link = anchor->next; link != anchor; link = link->next) {
        const struct upstream_lease *lease = H2O_STRUCT_FROM_MEMBER(struct upstream_lease, link, link);
        if (network == 0 || lease->network != network)
            return true;
    }
    return false;
}

/* Goes on with those that wait, as far as there is something for them. */
static void serve_waiting(struct upstream *upstream)
{
    if (upstream->env->is_over || upstream->is_serving)
        return;
    upstream->is_serving = true;
    while (!h2o_linklist_is_empty(&upstream->waiting) &&
           (upstream->n_idle > 0 || upstream->n_open < upstream->conf->connections)) {
        struct upstream_lease *lease = first_of(&upstream->waiting);
        upstream_pool_leave(lease);
        upstream_pool_acquire(lease);
    }
    upstream->is_serving = false;
}

/* Connecting */

static void is_ready(struct upstream_lease *lease)
{
    lease->state = UPSTREAM_LEASE_HELD;
    lease->ops->ready(lease);
}

static void connected(struct upstream_lease *lease)
{
    struct upstream_addresses *addresses = &lease->server->addresses;
    h2o_timeout_unlink(&lease->timer);
    upstream_pool_count(lease->server, METRIC_UPSTREAM_CONNECTED);
    upstream_resolve_works(addresses, (lease->first_address + lease->addresses_tried) % addresses->n);
    is_ready(lease);
}

/* This address does not work: the next one, or the next server. */
static void connect_failed(struct upstream_lease *lease, const char *why)
{
    const struct upstream_server *server = lease->server;
    if (lease->addresses_tried + 1 >= server->addresses.n) { /* a name may have some that never work here */
        const char *id = lease->ops->id(lease);
        upstream_trouble_log(lease->upstream->conf, server->conf, id, UPSTREAM_CANNOT_CONNECT,
                             "%s: cannot connect to %s: %s", lease->label, server->conf->address, why);
    }
    h2o_timeout_unlink(&lease->timer);
    struct upstream_connection *connection = detach(lease);
    if (connection != NULL)
        close_connection(connection);
    lease->addresses_tried++;
}

static void on_connect_timeout(h2o_timeout_entry_t *entry)
{
    struct upstream_lease *lease = H2O_STRUCT_FROM_MEMBER(struct upstream_lease, timer, entry);
    connect_failed(lease, "no answer");
    connect_next(lease);
}

static void on_connected(struct upstream_connection *connection, const char *why)
{
    struct upstream_lease *lease = connection->lease;
    if (why == NULL) {
        connected(lease);
    } else {
        connect_failed(lease, why);
        connect_next(lease);
    }
}

static const struct upstream_connection_ops connection_ops = {on_connected, on_readable, on_expired};

static void complain_of_lack(struct upstream_lease *lease, const char *why)
{
    complain(LOG_LEVEL_ERROR, "no room for a connection to an upstream",
             "%s: no room for a connection to %s: %s (request %s)", lease->label,
             lease->server->conf->address, why, lease->ops->id(lease));
}

/* Tries the addresses that are left of the lease's server. */
static enum attempt connect_some(struct upstream_lease *lease)
{
    struct upstream_server *server = lease->server;
    const struct upstream_addresses *addresses = &server->addresses;
    h2o_loop_t *loop = lease->upstream->env->loop;
    lease->state = UPSTREAM_LEASE_CONNECTING;
    for (; lease->addresses_tried < addresses->n; connect_failed(lease, strerror(errno))) {
        bool under_way;
        size_t at = (lease->first_address + lease->addresses_tried) % addresses->n;
        struct upstream_connection *connection =
            upstream_connection_new(loop, server, &addresses->at[at], &connection_ops, &under_way);
        if (connection == NULL && lack_is(errno)) {
            complain_of_lack(lease, strerror(errno));
            return ATTEMPT_LACKS;
        }
        if (connection == NULL)
            continue;
        lease->upstream->n_open++;
        show_connections(server, 1);
        attach(lease, connection);
        if (under_way) {
            lease->timer.cb = on_connect_timeout;
            h2o_timeout_link(loop, lease->connect, &lease->timer);
        } else {
            connected(lease);
        }
        return ATTEMPT_GOES_ON;
    }
    upstream_pool_count(server, METRIC_UPSTREAM_CONNECT);
    return ATTEMPT_FAILED;
}

static void connect_next(struct upstream_lease *lease)
{
    struct upstream *upstream = lease->upstream;
    enum attempt attempt = connect_some(lease);
    if (attempt != ATTEMPT_GOES_ON)
        try_another(lease, attempt);
    serve_waiting(upstream);
}

/* The server has no address: is it to blame for that? */
static enum attempt without_address(const struct upstream_server *server)
{
    if (server->addresses.lacks)
        return ATTEMPT_LACKS;
    upstream_pool_count(server, METRIC_UPSTREAM_LOOK_UP);
    return ATTEMPT_FAILED;
}

static enum attempt try_server(struct upstream_lease *lease)
{
    struct upstream_server *server = lease->server;
    struct upstream *upstream = server->upstream;
    struct upstream_connection *idle = lease->wants_new ? NULL : take_idle(server, lease->may_repeat);
    if (idle != NULL) {
        upstream_pool_count(server, METRIC_UPSTREAM_REUSED);
        attach(lease, idle);
        is_ready(lease);
        return ATTEMPT_GOES_ON;
    }
    upstream_resolve(&server->addresses);
    if (server->addresses.n == 0 && server->addresses.lookup == NULL)
        return without_address(server);
    if (server->addresses.n == 0) {
        queue_up(lease, UPSTREAM_LEASE_RESOLVING, &server->resolving);
        return ATTEMPT_GOES_ON;
    }
    if (upstream->n_open >= upstream->conf->connections && upstream->n_idle > 0)
        close_some_idle(upstream);
    if (upstream->n_open >= upstream->conf->connections) {
        upstream_pool_leave(lease);
        queue_up(lease, UPSTREAM_LEASE_WAITING, &upstream->waiting);
        return ATTEMPT_GOES_ON;
    }
    lease->addresses_tried = 0;
    lease->first_address = server->addresses.works;
    return connect_some(lease);
}

/* Those that waited for the addresses go on, or try another server. */
static void on_looked_up(struct upstream_addresses *addresses)
{
    struct upstream_server *server = H2O_STRUCT_FROM_MEMBER(struct upstream_server, addresses, addresses);
    h2o_linklist_t waiting;
    h2o_linklist_init_anchor(&waiting);
    h2o_linklist_insert_list(&waiting, &server->resolving);
    while (!h2o_linklist_is_empty(&waiting)) {
        struct upstream_lease *lease = first_of(&waiting);
        if (addresses->n > 0) {
            upstream_pool_leave(lease);
            upstream_pool_acquire(lease);
        } else {
            try_another(lease, without_address(server));
        }
    }
}

void upstream_pool_acquire(struct upstream_lease *lease)
{
    if (lease->upstream->env->is_over) {
        fail(lease, 503, "This server is stopping.");
        return;
    }
    do {
        struct upstream_server *server = choose(lease);
        if (server == NULL && lease->lacks) {
            fail(lease, 503, "This server has no room for another connection just now.");
            return;
        }
        if (server == NULL) {
            fail(lease, 502, "The upstream service could not be reached.");
            return;
        }
        lease->server = server;
        server->in_hand++;
        show_in_hand(server);
        enum attempt attempt = try_server(lease);
        if (attempt == ATTEMPT_GOES_ON)
            return;
        give_up_server(lease, attempt);
    } while (true);
}

/* Making and ending */

void upstream_pool_init(struct upstream *upstream, const struct upstream_env *env,
                        const struct conf_upstream *conf)
{
    static const struct upstream_resolve_ops resolve_ops = {on_looked_up};
    *upstream = (struct upstream){
        .env = env,
        .conf = conf,
        .servers = mem_calloc(conf->n_servers, sizeof(*upstream->servers)),
        .n_servers = conf->n_servers,
        .idle = timeouts_get(env->timeouts, conf->idle),
    };
    while (getrandom(&upstream->chance, sizeof(upstream->chance), 0) != sizeof(upstream->chance))
        continue;
    h2o_linklist_init_anchor(&upstream->waiting);
    for (size_t i = 0; i < conf->n_servers; i++) {
        struct upstream_server *server = &upstream->servers[i];
        server->upstream = upstream;
        server->conf = &conf->servers[i];
        server->authority = str_of(conf->servers[i].authority);
        h2o_linklist_init_anchor(&server->idle);
        h2o_linklist_init_anchor(&server->resolving);
        upstream_resolve_init(&server->addresses, env->resolver, conf, server->conf, &resolve_ops);
    }
}

void upstream_pool_show(struct upstream *upstream, struct upstream_server *server, struct shm_upstream *shown)
{
    if (server == NULL)
        upstream->shown = shown;
    else
        server->shown = shown;
}

void upstream_pool_give_up_waiting(struct upstream *upstream)
{
    while (!h2o_linklist_is_empty(&upstream->waiting))
        fail(first_of(&upstream->waiting), 503, "This server is stopping.");
}

void upstream_pool_dispose(struct upstream *upstream)
{
    for (size_t i = 0; i < upstream->n_servers; i++) {
        struct upstream_server *server = &upstream->servers[i];
        while (!h2o_linklist_is_empty(&server->idle))
            upstream_pool_release(first_idle(server), false);
        upstream_resolve_dispose(&server->addresses);
    }
    free(upstream->servers);
}
