/* files.h: which descriptors a process that was forked keeps. */
#ifndef HAYFORK_PROCESS_FILES_H
#define HAYFORK_PROCESS_FILES_H

#include <stddef.h>

/* Closes all descriptors but those, which it sorts, and standard input, output and error. */
void files_close_others(int *keep, size_t n);

#endif
