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
#include "base/complain.h"
#include "db/lane.h"
#include "server/exchange.h"
#include "base/log.h"
#include "base/mem.h"
#include "loop/outbox.h"
#include "metrics/memory.h"
#include "loop/timeouts.h"
#include "process/privileges.h"
#include "upstream/context.h"
#include "loop/yield.h"

enum {
    HEARTBEAT_MS = 1000,  /* the loop turns at least this often */
    MEMORY_MS = 10000,    /* between two looks at how much memory there is */
    ACCEPT_BATCH = 16,    /* connections taken in one go at most, before those that are here get their turn */
    PAUSE_MS = 100,       /* before accepting is tried again where there was no descriptor for it */
    IDLE_GRACE_MS = 1000, /* a client that reuses its connection in the instant of the drain is served */
    TIMER_SLACK_NS = 4000000, /* a timer before the kernel's next tick has to be set in the hardware */
};

struct worker {
    const struct worker_inheritance *inherited;
    struct shm_slot *slot;
    h2o_loop_t *loop;
    h2o_socket_t **listeners;
    h2o_socket_t *passed; /* the queue of connections that other workers pass to this one */
    h2o_socket_t *signals;
    struct handoff_worker handoff;
    struct yielding yielding;
    struct busypoll busypoll;
    uint64_t steps;        /* of requests, up to the turn before */
    struct outbox *outbox; /* NULL: what is sent is sent at once */
    struct http *http;
    struct upstream_context *upstreams;
    struct db_lane *lanes[CONF_MAX_LANES]; /* as in the conf; NULL where no route needs it */
    unsigned n_unsettled;
    size_t n_open;
    bool accepting;
    unsigned turn;        /* of the loop, counted */
    unsigned accept_turn; /* in which connections were last accepted */
    int accepted;         /* so many then, if as many as were asked for: else 0 */
    struct timeouts *timeouts;
    h2o_timeout_entry_t pause; /* linked while no descriptor is to be had for another connection */
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

/* What was passed is taken while draining, too; new connections are not accepted then. */
static void resume_accepting(struct worker *worker)
{
    if (worker->accepting || worker->stop)
        return;
    h2o_timeout_unlink(&worker->pause);
    h2o_socket_read_start(worker->passed, on_passed);
    if (worker->drain_since != 0)
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
    h2o_timeout_unlink(&worker->pause);
    h2o_timeout_link(worker->loop, timeouts_get(worker->timeouts, PAUSE_MS), &worker->pause);
}

static void on_pause_over(h2o_timeout_entry_t *entry)
{
    resume_accepting(H2O_STRUCT_FROM_MEMBER(struct worker, pause, entry));
}

/* Serves a connection that is counted as this worker's already. */
static void serve(struct worker *worker, int fd, size_t which)
{
    h2o_socket_t *socket = h2o_evloop_socket_create(worker->loop, fd, H2O_SOCKET_FLAG_IS_ACCEPTED_CONNECTION);
    worker->n_open++;
    socket->on_close.cb = on_connection_closed;
    socket->on_close.data = worker;
    shm_add(&worker->slot->accepted, 1);
    http_accept(worker->http, socket, &worker->inherited->conf->listen[which]);
}

static bool lacks_descriptors(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
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
static bool accept_some(struct worker *worker, size_t which)
{
    int taken = 0, most = accept_most(worker);
    for (; taken < most; taken++) {
        if (handoff_load(&worker->handoff) >= worker->inherited->conf->limits.clients) {
            listeners_stop(worker);
            break;
        }
        int fd =
            accept4(h2o_socket_get_fd(worker->listeners[which]), NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd < 0) {
            if (lacks_descriptors(errno))
                pause_accepting(worker);
            break;
        }
        if (handoff_place(&worker->handoff, fd, which))
            close(fd);
        else
            serve(worker, fd, which);
    }
    worker->accept_turn = worker->turn;
    worker->accepted = taken == most ? taken : 0;
    return taken == most;
}

static void on_acceptable(h2o_socket_t *listener, const char *error)
{
    struct worker *worker = listener->data;
    size_t which = 0;
    while (worker->listeners[which] != listener)
        which++;
    if (error == NULL)
        accept_some(worker, which);
}

static void on_passed(h2o_socket_t *queue, const char *error)
{
    struct worker *worker = queue->data;
    for (int taken = 0; error == NULL && taken < ACCEPT_BATCH; taken++) {
        size_t which;
        int fd = handoff_take(&worker->handoff, &which);
        if (fd < 0) {
            if (lacks_descriptors(errno))
                pause_accepting(worker);
            break;
        }
        worker->passed_at = clock_ms();
        serve(worker, fd, which);
    }
}

static void drain(struct worker *worker)
{
    if (worker->drain_since != 0)
        return;
    worker->drain_since = clock_ms();
    worker->forgot_at = worker->drain_since; /* a place that somebody will come for is waited for */
    atomic_store(&worker->slot->takes_passed, false);
    atomic_store(&worker->slot->state, SHM_DRAINING);
    /* those who were in the queue before us are served yet */
    for (size_t i = 0; worker->accepting && i < worker->inherited->n_listeners; i++) {
        while (worker->accepting && accept_some(worker, i))
            continue;
    }
    listeners_stop(worker);
    http_drain(worker->http);
    if (!h2o_timeout_is_linked(&worker->pause)) /* also where the lanes have not settled yet */
        h2o_socket_read_start(worker->passed, on_passed);
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
    int queue = dup(inherited->handoff->queues[inherited->index].from);
    if (queue < 0)
        log_fatal("cannot take over the queue of passed connections");
    worker->passed = h2o_evloop_socket_create(worker->loop, queue, 0);
    worker->passed->data = worker;
    h2o_socket_dont_read(worker->passed, 1);
}

static struct handler **make_handlers(struct worker *worker)
{
    const struct conf *conf = worker->inherited->conf;
    struct handler **handlers = mem_calloc(conf->n_routes, sizeof(*handlers));
    for (size_t i = 0; i < conf->n_routes; i++) {
        const struct conf_route *route = &conf->routes[i];
        if (route->handler == CONF_HANDLER_SQL)
            handlers[i] = handler_sql_new(route, worker->lanes[route->lane], conf->limits.buffer);
        else if (route->handler == CONF_HANDLER_JSON)
            handlers[i] = handler_json_new(route);
        else if (route->handler == CONF_HANDLER_FILES)
            handlers[i] = handler_files_new(route);
        else if (route->handler == CONF_HANDLER_RELAY)
            handlers[i] = handler_relay_new(route, worker->upstreams);
        else
            handlers[i] = handler_text_new(route);
    }
    return handlers;
}

/* Each lane of each worker has its first connection; what database.max leaves is there for all of them. */
static bool take_spill(void *arg)
{
    const struct worker_inheritance *inherited = ((const struct worker *)arg)->inherited;
    const struct conf *conf = inherited->conf;
    unsigned first = 0;
    for (size_t i = 0; i < conf->n_lanes; i++)
        first += conf->lanes[i].used ? inherited->shm->workers : 0;
    return conf->database.max > first &&
           shm_take_spill(inherited->shm, inherited->index, conf->database.max - first);
}

static void give_spill(void *arg)
{
    const struct worker_inheritance *inherited = ((const struct worker *)arg)->inherited;
    shm_give_spill(inherited->shm, inherited->index);
}

/* Opens the lane that some route needs. Its statement_timeout is the longest deadline of its routes. */
static struct db_lane *make_lane(struct worker *worker, unsigned which)
{
    const struct conf *conf = worker->inherited->conf;
    const struct conf_lane *lane = &conf->lanes[which];
    unsigned deadline = 0;
    for (size_t i = 0; i < conf->n_routes; i++) {
        const struct conf_route *route = &conf->routes[i];
        if (route->handler == CONF_HANDLER_SQL && route->lane == which && route->deadline > deadline)
            deadline = route->deadline;
    }
    if (deadline == 0)
        return NULL;
    _Static_assert((int)SHM_LANES == (int)CONF_MAX_LANES, "each lane has its place in the shared memory");
    return db_lane_new(worker->loop, &(struct db_lane_conf){
                                         .name = lane->name,
                                         .connect = lane->connect,
                                         .read_only = lane->read_only,
                                         .connections = lane->connections,
                                         .queue = lane->queue,
                                         .deadline = deadline,
                                         .spill = conf->database.spill,
                                         .timeouts = worker->timeouts,
                                         .budget_take = take_spill,
                                         .budget_give = give_spill,
                                         .budget_arg = worker,
                                         .state = &worker->slot->lane_states[which],
                                         .open = &worker->slot->lane_open[which],
                                     });
}

/* Tells the others how much memory this process has. now is clock_ms. */
static void measure(struct worker *worker, uint64_t now)
{
    struct memory memory;
    memory_read(&memory);
    atomic_store_explicit(&worker->slot->resident, memory.resident, memory_order_relaxed);
    atomic_store_explicit(&worker->slot->proportional, memory.proportional, memory_order_relaxed);
    worker->measured_at = now;
}

/* Connections are taken only now, when the statements are prepared or the database is known to be away. */
static void on_settled(void *arg)
{
    struct worker *worker = arg;
    if (--worker->n_unsettled > 0 || worker->drain_since != 0)
        return;
    measure(worker, clock_ms());
    resume_accepting(worker);
    atomic_store(&worker->slot->state, SHM_READY);
    if (write(worker->inherited->ready_fd, &worker->inherited->index, sizeof(worker->inherited->index)) < 0)
        log_warn("cannot tell the master that this worker is ready");
}

static bool is_drained(const struct worker *worker)
{
    uint64_t now = clock_ms(), since = now - worker->drain_since;
    if (since >= IDLE_GRACE_MS && now - worker->passed_at >= IDLE_GRACE_MS)
        http_close_idle(worker->http);
    if (worker->n_open == 0 && !handoff_is_expecting(&worker->handoff))
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
    uint64_t steps = http_steps(worker->http);
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
        if (end_turn(worker))
            wait = 0;
        http_turn_end(worker->http);
        worker->turn++;
        uint64_t now = clock_ns();
        if (goes_on(worker, now))
            wait = 0;
        beat(worker, now / 1000000);
        yield_between_turns(&worker->yielding, now);
        if (h2o_evloop_run(worker->loop, wait) != 0 && errno != EINTR)
            log_fatal("the event loop failed");
    }
}

/* Whoever still waits for the database gets 503 or 504; then all connections are closed. */
static void worker_end(struct worker *worker)
{
    worker->stop = true;
    listeners_stop(worker);
    h2o_socket_read_stop(worker->passed);
    http_drain(worker->http);
    for (unsigned i = 0; i < worker->inherited->conf->n_lanes; i++) {
        if (worker->lanes[i] != NULL)
            db_lane_end(worker->lanes[i]);
    }
    upstream_context_end(worker->upstreams);
    /* libh2o has to see the writes of those answers done: a socket that is closed before stays on its list */
    h2o_evloop_run(worker->loop, 0);
    http_free(worker->http);
    upstream_context_free(worker->upstreams);
    for (unsigned i = 0; i < worker->inherited->conf->n_lanes; i++) {
        if (worker->lanes[i] != NULL)
            db_lane_free(worker->lanes[i]);
    }
    outbox_free(worker->outbox);
    h2o_timeout_unlink(&worker->pause);
    timeouts_free(worker->timeouts);
    for (size_t i = 0; i < worker->inherited->n_listeners; i++)
        h2o_socket_close(worker->listeners[i]);
    free(worker->listeners);
    h2o_socket_close(worker->passed);
    h2o_socket_close(worker->signals);
    h2o_evloop_destroy(worker->loop);
}

int worker_run(const struct worker_inheritance *inherited)
{
    char name[32];
    mem_keep_a_megabyte();
    snprintf(name, sizeof(name), "worker %u", inherited->index + 1);
    log_open(name, inherited->conf->log);
    complain_share(&inherited->shm->complaints);
    privileges_give_up(inherited->conf);
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) /* after that: a change of user clears it */
        log_warn("this worker would outlive a killed master");
    if (getppid() != inherited->master)
        return EXIT_FAILURE; /* the master died before the line above could take effect */
    prctl(PR_SET_TIMERSLACK, TIMER_SLACK_NS);

    struct worker worker = {
        .inherited = inherited,
        .slot = &inherited->shm->slots[inherited->index],
        .handoff = {.handoff = inherited->handoff, .shm = inherited->shm, .index = inherited->index},
    };
    worker.loop = h2o_evloop_create();
    worker.timeouts = timeouts_new(worker.loop);
    watch_signals(&worker);
    open_listeners(&worker);
    for (unsigned i = 0; i < inherited->conf->n_lanes; i++)
        worker.lanes[i] = make_lane(&worker, i);
    if (inherited->conf->io_uring == CONF_ON) {
        worker.outbox = outbox_new(worker.loop);
        if (worker.outbox == NULL && inherited->index == 0)
            log_info("io_uring is not to be had (%s): each answer is sent by itself", strerror(errno));
    }
    worker.upstreams = upstream_context_new(worker.loop, inherited->conf, worker.timeouts, worker.outbox);
    worker.http = http_new(worker.loop, inherited->conf, make_handlers(&worker), worker.slot, worker.timeouts,
                           worker.outbox);
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
