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

struct helpers helpers_none(void)
{
    struct helpers helpers = {0};
    for (int kind = 0; kind < HELPERS_KINDS; kind++)
        helpers.kinds[kind] = (struct helpers_of){.to = -1, .from = -1};
    return helpers;
}

bool helpers_are_wanted(const struct helpers *helpers)
{
    for (int kind = 0; kind < HELPERS_KINDS; kind++) {
        if (helpers->kinds[kind].n > 0)
            return true;
    }
    return false;
}

/* Opens the sockets of one kind, of which the master starts n. */
static bool open_kind(struct helpers_of *of, unsigned n)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0 ||
        fcntl(pair[1], F_SETFL, O_NONBLOCK) != 0) {
        log_error("cannot make a queue for helpers");
        return false;
    }
    of->to = pair[0];
    of->from = pair[1];
    of->n = n;
    of->all = mem_calloc(n, sizeof(*of->all));
    return true;
}

bool helpers_open(struct helpers *helpers, const struct conf *conf)
{
    unsigned images = conf->helpers.images != 0 ? conf->helpers.images : cpus_available();
    *helpers = helpers_none();
    if (conf_makes_images(conf) && !open_kind(&helpers->kinds[HELPERS_IMAGES], images))
        return false;
    /* One process has the models, and makes of itself as many as there are to be. */
    if (conf_runs_models(conf) && !open_kind(&helpers->kinds[HELPERS_INFERENCE], 1)) {
        helpers_close(helpers);
        return false;
    }
    return true;
}

/* Programs and their words, which end with NULL */

static const char *const programs[] = {
    [HELPERS_IMAGES] = "hayfork-images", [HELPERS_INFERENCE] = "hayfork-inference"};
static const char *const names[] = {[HELPERS_IMAGES] = "images", [HELPERS_INFERENCE] = "models"};

static const char *sandbox_word(const struct conf *conf)
{
    return conf->sandbox == CONF_OFF ? "off" : "on";
}

static char **words_of_images(const struct conf *conf)
{
    uint64_t pixels = conf->images.pixels_in * BYTES_IN + conf->images.pixels_out * BYTES_OUT;
    char *words[] = {mem_strdup(programs[HELPERS_IMAGES]),
                     mem_printf("%d", (int)conf->log.level),
                     mem_printf("%d", (int)conf->log.format),
                     mem_printf("%" PRIu64, own_addresses + pixels + conf->images.bytes_in),
                     mem_printf("%" PRIu64, own_memory / 4 + conf->images.pixels_out * 4),
                     mem_printf("%" PRIu64, own_memory),
                     mem_strdup(sandbox_word(conf)),
                     NULL};
    char **copy = mem_alloc(sizeof(words));
    memcpy(copy, words, sizeof(words));
    return copy;
}

static char **words_of_inference(const struct conf *conf)
{
    enum { FIRST = 8, EACH = 3 };
    char *words[FIRST] = {
        mem_strdup(programs[HELPERS_INFERENCE]), mem_printf("%d", (int)conf->log.level),
        mem_printf("%d", (int)conf->log.format), mem_strdup(sandbox_word(conf)),
        mem_printf("%u", conf->helpers.inference != 0 ? conf->helpers.inference : cpus_available()),
        mem_printf("%u", conf->inference.time),
        mem_strdup(conf->inference.device == CONF_CUDA ? "cuda" : "cpu"),
        /* a name without a folder would be looked for where the system has its libraries */
        mem_printf("%s%s", strchr(conf->inference.library, '/') == NULL ? "./" : "",
                   conf->inference.library)};
    char **copy = mem_calloc(FIRST + EACH * conf->n_models + 1, sizeof(*copy)), **word = copy + FIRST;
    memcpy(copy, words, sizeof(words));
    for (size_t i = 0; i < conf->n_models; i++) {
        *word++ = mem_strdup(conf->models[i].folder);
        *word++ = mem_printf("%d", (int)conf->models[i].use);
        *word++ = mem_printf("%u", conf->models[i].length);
    }
    return copy;
}

/*
 * In the child. The program is a new one in the process: of the master's it has its standard files and one
 * socket.
 */
_Noreturn static void execute(const struct helpers *helpers, enum helpers_kind kind, const struct conf *conf,
                              pid_t master)
{
    const struct helpers_of *of = &helpers->kinds[kind];
    char *path = beside_find(programs[kind]), *journal = getenv("JOURNAL_STREAM");
    char *environment[] = {mem_strdup("LC_ALL=C.UTF-8"),
                           journal == NULL ? NULL : mem_printf("JOURNAL_STREAM=%s", journal), NULL};
    char **words = kind == HELPERS_IMAGES ? words_of_images(conf) : words_of_inference(conf);
    privileges_give_up(conf);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != master)
        _exit(EX_UNAVAILABLE);
    dup2(log_file(), STDERR_FILENO); /* the program logs there */
    log_set_file(STDERR_FILENO);
    if (of->to == OFFERS)
        fcntl(OFFERS, F_SETFD, 0);
    else
        dup2(of->to, OFFERS);
    close_range(OFFERS + 1, ~0U, 0);
    if (path != NULL)
        execve(path, words, environment);
    log_error("cannot execute %s", programs[kind]);
    _exit(EX_UNAVAILABLE);
}

static void start(struct child *child, const struct helpers *helpers, enum helpers_kind kind,
                  const struct conf *conf)
{
    pid_t master = getpid(), pid = fork();
    if (pid == 0)
        execute(helpers, kind, conf, master);
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
    for (int kind = 0; kind < HELPERS_KINDS; kind++) {
        const struct helpers_of *of = &helpers->kinds[kind];
        for (unsigned i = 0; i < of->n; i++) {
            struct child *child = &of->all[i];
            if (child->pid == 0 && !child->leaves && child->start_at <= now)
                start(child, helpers, (enum helpers_kind)kind, conf);
            if (child->pid == 0 && !child->leaves && child->start_at < next)
                next = child->start_at;
        }
    }
    return next == UINT64_MAX ? -1 : (int)(next > now ? next - now : 0);
}

/* The helper that is this process, and its kind and number; or NULL. */
static struct child *find(const struct helpers *helpers, pid_t pid, int *kind, unsigned *i)
{
    for (*kind = 0; *kind < HELPERS_KINDS; ++*kind) {
        for (*i = 0; *i < helpers->kinds[*kind].n; ++*i) {
            if (helpers->kinds[*kind].all[*i].pid == pid)
                return &helpers->kinds[*kind].all[*i];
        }
    }
    return NULL;
}

/*
 * One that makes room for a fresh process ends by itself, and one that was killed was overdue: the worker has
 * said so.
 */
bool helpers_take_death(struct helpers *helpers, pid_t pid, int status)
{
    int kind;
    unsigned i;
    struct child *child = find(helpers, pid, &kind, &i);
    if (child == NULL)
        return false;
    bool is_wanted = WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    metric_add(METRIC_HELPERS, (uint64_t)-1);
    child->pid = 0;
    if (status != 0 && !is_wanted) {
        char *death = child_describe_death(status, 0);
        log_errorx("helper %u for %s (process %d) %s; a new one takes its place", i + 1, names[kind],
                   (int)pid, death);
        free(death);
    }
    child_back_off(child, clock_ms() - child->started >= STEADY_MS);
    return true;
}

bool helpers_kill_one(const struct helpers *helpers, pid_t pid)
{
    int kind;
    unsigned i;
    if (find(helpers, pid, &kind, &i) == NULL)
        return false;
    kill(pid, SIGKILL);
    return true;
}

void helpers_end(struct helpers *helpers)
{
    for (int kind = 0; kind < HELPERS_KINDS; kind++) {
        for (unsigned i = 0; i < helpers->kinds[kind].n; i++) {
            struct child *child = &helpers->kinds[kind].all[i];
            if (child->pid != 0 && !child->leaves)
                kill(child->pid, SIGKILL);
            child->leaves = true;
        }
    }
}

bool helpers_are_alive(const struct helpers *helpers)
{
    for (int kind = 0; kind < HELPERS_KINDS; kind++) {
        for (unsigned i = 0; i < helpers->kinds[kind].n; i++) {
            if (helpers->kinds[kind].all[i].pid != 0)
                return true;
        }
    }
    return false;
}

void helpers_close(struct helpers *helpers)
{
    for (int kind = 0; kind < HELPERS_KINDS; kind++) {
        struct helpers_of *of = &helpers->kinds[kind];
        if (of->n > 0) {
            close(of->to);
            close(of->from);
        }
        free(of->all);
    }
    *helpers = helpers_none();
}
