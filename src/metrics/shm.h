/*
 * shm.h: the memory that master and workers share. It lives as long as the server, over reloads and upgrades:
 * each generation of workers has slots in it, one per worker index, so that counters and the last words of a
 * worker survive its death.
 *
 * It outlives the conf that a process has read, and the program: nothing in it is a pointer, or has the
 * number of something in a conf as its index. What a conf names is found again by its name.
 */
#ifndef HAYFORK_METRICS_SHM_H
#define HAYFORK_METRICS_SHM_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/complain.h"
#include "base/log_ring.h"
#include "metrics/counter.h"
#include "metrics/lane.h"
#include "metrics/metric.h"
#include "metrics/series.h"
#include "metrics/upstream.h"

enum {
    SHM_LAYOUT = 15, /* counts up with each change of the structs below */
    SHM_CACHE_LINE = 64,
    SHM_LANES = 16,
    SHM_NAMES = 4096,
    SHM_NAME_LEN = 254,   /* bytes of a name that are kept */
    SHM_SLOTS = 2048,     /* of all generations: those of most workers, four times */
    SHM_GENERATIONS = 64, /* that are there at the same time */
    SHM_SERIES = 65536,   /* of all workers of all generations */
    SHM_UPSTREAMS = 32768,
    SHM_CONDEMNED = 64, /* helpers that are to be killed at a time */
};

enum shm_worker_state {
    SHM_EMPTY,    /* no process */
    SHM_STARTING, /* forked, is not prepared yet */
    SHM_PREPARED, /* could accept connections, and waits for the word */
    SHM_READY,    /* accepts connections */
    SHM_DRAINING, /* finishes what it has */
};

/* A name of the conf: see shm_name. */
struct shm_name {
    _Atomic bool is_written;
    char text[SHM_NAME_LEN + 1];
};

/* Written by the worker that owns it, connections by all, read by all. Padded, so that no two workers share a
 * cache line. */
struct shm_slot {
    _Alignas(2 * SHM_CACHE_LINE) _Atomic int state; /* enum shm_worker_state */
    _Atomic pid_t pid;
    _Atomic bool is_dismissed;    /* the master has told it to drain */
    _Atomic uint64_t heartbeat;   /* clock_ms() of the last loop turn that was looked at */
    _Atomic uint64_t started;     /* clock_ms() of the fork */
    _Atomic uint64_t connections; /* open ones and places reserved by others (process/handoff.c) */
    _Atomic bool takes_passed;    /* others may pass it connections */
    struct shm_lane lanes[SHM_LANES];
    _Atomic unsigned spills;                      /* those of all lanes beyond each lane's first one */
    _Atomic uint64_t values[METRICS_SERVER_MOST]; /* what it counts and shows: metric_add */
    _Atomic uint64_t resident;     /* bytes of memory: nobody else can look while there is no `core: on` */
    _Atomic uint64_t proportional; /* of these, what is shared counted in part (metrics/memory.h) */
    _Atomic uint64_t cpu_us;       /* processor time that it has had */
    _Atomic uint32_t route;        /* the name of the route whose handler runs, or 0 */
};

/* What a generation has of an array: those of its first worker begin at first, and each worker has so many.
 */
struct shm_share {
    unsigned first, each;
};

/* What the workers of one conf share. */
struct shm_generation {
    _Atomic unsigned number; /* counts up; 0: nobody has this place */
    unsigned first;          /* of its slots */
    unsigned workers;        /* how many slots it has */
    struct shm_share series, upstreams;
    _Atomic unsigned steady; /* connections to PostgreSQL that its living workers always have */
    _Atomic bool frugal;     /* it is to have no others: another generation wants them */
    _Atomic bool succeeded;  /* another one accepts connections from all its listeners */
};

struct shm {
    uint32_t layout;                        /* SHM_LAYOUT */
    uint32_t size;                          /* bytes of all */
    _Atomic bool is_stopping;               /* the master was told to stop */
    _Atomic unsigned guests;                /* connections to PostgreSQL of a trial (process/trial.c) */
    _Atomic pid_t condemned[SHM_CONDEMNED]; /* helpers that the master is to kill; 0 is a free place */
    struct complaints complaints;           /* what workers have logged, so that one of them does */
    struct log_rings log;                   /* what all have logged lately */
    /* What is left of generations that are gone. fold counts up before and after it grows, so that a reader
     * that sees it odd, or changed, reads once more. Below, element i is of the name i + 1. */
    _Atomic unsigned fold;
    _Atomic uint64_t values[METRICS_SERVER_MOST]; /* and what processes count that are no workers */
    struct series ended[SHM_NAMES];
    struct shm_lane ended_lanes[SHM_NAMES];
    struct shm_upstream ended_upstreams[SHM_NAMES];
    _Atomic uint64_t name_hashes[SHM_NAMES]; /* those that are taken come first */
    struct shm_name names[SHM_NAMES];
    struct shm_generation generations[SHM_GENERATIONS];
    struct shm_slot slots[SHM_SLOTS];
    struct series series[SHM_SERIES];
    struct shm_upstream upstreams[SHM_UPSTREAMS];
};

/*
 * Makes the shared memory, as a memory file that can neither grow nor shrink. Pages of slots that nobody has
 * used cost nothing. Sets the file's descriptor, closed on exec, which the caller closes. Ends the process
 * where it cannot.
 */
struct shm *shm_new(int *fd);

/* Maps the shared memory that another program has made. Returns NULL if this program does not understand it.
 */
struct shm *shm_map(int fd);

void shm_unmap(struct shm *shm);

/*
 * The bytes that so many workers take of it, each with so many series and places of upstreams' servers, and
 * what is kept when they are gone. It is never more than sizeof(struct shm), which is the bound of it all.
 */
size_t shm_bytes(unsigned workers, size_t series, size_t upstreams);

/*
 * A number that stands for the name as long as the memory lasts, for all processes; never 0. What comes after
 * there is no room any longer shares one number, whose text is "...".
 */
uint32_t shm_name(struct shm *shm, const char *name);

/* How many names there are: 1 to that. */
size_t shm_n_names(const struct shm *shm);

/* The name, which may be cut, or NULL for 0. It stays. */
const char *shm_name_text(const struct shm *shm, uint32_t number);

/*
 * A new worker has the slot: nothing of the last one's present state is left; what it counted is. For the
 * master alone.
 */
void shm_slot_begin(struct shm *shm, struct shm_slot *slot);

/* The worker of this slot of the generation is gone: what it had open or under way is, too. */
void shm_slot_end(struct shm *shm, const struct shm_generation *generation, unsigned index);

/* The place of a lane in the slot, which is found by its name or is a new one; NULL where none is left. */
struct shm_lane *shm_slot_lane(struct shm *shm, struct shm_slot *slot, const char *name);

/*
 * Gives a generation a place and slots for so many workers, each with so many series and places of upstreams'
 * servers, or fewer where there is no room for them. Returns NULL where no place is free: then one that is
 * draining has to leave first. For the master alone, as is shm_end_generation, which takes them back, with
 * what they counted kept.
 */
struct shm_generation *shm_begin_generation(struct shm *shm, unsigned number, unsigned workers,
                                            unsigned series, unsigned upstreams);
void shm_end_generation(struct shm *shm, struct shm_generation *generation);

static inline struct shm_slot *shm_slot(struct shm *shm, const struct shm_generation *generation,
                                        unsigned index)
{
    return &shm->slots[generation->first + index];
}

/*
 * A series of a worker, under that name from now on; NULL where it has fewer. For the worker.
 */
struct series *shm_series(struct shm *shm, const struct shm_generation *generation, unsigned index,
                          unsigned which, const char *name);

/* The same of upstreams' servers: there is always a place, perhaps one that nobody looks at. */
struct shm_upstream *shm_upstream(struct shm *shm, const struct shm_generation *generation, unsigned index,
                                  unsigned which, const char *name);

/* How many connections to PostgreSQL all generations have, or may open without asking. */
unsigned shm_connections(const struct shm *shm);

/* Has all generations give up the connections that they need not have, or lets them have some again. */
void shm_be_frugal(struct shm *shm, bool frugal);

/*
 * Asks for one more connection to PostgreSQL beyond the lanes' first ones, of which all workers of all
 * generations together may have max, those first ones counted. Returns whether it may be opened; then
 * shm_give_spill is called when it is closed. What a worker had goes with its death.
 */
bool shm_take_spill(struct shm *shm, const struct shm_generation *generation, struct shm_slot *slot,
                    unsigned max);
void shm_give_spill(struct shm_slot *slot);

#endif
