/* trial.c: would a reload go through? */
#include "process/trial.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <sysexits.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/pack.h"
#include "db/try.h"
#include "process/address.h"
#include "process/privileges.h"

enum {
    LIMIT_MS = 60000, /* PostgreSQL may be slow to say that it is away: 10 s for each host */
    ROOM_MS = 3000,   /* for workers to make room for a connection */
    LOOK_AGAIN_MS = 20,
    FDS_MOST = 64, /* in one message */
    MESSAGE_MOST = 4096,
};

/* One message of the socket. */
enum kind {
    KIND_CONF = 1, /* how many workers; the snapshot's descriptor */
    KIND_LISTENER, /* the next listener of the conf: its address */
    KIND_SOCKETS,  /* an address, a Unix socket's path, device and inode, whether shared; descriptors */
    KIND_END,
};

static const char variable[] = "HAYFORK_TRIAL"; /* "FILE:SOCKET:PARENT": descriptors, and whose trial it is */

/* The messages */

union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(FDS_MOST * sizeof(int))];
};

static bool send_message(int socket, const struct pack *pack, const int *fds, size_t n)
{
    union control control = {0};
    struct iovec data = {pack->data, pack->len};
    struct msghdr message = {.msg_iov = &data, .msg_iovlen = 1};
    if (n > 0) {
        message.msg_control = &control;
        message.msg_controllen = CMSG_SPACE(n * sizeof(int));
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(n * sizeof(int));
        memcpy(CMSG_DATA(header), fds, n * sizeof(int));
    }
    ssize_t sent;
    do
        sent = sendmsg(socket, &message, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)pack->len;
}

/*
 * Returns how many bytes have come, 0 for the end, -1 with errno. Sets the descriptors, which are the
 * caller's; *cut is set where this process may not open as many as were sent.
 */
static ssize_t receive_message(int socket, char *bytes, int fds[FDS_MOST], size_t *n, bool *cut)
{
    union control control = {0};
    struct iovec data = {bytes, MESSAGE_MOST};
    struct msghdr message = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    ssize_t got = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    struct cmsghdr *header = got < 0 ? NULL : CMSG_FIRSTHDR(&message);
    *n = 0;
    if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
        *n = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(fds, CMSG_DATA(header), *n * sizeof(int));
    }
    if (got >= 0 && (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0)
        *cut = true;
    return got;
}

/* The master's side */

/* In the child: only what the trial is to have is there after exec. */
_Noreturn static void become_trial(const struct program *program, const struct takeover *takeover, int file,
                                   int socket, int said, pid_t parent)
{
    sigset_t none;
    char *value = mem_printf("%d:%d:%d", file, socket, (int)parent);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (int signal_number = 1; signal_number < NSIG; signal_number++)
        signal(signal_number, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    takeover_inherit(takeover, file, true);
    fcntl(socket, F_SETFD, 0);
    setenv(variable, value, 1);
    if (dup2(said, STDERR_FILENO) >= 0 && getppid() == parent)
        execv(program->path, program->argv);
    log_error("cannot execute %s", program->path);
    _exit(EX_OSERR);
}

bool trial_begin(struct trial *trial, const struct program *program, const struct takeover *takeover)
{
    int sockets[2] = {-1, -1}, said[2] = {-1, -1}, file = takeover_write(takeover);
    pid_t parent = getpid();
    *trial = (struct trial){.snapshot = -1, .end = clock_ms() + LIMIT_MS, .file = program_file(program)};
    if (file < 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) != 0 ||
        pipe2(said, O_CLOEXEC) != 0)
        goto failed;
    trial->pid = fork();
    if (trial->pid == 0)
        become_trial(program, takeover, file, sockets[1], said[1], parent);
    if (trial->pid < 0)
        goto failed;
    close(file);
    close(sockets[1]);
    close(said[1]);
    fcntl(said[0], F_SETFL, O_NONBLOCK);
    trial->socket = sockets[0];
    trial->said = said[0];
    return true;
failed:
    log_error("cannot begin to reload");
    for (int i = 0; i < 2; i++) {
        if (sockets[i] >= 0)
            close(sockets[i]);
        if (said[i] >= 0)
            close(said[i]);
    }
    if (file >= 0)
        close(file);
    return false;
}

static char *copy_text(struct unpack *in)
{
    struct str text = unpack_text(in);
    return mem_strndup(text.base, text.len);
}

static void take_sockets(struct trial *trial, struct unpack *in, const int *fds, size_t n)
{
    struct listener listener = {.address = copy_text(in), .unix_path = copy_text(in)};
    if (listener.unix_path[0] == '\0') {
        free(listener.unix_path);
        listener.unix_path = NULL;
    }
    listener.device = unpack_number(in);
    listener.inode = unpack_number(in);
    listener.shared = unpack_number(in);
    listener.passed = unpack_number(in);
    for (size_t i = 0; i < n; i++) {
        MEM_GROW(&listener.fds, listener.n_fds);
        listener.fds[listener.n_fds++] = fds[i];
    }
    MEM_GROW(&trial->opened, trial->n_opened);
    trial->opened[trial->n_opened++] = listener;
}

static void take_message(struct trial *trial, struct str bytes, const int *fds, size_t n)
{
    struct unpack in = {bytes, false};
    uint64_t kind = unpack_number(&in);
    size_t used = 0;
    if (kind == KIND_CONF && n == 1 && trial->snapshot < 0) {
        trial->workers = (unsigned)unpack_number(&in);
        trial->snapshot = fds[0];
        used = 1;
    } else if (kind == KIND_LISTENER) {
        MEM_GROW(&trial->addresses, trial->n_addresses);
        trial->addresses[trial->n_addresses++] = copy_text(&in);
    } else if (kind == KIND_SOCKETS) {
        take_sockets(trial, &in, fds, n);
        used = n;
    } else if (kind == KIND_END) {
        trial->whole = trial->snapshot >= 0 && trial->workers > 0;
    }
    while (used < n)
        close(fds[used++]);
}

void trial_take(struct trial *trial)
{
    char bytes[MESSAGE_MOST];
    int fds[FDS_MOST];
    size_t n;
    ssize_t got;
    if (trial->socket < 0)
        return;
    while ((got = receive_message(trial->socket, bytes, fds, &n, &trial->cut)) > 0)
        take_message(trial, (struct str){bytes, (size_t)got}, fds, n);
    if (got == 0 || (errno != EAGAIN && errno != EINTR)) {
        close(trial->socket);
        trial->socket = -1;
    }
}

int trial_watch(struct trial *trial)
{
    uint64_t now = clock_ms();
    if (trial->late || trial->ended)
        return -1;
    if (now < trial->end)
        return (int)(trial->end - now);
    trial->late = true;
    kill(trial->pid, SIGKILL);
    return -1;
}

const char *trial_verdict(const struct trial *trial, char *buffer, size_t size)
{
    if (trial->late) {
        snprintf(buffer, size, "the trial of it took longer than %d s", LIMIT_MS / 1000);
    } else if (WIFSIGNALED(trial->status)) {
        snprintf(buffer, size, "the program was killed by signal %d (%s) when it was tried",
                 WTERMSIG(trial->status), strsignal(WTERMSIG(trial->status)));
    } else if (WEXITSTATUS(trial->status) == EX_CONFIG) {
        return "the conf has a mistake";
    } else if (WEXITSTATUS(trial->status) == EX_PROTOCOL) {
        return "the program on disk cannot take over from this one: restart the service";
    } else if (WEXITSTATUS(trial->status) == EX_UNAVAILABLE) {
        return "it could not start: see above";
    } else if (WEXITSTATUS(trial->status) != 0) {
        snprintf(buffer, size, "the program ended with exit code %d when it was tried",
                 WEXITSTATUS(trial->status));
    } else if (trial->cut) {
        return "there are not enough file descriptors for its sockets";
    } else if (!trial->whole) {
        return "the program on disk did not try it: is it hayfork?";
    } else {
        return NULL;
    }
    return buffer;
}

void trial_end(struct trial *trial)
{
    if (trial->socket >= 0)
        close(trial->socket);
    if (trial->said >= 0)
        close(trial->said);
    if (trial->snapshot >= 0)
        close(trial->snapshot);
    for (size_t i = 0; i < trial->n_addresses; i++)
        free(trial->addresses[i]);
    for (size_t i = 0; i < trial->n_opened; i++)
        listen_close(&trial->opened[i], true);
    free(trial->addresses);
    free(trial->opened);
    *trial = (struct trial){.socket = -1, .said = -1, .snapshot = -1};
}

/* The trial's side */

bool trial_is_asked_for(void)
{
    return getenv(variable) != NULL;
}

static bool send_text(int socket, enum kind kind, const char *text)
{
    struct pack pack = {0};
    pack_number(&pack, kind);
    if (text != NULL)
        pack_text(&pack, str_of(text));
    bool sent = send_message(socket, &pack, NULL, 0);
    free(pack.data);
    return sent;
}

/* Hands over the sockets of a listener from the one with this index on. */
static bool send_sockets(int socket, const struct listener *listener, size_t from)
{
    bool sent = true;
    while (sent && from < listener->n_fds) {
        size_t n = listener->n_fds - from < FDS_MOST ? listener->n_fds - from : FDS_MOST;
        struct pack pack = {0};
        pack_number(&pack, KIND_SOCKETS);
        pack_text(&pack, str_of(listener->address));
        pack_text(&pack, str_of(listener->unix_path == NULL ? "" : listener->unix_path));
        pack_number(&pack, listener->device);
        pack_number(&pack, listener->inode);
        pack_number(&pack, listener->shared);
        pack_number(&pack, listener->passed);
        sent = send_message(socket, &pack, listener->fds + from, n);
        free(pack.data);
        from += n;
    }
    return sent;
}

static struct listener *find_listener(const struct takeover *takeover, const char *address)
{
    for (size_t i = 0; i < takeover->n_listeners; i++) {
        if (strcmp(takeover->listeners[i]->address, address) == 0)
            return takeover->listeners[i];
    }
    return NULL;
}

/* Does the server listen on this port, by this or another address? */
static bool has_port(const struct takeover *takeover, const char *address)
{
    const char *colon = strrchr(address, ':'), *port = colon == NULL ? address : colon + 1;
    for (size_t i = 0; i < takeover->n_listeners; i++) {
        const char *other = takeover->listeners[i]->address, *other_colon = strrchr(other, ':');
        if (strcmp(port, other_colon == NULL ? other : other_colon + 1) == 0)
            return true;
    }
    return false;
}

/* Opens what one listener lacks, and hands it over. Returns false after logging. */
static bool open_listener(int socket, const struct conf *conf, size_t which, const char *name,
                          const struct takeover *takeover, unsigned workers)
{
    struct listener opened = {0}, *listener = find_listener(takeover, name);
    if (listener != NULL && !listen_has_path(listener)) /* somebody has removed it */
        listener = NULL;
    size_t had = listener == NULL ? 0 : listener->n_fds;
    int result = listener == NULL ? address_open(&opened, conf, which, &takeover->passed, workers,
                                                 has_port(takeover, name))
                                  : listen_grow(listener, workers);
    if (result != 0)
        return false;
    if (listener == NULL)
        listener = &opened;
    bool sent = send_text(socket, KIND_LISTENER, name) && send_sockets(socket, listener, had);
    if (!sent)
        log_error("cannot hand over the sockets of %s", name);
    if (listener == &opened)
        listen_close(&opened, !sent); /* in this process: the master has it now */
    return sent;
}

/* Opens what the conf's listeners lack, and hands it over. Returns false after logging. */
static bool open_listeners(int socket, const struct conf *conf, const struct takeover *takeover,
                           unsigned workers)
{
    for (size_t i = 0; i < conf->n_listen; i++) {
        char *name = address_name(conf, i, &takeover->passed);
        bool opened = open_listener(socket, conf, i, name, takeover, workers);
        free(name);
        if (!opened)
            return false;
    }
    return true;
}

static bool send_conf(int socket, const struct conf *conf, unsigned workers)
{
    struct pack snapshot = {0}, pack = {0};
    conf_snapshot(conf, &snapshot);
    int file = pack_to_file(&snapshot, "hayfork conf");
    pack_number(&pack, KIND_CONF);
    pack_number(&pack, workers);
    bool sent = file >= 0 && send_message(socket, &pack, &file, 1);
    if (!sent)
        log_error("cannot hand over the conf");
    if (file >= 0)
        close(file);
    free(snapshot.data);
    free(pack.data);
    return sent;
}

/*
 * Asks PostgreSQL about the statements, by one connection, for which the workers make room within
 * database.max. Where they do not in time, it is one too many for a moment.
 */
static int ask_database(const struct conf *conf, struct shm *shm, unsigned workers)
{
    uint64_t end = clock_ms() + ROOM_MS;
    atomic_store(&shm->guests, 1);
    while (shm_connections(shm) > conf->database.max && clock_ms() < end) {
        shm_be_frugal(shm, true);
        poll(NULL, 0, LOOK_AGAIN_MS);
    }
    int status = 0;
    pid_t asker = getpid(), pid = fork();
    if (pid == 0) {
        privileges_give_up(conf); /* PostgreSQL is asked as the workers would: by their name and ~/.pgpass */
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* after that: a change of user clears it */
        exit(getppid() == asker ? db_try(conf, workers, stderr) : EX_UNAVAILABLE);
    }
    while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR)
        continue;
    atomic_store(&shm->guests, 0);
    return pid < 0 || !WIFEXITED(status) ? EX_UNAVAILABLE : WEXITSTATUS(status);
}

/* Returns the exit code. */
static int try_conf(int socket, struct conf *conf, const struct takeover *takeover, struct shm *shm)
{
    unsigned workers = program_workers(conf);
    char *problem = conf_refuse_workers(conf, workers);
    if (problem == NULL)
        problem = conf_open_secrets(conf);
    if (problem != NULL) {
        log_errorx("%s", problem);
        free(problem);
        return EX_CONFIG;
    }
    int code = ask_database(conf, shm, workers);
    if (code == EX_CONFIG)
        return code;
    if (code != EX_OK)
        log_warnx("PostgreSQL could not be asked about all statements: they are taken as they are");
    if (!open_listeners(socket, conf, takeover, workers) || !send_conf(socket, conf, workers) ||
        !send_text(socket, KIND_END, NULL))
        return EX_UNAVAILABLE;
    return EXIT_SUCCESS;
}

int trial_run(const struct program *program)
{
    struct takeover takeover;
    int file, socket, parent, code = EX_CONFIG;
    const char *value = getenv(variable);
    if (sscanf(value, "%d:%d:%d", &file, &socket, &parent) != 3 || getppid() != parent) {
        fprintf(stderr, "hayfork: %s must not be set\n", variable);
        return EX_USAGE;
    }
    unsetenv(variable);
    log_open("reload", LOG_LEVEL_INFO);
    if (!takeover_read(file, &takeover))
        return EX_PROTOCOL;
    struct shm *shm = shm_map(takeover.shm);
    if (shm == NULL)
        return EX_PROTOCOL;
    fcntl(socket, F_SETFD, FD_CLOEXEC);
    struct conf *conf = conf_load(program->conf_path, program->overrides, program->n_overrides, stderr);
    if (conf != NULL) {
        privileges_protect_memory(conf);
        code = try_conf(socket, conf, &takeover, shm);
    }
    conf_free(conf);
    shm_unmap(shm);
    takeover_free(&takeover);
    return code;
}
