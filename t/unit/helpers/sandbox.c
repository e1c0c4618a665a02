/* sandbox.c: what a helper cannot do, and what it still can. */
#include "helpers/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "helpers/link.h"
#include "unit/tap.h"

enum { GOOD = 0, CANNOT_BEGIN = 200 };

/* What came of it in a process of its own that is confined: 0, or the errno. */
static int confined(int (*attempt)(void))
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 || !helpers_confine())
            _exit(CANNOT_BEGIN);
        _exit(attempt());
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        abort();
    return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

static int result_of(long result)
{
    return result < 0 ? errno : GOOD;
}

static int read_a_file(void)
{
    return result_of(open("/etc/passwd", O_RDONLY));
}

static int make_a_file(void)
{
    return result_of(open("/tmp/hf.sandbox", O_WRONLY | O_CREAT, 0600));
}

static int remove_a_file(void)
{
    return result_of(unlink("/tmp/hf.sandbox"));
}

static int make_a_socket(void)
{
    return result_of(socket(AF_INET, SOCK_STREAM, 0));
}

static int make_a_unix_socket(void)
{
    return result_of(socket(AF_UNIX, SOCK_STREAM, 0));
}

static int make_a_process(void)
{
    return result_of(syscall(SYS_clone, SIGCHLD, NULL, NULL, NULL, NULL));
}

static int execute(void)
{
    return result_of(execl("/bin/true", "true", (char *)NULL));
}

static int signal_others(void)
{
    return result_of(kill(getppid(), 0));
}

static int raise_a_limit(void)
{
    uint64_t limit[2] = {1, 1};
    return result_of(syscall(SYS_prlimit64, 0, 0, limit, NULL));
}

/* What its work takes. */

static int use_memory(void)
{
    void *block = mmap(NULL, 1 << 24, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return block == MAP_FAILED ? errno : result_of(munmap(block, 1 << 24));
}

static void *nothing(void *arg)
{
    return arg;
}

static int use_threads(void)
{
    pthread_t thread;
    int error = pthread_create(&thread, NULL, nothing, NULL);
    return error != 0 ? error : pthread_join(thread, NULL);
}

static int offer(void)
{
    int pair[2], outer[2], got = -1;
    unsigned n = 1;
    char text[4];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) != 0 ||
        socketpair(AF_UNIX, SOCK_SEQPACKET, 0, outer) != 0)
        return errno;
    if (!helpers_send(outer[0], "abc", 3, pair, 1) ||
        helpers_receive(outer[1], text, sizeof(text), &got, &n) != 3)
        return errno;
    return n == 1 && got >= 0 ? GOOD : ENOMSG;
}

int main(void)
{
#if defined(__SANITIZE_ADDRESS__)
    (void)(read_a_file), (void)make_a_file, (void)remove_a_file, (void)make_a_socket,
        (void)make_a_unix_socket, (void)make_a_process, (void)execute, (void)signal_others,
        (void)raise_a_limit;
    ok(helpers_confine(), "with a sanitizer nothing is refused");
#else
    is_int(confined(read_a_file), EPERM, "no file is read");
    is_int(confined(make_a_file), EPERM, "none is made");
    is_int(confined(remove_a_file), EPERM, "none is removed");
    is_int(confined(make_a_socket), EPERM, "no connection to the net");
    is_int(confined(make_a_unix_socket), EPERM, "none to PostgreSQL on this machine");
    is_int(confined(make_a_process), EPERM, "no process is made");
    is_int(confined(execute), EPERM, "no program is executed");
    is_int(confined(signal_others), EPERM, "nobody is signalled");
    is_int(confined(raise_a_limit), EPERM, "no limit is changed");
#endif
    is_int(confined(use_memory), GOOD, "memory");
    is_int(confined(use_threads), GOOD, "threads");
    is_int(confined(offer), GOOD, "messages with descriptors");
    return done_testing();
}
