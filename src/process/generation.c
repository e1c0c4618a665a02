/* generation.c: the workers of one conf: fork, tell, kill. */
#include "process/generation.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/pack.h"
#include "conf/kind.h"
#include "process/logging.h"
#include "process/worker.h"

enum {
    STEADY_MS = 10000,                  /* a worker that lived so long is started again at once */
    SPARE_FILES = 64,                   /* descriptors of a worker that are no client's */
    FORK_AGAIN_MS = 5000,               /* where the kernel gives out no process */
    SNAPSHOT_MOST = 1024 * 1024 * 1024, /* bytes */
};

static void describe(struct generation *generation)
{
    const struct conf *conf = generation->conf;
    generation->n_lanes = 0;
    for (size_t i = 0; i < conf->n_lanes; i++)
        generation->n_lanes += conf->lanes[i].used;
    generation->database_max = conf->database.max;
    generation->drain = conf->limits.drain;
    generation->drain_notice = conf->limits.drain_notice;
}

struct generation *generation_new(struct generation_home *home, struct conf *conf, unsigned workers)
{
    struct pack pack = {0};
    conf_snapshot(conf, &pack);
    int snapshot = pack_to_file(&pack, "hayfork conf");
    free(pack.data);
    if (snapshot < 0) {
        log_error("cannot keep a copy of the conf");
        conf_free(conf);
        return NULL;
    }
    struct generation *generation = generation_of_snapshot(++home->last_number, snapshot);
    generation->conf = conf;
    generation->n_workers = workers;
    generation->workers = mem_calloc(workers, sizeof(*generation->workers));
    describe(generation);
    return generation;
}

struct generation *generation_of_snapshot(unsigned number, int snapshot)
{
    struct generation *generation = mem_calloc(1, sizeof(*generation));
    generation->number = number;
    generation->snapshot = snapshot;
    generation->role = GENERATION_CANDIDATE;
    generation->helpers = helpers_none();
    return generation;
}

bool generation_load(struct generation *generation, const struct program *program)
{
    size_t len;
    if (generation->conf != NULL)
        return true;
    generation->snapshot_text = pack_from_file(generation->snapshot, SNAPSHOT_MOST, &len);
    if (generation->snapshot_text == NULL) {
        log_error("cannot read the copy of the conf");
        return false;
    }
    struct str text = {generation->snapshot_text, len};
    generation->conf =
        conf_load_snapshot(text, program->conf_path, program->overrides, program->n_overrides, stderr);
    char *problem = generation->conf == NULL ? NULL : conf_open_secrets(generation->conf);
    if (problem != NULL)
        log_errorx("%s", problem);
    if (generation->conf == NULL || problem != NULL) {
        conf_free(generation->conf);
        free(generation->snapshot_text);
        free(problem);
        generation->conf = NULL;
        generation->snapshot_text = NULL;
        return false;
    }
    describe(generation);
    return true;
}

/*
 * Every client takes a descriptor, every upstream connection one, every connection to PostgreSQL two (libpq's
 * and the loop's). While a file is sent a client takes a second one, and while generations leave the master
 * has the queues of their workers, too: that is asked for, but it is no reason to complain where it is not
 * available. Workers inherit the limit.
 */
static void raise_file_limit(const struct conf *conf, unsigned workers)
{
    struct rlimit limit;
    rlim_t needed = conf->limits.clients + SPARE_FILES + 2 * conf_connections(conf, 1);
    if (conf->listen[conf->n_listen - 1].is_admin)
        needed += WORKER_ADMIN_MOST;
    if (conf_makes_images(conf)) /* an original, a picture, and the way to a helper */
        needed += 3 * ((rlim_t)conf->images.queue + 1);
    if (conf_runs_models(conf)) /* texts and results, each twice, and the way to a helper */
        needed += 5 * ((rlim_t)conf->inference.queue + 1);
    needed += (conf->n_listen + 2) * workers; /* the master has the sockets and queues of all */
    for (size_t i = 0; i < conf->n_upstreams; i++)
        needed += conf->upstreams[i].connections;
    unsigned most = 0; /* that a client may have besides its socket */
    for (size_t i = 0; i < conf->n_routes; i++) {
        if (conf->routes[i].kind->descriptors > most)
            most = conf->routes[i].kind->descriptors;
    }
    rlim_t wanted = needed + (rlim_t)most * conf->limits.clients;
    wanted += 2 * (SHM_GENERATIONS - 1) * (rlim_t)workers; /* the master's queues of those that leave */
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    rlim_t possible = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    limit.rlim_cur = possible;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || possible < needed)
        log_warnx(
            "limits.clients is %u, but a process may only open %llu files: raise LimitNOFILE or ulimit -n",
            conf->limits.clients, (unsigned long long)possible);
}

enum generation_place generation_settle(struct generation *generation, struct generation_home *home)
{
    struct shm_generation *shared = shm_begin_generation(home->shm, generation->number, generation->n_workers,
                                                         (unsigned)generation->conf->n_routes + 1,
                                                         (unsigned)conf_servers(generation->conf));
    if (shared == NULL)
        return GENERATION_HAS_TO_WAIT;
    raise_file_limit(generation->conf, generation->n_workers);
    if (!handoff_open(&generation->handoff, generation->n_workers)) {
        shm_end_generation(home->shm, shared);
        return GENERATION_HAS_NONE;
    }
    if (!helpers_open(&generation->helpers, generation->conf)) {
        handoff_close(&generation->handoff);
        shm_end_generation(home->shm, shared);
        return GENERATION_HAS_NONE;
    }
    generation->shared = shared;
    generation->place = (unsigned)(shared - home->shm->generations) + 1;
    return GENERATION_SETTLED;
}

_Noreturn static void run_worker(const struct generation *generation, const struct generation_home *home,
                                 unsigned index, pid_t parent)
{
    struct worker_inheritance inherited = {
        .conf = generation->conf,
        .listeners = generation->listeners,
        .n_listeners = generation->n_listeners,
        .shm = home->shm,
        .generation = generation->shared,
        .handoff = &generation->handoff,
        .images = generation->helpers.kinds[HELPERS_IMAGES].from,
        .inference = generation->helpers.kinds[HELPERS_INFERENCE].from,
        .index = index,
        .ready_fd = home->ready_pipe[1],
        .master = parent,
        .commit = home->program->commit,
    };
    close(home->signal_fd);
    close(home->ready_pipe[0]);
    exit(worker_run(&inherited));
}

/* The others count on as many connections as its workers always have. */
static void count_steady(const struct generation *generation)
{
    unsigned alive = 0;
    for (unsigned i = 0; i < generation->n_workers; i++)
        alive += generation->workers[i].pid != 0;
    if (generation->shared != NULL)
        atomic_store(&generation->shared->steady, alive * generation->n_lanes);
}

void generation_start_worker(struct generation *generation, struct generation_home *home, unsigned index)
{
    struct child *worker = &generation->workers[index];
    struct shm_slot *slot = shm_slot(home->shm, generation->shared, index);
    pid_t parent = getpid();
    if (!generation_load(generation, home->program)) {
        worker->start_at = clock_ms() + FORK_AGAIN_MS;
        return;
    }
    shm_slot_begin(home->shm, slot);
    pid_t pid = fork();
    if (pid == 0)
        run_worker(generation, home, index, parent);
    if (pid < 0) {
        log_error("cannot fork worker %u", index + 1);
        worker->start_at = clock_ms() + FORK_AGAIN_MS;
        return;
    }
    worker->pid = pid;
    worker->leaves = false;
    metric_add(METRIC_WORKER_STARTS, 1);
    atomic_store(&slot->pid, pid);
    count_steady(generation);
}

int generation_start_helpers(struct generation *generation, struct generation_home *home)
{
    if (!helpers_are_wanted(&generation->helpers) || !generation_load(generation, home->program))
        return -1;
    return helpers_start_due(&generation->helpers, generation->conf);
}

int generation_start_due(struct generation *generation, struct generation_home *home)
{
    uint64_t now = clock_ms(), next = UINT64_MAX;
    for (unsigned i = 0; i < generation->n_workers; i++) {
        struct child *worker = &generation->workers[i];
        if (worker->pid == 0 && !worker->leaves && worker->start_at <= now)
            generation_start_worker(generation, home, i);
        if (worker->pid == 0 && !worker->leaves && worker->start_at < next)
            next = worker->start_at;
    }
    return next == UINT64_MAX ? -1 : (int)(next > now ? next - now : 0);
}

static void log_death(const struct generation *generation, unsigned index, pid_t pid, int status,
                      bool was_ready, const struct shm *shm, const struct shm_slot *slot)
{
    const char *route = shm_name_text(shm, atomic_load(&slot->route));
    char *death = child_describe_death(status, atomic_load(&slot->resident));
    if (generation->workers[index].leaves) {
        if (status != 0)
            log_warnx("worker %u %s while stopping", index + 1, death);
    } else if (!was_ready) {
        log_errorx("worker %u %s before it was ready", index + 1, death);
    } else {
        log_errorx("worker %u (process %d) %s%s%s; a new one takes its place", index + 1, (int)pid, death,
                   route == NULL ? "" : " in ", route == NULL ? "" : route);
    }
    free(death);
}

/* A fault of the program, as far as a signal tells: whoever else sends one sends another one. */
static bool is_crash(int signal)
{
    return signal == SIGSEGV || signal == SIGBUS || signal == SIGILL || signal == SIGFPE ||
           signal == SIGABRT || signal == SIGTRAP || signal == SIGSYS;
}

static void count_death(int status, bool was_ready)
{
    metric_add(!was_ready                   ? METRIC_WORKER_NEVER_READY
               : !WIFSIGNALED(status)       ? METRIC_WORKER_EXITED
               : is_crash(WTERMSIG(status)) ? METRIC_WORKER_CRASHED
                                            : METRIC_WORKER_KILLED,
               1);
}

bool generation_take_death(struct generation *generation, struct generation_home *home, pid_t pid, int status,
                           bool *failed)
{
    unsigned index = 0;
    *failed = false;
    if (helpers_take_death(&generation->helpers, pid, status))
        return true;
    while (index < generation->n_workers && generation->workers[index].pid != pid)
        index++;
    if (index == generation->n_workers)
        return false;
    struct child *worker = &generation->workers[index];
    struct shm_slot *slot = shm_slot(home->shm, generation->shared, index);
    bool was_ready = atomic_load(&slot->state) >= SHM_PREPARED;
    log_death(generation, index, pid, status, was_ready, home->shm, slot);
    if (!worker->leaves)
        count_death(status, was_ready);
    worker->pid = 0;
    atomic_store(&slot->state, SHM_EMPTY);
    atomic_store(&slot->pid, 0);
    atomic_store(&slot->takes_passed, false);
    handoff_forget_dead(slot);
    atomic_store(&slot->spills, 0);
    shm_slot_end(home->shm, generation->shared, index);
    count_steady(generation);
    *failed = !was_ready && !worker->leaves;
    generation->failed_starts = *failed ? generation->failed_starts + 1 : 0;
    child_back_off(worker, was_ready && clock_ms() - atomic_load(&slot->started) >= STEADY_MS);
    return true;
}

void generation_say_go(struct generation *generation)
{
    generation_signal(generation, SIGUSR2);
}

unsigned generation_count(const struct generation *generation, struct shm *shm, enum shm_worker_state state)
{
    unsigned n = 0;
    for (unsigned i = 0; generation->shared != NULL && i < generation->n_workers; i++)
        n += generation->workers[i].pid != 0 &&
             atomic_load(&shm_slot(shm, generation->shared, i)->state) >= (int)state;
    return n;
}

/* Opens a file and passes it to all workers. */
static void open_log(const struct generation *generation, size_t which, const char *path)
{
    if (!logging_is_file(path))
        return;
    int fd = logging_open(path);
    if (fd < 0) {
        log_error("cannot open %s again", path);
        return;
    }
    for (unsigned i = 0; i < generation->n_workers; i++) {
        if (generation->workers[i].pid != 0 && !handoff_pass_file(&generation->handoff, i, which, fd))
            log_error("cannot pass %s to worker %u", path, i + 1);
    }
    close(fd);
}

void generation_open_logs(struct generation *generation, const struct program *program)
{
    if (generation->shared == NULL || !generation_load(generation, program))
        return;
    open_log(generation, LOGGING_LOG, generation->conf->log.to);
    for (size_t i = 0; i < generation->conf->n_access_files; i++)
        open_log(generation, LOGGING_ACCESS + i, generation->conf->access_files[i]);
}

static bool has_workers(const struct generation *generation)
{
    for (unsigned i = 0; i < generation->n_workers; i++) {
        if (generation->workers[i].pid != 0)
            return true;
    }
    return false;
}

bool generation_is_alive(const struct generation *generation)
{
    return has_workers(generation) || helpers_are_alive(&generation->helpers);
}

int generation_keep_helpers(struct generation *generation, struct generation_home *home)
{
    if (has_workers(generation))
        return generation_start_helpers(generation, home);
    helpers_end(&generation->helpers);
    return -1;
}

void generation_signal(const struct generation *generation, int signal)
{
    for (unsigned i = 0; i < generation->n_workers; i++) {
        if (generation->workers[i].pid != 0)
            kill(generation->workers[i].pid, signal);
    }
}

void generation_dismiss(struct generation *generation, struct shm *shm, unsigned index)
{
    struct child *worker = &generation->workers[index];
    worker->leaves = true;
    if (worker->pid == 0)
        return;
    atomic_store(&shm_slot(shm, generation->shared, index)->is_dismissed, true);
    kill(worker->pid, SIGTERM);
}

void generation_leave(struct generation *generation, struct shm *shm, unsigned limit_ms)
{
    uint64_t kill_at = clock_ms() + limit_ms;
    if (generation->kill_at == 0 || kill_at < generation->kill_at)
        generation->kill_at = kill_at;
    generation->role = GENERATION_LEAVING;
    for (unsigned i = 0; i < generation->n_workers; i++)
        generation_dismiss(generation, shm, i);
}

int generation_kill_overdue(struct generation *generation)
{
    uint64_t now = clock_ms();
    if (generation->role != GENERATION_LEAVING || generation->kill_at == UINT64_MAX)
        return -1;
    if (now < generation->kill_at)
        return (int)(generation->kill_at - now);
    if (has_workers(generation))
        log_warnx("killing the workers that did not stop in time");
    generation_signal(generation, SIGKILL);
    generation->kill_at = UINT64_MAX;
    return -1;
}

void generation_free(struct generation *generation, struct shm *shm)
{
    if (generation->shared != NULL) {
        shm_end_generation(shm, generation->shared);
        handoff_close(&generation->handoff);
        helpers_close(&generation->helpers);
    }
    conf_free(generation->conf);
    free(generation->snapshot_text);
    close(generation->snapshot);
    free(generation->workers);
    free(generation->listeners);
    free(generation);
}
