/* access.h: the access log: a line for each request of the routes that want it. */
#ifndef HAYFORK_SERVER_ACCESS_H
#define HAYFORK_SERVER_ACCESS_H

#include <h2o.h>

#include "conf/conf.h"
#include "loop/timeouts.h"
#include "server/exchange.h"

struct access;
struct access_log;

/*
 * The access logs of a worker. files are descriptors of conf->access_files, -1 for those that could not be
 * opened; they become its own. conf and timeouts must outlive it.
 */
struct access *access_new(h2o_loop_t *loop, struct timeouts *timeouts, const struct conf *conf,
                          const int *files);

/* The log that a route's requests go to, or those for no route; NULL for none. */
struct access_log *access_of_route(struct access *access, size_t route);
struct access_log *access_of_others(struct access *access);

/* The file was opened again: what was collected goes to the one before. */
void access_set_file(struct access *access, size_t which, int fd);

/*
 * Adds the line of a request that has ended, after so many ns; or not, where it is not in the sample. One
 * that has failed or was slow is always in it.
 */
void access_add(struct access_log *log, struct exchange *exchange, uint64_t elapsed, bool is_slow);

/* Writes what was collected, and frees all. */
void access_free(struct access *access);

#endif
