/*
 * pictures.h: pictures that are being made: one job for all requests that want the same.
 */
#ifndef HAYFORK_STAGES_PICTURES_H
#define HAYFORK_STAGES_PICTURES_H

#include "helpers/pool.h"
#include "images/job.h"

enum { PICTURES_TAG_SIZE = 40 }; /* an entity tag with its quotes and a NUL */

/* Bytes that all who were waiting for them share. */
struct picture {
    unsigned owners;
    size_t len;
    char bytes[];
};

/* Gives up one share. NULL is none. */
void picture_drop(struct picture *picture);

struct pictures;
struct pictures_flight;

/* A request that waits for a picture; in the memory of whoever asks. */
struct pictures_waiter {
    struct pictures_flight *flight; /* NULL once the end was told, or before there is one */
    struct pictures_waiter *next;
    /*
     * How it ended, once; a picture where result says 200, of which the waiter has a share. result is NULL
     * where the helper has not answered.
     */
    void (*done)(struct pictures_waiter *waiter, enum helpers_end end, const struct images_result *result,
                 struct picture *picture);
};

/* Those of one route in this worker. The pool must outlive them. */
struct pictures *pictures_new(struct helpers_pool *pool);

/* Nobody may be waiting. */
void pictures_free(struct pictures *pictures);

/* Has the waiter wait for a picture with this tag that is being made. Returns false if there is none. */
bool pictures_join(struct pictures *pictures, const char *tag, struct pictures_waiter *waiter);

/*
 * Has a picture made. original is a memory file, which this closes; wait is how long, in ms, a helper may be
 * waited for. Returns false, with errno set to EAGAIN where the queue is full.
 */
bool pictures_make(struct pictures *pictures, const char *tag, const struct images_job *job, int original,
                   unsigned wait, struct pictures_waiter *waiter);

/* The waiter waits no longer; where it was the last one the work is stopped. */
void pictures_leave(struct pictures_waiter *waiter);

#endif
