/* helpers.c: the helper processes of a generation: fork, execute, kill. */
#include "process/helpers.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/beside.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "metrics/metric.h"
#include "process/cpus.h"
#include "process/privileges.h"

#define PROGRAM "hayfork-images"

enum {
    OFFERS = STDERR_FILENO + 1, /* the descriptor that the program expects */
    FORK_AGAIN_MS = 5000,
    STEADY_MS = 1000, /* one that lived so long is started again at once */
    /* Bytes that one pixel can take at once: of the original as it is decoded, of the picture as it is made.
     */
    BYTES_IN = 12,
    BYTES_OUT = 32,
};

/* What the program and its libraries take without any picture, as addresses and as memory. */
static const uint64_t own_addresses = UINT64_C(1) << 30, own_memory = UINT64_C(160) << 20;

bool helpers_open(struct helpers *helpers, const struct conf *conf)
{
    int pair[2];
    *helpers = (struct helpers){.to = -1, .from = -1};
    if (!conf_makes_images(conf))
        return true;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0 ||
        fcntl(pair[1], F_SETFL, O_NONBLOCK) != 0) {
        log_error("cannot make a queue for helpers");
        return false;
    }
    helpers->to = pair[0];
    helpers->from = pair[1];
    helpers->n = conf->helpers.images != 0 ? conf->helpers.images : cpus_available();
    helpers->all = mem_calloc(helpers->n, sizeof(*helpers->all));
    return true;
}

/* In the child. The program is a new one in the process: of the master's it has its standard files and one
 * socket. */
_Noreturn static void execute(const struct helpers *helpers, const struct conf *conf, pid_t master)
{
    uint64_t pixels = conf->images.pixels_in * BYTES_IN + conf->images.pixels_out * BYTES_OUT;
    char *path = beside_find(PROGRAM), *journal = getenv("JOURNAL_STREAM");
    char *environment[] = {mem_strdup("LC_ALL=C.UTF-8"),
                           journal == NULL ? NULL : mem_printf("JOURNAL_STREAM=%s", journal), NULL};
    char *words[] = {mem_strdup(PROGRAM),
                     mem_printf("%d", (int)conf->log.level),
                     mem_printf("%d", (int)conf->log.format),
                     mem_printf("%" PRIu64, own_addresses + pixels + conf->images.bytes_in),
                     mem_printf("%" PRIu64, own_memory / 4 + conf->images.pixels_out * 4),
                     mem_printf("%" PRIu64, own_memory),
                     mem_strdup(conf->sandbox == CONF_OFF ? "off" : "on"),
                     NULL};
    privileges_give_up(conf);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != master)
        _exit(EX_UNAVAILABLE);
    dup2(log_file(), STDERR_FILENO); /* the program logs there */
    log_set_file(STDERR_FILENO);
    if (helpers->to == OFFERS)
        fcntl(OFFERS, F_SETFD, 0);
    else
        dup2(helpers->to, OFFERS);
    close_range(OFFERS + 1, ~0U, 0);
    if (path != NULL)
        execve(path, words, environment);
    log_error("cannot execute %s", PROGRAM);
    _exit(EX_UNAVAILABLE);
}

static void start(struct child *child, const struct helpers *helpers, const struct conf *conf)
{
    pid_t master = getpid(), pid = fork();
    if (pid == 0)
        execute(helpers, conf, master);
    if (pid < 0) {
        log_error("cannot fork a helper");
        child->start_at = clock_ms() + FORK_AGAIN_MS;
        return;
    }
    child->pid = pid;
    child->started = clock_ms();
    metric_add(METRIC_HELPER_STARTS, 1);
    metric_add(METRIC_HELPERS, 1);
}

int helpers_start_due(struct helpers *helpers, const struct conf *conf)
{
    uint64_t now = clock_ms(), next = UINT64_MAX;
    for (unsigned i = 0; i < helpers->n; i++) {
        struct child *child = &helpers->all[i];
        if (child->pid == 0 && !child->leaves && child->start_at <= now)
            start(child, helpers, conf);
        if (child->pid == 0 && !child->leaves && child->start_at < next)
            next = child->start_at;
    }
    return next == UINT64_MAX ? -1 : (int)(next > now ? next - now : 0);
}

/* One that makes room for a fresh process ends by itself, and one that was killed was overdue: the worker has
 * said so. */
bool helpers_take_death(struct helpers *helpers, pid_t pid, int status)
{
    unsigned i = 0;
    while (i < helpers->n && helpers->all[i].pid != pid)
        i++;
    if (i == helpers->n)
        return false;
    struct child *child = &helpers->all[i];
    bool is_wanted = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    metric_add(METRIC_HELPERS, (uint64_t)-1);
    child->pid = 0;
    if (status != 0 && !is_wanted) {
        char *death = child_describe_death(status, 0);
        log_errorx("helper %u for images (process %d) %s; a new one takes its place", i + 1, (int)pid, death);
        free(death);
    }
    child_back_off(child, clock_ms() - child->started >= STEADY_MS);
    return true;
}

bool helpers_kill_one(const struct helpers *helpers, pid_t pid)
{
    for (unsigned i = 0; i < helpers->n; i++) {
        if (helpers->all[i].pid != pid)
            continue;
        kill(pid, SIGKILL);
        return true;
    }
    return false;
}

void helpers_end(struct helpers *helpers)
{
    for (unsigned i = 0; i < helpers->n; i++) {
        struct child *child = &helpers->all[i];
        if (child->pid != 0 && !child->leaves)
            kill(child->pid, SIGKILL);
        child->leaves = true;
    }
}

bool helpers_are_alive(const struct helpers *helpers)
{
    for (unsigned i = 0; i < helpers->n; i++) {
        if (helpers->all[i].pid != 0)
            return true;
    }
    return false;
}

void helpers_close(struct helpers *helpers)
{
    if (helpers->n > 0) {
        close(helpers->to);
        close(helpers->from);
    }
    free(helpers->all);
    *helpers = (struct helpers){.to = -1, .from = -1};
}
