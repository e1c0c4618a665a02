/* sandbox.c: what a worker cannot do any longer, even if someone else's code were run in it. */
#include "process/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/netlink.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <linux/sockios.h>
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "http/folder.h"

/* Sanitizers look into their own process by calls that no worker makes. */
#if defined(__SANITIZE_ADDRESS__)
#define HAS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HAS_SANITIZER 1
#endif
#endif

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#define ARCHITECTURE 0 /* there is none */
#endif

/* System calls */

enum { MOST_VALUES = 12, MOST_CHECKS = 2 };

/* What an argument of a call has to be. Of those that are an int the kernel reads 32 bits, and so do we. */
enum check_kind {
    NOTHING,
    HAS_NO_BIT, /* of value */
    HAS_A_BIT,
    IS,     /* all 64 bits of it */
    IS_ONE, /* of values */
};

struct check {
    enum check_kind kind;
    unsigned argument; /* counted from 0 */
    uint64_t value;
    uint32_t values[MOST_VALUES];
    unsigned n_values;
};

struct call {
    uint32_t number;
    struct check checks[MOST_CHECKS]; /* all of them have to hold */
};

#define CALL(name)                                                                                           \
    {                                                                                                        \
        .number = SYS_##name                                                                                 \
    }

/*
 * What workers do with connections and files all the time comes first: kernels before 5.11 go through the
 * list for each call, later ones remember which calls are taken whatever their arguments.
 */
static const struct call calls[] = {
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
    {SYS_openat, {{.kind = HAS_NO_BIT, .argument = 2, .value = O_ACCMODE | O_CREAT | O_TRUNC}}},
    {SYS_fcntl,
     {{.kind = IS_ONE,
       .argument = 1,
       .values = {F_DUPFD, F_DUPFD_CLOEXEC, F_GETFD, F_SETFD, F_GETFL, F_SETFL, F_GETLK, F_SETLK, F_SETLKW,
                  F_OFD_GETLK, F_OFD_SETLK, F_OFD_SETLKW},
       .n_values = 12}}}, /* and not F_SETOWN, by which others get signals */
    {SYS_ioctl,
     {{.kind = IS_ONE, .argument = 1, .values = {FIONREAD, FIONBIO, SIOCOUTQ, TCGETS}, .n_values = 4}}},
    {SYS_socket,
     {{.kind = IS_ONE,
       .argument = 0,
       .values = {AF_INET, AF_INET6, AF_UNIX, AF_NETLINK}, /* the last to ask which addresses we have */
       .n_values = 4}}},
    {SYS_clone, {{.kind = HAS_A_BIT, .argument = 0, .value = CLONE_THREAD}}},
    {SYS_prlimit64,
     {{.kind = IS, .argument = 0, .value = 0}, {.kind = IS, .argument = 2, .value = 0}}}, /* getrlimit(2) */
};

/* The program that decides (linux/filter.h) */

enum { MOST_INSTRUCTIONS = 512 };

struct program {
    struct sock_filter code[MOST_INSTRUCTIONS];
    unsigned short n;
};

#define REFUSED (SECCOMP_RET_ERRNO | EPERM)
#define UNKNOWN (SECCOMP_RET_ERRNO | ENOSYS)

static void load(struct program *program, size_t offset)
{
    program->code[program->n++] = (struct sock_filter)BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offset);
}

/* Skips so many instructions where the comparison of what was loaded with value comes out so. */
static void jump(struct program *program, unsigned short comparison, uint32_t value, unsigned if_true,
                 unsigned if_false)
{
    program->code[program->n++] = (struct sock_filter)BPF_JUMP(BPF_JMP | comparison | BPF_K, value,
                                                               (uint8_t)if_true, (uint8_t)if_false);
}

static void answer(struct program *program, uint32_t value)
{
    program->code[program->n++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, value);
}

/* Both architectures have the lower half first. */
static size_t argument_offset(unsigned argument, bool upper)
{
    return offsetof(struct seccomp_data, args) + argument * sizeof(uint64_t) + (upper ? sizeof(uint32_t) : 0);
}

/* Goes on after these instructions if the check holds. */
static void add_check(struct program *program, const struct check *check)
{
    load(program, argument_offset(check->argument, false));
    switch (check->kind) {
    case HAS_NO_BIT:
        jump(program, BPF_JSET, (uint32_t)check->value, 0, 1);
        break;
    case HAS_A_BIT:
        jump(program, BPF_JSET, (uint32_t)check->value, 1, 0);
        break;
    case IS:
        jump(program, BPF_JEQ, (uint32_t)check->value, 0, 2);
        load(program, argument_offset(check->argument, true));
        jump(program, BPF_JEQ, (uint32_t)(check->value >> 32), 1, 0);
        break;
    case IS_ONE:
        for (unsigned i = 0; i < check->n_values; i++)
            jump(program, BPF_JEQ, check->values[i], check->n_values - i, 0);
        break;
    case NOTHING:
        break;
    }
    answer(program, REFUSED);
}

/* A call that is taken, if its checks hold. */
static void add_call(struct program *program, const struct call *call)
{
    unsigned short at = program->n;
    jump(program, BPF_JEQ, call->number, 0, 0);
    for (unsigned i = 0; i < MOST_CHECKS && call->checks[i].kind != NOTHING; i++)
        add_check(program, &call->checks[i]);
    answer(program, SECCOMP_RET_ALLOW);
    program->code[at].jf = (uint8_t)(program->n - at - 1);
}

/* Calls whose arguments are not known before the process runs. */
static void add_own_calls(struct program *program)
{
    const struct call to_itself = {SYS_tgkill, /* abort(3) */
                                   {{.kind = IS, .argument = 0, .value = (uint64_t)getpid()}}};
    const struct call beneath = {SYS_openat2,
                                 {{.kind = IS, .argument = 2, .value = (uint64_t)(uintptr_t)folder_how()},
                                  {.kind = IS, .argument = 3, .value = sizeof(struct open_how)}}};
    add_call(program, &beneath);
    add_call(program, &to_itself);
}

static void write_program(struct program *program, uint32_t architecture)
{
    program->n = 0;
    load(program, offsetof(struct seccomp_data, arch));
    jump(program, BPF_JEQ, architecture, 1, 0);
    answer(program, REFUSED); /* the numbers would mean other calls */
    load(program, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        add_call(program, &calls[i]);
    add_own_calls(program);
    jump(program, BPF_JEQ, SYS_clone3, 0, 1);
    answer(program, UNKNOWN);
    answer(program, REFUSED);
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

#if defined(HAS_SANITIZER)

bool sandbox_filter_calls(void)
{
    (void)write_program;
    return true;
}

bool sandbox_forbid_writing(void)
{
    return true;
}

#else

bool sandbox_filter_calls(void)
{
    struct program program;
    if (ARCHITECTURE == 0) {
        errno = ENOSYS;
        return false;
    }
    write_program(&program, ARCHITECTURE);
    struct sock_fprog filter = {.len = program.n, .filter = program.code};
    /* without the last flag kernels before 5.16 slow the processor down, against what foreign code could find
     * out
     */
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                   SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_SPEC_ALLOW, &filter) == 0;
}

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
