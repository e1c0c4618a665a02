/*
 * serve.h: a helper process, which does one job after the other for whichever worker takes it. What kind of
 * jobs is the program's that calls it.
 */
#ifndef HAYFORK_HELPERS_SERVE_H
#define HAYFORK_HELPERS_SERVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A job, as a worker sends it. */
struct helpers_call {
    const void *job; /* what to do, in bytes that are the service's */
    size_t len;
    int in, out; /* a file that nobody can change any more, and one for what is made of it */
    int socket;  /* to the worker: see helpers_is_wanted */
};

struct helpers_service {
    /* Does a job. Writes the answer, of size bytes at most, and returns its length. */
    size_t (*work)(const struct helpers_call *call, void *answer, size_t size);
    uint64_t most_jobs;   /* after which the process ends, for a fresh one to take its place, */
    uint64_t most_memory; /* as it does where it has more than so many bytes between two jobs */
};

/* Does the worker still wait for the answer? It is asked during long work. */
bool helpers_is_wanted(int socket);

/* What helpers_serve reads its own memory from: to be opened while files can be. Returns -1 where it cannot.
 */
int helpers_open_memory(void);

/*
 * Serves until the workers are gone, or it is time for another process. offers is where it offers itself,
 * memory what helpers_open_memory has returned. Returns the exit code.
 */
int helpers_serve(int offers, int memory, const struct helpers_service *service);

#endif
