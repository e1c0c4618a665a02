/* master.h: the master process: opens the listeners, forks the workers, watches, reloads, upgrades, drains.
 */
#ifndef HAYFORK_PROCESS_MASTER_H
#define HAYFORK_PROCESS_MASTER_H

#include "conf/conf.h"
#include "process/program.h"

/* The environment variable by which a program is told that it is to take the place of the one before. */
#define MASTER_TAKEOVER "HAYFORK_TAKEOVER"

/* Serves until it is told to stop; takes over conf. Returns the exit code. */
int master_run(struct program *program, struct conf *conf);

/* The same, where MASTER_TAKEOVER is set. */
int master_go_on(struct program *program);

#endif
