/* sandbox.h: what a worker cannot do any longer, even if someone else's code were run in it. */
#ifndef HAYFORK_PROCESS_SANDBOX_H
#define HAYFORK_PROCESS_SANDBOX_H

#include <stdbool.h>

/*
 * Programs that are built with sanitizers need what is refused here: in them both functions do nothing and
 * return true.
 */

/*
 * From now on the calling process, in all its threads, makes no system call but those that a worker needs
 * (seccomp(2); a list in sandbox.c): it cannot execute a program, make a process, trace or signal one, or
 * change what is in the file system. What is not on the list fails with EPERM, but for clone3(2), which fails
 * with ENOSYS: the C library then makes its threads by clone(2), whose flags a filter can see. Wants
 * PR_SET_NO_NEW_PRIVS.
 *
 * Files are opened for reading alone. A filter sees openat(2)'s flags; of openat2(2), whose flags are in
 * memory, it sees where they are, and takes no others than those of http/folder.c. What goes through a ring
 * of io_uring(7) no filter sees: see loop/ring.h.
 *
 * Returns true, or false with errno set: ENOSYS where the kernel has no filters, or where this one is not
 * made for the architecture.
 */
bool sandbox_filter_calls(void);

/*
 * From now on the calling thread, and those that it makes, can write into no file that it has not open, make,
 * remove or execute none, whichever way it takes (landlock(7), since Linux 5.13); nor can the kernel write a
 * core file for it. Wants PR_SET_NO_NEW_PRIVS. Returns true, or false with errno set: ENOSYS or EOPNOTSUPP
 * where the kernel has no Landlock.
 */
bool sandbox_forbid_writing(void);

#endif
