/* sandbox.c: what a worker cannot do any more, and what it still can. */
#include "process/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <linux/netlink.h>
#include <linux/openat2.h>
#include <linux/sched.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "http/folder.h"
#include "unit/tap.h"

enum { GOOD = 0, CANNOT_BEGIN = 200 };

static char folder[] = "/tmp/hf.XXXXXX", file[64], other[64];

/* What came of it in a process of its own that has given up what enter says: 0, or the errno. */
static int in_sandbox(bool (*enter)(void), int (*attempt)(void))
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || !enter())
            _exit(CANNOT_BEGIN);
        _exit(attempt());
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        abort();
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static bool enter_nothing(void)
{
    return true;
}

/* What a filter refuses. Each of them is harmless if it is not. */

#define ERRNO_OF(call) ((call) < 0 ? errno : GOOD)

static int execute(void)
{
    char *const arguments[] = {"true", NULL};
    return ERRNO_OF(execve("/bin/true", arguments, environ));
}

static int execute_at(void)
{
    char *const arguments[] = {"true", NULL};
    return ERRNO_OF(syscall(SYS_execveat, AT_FDCWD, "/bin/true", arguments, environ, 0));
}

static int make_process(void)
{
    pid_t pid = fork();
    if (pid == 0)
        _exit(0);
    return ERRNO_OF(pid);
}

static int make_process_anew(void)
{
    struct clone_args arguments = {.exit_signal = SIGCHLD};
    long pid = syscall(SYS_clone3, &arguments, sizeof(arguments));
    if (pid == 0)
        _exit(0);
    return ERRNO_OF(pid);
}

static int trace(void)
{
    return ERRNO_OF(ptrace(PTRACE_TRACEME, 0, NULL, NULL));
}

static int read_others_memory(void)
{
    char byte;
    struct iovec here = {&byte, 1}, there = {&byte, 1};
    return ERRNO_OF(process_vm_readv(getppid(), &here, 1, &there, 1, 0));
}

static int signal_other(void)
{
    return ERRNO_OF(kill(getppid(), 0));
}

static int signal_others_thread(void)
{
    return ERRNO_OF(syscall(SYS_tgkill, getppid(), getppid(), 0));
}

static int signal_by_descriptor(void)
{
    int fds[2] = {-1, -1};
    return pipe2(fds, 0) != 0 ? CANNOT_BEGIN : ERRNO_OF(fcntl(fds[0], F_SETOWN, getppid()));
}

static int open_descriptor_of_process(void)
{
    return ERRNO_OF(syscall(SYS_pidfd_open, getppid(), 0));
}

static int open_to_write(void)
{
    return ERRNO_OF(open(file, O_WRONLY));
}

static int open_to_read_and_write(void)
{
    return ERRNO_OF(open(file, O_RDWR | O_APPEND));
}

static int open_to_create(void)
{
    return ERRNO_OF(open(other, O_RDONLY | O_CREAT, 0600));
}

static int open_to_truncate(void)
{
    return ERRNO_OF(open(file, O_RDONLY | O_TRUNC));
}

static int open_without_name(void)
{
    return ERRNO_OF(open(folder, O_TMPFILE | O_WRONLY, 0600));
}

static int open_to_neither(void)
{
    return ERRNO_OF(open(file, O_ACCMODE)); /* for ioctl(2) alone; wants the right to write */
}

static int open_by_how(void)
{
    struct open_how how = {.flags = O_WRONLY};
    return ERRNO_OF(syscall(SYS_openat2, AT_FDCWD, file, &how, sizeof(how)));
}

static int open_by_longer_how(void)
{
    return ERRNO_OF(syscall(SYS_openat2, AT_FDCWD, "passwd", folder_how(), sizeof(struct open_how) + 8));
}

static int open_by_old_call(void)
{
#ifdef SYS_open
    return ERRNO_OF(syscall(SYS_open, file, O_WRONLY));
#else
    return EPERM;
#endif
}

static int create_by_old_call(void)
{
#ifdef SYS_creat
    return ERRNO_OF(syscall(SYS_creat, other, 0600));
#else
    return EPERM;
#endif
}

static int remove_file(void)
{
    return ERRNO_OF(unlink(file));
}

static int rename_file(void)
{
    return ERRNO_OF(rename(file, other));
}

static int link_file(void)
{
    return ERRNO_OF(link(file, other));
}

static int link_symbolically(void)
{
    return ERRNO_OF(symlink(file, other));
}

static int make_folder(void)
{
    return ERRNO_OF(mkdir(other, 0700));
}

static int make_device(void)
{
    return ERRNO_OF(mknod(other, S_IFIFO | 0600, 0));
}

static int cut_file(void)
{
    return ERRNO_OF(truncate(file, 0));
}

static int change_mode(void)
{
    return ERRNO_OF(chmod(file, 0666));
}

static int change_owner(void)
{
    return ERRNO_OF(chown(file, getuid(), getgid()));
}

static int change_root(void)
{
    return ERRNO_OF(chroot("/"));
}

static int change_folder(void)
{
    return ERRNO_OF(chdir("/"));
}

static int leave_namespace(void)
{
    return ERRNO_OF(unshare(CLONE_FS));
}

static int change_user(void)
{
    return ERRNO_OF(setuid(getuid()));
}

static int become_dumpable(void)
{
    return ERRNO_OF(prctl(PR_SET_DUMPABLE, 1, 0, 0, 0));
}

static int filter_again(void)
{
    return ERRNO_OF(syscall(SYS_seccomp, 0, 0, NULL));
}

static int make_ring(void)
{
    uint64_t parameters[32] = {0};
    return ERRNO_OF(syscall(SYS_io_uring_setup, 1, parameters));
}

static int load_program(void)
{
    return ERRNO_OF(syscall(SYS_bpf, 0, NULL, 0));
}

static int watch_faults(void)
{
    return ERRNO_OF(syscall(SYS_userfaultfd, O_CLOEXEC));
}

static int count_events(void)
{
    return ERRNO_OF(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0));
}

static int look_for_key(void)
{
    return ERRNO_OF(syscall(SYS_keyctl, 0, -3, 0, 0, 0));
}

static int listen_to_packets(void)
{
    return ERRNO_OF(socket(AF_PACKET, SOCK_DGRAM, 0));
}

static int listen_to_hypervisor(void)
{
    return ERRNO_OF(socket(40 /* AF_VSOCK */, SOCK_STREAM, 0));
}

static int type_for_others(void)
{
    return ERRNO_OF(ioctl(STDIN_FILENO, TIOCSTI, "x"));
}

static int change_limit(void)
{
    struct rlimit limit = {1, 1};
    return ERRNO_OF(setrlimit(RLIMIT_CORE, &limit));
}

static int change_others_limit(void)
{
    struct rlimit limit;
    return ERRNO_OF(syscall(SYS_prlimit64, getppid(), RLIMIT_CORE, NULL, &limit));
}

static int share_memory(void)
{
    return ERRNO_OF(syscall(SYS_shmget, 0, 4096, 0600 | 01000));
}

/* The system calls of another architecture have other numbers; x86_64 takes those of i386, if the kernel has
 * them. */
static int call_of_i386(void)
{
#if defined(__x86_64__)
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) /* getpid */ : "memory", "r8", "r9", "r10", "r11");
    return result < 0 ? (int)-result : GOOD;
#else
    return EPERM;
#endif
}

static int call_of_x32(void)
{
#if defined(__x86_64__)
    return ERRNO_OF(syscall(0x40000000L | SYS_getpid));
#else
    return EPERM;
#endif
}

static const struct {
    const char *what;
    int (*attempt)(void);
    int answer;
} refused[] = {
    {"execve", execute, EPERM},
    {"execveat", execute_at, EPERM},
    {"fork", make_process, EPERM},
    {"clone3, without which there is clone", make_process_anew, ENOSYS},
    {"ptrace", trace, EPERM},
    {"process_vm_readv", read_others_memory, EPERM},
    {"kill", signal_other, EPERM},
    {"tgkill of another process", signal_others_thread, EPERM},
    {"fcntl with F_SETOWN", signal_by_descriptor, EPERM},
    {"pidfd_open", open_descriptor_of_process, EPERM},
    {"openat for writing", open_to_write, EPERM},
    {"openat for reading and writing", open_to_read_and_write, EPERM},
    {"openat that makes a file", open_to_create, EPERM},
    {"openat that empties a file", open_to_truncate, EPERM},
    {"openat of a file without a name", open_without_name, EPERM},
    {"openat for ioctl", open_to_neither, EPERM},
    {"openat2 with flags of one's own", open_by_how, EPERM},
    {"openat2 with more than our flags", open_by_longer_how, EPERM},
    {"open", open_by_old_call, EPERM},
    {"creat", create_by_old_call, EPERM},
    {"unlink", remove_file, EPERM},
    {"rename", rename_file, EPERM},
    {"link", link_file, EPERM},
    {"symlink", link_symbolically, EPERM},
    {"mkdir", make_folder, EPERM},
    {"mknod", make_device, EPERM},
    {"truncate", cut_file, EPERM},
    {"chmod", change_mode, EPERM},
    {"chown", change_owner, EPERM},
    {"chroot", change_root, EPERM},
    {"chdir", change_folder, EPERM},
    {"unshare", leave_namespace, EPERM},
    {"setuid", change_user, EPERM},
    {"prctl", become_dumpable, EPERM},
    {"seccomp", filter_again, EPERM},
    {"io_uring_setup", make_ring, EPERM},
    {"bpf", load_program, EPERM},
    {"userfaultfd", watch_faults, EPERM},
    {"perf_event_open", count_events, EPERM},
    {"keyctl", look_for_key, EPERM},
    {"a socket for packets", listen_to_packets, EPERM},
    {"a socket of a hypervisor", listen_to_hypervisor, EPERM},
    {"ioctl with TIOCSTI", type_for_others, EPERM},
    {"setrlimit", change_limit, EPERM},
    {"prlimit of another process", change_others_limit, EPERM},
    {"shmget", share_memory, EPERM},
    {"a call of i386", call_of_i386, EPERM},
    {"a call of x32", call_of_x32, EPERM},
};

/* What workers do; each returns GOOD or a number that tells where it failed. */

static int read_files(void)
{
    char byte;
    int beneath = folder_open("/etc"), fd = folder_open_file(beneath, "passwd");
    struct stat status;
    if (fd < 0 || read(fd, &byte, 1) != 1 || fstat(fd, &status) != 0)
        return 1;
    FILE *stream = fopen("/etc/passwd", "re");
    return stream == NULL || fgetc(stream) == EOF ? 2 : access("/etc/passwd", R_OK) != 0 ? 3 : GOOD;
}

static int use_memory(void)
{
    enum { SIZE = 1 << 24 };
    int fd = memfd_create("sandbox", MFD_CLOEXEC);
    char *much = malloc(SIZE);
    if (much == NULL || fd < 0 || ftruncate(fd, 4096) != 0 || pwrite(fd, "x", 1, 4000) != 1)
        return 1;
    memset(much, 1, SIZE);
    much = realloc(much, 2 * SIZE);
    free(much);
    return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? 2 : GOOD;
}

static void *look_up(void *arg)
{
    struct addrinfo *found = NULL, hints = {.ai_flags = AI_ADDRCONFIG, .ai_socktype = SOCK_STREAM};
    *(int *)arg = getaddrinfo("localhost", "80", &hints, &found) == 0 ? GOOD : 1;
    if (found != NULL)
        freeaddrinfo(found);
    return NULL;
}

static int look_up_in_thread(void)
{
    pthread_t thread;
    int came = 2;
    if (pthread_create(&thread, NULL, look_up, &came) != 0)
        return 3;
    return pthread_join(thread, NULL) == 0 ? came : 4;
}

/* Nobody listens there, which is not the filter's doing. */
static int ask_postgres(void)
{
    static const char *const nowhere[] = {"host=/nowhere dbname=x", "host=127.0.0.1 port=1 dbname=x",
                                          "host=localhost port=1 dbname=x sslmode=require"};
    for (int i = 0; i < 3; i++) {
        PGconn *connection = PQconnectdb(nowhere[i]);
        bool refused_by_filter = strstr(PQerrorMessage(connection), strerror(EPERM)) != NULL;
        PQfinish(connection);
        if (refused_by_filter)
            return i + 1;
    }
    return GOOD;
}

static int talk(void)
{
    int pair[2], on = 1, bytes;
    char got[2];
    struct pollfd ready;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0 ||
        fcntl(pair[0], F_SETFL, O_NONBLOCK) != 0)
        return 1;
    ready = (struct pollfd){.fd = pair[1], .events = POLLIN};
    if (send(pair[0], "x", 1, MSG_NOSIGNAL) != 1 || poll(&ready, 1, 1000) != 1)
        return 2;
    if (ioctl(pair[1], FIONREAD, &bytes) != 0 || read(pair[1], got, 1) != 1)
        return 3;
    return setsockopt(pair[0], SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on)) == 0 && dup(pair[0]) >= 0 ? GOOD
                                                                                                    : 4;
}

static int tell_time(void)
{
    time_t now = time(NULL);
    struct tm tm;
    struct timespec moment = {0, 1000};
    return gmtime_r(&now, &tm) != NULL && localtime_r(&now, &tm) != NULL && nanosleep(&moment, NULL) == 0
               ? GOOD
               : 1;
}

static int ask_limits(void)
{
    struct rlimit limit;
    return getrlimit(RLIMIT_NOFILE, &limit) == 0 && sysconf(_SC_NPROCESSORS_ONLN) > 0 ? GOOD : 1;
}

static int end_by_abort(void)
{
    abort();
}

static const struct {
    const char *what;
    int (*attempt)(void);
    int answer;
} taken[] = {
    {"files are read", read_files, GOOD},
    {"memory is used, and files that are nothing else", use_memory, GOOD},
    {"names are looked up, in threads", look_up_in_thread, GOOD},
    {"PostgreSQL is asked", ask_postgres, GOOD},
    {"sockets are used", talk, GOOD},
    {"there is a time", tell_time, GOOD},
    {"limits are known", ask_limits, GOOD},
    {"abort ends the process", end_by_abort, -SIGABRT},
};

/* Whether others can be made to find that these do not work is not the filter's doing. */
static void test_filter(void)
{
    for (size_t i = 0; i < sizeof(taken) / sizeof(taken[0]); i++)
        is_int(in_sandbox(sandbox_filter_calls, taken[i].attempt), taken[i].answer, "%s", taken[i].what);
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        is_int(in_sandbox(sandbox_filter_calls, refused[i].attempt), refused[i].answer, "%s is refused",
               refused[i].what);
}

/* A filter holds for the threads that are there already. */
static void *open_in_thread(void *arg)
{
    int *pipe = arg;
    char go;
    if (read(pipe[0], &go, 1) != 1)
        return (void *)CANNOT_BEGIN;
    return (void *)(intptr_t)open_to_write();
}

static int go[2];

static bool enter_beside_thread(void)
{
    return pipe2(go, O_CLOEXEC) == 0;
}

static int write_in_older_thread(void)
{
    pthread_t thread;
    void *came = NULL;
    if (pthread_create(&thread, NULL, open_in_thread, go) != 0 || !sandbox_filter_calls())
        return CANNOT_BEGIN;
    return write(go[1], "x", 1) == 1 && pthread_join(thread, &came) == 0 ? (int)(intptr_t)came : CANNOT_BEGIN;
}

/* Landlock, alone */

static int bind_in_folder(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", other);
    return fd < 0 ? CANNOT_BEGIN : ERRNO_OF(bind(fd, (struct sockaddr *)&address, sizeof(address)));
}

static int write_what_is_open(void)
{
    int fd = memfd_create("sandbox", MFD_CLOEXEC);
    return fd >= 0 && write(fd, "x", 1) == 1 && ftruncate(fd, 0) == 0 ? GOOD : 1;
}

static const struct {
    const char *what;
    int (*attempt)(void);
} unwritten[] = {
    {"openat for writing", open_to_write},
    {"openat2 for writing", open_by_how},
    {"openat that makes a file", open_to_create},
    {"openat of a file without a name", open_without_name},
    {"unlink", remove_file},
    {"mkdir", make_folder},
    {"mknod", make_device},
    {"symlink", link_symbolically},
    {"bind to a path", bind_in_folder},
    {"execve", execute},
};

static bool has_landlock(void)
{
    return in_sandbox(sandbox_forbid_writing, read_files) != CANNOT_BEGIN;
}

static void test_landlock(void)
{
    if (!has_landlock()) {
        ok(true, "SKIP this kernel has no Landlock");
        return;
    }
    for (size_t i = 0; i < sizeof(unwritten) / sizeof(unwritten[0]); i++)
        is_int(in_sandbox(sandbox_forbid_writing, unwritten[i].attempt), EACCES,
               "%s is refused by Landlock, too", unwritten[i].what);
    is_int(in_sandbox(sandbox_forbid_writing, read_files), GOOD, "files are read");
    is_int(in_sandbox(sandbox_forbid_writing, write_what_is_open), GOOD, "memory is written");
}

static void make_files(void)
{
    if (mkdtemp(folder) == NULL)
        abort();
    snprintf(file, sizeof(file), "%s/file", folder);
    snprintf(other, sizeof(other), "%s/other", folder);
    int fd = open(file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, "text", 4) != 4)
        abort();
    close(fd);
}

int main(void)
{
    struct stat status;
    if (in_sandbox(sandbox_filter_calls, make_process) == GOOD) {
        puts("1..0 # SKIP built with sanitizers, which need what is refused");
        return 0;
    }
    make_files();
    is_int(in_sandbox(enter_nothing, open_to_write), GOOD, "without a filter a file is opened for writing");
    is_int(in_sandbox(enter_nothing, make_process), GOOD, "and a process made");
    test_filter();
    is_int(in_sandbox(enter_beside_thread, write_in_older_thread), EPERM,
           "threads that are there are filtered");
    test_landlock();
    ok(stat(file, &status) == 0 && status.st_size == 4, "the file is as it was");
    ok(stat(other, &status) != 0 && errno == ENOENT, "and there is no other");
    unlink(file);
    rmdir(folder);
    return done_testing();
}
