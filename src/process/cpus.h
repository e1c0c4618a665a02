/* cpus.h: how many cores this process may use. */
#ifndef HAYFORK_PROCESS_CPUS_H
#define HAYFORK_PROCESS_CPUS_H

/*
 * The cores of the affinity mask (sched_getaffinity(2)), or fewer where the cgroup's cpu.max, or that of
 * one of its parents, allows less (cgroup v2; part of a core counts as one). At least 1.
 */
unsigned cpus_available(void);

#endif
