/*
 * helpers.h: the helper processes of a generation: work that would hold up a worker's loop is done by them,
 * in programs of their own (helpers/serve.h). The master starts them, replaces those that end, and kills
 * those that a worker says are overdue.
 */
#ifndef HAYFORK_PROCESS_HELPERS_H
#define HAYFORK_PROCESS_HELPERS_H

#include <stdbool.h>
#include <sys/types.h>

#include "conf/conf.h"
#include "process/child.h"

enum helpers_kind { HELPERS_IMAGES, HELPERS_INFERENCE, HELPERS_KINDS };

/* Those of one kind. */
struct helpers_of {
    int to, from; /* where helpers offer themselves, and where workers take offers; -1 where there are none */
    unsigned n;   /* processes that the master starts */
    struct child *all;
};

struct helpers {
    struct helpers_of kinds[HELPERS_KINDS];
};

/* There are none. */
struct helpers helpers_none(void);

/* Is any kind of them wanted? */
bool helpers_are_wanted(const struct helpers *helpers);

/* Makes the sockets for so many helpers as the conf wants, perhaps none. Returns false after logging. */
bool helpers_open(struct helpers *helpers, const struct conf *conf);

/* Starts those that are due. Returns the ms until the next one is, or -1. */
int helpers_start_due(struct helpers *helpers, const struct conf *conf);

/* A process has ended. Returns false if it was none of these. */
bool helpers_take_death(struct helpers *helpers, pid_t pid, int status);

/* Kills one, if it is one of these. */
bool helpers_kill_one(const struct helpers *helpers, pid_t pid);

/* Nobody has work for them any longer: kills all, and starts none again. */
void helpers_end(struct helpers *helpers);

bool helpers_are_alive(const struct helpers *helpers);

/* Frees what they had; none may be alive. */
void helpers_close(struct helpers *helpers);

#endif
