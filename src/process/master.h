/* master.h: the process that opens the listeners, forks the workers and watches over them. */
#ifndef HAYFORK_PROCESS_MASTER_H
#define HAYFORK_PROCESS_MASTER_H

#include "conf/conf.h"

/*
 * Runs the server in the foreground until SIGTERM (drain) or SIGINT (at once). Returns the exit code: 0
 * after one of these, 69 (EX_UNAVAILABLE) where it cannot start. Never serves a request itself.
 */
int master_run(const struct conf *conf);

#endif
