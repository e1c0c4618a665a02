/* logging.h: the log of a process as the conf has it. */
#ifndef HAYFORK_PROCESS_LOGGING_H
#define HAYFORK_PROCESS_LOGGING_H

#include "conf/conf.h"

/* Names the process in its lines, which go where the conf says. Where they cannot, that is logged on standard
 * error. */
void logging_begin(const char *process, const struct conf *conf);

/* The same for a process that has the log of its parent, which is of the same conf. */
void logging_inherit(const char *process, const struct conf *conf);

/* The numbers of files that the master passes to workers: the log, and from the second on conf->access_files.
 */
enum { LOGGING_LOG, LOGGING_ACCESS };

/*
 * Opens conf->access_files for a worker, before it gives up its rights: an array of descriptors, which the
 * caller frees, with -1 for those that cannot be opened, which is logged.
 */
int *logging_open_access(const struct conf *conf);

/* Is it the path of a file, and no word for what this process has anyway? */
bool logging_is_file(const char *to);

/*
 * Opens a file that lines are added to, makes it where it is not there. Whatever it is, writing to it will
 * not block. Returns its descriptor, closed on exec, or -1 with errno set.
 */
int logging_open(const char *path);

#endif
