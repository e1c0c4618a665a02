/* report.h: all that workers and master have counted, for monitoring systems. */
#ifndef HAYFORK_METRICS_REPORT_H
#define HAYFORK_METRICS_REPORT_H

#include "metrics/exposition.h"
#include "metrics/shm.h"

/*
 * Writes every metric, summed over the workers of all generations, those that are gone included. Labels come
 * from confs alone. commit is what the program was built from, or empty.
 */
void report_write(struct exposition *exposition, const struct shm *shm, const char *commit);

#endif
