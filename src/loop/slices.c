/* slices.c: work that would hold up the loop, cut into turns of it. */
#include "loop/slices.h"

#include <stddef.h>

#include "base/clock.h"

void slices_init(struct slices *slices)
{
    slices->ring.next = slices->ring.previous = &slices->ring;
}

void slices_add(struct slices *slices, struct slice *slice)
{
    slice->next = &slices->ring;
    slice->previous = slices->ring.previous;
    slice->next->previous = slice->previous->next = slice;
}

void slices_remove(struct slice *slice)
{
    if (slice->next == NULL)
        return;
    slice->next->previous = slice->previous;
    slice->previous->next = slice->next;
    slice->next = slice->previous = NULL;
}

bool slices_run(struct slices *slices)
{
    const struct slice *ring = &slices->ring;
    if (ring->next == ring)
        return false;
    uint64_t until = clock_ns() + SLICES_TURN_NS;
    do {
        struct slice *slice = ring->next;
        slices_remove(slice);
        slice->step(slice);
    } while (ring->next != ring && clock_ns() < until);
    return ring->next != ring;
}
