/* sandbox.h: what a helper cannot do any longer, even if someone else's code were run in it. */
#ifndef HAYFORK_HELPERS_SANDBOX_H
#define HAYFORK_HELPERS_SANDBOX_H

#include <stdbool.h>

/*
 * From now on the process makes no system calls but those that computing takes: memory, threads, and reading
 * and writing what it has open. It opens no file and no socket but pairs that are connected to each other,
 * starts no program and signals nobody. Returns false with errno set as syscalls_allow_only does.
 */
bool helpers_confine(void);

#endif
