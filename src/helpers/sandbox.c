/* sandbox.c: what a helper cannot do any longer, even if someone else's code were run in it. */
#include "helpers/sandbox.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/syscalls.h"

#define CALL SYSCALLS_CALL

static const struct syscalls_call calls[] = {
    /* threads, of which libraries make some for each job */
    CALL(futex),
    CALL(set_robust_list),
    CALL(sched_yield),
    CALL(sched_getaffinity),
    CALL(exit),
    CALL(exit_group),
    CALL(restart_syscall),
    CALL(rt_sigprocmask),
    CALL(rt_sigaction), /* abort(3) */
    CALL(rt_sigreturn),
    CALL(getpid),
    CALL(gettid),
#if defined(SYS_rseq)
    CALL(rseq),
#endif
    /* memory */
    CALL(brk),
    CALL(mmap),
    CALL(munmap),
    CALL(mremap),
    CALL(mprotect),
    CALL(madvise),
    /* jobs, and what is open */
    CALL(recvmsg),
    CALL(sendmsg),
    CALL(ppoll),
    CALL(read),
    CALL(pread64),
    CALL(write),
    CALL(pwrite64),
    CALL(close),
    CALL(fstat),
    CALL(newfstatat), /* of what is open: nothing can be opened */
    CALL(lseek),
    CALL(getrandom),
    CALL(clock_gettime),
    CALL(clock_nanosleep),
    CALL(getrusage),
    CALL(setitimer), /* to end itself */
#if defined(__x86_64__)
    CALL(poll),
#endif
    {SYS_socketpair, {{.kind = SYSCALLS_IS_ONE, .argument = 0, .values = {AF_UNIX}, .n_values = 1}}},
    {SYS_clone, {{.kind = SYSCALLS_HAS_A_BIT, .argument = 0, .value = CLONE_THREAD}}},
    {SYS_fcntl, {{.kind = SYSCALLS_IS_ONE, .argument = 1, .values = {F_GETFD, F_GETFL}, .n_values = 2}}},
    {SYS_prctl, {{.kind = SYSCALLS_IS_ONE, .argument = 0, .values = {PR_SET_NAME}, .n_values = 1}}},
    {SYS_prlimit64,
     {{.kind = SYSCALLS_IS, .argument = 0, .value = 0},
      {.kind = SYSCALLS_IS, .argument = 2, .value = 0}}}, /* getrlimit(2) */
};

bool helpers_confine(void)
{
    const struct syscalls_call to_itself[] = {
        {SYS_tgkill, {{.kind = SYSCALLS_IS, .argument = 0, .value = (uint64_t)getpid()}}}}; /* abort(3) */
    const struct syscalls_list lists[] = {{calls, sizeof(calls) / sizeof(calls[0])}, {to_itself, 1}};
    return syscalls_allow_only(lists, 2);
}
