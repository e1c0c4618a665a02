/*
 * master.c: the master: signals, what became of processes, reloads, and what the service manager is told.
 *
 * A reload and an upgrade are the same: the program that is on disk tries the conf in a process of its own
 * (trial.c); if that goes through, the master executes that program in its own place, under its own process
 * id, and hands over all that it has (takeover.c). The workers do not notice. The new program begins the new
 * generation of workers beside the running one (fleet.c). So what is new, the program too, has proved itself
 * before anything is changed; and there is no second way by which a master could come to its state, which a
 * plain reload would not keep in use.
 */
#include "process/master.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/complain.h"
#include "base/log.h"
#include "base/mem.h"
#include "db/lane.h"
#include "process/control.h"
#include "process/fleet.h"
#include "process/logging.h"
#include "process/privileges.h"
#include "process/sd.h"
#include "process/takeover.h"
#include "process/trial.h"

enum {
    STATUS_MS = 1000,   /* how often the service manager's status is made again */
    STALE_MS = 10000,   /* a worker whose last heartbeat is older does not count as serving */
    WORKERS_MOST = 512, /* as the conf has it */
};

static const char REFUSED_AS_IT_STOPS[] = "the server stops";

struct master {
    struct program *program;
    struct fleet fleet;
    struct control control;
    struct trial trial;
    bool trying;    /* trial has begun */
    bool reloading; /* from the trial on until workers are ready, or it was refused */
    bool again;     /* another reload was asked for meanwhile */
    int adjustment; /* workers more or fewer that were asked for, by TTIN and TTOU */
    int signal_fd;
    uint64_t stop_at; /* clock_ms: balancers know by then that the server stops; 0: it was not told to */
    bool was_ready;   /* the service manager was told so */
    unsigned watchdog_ms;
    uint64_t watchdog_at; /* clock_ms: when to tell it the next time */
    uint64_t status_at;   /* the same for the status */
    char status[256];     /* as it was told last */
};

/* Was it told to stop? It may go on for a while: see give_notice. */
static bool is_stopping(const struct master *master)
{
    return master->fleet.stopping || master->stop_at != 0;
}

/* What the service manager is told */

/* Is some worker alive and turning? */
static bool serves(const struct master *master)
{
    const struct generation *running = master->fleet.running;
    for (unsigned i = 0; i < running->n_workers; i++) {
        const struct shm_slot *slot = shm_slot(master->fleet.home.shm, running->shared, i);
        if (atomic_load(&slot->state) >= SHM_READY && atomic_load(&slot->heartbeat) + STALE_MS >= clock_ms())
            return true;
    }
    return false;
}

/* In words, of all workers' lanes: the worst that is true of one that some worker needs. */
static const char *database_state(const struct master *master)
{
    const struct generation *running = master->fleet.running;
    bool away = false, any = false;
    for (unsigned i = 0; i < running->n_workers; i++) {
        const struct shm_slot *slot = shm_slot(master->fleet.home.shm, running->shared, i);
        for (unsigned lane = 0; lane < SHM_LANES; lane++) {
            if (atomic_load(&slot->lanes[lane].name) == 0)
                continue;
            int state = atomic_load(&slot->lanes[lane].state);
            any = any || state == DB_READY;
            away = away || state == DB_BROKEN || state == DB_BACKING_OFF;
        }
    }
    return running->n_lanes == 0 ? "not used" : away ? "away" : any ? "connected" : "connecting";
}

static void make_status(const struct master *master, char *text, size_t size)
{
    const struct fleet *fleet = &master->fleet;
    uint64_t connections = 0;
    for (unsigned i = 0; i < fleet->running->n_workers; i++)
        connections +=
            atomic_load(&shm_slot(fleet->home.shm, fleet->running->shared, i)->connections) & UINT32_MAX;
    unsigned ready = generation_count(fleet->running, fleet->home.shm, SHM_READY);
    snprintf(text, size, "%s%u of %u workers ready, %llu open connections, database %s",
             is_stopping(master) ? "stopping; "
             : master->reloading ? "reloading; "
                                 : "",
             ready, fleet->running->n_workers, (unsigned long long)connections, database_state(master));
}

/* Returns the ms until there is something to tell, or -1. */
static int tell_manager(struct master *master)
{
    uint64_t now = clock_ms(), next = UINT64_MAX;
    if (getenv("NOTIFY_SOCKET") == NULL)
        return -1;
    if (now >= master->status_at) {
        char status[sizeof(master->status)];
        make_status(master, status, sizeof(status));
        if (strcmp(status, master->status) != 0) {
            strcpy(master->status, status);
            sd_notify("STATUS=%s\n", status);
        }
        master->status_at = now + STATUS_MS;
    }
    next = master->status_at;
    if (master->watchdog_ms > 0 && now >= master->watchdog_at) {
        if (serves(master) || !master->was_ready || is_stopping(master))
            sd_notify("WATCHDOG=1\n");
        master->watchdog_at = now + master->watchdog_ms / 3;
    }
    if (master->watchdog_ms > 0 && master->watchdog_at < next)
        next = master->watchdog_at;
    return next > now ? (int)(next - now) : 0;
}

static void tell_ready(struct master *master)
{
    char status[sizeof(master->status)];
    if (is_stopping(master))
        return;
    make_status(master, status, sizeof(status));
    strcpy(master->status, status);
    sd_notify("READY=1\nSTATUS=%s\n", status);
    master->was_ready = true;
}

/* Reloading */

static struct takeover hand_over(const struct master *master)
{
    struct takeover takeover = fleet_hand_over(&master->fleet);
    takeover.control = master->control.socket;
    takeover.clients = master->control.clients;
    takeover.n_clients = master->control.n_clients;
    takeover.next = master->control.next;
    takeover.n_next = master->control.n_next;
    takeover.again = master->again;
    return takeover;
}

static void end_reload(struct master *master, const char *refused)
{
    if (refused == NULL)
        log_info("reloaded");
    else if (is_stopping(master))
        log_info("there will be no reload: %s", refused);
    else
        log_errorx("the reload was refused, and everything continues as before: %s", refused);
    metric_add(refused == NULL ? METRIC_RELOADS_DONE : METRIC_RELOADS_REFUSED, 1);
    master->reloading = false;
    control_end(&master->control, refused);
    if (master->fleet.running->announced)
        tell_ready(master);
}

/* What serves from now on, and whether it has what it needs. */
static void say_what_serves(const struct master *master)
{
    const struct program *program = master->program;
    bool has_commit = program->commit[0] != '\0';
    log_info("hayfork %s%s%s%s serves %s; the database is %s", PACKAGE_VERSION, has_commit ? " (" : "",
             program->commit, has_commit ? ")" : "", program->conf_path, database_state(master));
}

static void on_switched(void *arg, const char *refused)
{
    struct master *master = arg;
    bool is_underway = master->trying || master->fleet.candidate != NULL;
    if (refused == NULL)
        say_what_serves(master);
    if (is_underway) { /* it was asked for while the workers of before were starting: now they have */
        if (!master->was_ready)
            tell_ready(master);
    } else if (master->reloading) {
        end_reload(master, refused);
    } else if (refused == NULL) {
        tell_ready(master);
    } else {
        log_errorx("the number of workers stays as it is: %s", refused);
    }
}

static void begin_reload(struct master *master)
{
    log_info("reloading: the program on disk tries the conf");
    master->again = false;
    master->reloading = true;
    control_begin(&master->control);
    sd_notify("RELOADING=1\nMONOTONIC_USEC=%llu\n", (unsigned long long)(clock_ns() / 1000));
    struct takeover takeover = hand_over(master);
    master->trying = trial_begin(&master->trial, master->program, &takeover);
    free(takeover.generations);
    if (!master->trying)
        end_reload(master, "no process can be started");
}

static void ask_for_reload(struct master *master)
{
    if (!is_stopping(master))
        master->again = true;
}

/* What the trial has opened becomes the fleet's. Returns the generation of what was tried. */
static struct generation *take_trial(struct master *master)
{
    struct trial *trial = &master->trial;
    struct fleet *fleet = &master->fleet;
    for (size_t i = 0; i < trial->n_opened; i++) {
        struct listener *opened = &trial->opened[i], *listener = fleet_find_listener(fleet, opened->address);
        if (listener == NULL) {
            fleet_add_listener(fleet, *opened);
        } else {
            for (size_t j = 0; j < opened->n_fds; j++) {
                MEM_GROW(&listener->fds, listener->n_fds);
                listener->fds[listener->n_fds++] = opened->fds[j];
            }
            opened->n_fds = 0;
            listener->device = opened->device; /* of a path that was removed, and is there again */
            listener->inode = opened->inode;
            listen_close(opened, false);
        }
        *opened = (struct listener){0};
    }
    struct generation *candidate = generation_of_snapshot(++fleet->home.last_number, trial->snapshot);
    trial->snapshot = -1;
    candidate->n_workers = trial->workers;
    candidate->workers = mem_calloc(trial->workers, sizeof(*candidate->workers));
    candidate->listeners = mem_calloc(trial->n_addresses, sizeof(*candidate->listeners));
    for (size_t i = 0; i < trial->n_addresses; i++)
        candidate->listeners[candidate->n_listeners++] = fleet_find_listener(fleet, trial->addresses[i]);
    return candidate;
}

/* Executes the program on disk, which takes over with what was tried. Returns only if that cannot be. */
static void execute(struct master *master)
{
    struct takeover takeover = hand_over(master);
    int file = takeover_write(&takeover);
    if (file >= 0) {
        char *value = mem_printf("%d:%d", file, (int)getpid());
        setenv(MASTER_TAKEOVER, value, 1);
        free(value);
        takeover_inherit(&takeover, file, true);
        execv(master->program->path, master->program->argv);
        int error = errno;
        takeover_inherit(&takeover, file, false);
        unsetenv(MASTER_TAKEOVER);
        close(file);
        errno = error;
    }
    free(takeover.generations);
    log_error("cannot execute %s", master->program->path);
}

static void end_trial(struct master *master)
{
    char buffer[128];
    const char *refused =
        is_stopping(master) ? REFUSED_AS_IT_STOPS : trial_verdict(&master->trial, buffer, sizeof(buffer));
    master->trying = false;
    atomic_store(&master->fleet.home.shm->guests, 0); /* it may have been killed */
    shm_be_frugal(master->fleet.home.shm, false);
    if (refused == NULL && !program_is_still(master->program, &master->trial.file))
        refused = "the program on disk was replaced while it was tried";
    if (refused == NULL) {
        struct generation *candidate = take_trial(master);
        trial_end(&master->trial);
        master->fleet.candidate = candidate;
        execute(master);
        master->fleet.candidate = NULL;
        generation_free(candidate, master->fleet.home.shm);
        fleet_drop_listeners(&master->fleet);
        refused = "the program on disk cannot be executed";
    }
    trial_end(&master->trial);
    end_reload(master, refused);
}

static void log_line(struct trial *trial)
{
    if (trial->line_len > 0)
        log_warnx("%.*s", (int)trial->line_len, trial->line);
    trial->line_len = 0;
}

/* Each line is one of the log. */
static void log_lines(struct trial *trial, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        bool ends = text.base[i] == '\n';
        if (!ends)
            trial->line[trial->line_len++] = text.base[i];
        if (ends || trial->line_len == sizeof(trial->line))
            log_line(trial);
    }
}

/* Passes on what the trial writes: to the log, and to those who asked. */
static void on_trial_says(struct master *master)
{
    char text[4096];
    ssize_t got;
    while ((got = read(master->trial.said, text, sizeof(text))) > 0) {
        if (log_takes_others())
            log_others((struct str){text, (size_t)got});
        else
            log_lines(&master->trial, (struct str){text, (size_t)got});
        control_tell(&master->control, text, (size_t)got);
    }
    if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR)) {
        log_line(&master->trial);
        close(master->trial.said);
        master->trial.said = -1;
    }
}

static void on_trial(struct master *master)
{
    trial_take(&master->trial);
    if (master->trial.said >= 0)
        on_trial_says(master);
    if (master->trial.ended && master->trial.said < 0) {
        trial_take(&master->trial);
        end_trial(master);
    }
}

/* Processes and signals */

static void reap(struct master *master)
{
    int status;
    pid_t pid;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        if (master->trying && pid == master->trial.pid) {
            master->trial.ended = true;
            master->trial.status = status;
        } else {
            fleet_take_death(&master->fleet, pid, status);
        }
    }
}

/* Whatever comes next, the server stops. */
static void begin_to_stop(struct master *master)
{
    if (!is_stopping(master))
        sd_notify("STOPPING=1\n");
    atomic_store(&master->fleet.home.shm->is_stopping, true);
    master->again = false;
    master->adjustment = 0;
    if (master->trying && !master->trial.ended)
        kill(master->trial.pid, SIGKILL);
}

static void stop(struct master *master, bool at_once)
{
    log_info(at_once ? "stopping at once" : "stopping: finishing the pending requests");
    begin_to_stop(master);
    fleet_stop(&master->fleet, at_once);
}

/* For limits.drain_notice everything goes on, while /ready tells balancers to send nobody any more. */
static void give_notice(struct master *master, unsigned ms)
{
    log_info("stopping in %u.%u s: until then requests are served, and /ready is answered 503", ms / 1000,
             ms % 1000 / 100);
    begin_to_stop(master);
    master->stop_at = clock_ms() + ms;
}

/* The first time, the server stops after its notice, then without it, then at once. */
static void be_told_to_stop(struct master *master)
{
    unsigned notice = master->fleet.running->drain_notice;
    if (notice > 0 && !is_stopping(master))
        give_notice(master, notice);
    else
        stop(master, master->fleet.stopping);
}

/* Stops when the notice is over. Returns the ms until then, or -1. */
static int stop_when_due(struct master *master)
{
    uint64_t now = clock_ms();
    if (master->stop_at == 0 || master->fleet.stopping)
        return -1;
    if (now < master->stop_at)
        return (int)(master->stop_at - now);
    stop(master, false);
    return -1;
}

/* Who asks for a reload while the server stops is told so, once nothing is under way that others wait for. */
static void refuse_reloads(struct master *master)
{
    if (master->reloading)
        return;
    control_begin(&master->control);
    control_end(&master->control, REFUSED_AS_IT_STOPS);
}

/* So many workers more or fewer: a generation of the same conf follows. */
static void adjust(struct master *master)
{
    const struct generation *running = master->fleet.running;
    int workers = master->adjustment;
    unsigned wanted = running->n_workers + (unsigned)workers;
    master->adjustment = 0;
    if (workers == 0)
        return;
    if (wanted < 1 || wanted > WORKERS_MOST || (wanted + 1) * running->n_lanes > running->database_max)
        log_warnx("there cannot be %d workers", (int)wanted);
    else if (fleet_adjust(&master->fleet, workers))
        log_info("changing from %u to %u workers", running->n_workers, wanted);
}

static void on_signal(struct master *master, uint32_t number)
{
    switch (number) {
    case SIGTERM:
        be_told_to_stop(master);
        break;
    case SIGINT:
        stop(master, true);
        break;
    case SIGHUP:
    case SIGUSR2:
        ask_for_reload(master);
        break;
    case SIGTTIN:
        master->adjustment += !is_stopping(master);
        break;
    case SIGTTOU:
        master->adjustment -= !is_stopping(master);
        break;
    case SIGUSR1:
        fleet_open_logs(&master->fleet);
        break;
    default: /* SIGCHLD: reap() runs in any case */
        break;
    }
}

static void on_signals(struct master *master)
{
    struct signalfd_siginfo info;
    while (read(master->signal_fd, &info, sizeof(info)) == sizeof(info))
        on_signal(master, info.ssi_signo);
}

/* What was asked for while something else was under way. A reload takes the conf's number of workers. */
static void begin_what_waits(struct master *master)
{
    if (master->again)
        begin_reload(master);
    else
        adjust(master);
}

static int sooner(int a, int b)
{
    return a < 0 ? b : b < 0 || a < b ? a : b;
}

static void run(struct master *master)
{
    while (!master->fleet.stopping || fleet_is_alive(&master->fleet) || master->trying) {
        if (is_stopping(master))
            refuse_reloads(master);
        else if (!master->reloading && master->fleet.candidate == NULL)
            begin_what_waits(master);
        int wait = stop_when_due(master);
        wait = sooner(wait, fleet_step(&master->fleet));
        if (master->trying)
            wait = sooner(wait, trial_watch(&master->trial));
        wait = sooner(wait, tell_manager(master));
        struct pollfd fds[] = {{.fd = master->signal_fd, .events = POLLIN},
                               {.fd = master->fleet.home.ready_pipe[0], .events = POLLIN},
                               {.fd = master->control.socket, .events = POLLIN},
                               {.fd = master->trying ? master->trial.socket : -1, .events = POLLIN},
                               {.fd = master->trying ? master->trial.said : -1, .events = POLLIN}};
        if (poll(fds, sizeof(fds) / sizeof(fds[0]), wait) < 0 && errno != EINTR)
            log_fatal("poll");
        on_signals(master);
        fleet_on_ready(&master->fleet); /* before reap: who was ready and died is not a failed start */
        reap(master);
        if (control_take(&master->control, master->reloading) > 0)
            ask_for_reload(master);
        if (master->trying)
            on_trial(master);
    }
}

/*
 * All signals that can be blocked are, but for those of a fault: none ends or stops the master by its default
 * action. They are blocked before the first fork: a worker gets those that it knows through a descriptor of
 * its own.
 */
static void watch_signals(struct master *master)
{
    static const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    sigset_t set;
    sigfillset(&set);
    for (size_t i = 0; i < sizeof(faults) / sizeof(faults[0]); i++)
        sigdelset(&set, faults[i]);
    signal(SIGPIPE, SIG_IGN);
    sigprocmask(SIG_SETMASK, &set, NULL);
    master->signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
    if (master->signal_fd < 0)
        log_fatal("cannot watch signals");
    master->fleet.home.signal_fd = master->signal_fd;
}

static const struct fleet_ops fleet_ops = {.switched = on_switched};

static void begin(struct master *master, struct program *program)
{
    *master = (struct master){.program = program,
                              .control = {.socket = -1},
                              .trial = {.socket = -1, .said = -1, .snapshot = -1},
                              .watchdog_ms = sd_watchdog_ms()};
    master->fleet.home.program = program;
    master->fleet.ops = &fleet_ops;
    master->fleet.arg = master;
}

/* Returns the exit code. */
static int serve(struct master *master)
{
    complain_share(&master->fleet.home.shm->complaints);
    metric_begin(master->fleet.home.shm->values);
    log_share(&master->fleet.home.shm->log);
    run(master);
    complain_sum_up_all();
    int code = master->fleet.failed ? EX_UNAVAILABLE : EXIT_SUCCESS;
    if (code == EXIT_SUCCESS)
        log_info("stopped");
    control_close(&master->control);
    close(master->signal_fd);
    fleet_end(&master->fleet); /* before a second signal could end us and leave a Unix socket's path behind */
    return code;
}

int master_run(struct program *program, struct conf *conf)
{
    struct master master;
    logging_begin("master", conf);
    begin(&master, program);
    master.fleet.passed = sd_take_sockets();
    watch_signals(&master);
    if (!fleet_begin(&master.fleet, conf)) {
        close(master.signal_fd);
        fleet_end(&master.fleet);
        return EX_UNAVAILABLE;
    }
    privileges_limit_master(conf);
    control_open(&master.control);
    return serve(&master);
}

int master_go_on(struct program *program)
{
    struct master master;
    struct takeover takeover;
    int file, pid;
    const char *value = getenv(MASTER_TAKEOVER);
    if (sscanf(value, "%d:%d", &file, &pid) != 2 || pid != getpid()) {
        fprintf(stderr, "hayfork: %s must not be set\n", MASTER_TAKEOVER);
        return EX_USAGE;
    }
    unsetenv(MASTER_TAKEOVER);
    log_open("master", LOG_LEVEL_INFO);
    begin(&master, program);
    if (!takeover_read(file, &takeover))
        log_fatalx("cannot take over from the program before");
    close(file);
    watch_signals(&master);
    master.control = (struct control){.socket = takeover.control,
                                      .clients = takeover.clients,
                                      .n_clients = takeover.n_clients,
                                      .next = takeover.next,
                                      .n_next = takeover.n_next};
    master.again = takeover.again;
    master.reloading = true;
    if (!fleet_take_over(&master.fleet, &takeover))
        log_fatalx("cannot take over the workers of the program before");
    master.was_ready = master.fleet.running->announced;
    struct generation *next = master.fleet.candidate != NULL ? master.fleet.candidate : master.fleet.running;
    if (generation_load(next, program)) {
        logging_begin("master", next->conf);
        privileges_limit_master(next->conf); /* to execute has made its memory dumpable again */
    }
    return serve(&master);
}
