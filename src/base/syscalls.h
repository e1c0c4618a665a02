/*
 * syscalls.h: has the kernel refuse all system calls but those on a list (seccomp(2)).
 *
 * The filter is written here and not by libseccomp: it is a list with a few comparisons, and a library that
 * makes it would be one more in each process that is to have little.
 */
#ifndef HAYFORK_BASE_SYSCALLS_H
#define HAYFORK_BASE_SYSCALLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

enum { SYSCALLS_VALUES = 13, SYSCALLS_CHECKS = 2 };

/* What an argument of a call has to be. Of those that are an int the kernel reads 32 bits, and so do we. */
enum syscalls_kind {
    SYSCALLS_NOTHING,
    SYSCALLS_HAS_NO_BIT, /* of value */
    SYSCALLS_HAS_A_BIT,
    SYSCALLS_IS,     /* all 64 bits of it */
    SYSCALLS_IS_ONE, /* of values */
};

struct syscalls_check {
    enum syscalls_kind kind;
    unsigned argument; /* counted from 0 */
    uint64_t value;
    uint32_t values[SYSCALLS_VALUES];
    unsigned n_values;
};

struct syscalls_call {
    uint32_t number;
    struct syscalls_check checks[SYSCALLS_CHECKS]; /* all of them have to hold */
};

#define SYSCALLS_CALL(name)                                                                                  \
    {                                                                                                        \
        .number = SYS_##name                                                                                 \
    }

struct syscalls_list {
    const struct syscalls_call *calls;
    size_t n;
};

/*
 * From now on the calling process, in all its threads, makes no system call but those of these lists, which
 * the kernel goes through in their order. What is on none of them fails with EPERM, but for clone3(2), which
 * fails with ENOSYS: the C library then makes its threads by clone(2), whose flags a filter can see. Wants
 * PR_SET_NO_NEW_PRIVS.
 *
 * Returns true, or false with errno set: ENOSYS where the kernel has no filters, or where this one is not
 * made for the architecture. In programs that are built with sanitizers, which need what is refused here, it
 * does nothing and returns true.
 */
bool syscalls_allow_only(const struct syscalls_list *lists, size_t n);

#endif
