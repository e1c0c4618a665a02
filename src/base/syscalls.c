/* syscalls.c: has the kernel refuse all system calls but those on a list. */
#include "base/syscalls.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <unistd.h>

#include "base/sanitizers.h"

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#else
#define ARCHITECTURE 0 /* there is none */
#endif

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
static void add_check(struct program *program, const struct syscalls_check *check)
{
    load(program, argument_offset(check->argument, false));
    switch (check->kind) {
    case SYSCALLS_HAS_NO_BIT:
        jump(program, BPF_JSET, (uint32_t)check->value, 0, 1);
        break;
    case SYSCALLS_HAS_A_BIT:
        jump(program, BPF_JSET, (uint32_t)check->value, 1, 0);
        break;
    case SYSCALLS_IS:
        jump(program, BPF_JEQ, (uint32_t)check->value, 0, 2);
        load(program, argument_offset(check->argument, true));
        jump(program, BPF_JEQ, (uint32_t)(check->value >> 32), 1, 0);
        break;
    case SYSCALLS_IS_ONE:
        for (unsigned i = 0; i < check->n_values; i++)
            jump(program, BPF_JEQ, check->values[i], check->n_values - i, 0);
        break;
    case SYSCALLS_NOTHING:
        break;
    }
    answer(program, REFUSED);
}

/* A call that is taken, if its checks hold. */
static void add_call(struct program *program, const struct syscalls_call *call)
{
    unsigned short at = program->n;
    jump(program, BPF_JEQ, call->number, 0, 0);
    for (unsigned i = 0; i < SYSCALLS_CHECKS && call->checks[i].kind != SYSCALLS_NOTHING; i++)
        add_check(program, &call->checks[i]);
    answer(program, SECCOMP_RET_ALLOW);
    program->code[at].jf = (uint8_t)(program->n - at - 1);
}

static void write_program(struct program *program, const struct syscalls_list *lists, size_t n)
{
    program->n = 0;
    load(program, offsetof(struct seccomp_data, arch));
    jump(program, BPF_JEQ, ARCHITECTURE, 1, 0);
    answer(program, REFUSED); /* the numbers would mean other calls */
    load(program, offsetof(struct seccomp_data, nr));
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < lists[i].n; j++)
            add_call(program, &lists[i].calls[j]);
    }
    jump(program, BPF_JEQ, SYS_clone3, 0, 1);
    answer(program, UNKNOWN);
    answer(program, REFUSED);
}

#if HAS_SANITIZER /* they look into their own process by calls that no worker makes */

bool syscalls_allow_only(const struct syscalls_list *lists, size_t n)
{
    (void)write_program;
    (void)lists;
    (void)n;
    return true;
}

#else

bool syscalls_allow_only(const struct syscalls_list *lists, size_t n)
{
    struct program program;
    if (ARCHITECTURE == 0) {
        errno = ENOSYS;
        return false;
    }
    write_program(&program, lists, n);
    struct sock_fprog filter = {.len = program.n, .filter = program.code};
    /* without the last flag kernels before 5.16 slow the processor down, against what foreign code could find
     * out
     */
    return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER,
                   SECCOMP_FILTER_FLAG_TSYNC | SECCOMP_FILTER_FLAG_SPEC_ALLOW, &filter) == 0;
}

#endif
