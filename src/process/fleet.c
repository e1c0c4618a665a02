/* fleet.c: all generations of workers, and the listeners that they share. */
#include "process/fleet.h"

#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "process/address.h"
#include "process/logging.h"

enum {
    FAILED_STARTS_MAX = 5, /* in a row, before any worker was ever ready: then the server gives up */
    FAILED_TRIES_MAX = 3,  /* of a candidate */
    CANDIDATE_MS = 60000,  /* for its workers to be prepared, and to find a place */
    KILL_GRACE_MS = 2000,  /* on top of the drain limit, before SIGKILL */
    FAST_STOP_MS = 3000,   /* for a stop at once */
    LOOK_AGAIN_MS = 50,    /* where others have to make room first */
    REFUSE_MOST_MS = 5000, /* for workers to take the last connections of a listener */
};

/* The next of two waits in ms, of which -1 is none. */
static int sooner(int a, int b)
{
    return a < 0 ? b : b < 0 || a < b ? a : b;
}

/* Listeners */

struct listener *fleet_find_listener(const struct fleet *fleet, const char *address)
{
    for (size_t i = 0; i < fleet->n_listeners; i++) {
        if (strcmp(fleet->listeners[i]->address, address) == 0)
            return fleet->listeners[i];
    }
    return NULL;
}

struct listener *fleet_add_listener(struct fleet *fleet, struct listener listener)
{
    MEM_GROW(&fleet->listeners, fleet->n_listeners);
    struct listener *added = mem_alloc(sizeof(*added));
    *added = listener;
    fleet->listeners[fleet->n_listeners++] = added;
    return added;
}

static void mark(const struct generation *generation)
{
    for (size_t i = 0; generation != NULL && i < generation->n_listeners; i++)
        generation->listeners[i]->kept = true;
}

/* Marks those that some generation accepts from, or will. */
static void mark_kept(struct fleet *fleet)
{
    for (size_t i = 0; i < fleet->n_listeners; i++)
        fleet->listeners[i]->kept = false;
    if (!fleet->stopping)
        mark(fleet->running);
    mark(fleet->candidate);
}

static bool has_listener(const struct generation *generation, const struct listener *listener)
{
    for (size_t i = 0; i < generation->n_listeners; i++) {
        if (generation->listeners[i] == listener)
            return true;
    }
    return false;
}

/* No generation may point to it any longer. */
static void forget_listener(struct generation *generation, const struct listener *listener)
{
    size_t kept = 0;
    for (size_t i = 0; i < generation->n_listeners; i++) {
        if (generation->listeners[i] != listener)
            generation->listeners[kept++] = generation->listeners[i];
    }
    generation->n_listeners = kept;
}

static bool is_emptied_by(const struct generation *generation, struct shm *shm,
                          const struct listener *listener)
{
    if (!has_listener(generation, listener))
        return false;
    for (unsigned i = 0; i < generation->n_workers; i++) {
        if (generation->workers[i].pid != 0 &&
            atomic_load(&shm_slot(shm, generation->shared, i)->state) != SHM_DRAINING)
            return true;
    }
    return false;
}

/* May some worker that leaves still take connections of it? */
static bool is_being_emptied(const struct fleet *fleet, const struct listener *listener)
{
    for (size_t i = 0; i < fleet->n_leaving; i++) {
        if (is_emptied_by(fleet->leaving[i], fleet->home.shm, listener))
            return true;
    }
    return fleet->stopping && is_emptied_by(fleet->running, fleet->home.shm, listener);
}

void fleet_drop_listeners(struct fleet *fleet)
{
    size_t kept = 0;
    bool overdue = fleet->refuse_at != 0 && clock_ms() >= fleet->refuse_at;
    mark_kept(fleet);
    for (size_t i = 0; i < fleet->n_listeners; i++) {
        struct listener *listener = fleet->listeners[i];
        if (listener->kept || (is_being_emptied(fleet, listener) && !overdue)) {
            fleet->listeners[kept++] = listener;
            continue;
        }
        for (size_t j = 0; j < fleet->n_leaving; j++)
            forget_listener(fleet->leaving[j], listener);
        forget_listener(fleet->running, listener);
        listen_shut(listener);
        listen_close(listener, true);
        free(listener);
    }
    fleet->n_listeners = kept;
}

/*
 * Those that nobody is to accept from any longer get no new connections; workers that leave take what has
 * come. Returns whether there are any.
 */
static bool refuse_dropped(struct fleet *fleet)
{
    bool any = false;
    mark_kept(fleet);
    for (size_t i = 0; i < fleet->n_listeners; i++) {
        if (!fleet->listeners[i]->kept) {
            listen_refuse(fleet->listeners[i]);
            fleet->refuse_at = clock_ms() + REFUSE_MOST_MS;
            any = true;
        }
    }
    return any;
}

/* Beginning */

static bool open_listeners(struct fleet *fleet, struct generation *generation)
{
    const struct conf *conf = generation->conf;
    generation->listeners = mem_calloc(conf->n_listen, sizeof(*generation->listeners));
    for (size_t i = 0; i < conf->n_listen; i++) {
        struct listener opened;
        if (address_open(&opened, conf, i, &fleet->passed, generation->n_workers, false) != 0)
            return false;
        struct listener *listener = fleet_add_listener(fleet, opened);
        generation->listeners[generation->n_listeners++] = listener;
        for (size_t j = 0; j < listener->n_fds; j++) {
            if (listen_begin(listener->fds[j]) != 0) {
                log_error("cannot listen on %s", listener->address);
                return false;
            }
        }
    }
    return true;
}

static void open_ready_pipe(struct fleet *fleet)
{
    if (pipe2(fleet->home.ready_pipe, O_NONBLOCK | O_CLOEXEC) != 0)
        log_fatal("cannot watch the workers");
}

bool fleet_begin(struct fleet *fleet, struct conf *conf)
{
    unsigned workers = program_workers(conf);
    fleet->running = generation_new(&fleet->home, conf, workers);
    if (fleet->running == NULL)
        return false;
    fleet->running->role = GENERATION_RUNNING;
    if (!open_listeners(fleet, fleet->running))
        return false;
    open_ready_pipe(fleet);
    fleet->home.shm = shm_new(&fleet->shm_fd);
    return generation_settle(fleet->running, &fleet->home) == GENERATION_SETTLED;
}

/* Handing over */

struct takeover fleet_hand_over(const struct fleet *fleet)
{
    struct takeover takeover = {.shm = fleet->shm_fd,
                                .ready_pipe = {fleet->home.ready_pipe[0], fleet->home.ready_pipe[1]},
                                .control = -1,
                                .passed = fleet->passed,
                                .last_number = fleet->home.last_number,
                                .listeners = fleet->listeners,
                                .n_listeners = fleet->n_listeners};
    takeover.generations = mem_calloc(fleet->n_leaving + 2, sizeof(*takeover.generations));
    for (size_t i = 0; i < fleet->n_leaving; i++)
        takeover.generations[takeover.n_generations++] = fleet->leaving[i];
    takeover.generations[takeover.n_generations++] = fleet->running;
    if (fleet->candidate != NULL)
        takeover.generations[takeover.n_generations++] = fleet->candidate;
    return takeover;
}

static void add_leaving(struct fleet *fleet, struct generation *generation)
{
    MEM_GROW(&fleet->leaving, fleet->n_leaving);
    fleet->leaving[fleet->n_leaving++] = generation;
}

bool fleet_take_over(struct fleet *fleet, struct takeover *takeover)
{
    struct generation *candidate = NULL;
    fleet->shm_fd = takeover->shm;
    fleet->home.shm = shm_map(takeover->shm);
    memcpy(fleet->home.ready_pipe, takeover->ready_pipe, sizeof(takeover->ready_pipe));
    fleet->home.last_number = takeover->last_number;
    fleet->passed = takeover->passed;
    fleet->listeners = takeover->listeners;
    fleet->n_listeners = takeover->n_listeners;
    if (fleet->home.shm == NULL)
        return false;
    for (size_t i = 0; i < takeover->n_generations; i++) {
        struct generation *generation = takeover->generations[i];
        if (generation->place != 0)
            generation->shared = &fleet->home.shm->generations[generation->place - 1];
        if (generation->role == GENERATION_LEAVING)
            add_leaving(fleet, generation);
        else if (generation->role == GENERATION_RUNNING)
            fleet->running = generation;
        else
            candidate = generation;
    }
    free(takeover->generations);
    if (fleet->running == NULL)
        return false;
    if (candidate != NULL)
        fleet_follow(fleet, candidate);
    return true;
}

/* Following */

void fleet_follow(struct fleet *fleet, struct generation *candidate)
{
    fleet->candidate = candidate;
    fleet->exchanging = false;
    fleet->give_up_at = clock_ms() + CANDIDATE_MS;
    fleet->lacks = "its workers were not ready in time";
}

bool fleet_adjust(struct fleet *fleet, int workers)
{
    struct generation *running = fleet->running;
    unsigned wanted = running->n_workers + (unsigned)workers;
    int snapshot = fcntl(running->snapshot, F_DUPFD_CLOEXEC, 0);
    if (snapshot < 0) {
        log_error("cannot keep a copy of the conf");
        return false;
    }
    for (size_t i = 0; i < running->n_listeners; i++) {
        if (listen_grow(running->listeners[i], wanted) != 0) {
            close(snapshot);
            return false;
        }
    }
    struct generation *candidate = generation_of_snapshot(++fleet->home.last_number, snapshot);
    candidate->n_workers = wanted;
    candidate->workers = mem_calloc(wanted, sizeof(*candidate->workers));
    candidate->listeners = mem_calloc(running->n_listeners, sizeof(*candidate->listeners));
    candidate->n_listeners = running->n_listeners;
    memcpy(candidate->listeners, running->listeners, running->n_listeners * sizeof(*candidate->listeners));
    fleet_follow(fleet, candidate);
    return true;
}

/* All is as it was before the candidate came. */
static void give_up(struct fleet *fleet, const char *why)
{
    struct generation *candidate = fleet->candidate;
    fleet->candidate = NULL;
    generation_leave(candidate, fleet->home.shm,
                     candidate->drain + KILL_GRACE_MS); /* in an exchange it may have connections */
    add_leaving(fleet, candidate);
    shm_be_frugal(fleet->home.shm, false);
    refuse_dropped(fleet);
    fleet->ops->switched(fleet->arg, why);
}

/* A Unix socket that was there before may have other rights in the new conf. */
static void set_rights(const struct generation *generation)
{
    for (size_t i = 0; i < generation->n_listeners; i++) {
        if (!listen_set_rights(generation->listeners[i], &generation->conf->listen[i].rights))
            log_warn("cannot change mode, owner and group of %s", generation->listeners[i]->address);
    }
}

/* The candidate is the running one from now on. */
static void commit(struct fleet *fleet)
{
    struct generation *before = fleet->running;
    fleet->running = fleet->candidate;
    fleet->candidate = NULL;
    fleet->running->role = GENERATION_RUNNING;
    set_rights(fleet->running);
    generation_say_go(fleet->running);
    shm_be_frugal(fleet->home.shm, false);
    add_leaving(fleet, before);
    bool dropped = refuse_dropped(fleet);
    atomic_store(&before->shared->succeeded, !dropped);
    generation_leave(before, fleet->home.shm, before->drain + KILL_GRACE_MS);
}

/* Connections to PostgreSQL that workers of all generations always have. */
static unsigned steady_connections(const struct fleet *fleet)
{
    unsigned sum = 0;
    for (unsigned i = 0; i < SHM_GENERATIONS; i++) {
        if (atomic_load(&fleet->home.shm->generations[i].number) != 0)
            sum += atomic_load(&fleet->home.shm->generations[i].steady);
    }
    return sum;
}

/* Is a worker that was told to leave still there? Then its place is not free yet. */
static bool someone_leaves(const struct fleet *fleet)
{
    for (unsigned i = 0; i < fleet->running->n_workers; i++) {
        if (fleet->running->workers[i].pid != 0 && fleet->running->workers[i].leaves)
            return true;
    }
    return false;
}

/* Sends one worker of the running generation away, for one of the candidate's. */
static void exchange_one(struct fleet *fleet)
{
    for (unsigned i = 0; i < fleet->running->n_workers; i++) {
        if (!fleet->running->workers[i].leaves) {
            generation_dismiss(fleet->running, fleet->home.shm, i);
            return;
        }
    }
}

/* May another worker of the candidate connect to PostgreSQL? Makes room where it may not. */
static bool has_room(struct fleet *fleet, unsigned prepared, unsigned started)
{
    struct generation *candidate = fleet->candidate;
    unsigned max = candidate->database_max, more = candidate->n_lanes;
    if (more == 0 || shm_connections(fleet->home.shm) + more <= max)
        return true;
    shm_be_frugal(fleet->home.shm, true);
    if (steady_connections(fleet) + more <= max || fleet->n_leaving > 0 || prepared < started ||
        someone_leaves(fleet))
        return false;
    fleet->exchanging = true;
    generation_say_go(candidate);
    exchange_one(fleet);
    return false;
}

/* Gives the candidate its slots. Returns false where it has to wait for them, or was given up. */
static bool find_place(struct fleet *fleet)
{
    switch (generation_settle(fleet->candidate, &fleet->home)) {
    case GENERATION_SETTLED:
        fleet->lacks = "its workers were not ready in time";
        return true;
    case GENERATION_HAS_TO_WAIT:
        fleet->lacks = "too many workers of reloads before it are still finishing their requests";
        return false;
    default:
        give_up(fleet, "there are not enough file descriptors for its workers");
        return false;
    }
}

/* Starts what may be started of the candidate's workers, and commits when all are prepared. */
static int follow_step(struct fleet *fleet)
{
    struct generation *candidate = fleet->candidate;
    uint64_t now = clock_ms();
    if (now >= fleet->give_up_at) {
        give_up(fleet, fleet->lacks);
        return 0;
    }
    if (!generation_load(candidate, fleet->home.program)) {
        give_up(fleet, "its conf cannot be read any more");
        return 0;
    }
    if (candidate->shared == NULL && !find_place(fleet))
        return LOOK_AGAIN_MS;
    generation_start_helpers(candidate, &fleet->home);
    unsigned prepared = generation_count(candidate, fleet->home.shm, SHM_PREPARED), started = 0;
    for (unsigned i = 0; i < candidate->n_workers; i++)
        started += candidate->workers[i].pid != 0;
    for (unsigned i = 0; i < candidate->n_workers; i++) {
        struct child *worker = &candidate->workers[i];
        if (worker->pid != 0 || worker->start_at > now)
            continue;
        if (!has_room(fleet, prepared, started))
            break;
        generation_start_worker(candidate, &fleet->home, i);
        started++;
    }
    if (fleet->exchanging)
        generation_say_go(candidate);
    if (prepared == candidate->n_workers)
        commit(fleet);
    return LOOK_AGAIN_MS;
}

/* Running */

/* Frees the generations that have left. */
static void bury(struct fleet *fleet)
{
    size_t kept = 0;
    for (size_t i = 0; i < fleet->n_leaving; i++) {
        if (generation_is_alive(fleet->leaving[i]))
            fleet->leaving[kept++] = fleet->leaving[i];
        else
            generation_free(fleet->leaving[i], fleet->home.shm);
    }
    fleet->n_leaving = kept;
}

/* Those whose place a candidate took that was given up then are started again. */
static void want_all_again(struct generation *running)
{
    for (unsigned i = 0; i < running->n_workers; i++) {
        if (running->workers[i].pid == 0)
            running->workers[i].leaves = false;
    }
}

int fleet_step(struct fleet *fleet)
{
    int wait = -1;
    if (!fleet->stopping && fleet->candidate == NULL)
        want_all_again(fleet->running);
    if (!fleet->stopping && !(fleet->candidate != NULL && fleet->exchanging))
        wait = generation_start_due(fleet->running, &fleet->home);
    wait = sooner(wait, fleet->stopping ? generation_keep_helpers(fleet->running, &fleet->home)
                                        : generation_start_helpers(fleet->running, &fleet->home));
    if (fleet->candidate != NULL)
        wait = sooner(wait, follow_step(fleet));
    for (size_t i = 0; i < fleet->n_leaving; i++) {
        wait = sooner(wait, generation_kill_overdue(fleet->leaving[i]));
        wait = sooner(wait, generation_keep_helpers(fleet->leaving[i], &fleet->home));
    }
    if (fleet->stopping)
        wait = sooner(wait, generation_kill_overdue(fleet->running));
    bury(fleet);
    if (fleet->refuse_at != 0) {
        fleet_drop_listeners(fleet);
        wait = sooner(wait, LOOK_AGAIN_MS);
        if (clock_ms() >= fleet->refuse_at)
            fleet->refuse_at = 0;
    }
    return wait;
}

static void announce(const struct generation *generation)
{
    const struct conf *conf = generation->conf;
    for (size_t i = 0; i < conf->n_listen; i++) {
        const struct conf_listen *listen = &conf->listen[i];
        log_info("serving%s%s on %s with %u %s", listen->name == NULL ? "" : " ",
                 listen->name == NULL ? "" : listen->name, listen->address, generation->n_workers,
                 generation->n_workers == 1 ? "worker" : "workers");
    }
}

/* Is there a generation before the running one that still accepts connections? */
static bool is_followed(const struct fleet *fleet)
{
    for (size_t i = 0; i < fleet->n_leaving; i++) {
        if (generation_count(fleet->leaving[i], fleet->home.shm, SHM_READY) >
            generation_count(fleet->leaving[i], fleet->home.shm, SHM_DRAINING))
            return true;
    }
    return false;
}

/* A worker says which of its generation's helpers is overdue. */
static void kill_condemned(struct fleet *fleet)
{
    for (unsigned i = 0; i < SHM_CONDEMNED; i++) {
        _Atomic pid_t *place = &fleet->home.shm->condemned[i];
        pid_t pid = atomic_load(place) == 0 ? 0 : atomic_exchange(place, 0);
        if (pid == 0 || helpers_kill_one(&fleet->running->helpers, pid) ||
            (fleet->candidate != NULL && helpers_kill_one(&fleet->candidate->helpers, pid)))
            continue;
        for (size_t j = 0; j < fleet->n_leaving; j++)
            helpers_kill_one(&fleet->leaving[j]->helpers, pid);
    }
}

void fleet_on_ready(struct fleet *fleet)
{
    struct generation *running = fleet->running;
    char bytes[256];
    while (read(fleet->home.ready_pipe[0], bytes, sizeof(bytes)) > 0)
        continue;
    kill_condemned(fleet);
    if (generation_count(running, fleet->home.shm, SHM_PREPARED) > 0) {
        running->ever_ready = true;
        running->failed_starts = 0;
    }
    generation_say_go(running);
    if (!running->announced && !fleet->stopping &&
        generation_count(running, fleet->home.shm, SHM_READY) == running->n_workers && !is_followed(fleet)) {
        running->announced = true;
        if (generation_load(running, fleet->home.program)) /* it may be one of the program before */
            announce(running);
        fleet->ops->switched(fleet->arg, NULL);
    }
}

/* "died before ready" is not "crashed": a conf or a machine on which no worker can start is given up. */
static void on_failed_start(struct fleet *fleet, const struct generation *generation)
{
    if (generation == fleet->candidate && generation->failed_starts >= FAILED_TRIES_MAX) {
        give_up(fleet, "its workers cannot start");
    } else if (generation == fleet->running && !generation->ever_ready &&
               generation->failed_starts >= FAILED_STARTS_MAX) {
        log_errorx("giving up: %u workers in a row could not start", generation->failed_starts);
        fleet->failed = true;
        fleet_stop(fleet, true);
    }
}

bool fleet_take_death(struct fleet *fleet, pid_t pid, int status)
{
    bool failed = false;
    for (size_t i = 0; i < fleet->n_leaving; i++) {
        if (generation_take_death(fleet->leaving[i], &fleet->home, pid, status, &failed))
            return true;
    }
    struct generation *both[] = {fleet->running, fleet->candidate};
    for (size_t i = 0; i < 2; i++) {
        if (both[i] == NULL || both[i]->shared == NULL ||
            !generation_take_death(both[i], &fleet->home, pid, status, &failed))
            continue;
        if (failed && !fleet->stopping)
            on_failed_start(fleet, both[i]);
        return true;
    }
    return false;
}

void fleet_stop(struct fleet *fleet, bool at_once)
{
    bool first = !fleet->stopping;
    fleet->stopping = true;
    if (fleet->candidate != NULL)
        give_up(fleet, "the server stops");
    if (first)
        generation_leave(fleet->running, fleet->home.shm,
                         at_once ? FAST_STOP_MS : fleet->running->drain + KILL_GRACE_MS);
    if (first)
        refuse_dropped(fleet);
    if (!at_once)
        return;
    generation_leave(fleet->running, fleet->home.shm, FAST_STOP_MS);
    generation_signal(fleet->running, SIGQUIT);
    for (size_t i = 0; i < fleet->n_leaving; i++) {
        generation_leave(fleet->leaving[i], fleet->home.shm, FAST_STOP_MS);
        generation_signal(fleet->leaving[i], SIGQUIT);
    }
}

void fleet_open_logs(struct fleet *fleet)
{
    if (generation_load(fleet->running, fleet->home.program))
        logging_begin("master", fleet->running->conf);
    generation_open_logs(fleet->running, fleet->home.program);
    if (fleet->candidate != NULL)
        generation_open_logs(fleet->candidate, fleet->home.program);
    for (size_t i = 0; i < fleet->n_leaving; i++)
        generation_open_logs(fleet->leaving[i], fleet->home.program);
}

bool fleet_is_alive(const struct fleet *fleet)
{
    return fleet->n_leaving > 0 || generation_is_alive(fleet->running);
}

void fleet_end(struct fleet *fleet)
{
    for (size_t i = 0; i < fleet->n_leaving; i++)
        generation_free(fleet->leaving[i], fleet->home.shm);
    if (fleet->running != NULL)
        generation_free(fleet->running, fleet->home.shm);
    for (size_t i = 0; i < fleet->n_listeners; i++) {
        listen_close(fleet->listeners[i], true);
        free(fleet->listeners[i]);
    }
    sd_close_sockets(&fleet->passed);
    free(fleet->listeners);
    free(fleet->leaving);
    if (fleet->home.shm != NULL) {
        shm_unmap(fleet->home.shm);
        close(fleet->shm_fd);
        close(fleet->home.ready_pipe[0]);
        close(fleet->home.ready_pipe[1]);
    }
}
