/*
 * trial.h: would a reload go through? The program that is on disk now tries, in a process of its own, all
 * that a reload or an upgrade takes: that it starts, that it understands what it would take over, that the
 * conf is good, that PostgreSQL takes its statements, that the new addresses can be had. What it hands over
 * is what is done then: the conf is not read again, no socket is opened again, and so nothing can be
 * otherwise than it was tried.
 */
#ifndef HAYFORK_PROCESS_TRIAL_H
#define HAYFORK_PROCESS_TRIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "process/generation.h"
#include "process/program.h"
#include "process/takeover.h"

/* A trial that is under way, as the master sees it. */
struct trial {
    pid_t pid;
    struct program_file file; /* of the program that is tried */
    int socket;               /* it hands over by this */
    int said;                 /* what it writes to standard error; -1 once that has ended */
    uint64_t end;             /* clock_ms: it is killed then */
    bool late;                /* it was */
    bool ended;               /* the process has, with this status */
    int status;
    int snapshot; /* -1 while none was handed over */
    unsigned workers;
    char **addresses; /* of its listeners, in the order of the conf */
    size_t n_addresses;
    struct listener *opened; /* new sockets, also for addresses that are there */
    size_t n_opened;
    bool whole;      /* all was handed over, */
    bool cut;        /* but this process may not open so many descriptors */
    char line[1024]; /* of what it has written last, as far as it is here */
    size_t line_len;
};

/*
 * Begins a trial. Returns false after logging where no process is available. trial_end has to be called in
 * the end.
 */
bool trial_begin(struct trial *trial, const struct program *program, const struct takeover *takeover);

/* Takes what it has handed over so far; does not wait. */
void trial_take(struct trial *trial);

/* Kills it if it takes too long. Returns the ms until then, or -1 once that was done. */
int trial_watch(struct trial *trial);

/* After its process has ended and all that it wrote was read: why it is refused, or NULL where it went
 * through. */
const char *trial_verdict(const struct trial *trial, char *buffer, size_t size);

/* Closes and frees what it has handed over and nobody has taken. */
void trial_end(struct trial *trial);

/* Was this process begun as a trial? Then trial_run is what it does: it returns the exit code. */
bool trial_is_asked_for(void);
int trial_run(const struct program *program);

#endif
