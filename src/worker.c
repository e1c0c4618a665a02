/* worker.c: a worker process: the loop, accepting, the connection cap, heartbeat and drain. */
#include "worker.h"

#include <errno.h>
#include <h2o.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "clock.h"
#include "conn.h"
#include "db.h"
#include "http.h"
#include "log.h"
#include "mem.h"

enum {
    HEARTBEAT_MS = 1000,  /* the loop turns at least this often */
    ACCEPT_BATCH = 16,    /* connections taken in one go, before those that are here get their turn */
    IDLE_GRACE_MS = 1000, /* a client that reuses its connection in the instant of the drain is served */
};

struct worker {
    const struct worker_inheritance *inherited;
    struct shm_slot *slot;
    h2o_loop_t *loop;
    h2o_socket_t **listeners;
    h2o_socket_t *signals;
    struct http *http;
    struct conn_context connections;
    struct db_lane *read_lane; /* NULL when no route has SQL */
    size_t n_open;
    bool accepting;
    bool stop;
    uint64_t drain_since; /* clock_ms, 0 while not draining */
};

static void on_acceptable(h2o_socket_t *listener, const char *error);

static void listeners_start(struct worker *worker)
{
    for (size_t i = 0; i < worker->inherited->n_listeners; i++)
        h2o_socket_read_start(worker->listeners[i], on_acceptable);
    worker->accepting = true;
}

static void listeners_stop(struct worker *worker)
{
    if (!worker->accepting)
        return;
    for (size_t i = 0; i < worker->inherited->n_listeners; i++)
        h2o_socket_read_stop(worker->listeners[i]);
    worker->accepting = false;
}

static void show_open(struct worker *worker)
{
    atomic_store_explicit(&worker->slot->connections, (unsigned)worker->n_open, memory_order_relaxed);
}

static void on_connection_closed(void *arg)
{
    struct worker *worker = arg;
    worker->n_open--;
    show_open(worker);
    if (!worker->accepting && worker->drain_since == 0 && !worker->stop)
        listeners_start(worker);
}

static void on_acceptable(h2o_socket_t *listener, const char *error)
{
    struct worker *worker = listener->data;
    if (error != NULL)
        return;
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        if (worker->n_open >= worker->inherited->conf->limits.clients) {
            listeners_stop(worker);
            return;
        }
        h2o_socket_t *socket = h2o_evloop_socket_accept(listener);
        if (socket == NULL)
            return;
        worker->n_open++;
        socket->on_close.cb = on_connection_closed;
        socket->on_close.data = worker;
        shm_add(&worker->slot->accepted, 1);
        conn_accept(&worker->connections, socket);
    }
    show_open(worker);
}

static void drain(struct worker *worker)
{
    if (worker->drain_since != 0)
        return;
    worker->drain_since = clock_ms();
    atomic_store(&worker->slot->state, SHM_DRAINING);
    listeners_stop(worker);
    http_drain(worker->http);
}

static void on_signal(h2o_socket_t *socket, const char *error)
{
    struct worker *worker = socket->data;
    struct signalfd_siginfo info;
    (void)error;
    while (read(h2o_socket_get_fd(socket), &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo == SIGTERM)
            drain(worker);
        else
            worker->stop = true;
    }
}

/* The master has blocked the signals already, so none is lost between the fork and here. */
static void watch_signals(struct worker *worker)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        log_fatal("cannot watch signals");
    worker->signals = h2o_evloop_socket_create(worker->loop, fd, 0);
    worker->signals->data = worker;
    h2o_socket_dont_read(worker->signals, 1);
    h2o_socket_read_start(worker->signals, on_signal);
}

static void open_listeners(struct worker *worker)
{
    const struct worker_inheritance *inherited = worker->inherited;
    worker->listeners = mem_calloc(inherited->n_listeners, sizeof(*worker->listeners));
    for (size_t i = 0; i < inherited->n_listeners; i++) {
        int fd = dup(listen_fd(&inherited->listeners[i], inherited->index));
        if (fd < 0)
            log_fatal("cannot take over the listening socket of %s", inherited->listeners[i].address);
        worker->listeners[i] = h2o_evloop_socket_create(worker->loop, fd, 0);
        worker->listeners[i]->data = worker;
        h2o_socket_dont_read(worker->listeners[i], 1);
    }
}

static struct handler **make_handlers(struct worker *worker)
{
    const struct conf *conf = worker->inherited->conf;
    struct handler **handlers = mem_calloc(conf->n_routes, sizeof(*handlers));
    for (size_t i = 0; i < conf->n_routes; i++) {
        const struct conf_route *route = &conf->routes[i];
        if (route->handler == CONF_HANDLER_SQL)
            handlers[i] = handler_sql_new(route, worker->read_lane, conf->limits.deadline);
        else if (route->handler == CONF_HANDLER_JSON)
            handlers[i] = handler_json_new(route);
        else
            handlers[i] = handler_text_new(route);
    }
    return handlers;
}

static struct db_lane *make_read_lane(struct worker *worker)
{
    const struct conf *conf = worker->inherited->conf;
    size_t n_sql = 0;
    for (size_t i = 0; i < conf->n_routes; i++)
        n_sql += conf->routes[i].handler == CONF_HANDLER_SQL;
    if (n_sql == 0)
        return NULL;
    return db_lane_new(worker->loop, &(struct db_lane_conf){
                                         .name = "read",
                                         .connect = conf->database.connect,
                                         .read_only = true,
                                         .queue = conf->database.queue,
                                         .deadline = conf->limits.deadline,
                                         .state = &worker->slot->lane_state,
                                         .complaints = worker->inherited->shm->complaints,
                                     });
}

/* Connections are taken only now, when the statements are prepared or the database is known to be away. */
static void on_settled(void *arg)
{
    struct worker *worker = arg;
    if (worker->drain_since != 0)
        return;
    listeners_start(worker);
    atomic_store(&worker->slot->state, SHM_READY);
    if (write(worker->inherited->ready_fd, &worker->inherited->index, sizeof(worker->inherited->index)) < 0)
        log_warn("cannot tell the master that this worker is ready");
}

static bool is_drained(const struct worker *worker)
{
    uint64_t since = clock_ms() - worker->drain_since;
    if (since >= worker->inherited->conf->limits.drain) {
        log_warnx("%zu requests were cut off: they took longer than the drain limit",
                  http_active(worker->http));
        return true;
    }
    return http_active(worker->http) == 0 && (worker->n_open == 0 || since >= IDLE_GRACE_MS);
}

static void run_loop(struct worker *worker)
{
    while (!worker->stop && (worker->drain_since == 0 || !is_drained(worker))) {
        int wait = worker->drain_since == 0 ? HEARTBEAT_MS : HEARTBEAT_MS / 20;
        if (h2o_evloop_run(worker->loop, wait) != 0 && errno != EINTR)
            log_fatal("the event loop failed");
        if (worker->read_lane != NULL)
            db_lane_turn_end(worker->read_lane);
        atomic_store_explicit(&worker->slot->heartbeat, clock_ms(), memory_order_relaxed);
    }
}

/*
 * Connections may still be open: the process ends right behind this, and the kernel closes them. What
 * PostgreSQL is told properly is its own goodbye.
 */
static void worker_end(struct worker *worker)
{
    if (worker->read_lane != NULL)
        db_lane_free(worker->read_lane);
    atomic_store(&worker->slot->connections, 0);
}

int worker_run(const struct worker_inheritance *inherited)
{
    char name[32];
    snprintf(name, sizeof(name), "worker %u", inherited->index + 1);
    log_open(name, inherited->conf->log);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
        log_warn("this worker would outlive a killed master");
    if (getppid() != inherited->master)
        return EXIT_FAILURE; /* the master died before the line above could take effect */

    struct worker worker = {.inherited = inherited, .slot = &inherited->shm->slots[inherited->index]};
    worker.loop = h2o_evloop_create();
    watch_signals(&worker);
    open_listeners(&worker);
    worker.read_lane = make_read_lane(&worker);
    worker.http = http_new(worker.loop, inherited->conf, make_handlers(&worker), worker.slot);
    conn_context_init(&worker.connections, http_context(worker.http), http_hosts(worker.http));
    if (worker.read_lane != NULL)
        db_lane_start(worker.read_lane, on_settled, &worker);
    else
        on_settled(&worker);
    run_loop(&worker);
    worker_end(&worker);
    return EXIT_SUCCESS;
}
