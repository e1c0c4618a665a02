/* master.c: fork, ready, reap, back-off, drain. */
#include "process/master.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/complain.h"
#include "process/cpus.h"
#include "process/handoff.h"
#include "process/listen.h"
#include "process/privileges.h"
#include "base/log.h"
#include "base/mem.h"
#include "metrics/shm.h"
#include "process/worker.h"

enum {
    BACK_OFF_FIRST_MS = 100, /* before a worker that failed is started again; doubled each time */
    BACK_OFF_LAST_MS = 5000,
    STEADY_MS = 10000,     /* a worker that lived so long is started again at once */
    FAILED_STARTS_MAX = 5, /* in a row, before any worker was ever ready: then the server gives up */
    KILL_GRACE_MS = 2000,  /* on top of the drain limit, before SIGKILL */
    FAST_STOP_MS = 3000,   /* for SIGINT */
    LAST_TAKEN_MS = 100,   /* in which workers take the connections that have come before the stop */
    MEGABYTE = 1024 * 1024,
    SPARE_FILES = 64, /* descriptors of a worker that are no client's */
};

struct worker_process {
    pid_t pid; /* 0 while there is none */
    bool ready;
    uint64_t start_at; /* clock_ms: when to fork, while there is none */
    unsigned back_off; /* ms */
};

struct master {
    const struct conf *conf;
    struct listener *listeners;
    size_t n_listeners;
    struct shm *shm;
    struct handoff handoff;
    unsigned n_workers;
    struct worker_process *workers;
    int signal_fd;
    int ready_pipe[2];
    sigset_t old_mask;
    unsigned failed_starts;
    bool ever_ready; /* some worker was */
    bool announced;  /* all of them were */
    bool stopping;
    uint64_t kill_at;   /* clock_ms, while stopping */
    uint64_t refuse_at; /* clock_ms, while stopping: when the listeners are shut; 0 once they are */
    int exit_code;
};

/*
 * A signal's name and number; says when there is a core. What is killed is often killed for want of memory:
 * then it says how much (resident, bytes) there was.
 */
static char *describe_death(int status, uint64_t resident)
{
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && resident > 0)
        return mem_printf("was killed by signal %d (%s) with %" PRIu64 " MB of memory", WTERMSIG(status),
                          strsignal(WTERMSIG(status)), (resident + MEGABYTE - 1) / MEGABYTE);
    if (WIFSIGNALED(status))
        return mem_printf("was killed by signal %d (%s)%s", WTERMSIG(status), strsignal(WTERMSIG(status)),
                          WCOREDUMP(status) ? ", core dumped" : "");
    return mem_printf("ended with exit code %d", WEXITSTATUS(status));
}

_Noreturn static void run_worker(struct master *master, unsigned index, pid_t parent)
{
    struct worker_inheritance inherited = {
        .conf = master->conf,
        .listeners = master->listeners,
        .n_listeners = master->n_listeners,
        .shm = master->shm,
        .handoff = &master->handoff,
        .index = index,
        .ready_fd = master->ready_pipe[1],
        .master = parent,
    };
    close(master->signal_fd);
    close(master->ready_pipe[0]);
    exit(worker_run(&inherited));
}

static void start_worker(struct master *master, unsigned index)
{
    struct worker_process *worker = &master->workers[index];
    struct shm_slot *slot = &master->shm->slots[index];
    pid_t parent = getpid();
    atomic_store(&slot->state, SHM_STARTING);
    atomic_store(&slot->started, clock_ms());
    atomic_store(&slot->heartbeat, clock_ms());
    atomic_store(&slot->route, NULL);
    atomic_store(&slot->resident, 0);
    atomic_store(&slot->proportional, 0);
    pid_t pid = fork();
    if (pid == 0)
        run_worker(master, index, parent);
    if (pid < 0) {
        log_error("cannot fork worker %u", index + 1);
        worker->start_at = clock_ms() + BACK_OFF_LAST_MS;
        return;
    }
    worker->pid = pid;
    worker->ready = false;
    atomic_store(&slot->pid, pid);
}

/* Forks whoever is due. Returns the ms until the next one is, or -1. */
static int start_due_workers(struct master *master)
{
    uint64_t now = clock_ms(), next = UINT64_MAX;
    for (unsigned i = 0; i < master->n_workers; i++) {
        struct worker_process *worker = &master->workers[i];
        if (worker->pid == 0 && worker->start_at <= now)
            start_worker(master, i);
        if (worker->pid == 0 && worker->start_at < next)
            next = worker->start_at;
    }
    return next == UINT64_MAX ? -1 : (int)(next > now ? next - now : 0);
}

static void signal_workers(struct master *master, int signal)
{
    for (unsigned i = 0; i < master->n_workers; i++) {
        if (master->workers[i].pid != 0)
            kill(master->workers[i].pid, signal);
    }
}

static void begin_to_stop(struct master *master, int signal, unsigned limit_ms)
{
    uint64_t kill_at = clock_ms() + limit_ms;
    if (!master->stopping || kill_at < master->kill_at)
        master->kill_at = kill_at;
    if (!master->stopping)
        master->refuse_at = clock_ms() + LAST_TAKEN_MS;
    master->stopping = true;
    signal_workers(master, signal);
}

/* "died before ready" is not "crashed": a conf or a machine on which no worker can start is given up. */
static void on_failed_start(struct master *master, unsigned index, const char *death)
{
    master->failed_starts++;
    log_errorx("worker %u %s before it was ready", index + 1, death);
    if (!master->ever_ready && master->failed_starts >= FAILED_STARTS_MAX) {
        log_errorx("giving up: %u workers in a row could not start", master->failed_starts);
        master->exit_code = EX_UNAVAILABLE;
        begin_to_stop(master, SIGINT, FAST_STOP_MS);
    }
}

static void on_death(struct master *master, unsigned index, int status)
{
    struct worker_process *worker = &master->workers[index];
    struct shm_slot *slot = &master->shm->slots[index];
    const char *route = atomic_load(&slot->route);
    uint64_t lived = clock_ms() - atomic_load(&slot->started);
    char *death = describe_death(status, atomic_load(&slot->resident));
    bool was_ready = worker->ready || atomic_load(&slot->state) >= SHM_READY;
    pid_t pid = worker->pid;
    worker->pid = 0;
    worker->ready = false;
    atomic_store(&slot->state, SHM_EMPTY);
    atomic_store(&slot->pid, 0);
    atomic_store(&slot->takes_passed, false);
    handoff_forget_dead(slot);
    atomic_store(&slot->spills, 0);
    if (master->stopping) {
        if (status != 0)
            log_warnx("worker %u %s while stopping", index + 1, death);
    } else if (!was_ready) {
        on_failed_start(master, index, death);
    } else {
        log_errorx("worker %u (process %d) %s%s%s; a new one takes its place", index + 1, (int)pid, death,
                   route == NULL ? "" : " in ", route == NULL ? "" : route);
    }
    free(death);
    if (was_ready && lived >= STEADY_MS)
        worker->back_off = 0;
    worker->start_at = clock_ms() + worker->back_off;
    worker->back_off = worker->back_off == 0 ? BACK_OFF_FIRST_MS : worker->back_off * 2;
    if (worker->back_off > BACK_OFF_LAST_MS)
        worker->back_off = BACK_OFF_LAST_MS;
}

static void reap(struct master *master)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (unsigned i = 0; i < master->n_workers; i++) {
            if (master->workers[i].pid == pid)
                on_death(master, i, status);
        }
    }
}

static void on_ready(struct master *master)
{
    unsigned index, n_ready = 0;
    while (read(master->ready_pipe[0], &index, sizeof(index)) == sizeof(index)) {
        if (atomic_load(&master->shm->slots[index].state) < SHM_READY)
            continue; /* from a process that is gone */
        master->workers[index].ready = true;
        master->failed_starts = 0;
        master->ever_ready = true;
    }
    for (unsigned i = 0; i < master->n_workers; i++)
        n_ready += master->workers[i].ready;
    if (n_ready == master->n_workers && !master->announced) {
        master->announced = true;
        for (size_t i = 0; i < master->n_listeners; i++) {
            const struct conf_listen *listen = &master->conf->listen[i];
            log_info("serving%s%s on %s with %u %s", listen->name == NULL ? "" : " ",
                     listen->name == NULL ? "" : listen->name, listen->address, master->n_workers,
                     master->n_workers == 1 ? "worker" : "workers");
        }
    }
}

static void on_signals(struct master *master)
{
    struct signalfd_siginfo info;
    while (read(master->signal_fd, &info, sizeof(info)) == sizeof(info)) {
        switch (info.ssi_signo) {
        case SIGTERM:
            if (!master->stopping) {
                log_info("stopping: finishing the requests in hand");
                begin_to_stop(master, SIGTERM, master->conf->limits.drain + KILL_GRACE_MS);
            }
            break;
        case SIGINT:
            log_info("stopping at once");
            begin_to_stop(master, SIGINT, FAST_STOP_MS);
            break;
        case SIGHUP:
            log_warnx("SIGHUP does nothing: restart the server to read the conf again");
            break;
        default: /* SIGCHLD: reap() runs in any case */
            break;
        }
    }
}

/* From now on the kernel refuses connections, for all processes: a balancer goes elsewhere at once. */
static void shut_listeners(struct master *master)
{
    for (size_t i = 0; i < master->n_listeners; i++)
        listen_shut(&master->listeners[i]);
    master->refuse_at = 0;
}

static bool any_alive(const struct master *master)
{
    for (unsigned i = 0; i < master->n_workers; i++) {
        if (master->workers[i].pid != 0)
            return true;
    }
    return false;
}

static void run(struct master *master)
{
    while (!master->stopping || any_alive(master)) {
        int wait = -1;
        uint64_t now = clock_ms();
        if (!master->stopping) {
            wait = start_due_workers(master);
        } else if (master->refuse_at != 0 && now >= master->refuse_at) {
            shut_listeners(master);
            continue;
        } else if (master->refuse_at != 0) {
            wait = (int)(master->refuse_at - now);
        } else if (now >= master->kill_at) {
            log_warnx("killing the workers that did not stop in time");
            signal_workers(master, SIGKILL);
            master->kill_at = UINT64_MAX;
        } else if (master->kill_at != UINT64_MAX) {
            wait = (int)(master->kill_at - now);
        }
        struct pollfd fds[2] = {{.fd = master->signal_fd, .events = POLLIN},
                                {.fd = master->ready_pipe[0], .events = POLLIN}};
        if (poll(fds, 2, wait) < 0 && errno != EINTR)
            log_fatal("poll");
        on_signals(master);
        on_ready(master); /* before reap: who was ready and died is not a failed start */
        reap(master);
    }
}

/* Signals are blocked before the first fork: a worker gets them through a descriptor of its own. */
static void watch_signals(struct master *master)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGCHLD);
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_BLOCK, &set, &master->old_mask);
    master->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (master->signal_fd < 0 || pipe2(master->ready_pipe, O_NONBLOCK | O_CLOEXEC) != 0)
        log_fatal("cannot watch signals and workers");
}

/*
 * Every client takes a descriptor, every upstream connection one, every connection to PostgreSQL two (libpq's
 * and the loop's). While a file is sent a client takes a second one: that is asked for, but it is no reason
 * to complain where it is not to be had. Workers inherit the limit.
 */
static void raise_file_limit(const struct conf *conf, unsigned workers)
{
    struct rlimit limit;
    rlim_t needed = conf->limits.clients + SPARE_FILES + 2 * conf_connections(conf, 1);
    needed += (conf->n_listen + 2) * workers; /* every process has the sockets and queues of all */
    for (size_t i = 0; i < conf->n_upstreams; i++)
        needed += conf->upstreams[i].connections;
    rlim_t wanted = needed;
    for (size_t i = 0; i < conf->n_routes; i++) {
        if (conf->routes[i].handler == CONF_HANDLER_FILES)
            wanted = needed + conf->limits.clients;
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= wanted)
        return;
    rlim_t possible = limit.rlim_max < wanted ? limit.rlim_max : wanted;
    limit.rlim_cur = possible;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0 || possible < needed)
        log_warnx(
            "limits.clients is %u, but a process may only open %llu files: raise LimitNOFILE or ulimit -n",
            conf->limits.clients, (unsigned long long)possible);
}

static bool open_listeners(struct master *master)
{
    const struct conf *conf = master->conf;
    master->listeners = mem_calloc(conf->n_listen, sizeof(*master->listeners));
    for (size_t i = 0; i < conf->n_listen; i++) {
        if (listen_open(&master->listeners[i], conf->listen[i].address, master->n_workers) != 0)
            return false;
        master->n_listeners++;
    }
    return true;
}

int master_run(const struct conf *conf)
{
    struct master master = {.conf = conf, .exit_code = EXIT_SUCCESS};
    log_open("master", conf->log);
    master.n_workers = conf->workers != 0 ? conf->workers : cpus_available();
    raise_file_limit(conf, master.n_workers);
    if (open_listeners(&master)) {
        privileges_limit_master(conf);
        master.shm = shm_new(master.n_workers);
        complain_share(&master.shm->complaints);
        handoff_open(&master.handoff, master.n_workers);
        master.workers = mem_calloc(master.n_workers, sizeof(*master.workers));
        watch_signals(&master);
        run(&master);
        complain_sum_up_all();
        if (master.exit_code == EXIT_SUCCESS)
            log_info("stopped");
        close(master.signal_fd);
        close(master.ready_pipe[0]);
        close(master.ready_pipe[1]);
        handoff_close(&master.handoff);
        shm_free(master.shm);
    } else {
        master.exit_code = EX_UNAVAILABLE;
    }
    for (size_t i = 0; i < master.n_listeners; i++)
        listen_close(&master.listeners[i], 1);
    free(master.listeners);
    if (master.workers != NULL) { /* only now: a second signal must not leave a Unix socket's path behind */
        sigprocmask(SIG_SETMASK, &master.old_mask, NULL);
        free(master.workers);
    }
    return master.exit_code;
}
