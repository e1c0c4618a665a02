/*
 * main.c: hayfork-inference, the program of the helpers that run models. The master starts it; nobody else
 * has a use for it.
 *
 * It loads the library and the models, once, and forks a process for each text that can be run at a time:
 * they share the memory that the models take. It is a program of its own so that the library is in no other
 * process, and nothing of the master's memory where a text might break in.
 */
#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/log.h"
#include "base/mem.h"
#include "helpers/sandbox.h"
#include "helpers/serve.h"
#include "inferring/engine.h"
#include "inferring/work.h"

enum {
    OFFERS = 3, /* the descriptor that it inherits */
    MOST_JOBS = 1000000,
    KEPT = 32 << 20, /* bytes: so much that a run has freed stays for the next one, */
    LARGE = 1 << 20, /* but for blocks of so many, which only long texts take */
    AGAIN_S = 1,     /* after one that has ended otherwise than by its own */
};

/* The words on the command line, in this order; for each model three more. */
enum word { LEVEL = 1, FORMAT, SANDBOX, PROCESSES, TIME, DEVICE, LIBRARY, MODELS };
enum model_word { FOLDER, USE, LENGTH, MODEL_WORDS };

/* Loads all models that some route uses. Returns false after logging. */
static bool load(char **words, struct work_model *models, size_t n)
{
    struct engine *engine = NULL;
    char *error = engine_open(words[LIBRARY], strcmp(words[DEVICE], "cuda") == 0, &engine);
    for (size_t i = 0; error == NULL && i < n; i++) {
        char **word = words + MODELS + i * MODEL_WORDS;
        struct work_model *model = &models[i];
        enum model_use use = (enum model_use)atoi(word[USE]);
        if (use == MODEL_UNUSED)
            continue;
        error = model_read(&model->model, word[FOLDER], use, (uint32_t)atoi(word[LENGTH]));
        if (error != NULL)
            break;
        char *path = mem_printf("%s/model.onnx", word[FOLDER]);
        error = engine_load(engine, path, use == MODEL_EMBEDS ? ENGINE_HIDDEN : ENGINE_LOGITS,
                            model->model.width, &model->engine);
        free(path);
    }
    if (error != NULL)
        log_errorx("%s", error);
    free(error);
    return error == NULL;
}

/* In a child: jobs until there are no more. */
_Noreturn static void serve(pid_t parent, bool is_confined)
{
    const struct helpers_service service = {
        .work = work_do, .most_jobs = MOST_JOBS, .most_memory = UINT64_MAX};
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(EX_UNAVAILABLE);
    int statm = helpers_open_memory();
    if (is_confined && !helpers_confine())
        log_warn("the system calls of this process are not filtered");
    /* The library's own end would wait for threads that a fork does not have. */
    _exit(helpers_serve(OFFERS, statm, &service));
}

static pid_t start(bool is_confined)
{
    pid_t parent = getpid(), pid = fork();
    if (pid == 0)
        serve(parent, is_confined);
    if (pid < 0)
        log_fatal("cannot fork");
    return pid;
}

/* Replaces those that end, for ever: the master ends this process, and with it they end. */
_Noreturn static void keep(unsigned n, bool is_confined)
{
    for (unsigned i = 0; i < n; i++)
        start(is_confined);
    for (;;) {
        int status;
        pid_t pid = wait(&status);
        if (pid < 0 && errno != EINTR)
            log_fatal("cannot wait for processes");
        if (pid < 0)
            continue;
        if (WIFSIGNALED(status) && WTERMSIG(status) == SIGALRM)
            log_warnx("process %d has run a model for too long, and was ended", (int)pid);
        else if (status != 0) {
            log_errorx("process %d has ended by %s %d while it ran a model; a new one takes its place",
                       (int)pid, WIFSIGNALED(status) ? "signal" : "exit code",
                       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
            sleep(AGAIN_S);
        }
        start(is_confined);
    }
}

int main(int argc, char **argv)
{
    if (argc < MODELS || (argc - MODELS) % MODEL_WORDS != 0) {
        fputs("hayfork-inference is started by hayfork alone\n", stderr);
        return EX_USAGE;
    }
    size_t n = (size_t)(argc - MODELS) / MODEL_WORDS;
    struct work_model *models = mem_calloc(n, sizeof(*models));
    log_open("inference", (enum log_level)atoi(argv[LEVEL]));
    log_set_format((enum log_format)atoi(argv[FORMAT]));
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    mallopt(M_MMAP_THRESHOLD, LARGE);
    mallopt(M_TRIM_THRESHOLD, KEPT);
    if (!load(argv, models, n))
        return EX_CONFIG;
    work_begin(models, n, (unsigned)atoi(argv[TIME]));
    keep((unsigned)atoi(argv[PROCESSES]), strcmp(argv[SANDBOX], "on") == 0);
}
