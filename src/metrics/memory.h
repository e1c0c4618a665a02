/* memory.h: how much memory this process has. */
#ifndef HAYFORK_METRICS_MEMORY_H
#define HAYFORK_METRICS_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

struct memory {
    uint64_t resident;     /* bytes in memory */
    uint64_t proportional; /* of these, what it shares counts in part: by how many share it */
};

/*
 * Asks the kernel (proc(5), /proc/self/smaps_rollup), which counts pages: 20 microseconds for a few
 * megabytes, more where there is more. Returns false, with zeros, where it does not tell.
 */
bool memory_read(struct memory *memory);

#endif
