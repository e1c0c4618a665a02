/* program.h: how this program was started, so that it can be started again as it is on disk then. */
#ifndef HAYFORK_PROCESS_PROGRAM_H
#define HAYFORK_PROCESS_PROGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <time.h>

#include "conf/conf.h"

struct program {
    char *path;         /* of the program's file: a replaced one is what runs next; owned */
    char **argv;        /* a copy of the words as they were, which options must not be read from; owned */
    const char *commit; /* that it was built from; empty where that is not known */
    const char *conf_path;
    const struct conf_override *overrides;
    size_t n_overrides;
};

/* Which file is where the program's file is to be; all 0 where there is none. */
struct program_file {
    dev_t device;
    ino_t inode;
    off_t size;
    struct timespec changed;
};

/* Copies the words of the command line, and finds out where the program's file is. Never fails. */
void program_note(struct program *program, char **argv);

void program_free(struct program *program);

/* What is on disk now, and whether it is this file still. */
struct program_file program_file(const struct program *program);
bool program_is_still(const struct program *program, const struct program_file *file);

/* How many workers a conf asks for on this machine. */
unsigned program_workers(const struct conf *conf);

#endif
