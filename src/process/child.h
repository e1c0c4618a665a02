/* child.h: what all processes that the master forks have in common: how they end, and when the next one
 * begins. */
#ifndef HAYFORK_PROCESS_CHILD_H
#define HAYFORK_PROCESS_CHILD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct child {
    pid_t pid;         /* 0 while there is none */
    bool leaves;       /* it was told to finish, and is not replaced */
    uint64_t start_at; /* clock_ms: when to fork, while there is none */
    unsigned back_off; /* ms */
    uint64_t started;  /* clock_ms: when it was forked, by this program; else 0 */
};

/*
 * How it ended, for the log: a signal's name and number, whether there is a core. What is killed is often
 * killed for lack of memory: then it says how much (resident, bytes; 0 for unknown) there was. The caller
 * frees it.
 */
char *child_describe_death(int status, uint64_t resident);

/* It has ended. Says when its successor is due: at once after one that was steady. */
void child_back_off(struct child *child, bool was_steady);

#endif
