/* worker.c: a worker process: the loop, accepting, the connection cap, heartbeat and drain. */
#include "process/worker.h"

#include <errno.h>
#include <h2o.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "loop/busypoll.h"
#include "base/clock.h"
#include "base/lack.h"
#include "base/complain.h"
#include "conf/kind.h"
#include "db/lane.h"
#include "handlers/readers.h"
#include "server/access.h"
#include "server/server.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/outbox.h"
#include "loop/slices.h"
#include "metrics/memory.h"
#include "loop/timeouts.h"
#include "process/files.h"
#include "process/logging.h"
#include "process/pools.h"
#include "process/privileges.h"
#include "process/sandbox.h"
#include "handlers/make.h"
#include "upstream/context.h"
#include "loop/yield.h"

enum {
    HEARTBEAT_MS = 1000,  /* the loop turns at least this often */
    MEMORY_MS = 10000,    /* between two looks at how much memory there is */
    ACCEPT_BATCH = 16,    /* connections taken in one go at most, before those that are here get their turn */
    PAUSE_MS = 100,       /* before accepting is tried again where there was no descriptor for it */
    LAST_TAKEN_MS = 100,  /* in which connections are still accepted when it is to finish */
    IDLE_GRACE_MS = 1000, /* a client that reuses its connection in the instant of the drain is served */
    TIMER_SLACK_NS = 4000000, /* a timer before the kernel's next tick has to be set in the hardware */
};

struct worker {
    const struct worker_inheritance *inherited;
    struct shm_slot *slot;
    h2o_loop_t *loop;
    struct accepting { /* a socket that this worker accepts from */
        h2o_socket_t *socket;
        size_t listener; /* which of the conf's it is */
        bool is_admin;   /* operators come by it, who are not counted as clients */
    } * sockets;
    size_t n_sockets;
    h2o_socket_t *passed; /* the queue of connections that other workers pass to this one */
    h2o_socket_t *signals;
    struct handoff_worker handoff;
    struct slices slices; /* of work that would hold up the loop */
    struct yielding yielding;
    struct busypoll busypoll;
    uint64_t steps;        /* of requests, up to the turn before */
    struct outbox *outbox; /* NULL: what is sent is sent at once */
    struct access *access;
    struct server *server;
    struct pools pools; /* of helpers */
    struct upstream_context *upstreams;
    struct readers *readers;
    struct db_lane *lanes[CONF_MAX_LANES]; /* as in the conf; NULL where no route needs it */
    unsigned n_unsettled;
    size_t n_open;        /* connections, */
    size_t n_admin;       /* and those of them that came by the operators' listener */
    bool accepting;       /* connections of clients */
    bool prepared;        /* the lanes have settled */
    bool begun;           /* the master has given the word, and connections are accepted since */
    unsigned turn;        /* of the loop, counted */
    unsigned accept_turn; /* in which connections were last accepted */
    int accepted;         /* so many then, if as many as were asked for: else 0 */
    struct timeouts *timeouts;
    h2o_timeout_entry_t pause; /* linked while no descriptor is available for another connection */
    bool stop;
    uint64_t drain_since; /* clock_ms, 0 while not draining */
    uint64_t passed_at;   /* clock_ms: when a passed connection was last taken */
    uint64_t forgot_at;   /* clock_ms: when lost places were last looked for */
    uint64_t measured_at; /* clock_ms: when the memory was last looked at */
};

static void on_acceptable(h2o_socket_t *listener, const char *error);
static void on_passed(h2o_socket_t *queue, const char *error);

static void listeners_start(struct worker *worker)
{
    for (size_t i = 0; i < worker->n_sockets; i++) {
        if (!h2o_socket_is_reading(worker->sockets[i].socket))
            h2o_socket_read_start(worker->sockets[i].socket, on_acceptable);
    }
    worker->accepting = true;
}

static void stop_reading(struct worker *worker, bool admin)
{
    for (size_t i = 0; i < worker->n_sockets; i++) {
        if (worker->sockets[i].is_admin == admin)
            h2o_socket_read_stop(worker->sockets[i].socket);
    }
}

/* No more clients are taken; operators are. */
static void listeners_stop(struct worker *worker)
{
    if (!worker->accepting)
        return;
    stop_reading(worker, false);
    worker->accepting = false;
}

/* What was passed is taken while draining, too; new connections are not accepted then. */
static void resume_accepting(struct worker *worker)
{
    if (worker->accepting || worker->stop)
        return;
    h2o_timeout_unlink(&worker->pause);
    h2o_socket_read_start(worker->passed, on_passed);
    if (worker->drain_since != 0 || !worker->begun)
        return;
    atomic_store(&worker->slot->takes_passed, true);
    listeners_start(worker);
}

static void on_connection_closed(void *arg)
{
    struct worker *worker = arg;
    worker->n_open--;
    handoff_closed(&worker->handoff);
    resume_accepting(worker);
}

/* The listener stays readable while there is no descriptor to accept with: without a pause we would spin. */
static void pause_accepting(struct worker *worker)
{
    complain(LOG_LEVEL_WARN, "cannot accept connections",
             "cannot accept connections until some are closed: %s", strerror(errno));
    atomic_store(&worker->slot->takes_passed, false);
    h2o_socket_read_stop(worker->passed);
    listeners_stop(worker);
    stop_reading(worker, true);
    h2o_timeout_unlink(&worker->pause);
    h2o_timeout_link(worker->loop, timeouts_get(worker->timeouts, PAUSE_MS), &worker->pause);
}

static void on_pause_over(h2o_timeout_entry_t *entry)
{
    resume_accepting(H2O_STRUCT_FROM_MEMBER(struct worker, pause, entry));
}

static void begin_to_serve(struct worker *worker, int fd, size_t which, void (*closed)(void *arg))
{
    h2o_socket_t *socket = h2o_evloop_socket_create(worker->loop, fd, H2O_SOCKET_FLAG_IS_ACCEPTED_CONNECTION);
    worker->n_open++;
    socket->on_close.cb = closed;
    socket->on_close.data = worker;
    server_accept(worker->server, socket, &worker->inherited->conf->listen[which]);
}

/* Serves a connection that is counted as this worker's already. */
static void serve(struct worker *worker, int fd, size_t which)
{
    metric_add(METRIC_CONNECTIONS_ACCEPTED, 1);
    begin_to_serve(worker, fd, which, on_connection_closed);
}

static void on_admin_closed(void *arg)
{
    struct worker *worker = arg;
    worker->n_open--;
    worker->n_admin--;
    if (h2o_timeout_is_linked(&worker->pause)) /* its descriptor may be what was lacking */
        resume_accepting(worker);
}

/*
 * Takes operators' connections, however many clients there are. Who asks for more than a second, or keeps
 * idle connections, does not keep the next one out: of those the oldest one goes.
 */
static void accept_admin(struct worker *worker, const struct accepting *from)
{
    const struct conf_listen *listen = &worker->inherited->conf->listen[from->listener];
    for (int taken = 0; taken < ACCEPT_BATCH; taken++) {
        if (worker->n_admin >= WORKER_ADMIN_MOST && !server_make_way(worker->server, listen))
            return; /* all are being answered, which takes some turns */
        int fd = accept4(h2o_socket_get_fd(from->socket), NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (lack_is(errno))
                pause_accepting(worker);
            return;
        }
        worker->n_admin++;
        begin_to_serve(worker, fd, from->listener, on_admin_closed);
    }
}

/*
 * How many connections to take in one go. For one that is not there the kernel makes a file and a socket, and
 * throws them away: more than one is asked for only while turn after turn brings as many as were asked for.
 */
static int accept_most(const struct worker *worker)
{
    if (worker->accepted == 0 || worker->turn - worker->accept_turn > 1)
        return 1;
    return worker->accepted * 2 < ACCEPT_BATCH ? worker->accepted * 2 : ACCEPT_BATCH;
}

/*
 * Takes some connections of a listener. Returns whether more may be waiting. Others reserve places here only
 * while that leaves us one below the limit (they have to have more themselves, and are below it), so the last
 * place is ours to fill, and the limit holds.
 */
static bool accept_some(struct worker *worker, const struct accepting *from)
{
    int taken = 0, most = accept_most(worker);
    for (; taken < most; taken++) {
        if (handoff_load(&worker->handoff) >= worker->inherited->conf->limits.clients) {
            listeners_stop(worker);
            break;
        }
        int fd = accept4(h2o_socket_get_fd(from->socket), NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (lack_is(errno))
                pause_accepting(worker);
            break;
        }
        if (handoff_place(&worker->handoff, fd, from->listener)) {
            metric_add(METRIC_CONNECTIONS_PASSED, 1);
            close(fd);
        } else {
            serve(worker, fd, from->listener);
        }
    }
    worker->accept_turn = worker->turn;
    worker->accepted = taken == most ? taken : 0;
    return taken == most;
}

static void on_acceptable(h2o_socket_t *listener, const char *error)
{
    struct worker *worker = listener->data;
    size_t which = 0;
    while (worker->sockets[which].socket != listener)
        which++;
    if (error == NULL && worker->sockets[which].is_admin)
        accept_admin(worker, &worker->sockets[which]);
    else if (error == NULL)
        accept_some(worker, &worker->sockets[which]);
}

/* The master has opened the log again. */
static void take_file(struct worker *worker, size_t which, int fd)
{
    if (which == LOGGING_LOG)
        log_set_file(fd);
    else
        access_set_file(worker->access, which - LOGGING_ACCESS, fd);
}

static void on_passed(h2o_socket_t *queue, const char *error)
{
    struct worker *worker = queue->data;
    for (int taken = 0; error == NULL && taken < ACCEPT_BATCH; taken++) {
        size_t which;
        int fd = handoff_take(&worker->handoff, &which);
        if (fd < 0) {
            if (lack_is(errno))
                pause_accepting(worker);
            break;
        }
        if (which >= HANDOFF_FILES) {
            take_file(worker, which - HANDOFF_FILES, fd);
            continue;
        }
        worker->passed_at = clock_ms();
        serve(worker, fd, which);
    }
}

static void tell_master(struct worker *worker, enum shm_worker_state state)
{
    atomic_store(&worker->slot->state, state);
    if (write(worker->inherited->ready_fd, "", 1) < 0 && errno != EAGAIN && errno != EPIPE)
        log_warn("cannot tell the master that this worker is ready");
}

/* The last connections of the listeners: whoever comes later is another generation's, or nobody's. */
static void end_accepting(struct worker *worker)
{
    bool last = !atomic_load(&worker->inherited->generation->succeeded);
    for (size_t i = 0; last && worker->accepting && i < worker->n_sockets; i++) {
        while (worker->accepting && !worker->sockets[i].is_admin && accept_some(worker, &worker->sockets[i]))
            continue;
    }
    listeners_stop(worker);
    stop_reading(worker, true);
    for (size_t i = 0; i < worker->n_sockets; i++)
        h2o_socket_close(worker->sockets[i].socket);
    worker->n_sockets = 0;
    tell_master(worker, SHM_DRAINING);
}

/*
 * What the kernel was about to finish when the word came is still accepted for a moment: for all that this
 * process knows nobody else takes it.
 */
static void drain(struct worker *worker)
{
    if (worker->drain_since != 0)
        return;
    worker->drain_since = clock_ms();
    worker->forgot_at = worker->drain_since; /* a place that someone will come for is waited for */
    atomic_store(&worker->slot->takes_passed, false);
    server_drain(worker->server);
    if (!worker->accepting || atomic_load(&worker->inherited->generation->succeeded))
        end_accepting(worker);
    if (!h2o_timeout_is_linked(&worker->pause)) /* also where the lanes have not settled yet */
        h2o_socket_read_start(worker->passed, on_passed);
}

/* The master has given the word: clients may come. */
static void begin(struct worker *worker)
{
    if (worker->begun || !worker->prepared || worker->drain_since != 0)
        return;
    worker->begun = true;
    for (size_t i = 0; i < worker->n_sockets; i++) {
        if (listen_begin(h2o_socket_get_fd(worker->sockets[i].socket)) != 0)
            log_error("cannot listen on %s",
                      worker->inherited->listeners[worker->sockets[i].listener]->address);
    }
    resume_accepting(worker);
    tell_master(worker, SHM_READY);
}

/*
 * Was it the master that sent SIGTERM, or has its death? A service manager may send one to every process of
 * the service; then the master alone decides when its notice is over. That it is the master's own signal
 * which is read cannot be asked for: the kernel keeps one SIGTERM at a time.
 */
static bool is_dismissed(const struct worker *worker)
{
    return worker->inherited->conf->limits.drain_notice == 0 || atomic_load(&worker->slot->is_dismissed) ||
           getppid() != worker->inherited->master;
}

static void on_signal(h2o_socket_t *socket, const char *error)
{
    struct worker *worker = socket->data;
    struct signalfd_siginfo info;
    (void)error;
    while (read(h2o_socket_get_fd(socket), &info, sizeof(info)) == sizeof(info)) {
        if (info.ssi_signo == SIGTERM && is_dismissed(worker))
            drain(worker);
        else if (info.ssi_signo == SIGTERM)
            continue;
        else if (info.ssi_signo == SIGUSR2)
            begin(worker);
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
    sigaddset(&set, SIGQUIT);
    sigaddset(&set, SIGUSR2);
    int fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        log_fatal("cannot watch signals");
    worker->signals = h2o_evloop_socket_create(worker->loop, fd, 0);
    worker->signals->data = worker;
    h2o_socket_dont_read(worker->signals, 1);
    h2o_socket_read_start(worker->signals, on_signal);
}

/*
 * The master's descriptors that are not for this worker are closed: the sockets of others, and of generations
 * that are no more, could else be neither shut nor opened again as long as this worker lives.
 */
static void keep_own_files(const struct worker_inheritance *inherited)
{
    int *keep = NULL;
    size_t n = 0;
    for (size_t i = 0; i < inherited->n_listeners; i++) {
        for (size_t j = 0; j < inherited->listeners[i]->n_fds; j++) {
            if (!listen_is_for(inherited->listeners[i], j, inherited->index, inherited->handoff->n))
                continue;
            MEM_GROW(&keep, n);
            keep[n++] = inherited->listeners[i]->fds[j];
        }
    }
    for (unsigned i = 0; i < inherited->handoff->n; i++) {
        MEM_GROW(&keep, n);
        keep[n++] = inherited->handoff->queues[i].to;
    }
    MEM_GROW(&keep, n);
    keep[n++] = inherited->handoff->queues[inherited->index].from;
    MEM_GROW(&keep, n);
    keep[n++] = inherited->ready_fd;
    MEM_GROW(&keep, n);
    keep[n++] = log_file();
    const int offers[] = {inherited->images, inherited->inference};
    for (size_t i = 0; i < sizeof(offers) / sizeof(offers[0]); i++) {
        if (offers[i] < 0)
            continue;
        MEM_GROW(&keep, n);
        keep[n++] = offers[i];
    }
    files_close_others(keep, n);
    free(keep);
}

/* libh2o closes the descriptors, which are this process's own copies of the master's. */
static void open_listeners(struct worker *worker)
{
    const struct worker_inheritance *inherited = worker->inherited;
    for (size_t i = 0; i < inherited->n_listeners; i++) {
        for (size_t j = 0; j < inherited->listeners[i]->n_fds; j++) {
            if (!listen_is_for(inherited->listeners[i], j, inherited->index, inherited->handoff->n))
                continue;
            h2o_socket_t *socket = h2o_evloop_socket_create(worker->loop, inherited->listeners[i]->fds[j], 0);
            socket->data = worker;
            h2o_socket_dont_read(socket, 1);
            MEM_GROW(&worker->sockets, worker->n_sockets);
            worker->sockets[worker->n_sockets++] =
                (struct accepting){socket, i, inherited->conf->listen[i].is_admin};
        }
    }
    worker->passed =
        h2o_evloop_socket_create(worker->loop, inherited->handoff->queues[inherited->index].from, 0);
    worker->passed->data = worker;
    h2o_socket_dont_read(worker->passed, 1);
}

/* Where a route is counted: under its label and, where it is not on all of them, its listeners. */
static struct series *series_of(const struct worker *worker, size_t which)
{
    const struct worker_inheritance *inherited = worker->inherited;
    const struct conf_route *route = &inherited->conf->routes[which];
    char *name = mem_strdup(route->label);
    for (size_t i = 0; i < route->n_on; i++) {
        char *longer = mem_printf("%s%c%s", name, i == 0 ? SERIES_LISTENERS : ',', route->on[i].name);
        free(name);
        name = longer;
    }
    struct series *series =
        shm_series(inherited->shm, inherited->generation, inherited->index, (unsigned)which + 1, name);
    free(name);
    return series;
}

static struct handler **make_handlers(struct worker *worker)
{
    const struct conf *conf = worker->inherited->conf;
    struct handler_env env = {
        .conf = conf,
        .lanes = worker->lanes,
        .upstreams = worker->upstreams,
        .readers = worker->readers,
        .slices = &worker->slices,
        .stages = {.conf = conf,
                   .loop = worker->loop,
                   .timeouts = worker->timeouts,
                   .images = worker->pools.images},
        .inference = worker->pools.inference,
        .slot = worker->slot,
        .shm = worker->inherited->shm,
        .commit = worker->inherited->commit,
    };
    struct handler **handlers = mem_calloc(conf->n_routes, sizeof(*handlers));
    env.handlers = handlers;
    for (size_t i = 0; i < conf->n_routes; i++) {
        const struct conf_route *route = &conf->routes[i];
        env.series = series_of(worker, i);
        handlers[i] = handler_make(route, &env);
        handlers[i]->shown_as = shm_name(worker->inherited->shm, route->label);
        handlers[i]->series = env.series;
    }
    return handlers;
}

/* Each lane of each worker has its first connection; what database.max leaves is there for all of them. */
static bool take_spill(void *arg)
{
    const struct worker_inheritance *inherited = ((const struct worker *)arg)->inherited;
    const struct conf *conf = inherited->conf;
    return shm_take_spill(inherited->shm, inherited->generation, ((const struct worker *)arg)->slot,
                          conf->database.max);
}

static void give_spill(void *arg)
{
    shm_give_spill(((const struct worker *)arg)->slot);
}

/* Opens the lane that some route needs. Its statement_timeout is the longest deadline of its routes. */
static struct db_lane *make_lane(struct worker *worker, unsigned which)
{
    const struct conf *conf = worker->inherited->conf;
    const struct conf_lane *lane = &conf->lanes[which];
    unsigned deadline = 0;
    for (size_t i = 0; i < conf->n_routes; i++) {
        const struct conf_route *route = &conf->routes[i];
        if (route->kind->asks_database && route->lane == which && route->deadline > deadline)
            deadline = route->deadline;
    }
    if (deadline == 0)
        return NULL;
    _Static_assert((int)SHM_LANES >= (int)CONF_MAX_LANES, "each lane has its place in the shared memory");
    struct shm_lane *shown = shm_slot_lane(worker->inherited->shm, worker->slot, lane->name);
    return db_lane_new(worker->loop, &(struct db_lane_conf){
                                         .name = lane->name,
                                         .connect = lane->connect,
                                         .password = conf->database.password,
                                         .read_only = lane->read_only,
                                         .connections = lane->connections,
                                         .queue = lane->queue,
                                         .deadline = deadline,
                                         .spill = conf->database.spill,
                                         .timeouts = worker->timeouts,
                                         .budget_take = take_spill,
                                         .budget_give = give_spill,
                                         .budget_arg = worker,
                                         .frugal = &worker->inherited->generation->frugal,
                                         .shown = shown,
                                     });
}

/* Tells the others how much memory this process has, and what time it has had. now is clock_ms. */
static void measure(struct worker *worker, uint64_t now)
{
    struct memory memory;
    memory_read(&memory);
    atomic_store_explicit(&worker->slot->resident, memory.resident, memory_order_relaxed);
    atomic_store_explicit(&worker->slot->proportional, memory.proportional, memory_order_relaxed);
    struct timespec cpu;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &cpu);
    atomic_store_explicit(&worker->slot->cpu_us,
                          (uint64_t)cpu.tv_sec * 1000000 + (uint64_t)cpu.tv_nsec / 1000,
                          memory_order_relaxed);
    worker->measured_at = now;
}

/* The statements are prepared, or the database is known to be away: connections could be taken now. */
static void on_settled(void *arg)
{
    struct worker *worker = arg;
    if (--worker->n_unsettled > 0 || worker->drain_since != 0)
        return;
    measure(worker, clock_ms());
    worker->prepared = true;
    tell_master(worker, SHM_PREPARED);
}

static bool is_drained(struct worker *worker)
{
    uint64_t now = clock_ms(), since = now - worker->drain_since;
    if (worker->n_sockets > 0 && since >= LAST_TAKEN_MS)
        end_accepting(worker);
    if (since >= IDLE_GRACE_MS && now - worker->passed_at >= IDLE_GRACE_MS)
        server_close_idle(worker->server);
    if (worker->n_open == 0 && worker->n_sockets == 0 && !handoff_is_expecting(&worker->handoff))
        return true;
    if (since >= worker->inherited->conf->limits.drain) {
        log_warnx("%zu connections were cut off: they took longer than the drain limit", worker->n_open);
        return true;
    }
    return false;
}

/* At each turn of the loop, of which there is one a second at least. now is clock_ms. */
static void beat(struct worker *worker, uint64_t now)
{
    if (now - worker->forgot_at >= HEARTBEAT_MS) {
        handoff_forget_lost(&worker->handoff);
        complain_sum_up();
        worker->forgot_at = now;
    }
    if (now - worker->measured_at >= MEMORY_MS)
        measure(worker, now);
    uint64_t in_flight = server_in_flight(worker->server), clients = worker->n_open - worker->n_admin;
    metric_set(METRIC_REQUESTS_IN_FLIGHT, in_flight);
    metric_set(METRIC_CONNECTIONS_IDLE, clients < in_flight ? 0 : clients - in_flight);
    atomic_store_explicit(&worker->slot->heartbeat, now, memory_order_relaxed);
}

/* Sends the queries of the turn. Returns whether some are held back for the next one. */
static bool end_turn(struct worker *worker)
{
    bool held_back = false;
    for (unsigned i = 0; i < worker->inherited->conf->n_lanes; i++) {
        if (worker->lanes[i] != NULL)
            held_back |= db_lane_turn_end(worker->lanes[i]);
    }
    return held_back;
}

/*
 * Is more work looked for, after a turn that has ended now, without waiting for it? Not without connections,
 * as nothing is known then of when one comes; nor where others want the processor and do not get it in
 * between.
 */
static bool goes_on(struct worker *worker, uint64_t now)
{
    uint64_t steps = server_steps(worker->server);
    bool worked = steps != worker->steps;
    worker->steps = steps;
    if (worker->inherited->conf->busy_poll == CONF_OFF || worker->n_open == 0)
        return false;
    return !yield_is_paused(&worker->yielding, now) && busypoll_goes_on(&worker->busypoll, worked, now);
}

static void run_loop(struct worker *worker)
{
    while (!worker->stop && (worker->drain_since == 0 || !is_drained(worker))) {
        int wait = worker->drain_since == 0 ? HEARTBEAT_MS : HEARTBEAT_MS / 20;
        if (slices_run(&worker->slices))
            wait = 0;
        if (end_turn(worker))
            wait = 0;
        server_turn_end(worker->server);
        worker->turn++;
        uint64_t now = clock_ns();
        if (goes_on(worker, now))
            wait = 0;
        beat(worker, now / 1000000);
        yield_between_turns(&worker->yielding, now);
        clock_begin_turn();
        if (h2o_evloop_run(worker->loop, wait) != 0 && errno != EINTR)
            log_fatal("the event loop failed");
    }
}

/* Whoever still waits for the database gets 503 or 504; then all connections are closed. */
static void worker_end(struct worker *worker)
{
    worker->stop = true;
    listeners_stop(worker);
    stop_reading(worker, true);
    h2o_socket_read_stop(worker->passed);
    server_drain(worker->server);
    for (unsigned i = 0; i < worker->inherited->conf->n_lanes; i++) {
        if (worker->lanes[i] != NULL)
            db_lane_end(worker->lanes[i]);
    }
    upstream_context_end(worker->upstreams);
    /* libh2o has to see the writes of those answers done: a socket that is closed before stays on its list */
    h2o_evloop_run(worker->loop, 0);
    server_free(worker->server);
    pools_close(&worker->pools);
    access_free(worker->access);
    readers_free(worker->readers);
    upstream_context_free(worker->upstreams);
    for (unsigned i = 0; i < worker->inherited->conf->n_lanes; i++) {
        if (worker->lanes[i] != NULL)
            db_lane_free(worker->lanes[i]);
    }
    outbox_free(worker->outbox);
    h2o_timeout_unlink(&worker->pause);
    timeouts_free(worker->timeouts);
    for (size_t i = 0; i < worker->n_sockets; i++)
        h2o_socket_close(worker->sockets[i].socket);
    free(worker->sockets);
    h2o_socket_close(worker->passed);
    h2o_socket_close(worker->signals);
    h2o_evloop_destroy(worker->loop);
}

/*
 * What the worker needs of the kernel but once is there by now, and nothing has been read from outside yet.
 * The threads that look up names are made after it.
 */
static void enter_sandbox(const struct worker_inheritance *inherited)
{
    if (inherited->conf->sandbox == CONF_OFF)
        return;
    if (inherited->conf->core == CONF_OFF && !sandbox_forbid_writing())
        log_debug("Landlock is unavailable: %s", strerror(errno));
    if (!sandbox_filter_calls() && inherited->index == 0)
        log_warn("the system calls of the workers are not filtered");
}

int worker_run(const struct worker_inheritance *inherited)
{
    char name[32];
    mem_keep_a_megabyte();
    snprintf(name, sizeof(name), "worker %u", inherited->index + 1);
    logging_inherit(name, inherited->conf);
    complain_share(&inherited->shm->complaints);
    log_share(&inherited->shm->log);
    keep_own_files(inherited);
    int *access_files = logging_open_access(inherited->conf);
    privileges_give_up(inherited->conf);
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0) /* after that: a change of user clears it */
        log_warn("this worker would outlive a killed master");
    if (getppid() != inherited->master)
        return EXIT_FAILURE; /* the master died before the line above could take effect */
    prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS);

    struct worker worker = {
        .inherited = inherited,
        .slot = shm_slot(inherited->shm, inherited->generation, inherited->index),
        .handoff = {.handoff = inherited->handoff,
                    .slots = shm_slot(inherited->shm, inherited->generation, 0),
                    .index = inherited->index},
    };
    metric_begin(worker.slot->values);
    worker.loop = h2o_evloop_create();
    slices_init(&worker.slices);
    worker.timeouts = timeouts_new(worker.loop);
    worker.access = access_new(worker.loop, worker.timeouts, inherited->conf, access_files);
    free(access_files);
    watch_signals(&worker);
    open_listeners(&worker);
    for (unsigned i = 0; i < inherited->conf->n_lanes; i++)
        worker.lanes[i] = make_lane(&worker, i);
    if (inherited->conf->io_uring == CONF_ON) {
        worker.outbox = outbox_new(worker.loop);
        if (worker.outbox == NULL && inherited->index == 0)
            log_info("io_uring is unavailable (%s): each answer is sent separately", strerror(errno));
    }
    enter_sandbox(inherited);
    worker.upstreams = upstream_context_new(
        worker.loop, inherited->conf, worker.timeouts, worker.outbox,
        (struct upstream_counted){inherited->shm, inherited->generation, inherited->index});
    worker.readers = readers_new(&(struct readers_conf){.loop = worker.loop,
                                                        .timeouts = worker.timeouts,
                                                        .spool = inherited->conf->limits.spool,
                                                        .rate = inherited->conf->limits.answer_rate});
    worker.pools.shm = inherited->shm;
    worker.pools.ready_fd = inherited->ready_fd;
    pools_open(&worker.pools, worker.loop, worker.timeouts, inherited->conf, inherited->images,
               inherited->inference);
    worker.server = server_new(worker.loop, inherited->conf, make_handlers(&worker), worker.slot,
                               shm_series(inherited->shm, inherited->generation, inherited->index, 0, ""),
                               worker.timeouts, worker.outbox, worker.access);
    outbox_open(worker.outbox);
    worker.pause.cb = on_pause_over;
    worker.n_unsettled = 1; /* for the call below: connections are taken when all lanes are settled, too */
    for (unsigned i = 0; i < inherited->conf->n_lanes; i++)
        worker.n_unsettled += worker.lanes[i] != NULL;
    for (unsigned i = 0; i < inherited->conf->n_lanes; i++) {
        if (worker.lanes[i] != NULL)
            db_lane_start(worker.lanes[i], on_settled, &worker);
    }
    on_settled(&worker);
    run_loop(&worker);
    worker_end(&worker);
    return EXIT_SUCCESS;
}
