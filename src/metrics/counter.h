/* counter.h: counters that processes share. */
#ifndef HAYFORK_METRICS_COUNTER_H
#define HAYFORK_METRICS_COUNTER_H

#include <stdatomic.h>
#include <stdint.h>

/* Adds to a counter that only the caller's process writes: no locked instruction is needed. */
static inline void counter_add(_Atomic uint64_t *counter, uint64_t n)
{
    atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n,
                          memory_order_relaxed);
}

#endif
