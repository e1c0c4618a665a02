/* sandbox.c: what a worker cannot do any longer, even if someone else's code were run in it. */
#include "process/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/netlink.h>
#include <linux/openat2.h>
#include <linux/sockios.h>
#include <sched.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/sanitizers.h"
#include "base/syscalls.h"
#include "http/folder.h"

/* System calls */

#define CALL SYSCALLS_CALL

/*
 * What workers do with connections and files all the time comes first: kernels before 5.11 go through the
 * list for each call, later ones remember which calls are taken whatever their arguments.
 */
static const struct syscalls_call calls[] = {
    CALL(recvfrom),
    CALL(sendmsg),
    CALL(sendto),
    CALL(recvmsg),
    CALL(epoll_ctl),
    CALL(epoll_pwait),
    CALL(read),
    CALL(write),
    CALL(readv),
    CALL(writev),
    CALL(listen), /* on sockets of the master's, when it is told to */
    CALL(accept4),
    CALL(close),
    CALL(io_uring_enter), /* of a ring that was there before: loop/ring.c */
    CALL(sched_yield),
    CALL(setsockopt),
    CALL(getsockopt),
    CALL(shutdown),
    CALL(sendfile),
    CALL(pread64),
    CALL(preadv),
    CALL(pwrite64),
    CALL(pwritev),
    CALL(lseek),
    CALL(fstat),
    CALL(newfstatat),
    CALL(statx),
    CALL(faccessat),
    CALL(faccessat2),
    CALL(readlinkat),
    CALL(getdents64),
    CALL(getcwd),
    CALL(statfs),
    CALL(fstatfs),
    CALL(fadvise64),
    /* memory, and files that are nothing else */
    CALL(brk),
    CALL(mmap),
    CALL(munmap),
    CALL(mremap),
    CALL(mprotect),
    CALL(madvise),
    CALL(memfd_create),
    CALL(ftruncate),
    CALL(fallocate),
    /* sockets of our own: PostgreSQL, upstreams, name servers */
    CALL(connect),
    CALL(bind),
    CALL(getsockname),
    CALL(getpeername),
    CALL(socketpair),
    CALL(sendmmsg),
    CALL(recvmmsg),
    CALL(ppoll),
    CALL(pselect6),
    CALL(epoll_create1),
    CALL(eventfd2),
    CALL(pipe2),
    CALL(dup),
    CALL(dup3),
    /* threads, which look up names and cancel queries */
    CALL(futex),
    CALL(set_robust_list),
    CALL(rt_sigaction),
    CALL(rt_sigprocmask),
    CALL(rt_sigreturn),
    CALL(sigaltstack),
    CALL(restart_syscall),
    CALL(exit),
    CALL(exit_group),
    CALL(getpid),
    CALL(gettid),
    CALL(getppid),
    CALL(sched_getaffinity),
    /* who, when and where we are */
    CALL(getuid),
    CALL(geteuid),
    CALL(getgid),
    CALL(getegid),
    CALL(getresuid),
    CALL(getresgid),
    CALL(getgroups),
    CALL(getrandom),
    CALL(clock_gettime),
    CALL(clock_getres),
    CALL(clock_nanosleep),
    CALL(nanosleep),
    CALL(gettimeofday),
    CALL(getrusage),
    CALL(times),
    CALL(uname),
    CALL(sysinfo),
    CALL(getcpu),
#if defined(SYS_rseq)
    CALL(rseq),
#endif
#if defined(__x86_64__)
    CALL(epoll_wait),
    CALL(epoll_create),
    CALL(eventfd),
    CALL(poll),
    CALL(select),
    CALL(pipe),
    CALL(dup2),
    CALL(stat),
    CALL(lstat),
    CALL(access),
    CALL(readlink),
    CALL(time),
#endif
    {SYS_openat, {{.kind = SYSCALLS_HAS_NO_BIT, .argument = 2, .value = O_ACCMODE | O_CREAT | O_TRUNC}}},
    {SYS_fcntl,
     {{.kind = SYSCALLS_IS_ONE,
       .argument = 1,
       .values = {F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW,
                  F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW, F_ADD_SEALS},
       .n_values = 13}}}, /* and not F_SETOWN, by which others get signals */
    {SYS_ioctl,
     {{.kind = SYSCALLS_IS_ONE,
       .argument = 1,
       .values = {FIONREAD, FIONBIO, SIOCOUTQ, TCGETS},
       .n_values = 4}}},
    {SYS_socket,
     {{.kind = SYSCALLS_IS_ONE,
       .argument = 0,
       .values = {AF_INET, AF_INET6, AF_UNIX, AF_NETLINK}, /* the last to ask which addresses we have */
       .n_values = 4}}},
    {SYS_clone, {{.kind = SYSCALLS_HAS_A_BIT, .argument = 0, .value = CLONE_THREAD}}},
    {SYS_prlimit64,
     {{.kind = SYSCALLS_IS, .argument = 0, .value = 0},
      {.kind = SYSCALLS_IS, .argument = 2, .value = 0}}}, /* getrlimit(2) */
};

/* Calls whose arguments are not known before the process runs. */
bool sandbox_filter_calls(void)
{
    const struct syscalls_call own[] = {
        {SYS_openat2,
         {{.kind = SYSCALLS_IS, .argument = 2, .value = (uint64_t)(uintptr_t)folder_how()},
          {.kind = SYSCALLS_IS, .argument = 3, .value = sizeof(struct open_how)}}},
        {SYS_tgkill, /* abort(3) */
         {{.kind = SYSCALLS_IS, .argument = 0, .value = (uint64_t)getpid()}}},
    };
    const struct syscalls_list lists[] = {{calls, sizeof(calls) / sizeof(calls[0])},
                                          {own, sizeof(own) / sizeof(own[0])}};
    return syscalls_allow_only(lists, 2);
}

/* Files (linux/landlock.h, of which older systems have less) */

enum {
    FS_EXECUTE = 1 << 0,
    FS_WRITE_FILE = 1 << 1,
    FS_REMOVE_AND_MAKE = 0x1FF0, /* REMOVE_DIR, REMOVE_FILE and each MAKE_… */
    FS_REFER = 1 << 13,          /* of another folder: to link and rename; since its second version */
    FS_TRUNCATE = 1 << 14,       /* since the third */
    GET_VERSION = 1 << 0,
};

enum { LANDLOCK_CREATE_RULESET = 444, LANDLOCK_RESTRICT_SELF = 446 }; /* on all architectures */

#if HAS_SANITIZER /* they look into their own process by calls that no worker makes */

bool sandbox_forbid_writing(void)
{
    return true;
}

#else

/* No rule says where one of these is allowed after all. */
bool sandbox_forbid_writing(void)
{
    long version = syscall(LANDLOCK_CREATE_RULESET, NULL, 0, GET_VERSION);
    if (version < 1)
        return false;
    uint64_t forbidden = FS_EXECUTE | FS_WRITE_FILE | FS_REMOVE_AND_MAKE | (version >= 2 ? FS_REFER : 0) |
                         (version >= 3 ? FS_TRUNCATE : 0);
    int rules = (int)syscall(LANDLOCK_CREATE_RULESET, &forbidden, sizeof(forbidden), 0);
    if (rules < 0)
        return false;
    bool done = syscall(LANDLOCK_RESTRICT_SELF, rules, 0) == 0;
    int error = errno;
    close(rules);
    errno = error;
    return done;
}

#endif
