/*
 * shm.h: the memory that master and workers share: one slot per worker index, so that counters and the
 * last words of a worker survive its death.
 */
#ifndef HAYFORK_METRICS_SHM_H
#define HAYFORK_METRICS_SHM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/complain.h"

enum {
    SHM_VERSION = 5,
    SHM_CACHE_LINE = 64,
    SHM_LANES = 16,
};

enum shm_worker_state {
    SHM_EMPTY,    /* no process */
    SHM_STARTING, /* forked, does not accept yet */
    SHM_READY,    /* accepts connections */
    SHM_DRAINING, /* finishes what it has */
};

/* Written by the worker that owns it, connections by all, read by all. Padded, so that no two workers share a
 * cache line. */
struct shm_slot {
    _Alignas(2 * SHM_CACHE_LINE) _Atomic int state; /* enum shm_worker_state */
    _Atomic pid_t pid;
    _Atomic uint64_t heartbeat;            /* clock_ms() of the last loop turn that was looked at */
    _Atomic uint64_t started;              /* clock_ms() of the fork */
    _Atomic uint64_t connections;          /* open ones and places reserved by others (process/handoff.c) */
    _Atomic bool takes_passed;             /* others may pass it connections */
    _Atomic int lane_states[SHM_LANES];    /* enum db_state of each lane's first connection */
    _Atomic unsigned lane_open[SHM_LANES]; /* connections to PostgreSQL, by lane */
    _Atomic unsigned spills;               /* those of all lanes beyond each lane's first one */
    _Atomic uint64_t accepted;             /* connections since the slot was made */
    _Atomic uint64_t resident;     /* bytes of memory: nobody else can look while there is no `core: on` */
    _Atomic uint64_t proportional; /* of these, what is shared counted in part (metrics/memory.h) */
    _Atomic uint64_t answers[6];   /* by first digit of the status; [0] is unused */
    const char *_Atomic route;     /* the route whose handler runs; a string in the conf,
                                      inherited at the same address by all processes */
};

struct shm {
    uint32_t version; /* SHM_VERSION */
    unsigned workers;
    struct complaints complaints; /* what workers have logged, so that one of them does */
    struct shm_slot slots[];
};

/* Makes the shared memory for so many workers; it ends with the last process that has it. Never fails. */
struct shm *shm_new(unsigned workers);

void shm_free(struct shm *shm);

/*
 * Asks for one more connection to PostgreSQL beyond the lanes' first ones, of which all workers together may
 * have max. Returns whether it may be opened; then shm_give_spill is called when it is closed. What a worker
 * had goes with its death.
 */
bool shm_take_spill(struct shm *shm, unsigned index, unsigned max);
void shm_give_spill(struct shm *shm, unsigned index);

/* Adds to a counter that only the caller's process writes: no locked instruction is needed. */
static inline void shm_add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

#endif
