/*
 * generation.h: the workers of one conf. A reload or an upgrade makes a new generation beside the running
 * one, which leaves when the new one is ready.
 *
 * What a generation needs to go on is not its conf but its snapshot: a program that has taken over loads from
 * it what the program before has tried, and can replace a worker of a generation that it did not begin.
 */
#ifndef HAYFORK_PROCESS_GENERATION_H
#define HAYFORK_PROCESS_GENERATION_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "conf/conf.h"
#include "metrics/shm.h"
#include "process/child.h"
#include "process/handoff.h"
#include "process/helpers.h"
#include "process/listen.h"
#include "process/program.h"

enum generation_role {
    GENERATION_CANDIDATE, /* its workers are started, and wait for the word; one that cannot start is the end
                             of it */
    GENERATION_RUNNING,   /* its workers accept connections; one that dies is replaced */
    GENERATION_LEAVING,   /* its workers finish what they have */
};

struct generation {
    unsigned number; /* counts up from 1 */
    enum generation_role role;
    int snapshot;                  /* of the conf: a memory file */
    struct conf *conf;             /* NULL until it is loaded */
    char *snapshot_text;           /* that conf lies in; NULL where the conf came from its files */
    unsigned place;                /* in the shared memory, counted from 1; 0: it has no slots yet */
    struct shm_generation *shared; /* that place, or NULL */
    struct handoff handoff;
    unsigned n_workers;
    struct child *workers;
    struct helpers helpers;
    struct listener **listeners; /* in the order of the conf; owned by the master */
    size_t n_listeners;
    unsigned n_lanes; /* that are used: so many connections to PostgreSQL a worker always has */
    unsigned database_max;
    unsigned drain;        /* ms: limits.drain, */
    unsigned drain_notice; /* and limits.drain_notice */
    uint64_t kill_at; /* clock_ms: when those that still are there are killed; UINT64_MAX once they were; 0
                         before they were told to leave */
    unsigned failed_starts; /* in a row */
    bool ever_ready;        /* some worker was */
    bool announced;         /* all of them were */
};

/* What all generations share. */
struct generation_home {
    const struct program *program;
    struct shm *shm;
    int ready_pipe[2]; /* a worker writes a byte whenever its state in the shared memory has changed */
    int signal_fd;     /* closed in workers */
    unsigned last_number;
};

/*
 * A generation of a conf, as a candidate without slots; takes over conf, whose snapshot it makes. workers is
 * how many it is to have. Returns NULL after logging where it cannot.
 */
struct generation *generation_new(struct generation_home *home, struct conf *conf, unsigned workers);

/*
 * A generation of a snapshot, which it takes over and does not load yet; the caller fills in the rest. Never
 * fails.
 */
struct generation *generation_of_snapshot(unsigned number, int snapshot);

/* Loads the conf, unless it is there. Returns false after logging where that fails. */
bool generation_load(struct generation *generation, const struct program *program);

enum generation_place {
    GENERATION_SETTLED,
    GENERATION_HAS_TO_WAIT, /* others that leave still have the slots */
    GENERATION_HAS_NONE,    /* there are no descriptors for its queues, as the log says */
};

/* Gives it slots in the shared memory, and queues; its conf must be loaded. */
enum generation_place generation_settle(struct generation *generation, struct generation_home *home);

/* Forks the worker with this index. */
void generation_start_worker(struct generation *generation, struct generation_home *home, unsigned index);

/* Forks whoever is due. Returns the ms until the next one is, or -1. */
int generation_start_due(struct generation *generation, struct generation_home *home);

/*
 * Starts its helpers that are due; of a generation that is leaving only while it has workers: after that they
 * are killed. Both return the ms until the next one is due, or -1.
 */
int generation_start_helpers(struct generation *generation, struct generation_home *home);
int generation_keep_helpers(struct generation *generation, struct generation_home *home);

/* Tells those that are prepared to accept connections. */
void generation_say_go(struct generation *generation);

/*
 * A process has ended. Returns false if it was none of this generation's. Logs its death, and says
 * when its successor is due; *failed is set if it was a worker that was never ready, which is a start that
 * failed.
 */
bool generation_take_death(struct generation *generation, struct generation_home *home, pid_t pid, int status,
                           bool *failed);

/* How many workers are in this state or a later one. */
unsigned generation_count(const struct generation *generation, struct shm *shm, enum shm_worker_state state);

/* Passes the files of the log, opened again, to its workers. */
void generation_open_logs(struct generation *generation, const struct program *program);

bool generation_is_alive(const struct generation *generation);

void generation_signal(const struct generation *generation, int signal);

/* Tells one worker to finish what it has. It is not replaced. */
void generation_dismiss(struct generation *generation, struct shm *shm, unsigned index);

/* Tells all, and gives them so many ms before they are killed. */
void generation_leave(struct generation *generation, struct shm *shm, unsigned limit_ms);

/* Kills those that did not leave in time. Returns the ms until that is due, or -1. */
int generation_kill_overdue(struct generation *generation);

/* Frees it, and its slots and queues. No worker may be alive. */
void generation_free(struct generation *generation, struct shm *shm);

#endif
