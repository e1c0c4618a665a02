/* main.c: options; hands over to the master. */
#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sysexits.h>
#include <unistd.h>

#include "conf/conf.h"
#include "conf/kind.h"
#include "process/control.h"
#include "db/try.h"
#include "base/log.h"
#include "process/master.h"
#include "process/privileges.h"
#include "process/program.h"
#include "process/trial.h"
#include "base/mem.h"

static const char usage[] =
    "usage: hayfork [-c FILE] [-o KEY=VALUE]...      serve\n"
    "       hayfork -t [--db] [-c FILE] [-o KEY=VALUE]...\n"
    "                                                check the conf\n"
    "       hayfork -T [-c FILE] [-o KEY=VALUE]...   check the conf and print it with all defaults\n"
    "       hayfork -r PID                           have a running server read the conf again\n"
    "       hayfork --version | --help\n"
    "\n"
    "  -c FILE       the conf file (default " CONF_PATH ")\n"
    "  -o KEY=VALUE  replaces one directive of the conf, e.g. -o listen=127.0.0.1:9000\n"
    "                or -o database.connect=dbname=contacts\n"
    "  -t            say whether the conf is good; needs no database and opens no socket\n"
    "  --db          with -t: have PostgreSQL check the SQL of the conf, too; runs none of it\n"
    "  -T            like -t, and print the conf in effect\n"
    "  -r PID        ask the server with this process id for a reload, or an upgrade to the\n"
    "                program on disk, and wait until it is done or refused\n"
    "  -V --version  print the version and the commit it was built from\n"
    "  -h --help     print this\n"
    "\n"
    "TERM finishes the pending requests and stops; INT stops at once; HUP reloads.\n"
    "exit codes: 0 stopped on request, 64 wrong usage, 69 cannot start, or no database for\n"
    "--db, 78 mistake in the conf, or the reload was refused\n";

/*
 * libpq is built with LDAP, and that with GnuTLS, which parses tables and reads its settings as it is loaded:
 * 110 kB that every worker has a copy of soon. This is its switch for programs that do not want that
 * (GNUTLS_SKIP_GLOBAL_INIT in gnutls/gnutls.h). libldap initialises it when a connection needs it.
 */
int _gnutls_global_init_skip(void);
int _gnutls_global_init_skip(void)
{
    return 1;
}

/* commit.c: the commit that it was built from, or nothing where that is not known. */
extern const char hayfork_commit[];

enum mode { MODE_SERVE, MODE_CHECK, MODE_PRINT, MODE_RELOAD };

struct options {
    const char *conf_path;
    enum mode mode;
    pid_t pid; /* of the server, for MODE_RELOAD */
    bool db;
    struct conf_override *overrides;
    size_t n_overrides;
};

_Noreturn static void refuse(const char *what, const char *word)
{
    fprintf(stderr, "hayfork: %s%s; hayfork --help shows the options\n", what, word);
    exit(EX_USAGE);
}

/*
 * Takes a copy of an override. Where its value may hold a secret, it is overwritten in the arguments, which
 * everybody on the machine can read (proc(5), /proc/PID/cmdline).
 */
static void add_override(struct options *options, char *text)
{
    char *equals = strchr(text, '=');
    if (equals == NULL || equals == text)
        refuse("-o takes KEY=VALUE, not ", text);
    char *key = mem_strndup(text, (size_t)(equals - text)), *value = mem_strdup(equals + 1);
    MEM_GROW(&options->overrides, options->n_overrides);
    options->overrides[options->n_overrides++] = (struct conf_override){key, value};
    if (conf_may_hold_secret(key))
        memset(equals + 1, '*', strlen(value));
}

static void free_overrides(struct options *options)
{
    for (size_t i = 0; i < options->n_overrides; i++) {
        free((char *)options->overrides[i].key);
        free((char *)options->overrides[i].value);
    }
    free(options->overrides);
}

static pid_t read_pid(const char *text)
{
    char *end;
    long pid = strtol(text, &end, 10);
    if (text[0] < '1' || text[0] > '9' || *end != '\0' || pid > INT_MAX)
        refuse("-r wants a process id, not ", text);
    return (pid_t)pid;
}

enum { OPTION_DB = 256 };

/*
 * An option that there is not. letter is what getopt_long leaves in optopt: 0 for a word that it does not
 * know, the option itself for a word that takes no value and got one, which is not shown.
 */
_Noreturn static void refuse_option(int letter, char *word)
{
    bool takes_none = letter == OPTION_DB || letter == 'h' || letter == 'V';
    if (letter != 0 && !takes_none)
        refuse("unknown option ", (char[]){'-', (char)letter, '\0'});
    word[strcspn(word, "=")] = '\0';
    refuse(takes_none ? "no value goes with " : "unknown option ", word);
}

static struct options parse(int argc, char **argv)
{
    static const struct option words[] = {{"db", no_argument, NULL, OPTION_DB},
                                          {"help", no_argument, NULL, 'h'},
                                          {"version", no_argument, NULL, 'V'},
                                          {NULL, 0, NULL, 0}};
    struct options options = {.conf_path = CONF_PATH, .mode = MODE_SERVE};
    int option;
    opterr = 0;
    while ((option = getopt_long(argc, argv, ":c:o:r:tTVh", words, NULL)) != -1) {
        char letter[] = {'-', (char)optopt, '\0'};
        switch (option) {
        case 'c':
            options.conf_path = optarg;
            break;
        case 'o':
            add_override(&options, optarg);
            break;
        case 't':
            options.mode = MODE_CHECK;
            break;
        case 'r':
            options.mode = MODE_RELOAD;
            options.pid = read_pid(optarg);
            break;
        case OPTION_DB:
            options.db = true;
            break;
        case 'T':
            options.mode = MODE_PRINT;
            break;
        case 'V':
            printf(*hayfork_commit == '\0' ? "hayfork %s\n" : "hayfork %s (%s)\n", PACKAGE_VERSION,
                   hayfork_commit);
            exit(EXIT_SUCCESS);
        case 'h':
            fputs(usage, stdout);
            exit(EXIT_SUCCESS);
        case ':':
            refuse("a value is missing after ", letter);
        default:
            refuse_option(optopt, argv[optind - 1]);
        }
    }
    if (options.db && options.mode != MODE_CHECK)
        refuse("--db goes with ", "-t");
    if (optind < argc) { /* it may be half of a connection string that lacks its quotes */
        argv[optind][strcspn(argv[optind], "=")] = '\0';
        refuse("unexpected argument ", argv[optind]);
    }
    return options;
}

/* Can all the workers that there would be on this machine have their connections? */
static bool has_room(const struct conf *conf, const char *path)
{
    char *problem = conf_refuse_workers(conf, program_workers(conf));
    if (problem != NULL)
        fprintf(stderr, "%s: error: %s\n", path, problem);
    free(problem);
    return problem == NULL;
}

static bool open_secrets(struct conf *conf)
{
    char *problem = conf_open_secrets(conf);
    if (problem != NULL)
        fprintf(stderr, "hayfork: %s\n", problem);
    free(problem);
    return problem == NULL;
}

static int check(struct conf *conf, const struct options *options)
{
    size_t n = 0;
    if (options->db && !open_secrets(conf))
        return EX_UNAVAILABLE;
    if (options->db)
        privileges_give_up(conf); /* PostgreSQL is asked as the workers would: by their name and ~/.pgpass */
    for (size_t i = 0; options->db && i < conf->n_routes; i++)
        n += conf->routes[i].kind->asks_database;
    int code = options->db ? db_try(conf, program_workers(conf), stderr) : EXIT_SUCCESS;
    if (code == EXIT_SUCCESS && options->db && n > 0)
        printf("%s: the conf is good, and PostgreSQL takes its %zu statement%s\n", options->conf_path, n,
               n == 1 ? "" : "s");
    else if (code == EXIT_SUCCESS)
        printf("%s: the conf is good%s\n", options->conf_path, options->db ? "; it has no SQL" : "");
    return code;
}

static int run(struct options *options, struct program *program)
{
    int code = EXIT_SUCCESS;
    if (options->mode == MODE_RELOAD)
        return control_reload(options->pid);
    if (trial_is_asked_for())
        return trial_run(program);
    if (options->mode == MODE_SERVE && getenv(MASTER_TAKEOVER) != NULL)
        return master_go_on(program);
    struct conf *conf = conf_load(options->conf_path, options->overrides, options->n_overrides, stderr);
    if (conf == NULL || !has_room(conf, options->conf_path)) {
        code = EX_CONFIG;
    } else if (options->mode == MODE_SERVE && !open_secrets(conf)) {
        code = EX_UNAVAILABLE;
    } else if (options->mode == MODE_SERVE) {
        code = master_run(program, conf);
        conf = NULL;
    } else if (options->mode == MODE_PRINT) {
        conf_print(conf, program_workers(conf), stdout);
    } else {
        code = check(conf, options);
    }
    conf_free(conf);
    return code;
}

/*
 * What is asked for by a signal while the conf is read waits until it can be done: its default action would
 * end the process, or stop it.
 */
static void hold_signals(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGUSR1);
    sigaddset(&set, SIGUSR2);
    sigaddset(&set, SIGTTIN);
    sigaddset(&set, SIGTTOU);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

/* What is opened later must not get these numbers: the log would be written into a client's connection. */
static void open_standard_files(void)
{
    int fd;
    do
        fd = open("/dev/null", O_RDWR);
    while (fd >= 0 && fd < STDERR_FILENO);
    if (fd > STDERR_FILENO)
        close(fd);
}

int main(int argc, char **argv)
{
    open_standard_files();
    struct program program = {0};
    program_note(&program, argv);
    struct options options = parse(argc, argv);
    if (options.mode == MODE_SERVE)
        hold_signals();
    program.commit = hayfork_commit;
    program.conf_path = options.conf_path;
    program.overrides = options.overrides;
    program.n_overrides = options.n_overrides;
    int code = run(&options, &program);
    program_free(&program);
    free_overrides(&options);
    return code;
}
