/*
 * takeover.h: what one program's master hands to the next, which takes its place under the same process id,
 * and to a trial of it before.
 */
#ifndef HAYFORK_PROCESS_TAKEOVER_H
#define HAYFORK_PROCESS_TAKEOVER_H

#include <stdbool.h>
#include <stddef.h>

#include "process/generation.h"
#include "process/listen.h"
#include "process/sd.h"

struct takeover {
    int shm;           /* the shared memory's file */
    int ready_pipe[2]; /* see struct generation_home */
    int control;       /* the control socket, or -1 */
    unsigned last_number;
    struct sd_sockets passed;
    struct listener **listeners;
    size_t n_listeners;
    struct generation **generations; /* their listeners are among those above */
    size_t n_generations;
    int *clients; /* of the control socket: those who wait for what becomes of this reload */
    size_t n_clients;
    bool again; /* another reload was asked for meanwhile, */
    int *next;  /* by these, perhaps */
    size_t n_next;
};

/*
 * Writes it all into a memory file. Returns its descriptor, closed on exec, which the caller closes, or -1
 * with errno set.
 */
int takeover_write(const struct takeover *takeover);

/* Lets all descriptors that it names, and the file, be there after exec; or no longer, with inherit false. */
void takeover_inherit(const struct takeover *takeover, int file, bool inherit);

/*
 * Reads what takeover_write of another process has written, and makes all that it names closed on exec. What
 * the arrays hold is the caller's, and each thing in them on the heap; the generations have no conf yet.
 * Returns false if this program does not understand it.
 */
bool takeover_read(int file, struct takeover *takeover);

/* Frees what takeover_read has made, for a trial, which takes nothing over. The descriptors stay open. */
void takeover_free(struct takeover *takeover);

#endif
