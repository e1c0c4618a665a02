/* handoff.h: spreads connections evenly: a worker passes what it accepted to the one that has the fewest. */
#ifndef HAYFORK_PROCESS_HANDOFF_H
#define HAYFORK_PROCESS_HANDOFF_H

#include <stdbool.h>
#include <stddef.h>

#include "metrics/shm.h"

/* From this number on it is not a listener's connection that is passed, but a file of the master's. */
enum { HANDOFF_FILES = 1 << 16 };

/*
 * A queue of passed connections for each worker. The master makes them before the first fork and keeps both
 * ends of each, so that what a worker was passed and did not take is there for its successor.
 */
struct handoff {
    struct handoff_queue {
        int to;   /* any worker writes here */
        int from; /* the one whose queue it is reads here */
    } * queues;
    unsigned n;
};

/* Makes the queues for so many workers. Returns false after logging where it cannot; there are none then. */
bool handoff_open(struct handoff *handoff, unsigned workers);

void handoff_close(struct handoff *handoff);

/* Passes a descriptor, which stays the caller's, to a worker: see HANDOFF_FILES. Returns false with errno
 * set. */
bool handoff_pass_file(const struct handoff *handoff, unsigned index, size_t which, int fd);

/* What a worker keeps of its own. Begin with {.handoff, .slots, .index}. */
struct handoff_worker {
    const struct handoff *handoff;
    struct shm_slot *slots; /* of its generation, as many as there are queues */
    unsigned index;
    uint64_t since;  /* clock_ms */
    unsigned recent; /* connections that it has begun to serve since then, */
    unsigned before; /* and in the interval before */
};

/*
 * Decides who serves a connection that this worker has just accepted on that listener, and counts it there.
 * Returns true if it was passed to a worker that had fewer connections: the caller closes its descriptor.
 * Else it is the caller's own to serve, as it is if the other one's queue is full or anything fails.
 */
bool handoff_place(struct handoff_worker *worker, int fd, size_t listener);

/*
 * Takes the next connection that this worker was passed, closed on exec, and counts it as open. Returns the
 * descriptor, which is the caller's, and sets which listener it came from; -1 with errno EAGAIN if there is
 * none, EMFILE if there is no descriptor for it, when it stays in the queue. A listener from HANDOFF_FILES on
 * stands for a file.
 */
int handoff_take(struct handoff_worker *worker, size_t *listener);

/* A connection that was counted for this worker is closed. */
void handoff_closed(struct handoff_worker *worker);

/* How many connections this worker has or is about to be passed. */
unsigned handoff_load(const struct handoff_worker *worker);

/* Is someone about to pass a connection to this worker, or has done it? */
bool handoff_is_expecting(const struct handoff_worker *worker);

/*
 * Forgets places that nobody will come for: of a worker that was killed between reserving one and passing
 * the connection, or between taking it and counting it. The worker itself calls it now and then.
 */
void handoff_forget_lost(struct handoff_worker *worker);

/* The worker is dead and its connections with it. Those in its queue remain counted, for its successor. */
void handoff_forget_dead(struct shm_slot *slot);

#endif
