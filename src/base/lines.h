/*
 * lines.h: lines that are collected, and written whole into a file that other processes write into, too.
 *
 * What cannot be written at once is dropped: nobody waits for a disk that is full, or for the reader of a
 * pipe. Lines are written by write(2) with O_APPEND, many at a time, so those of several processes do not
 * mix; into a pipe, PIPE_BUF bytes at a time.
 */
#ifndef HAYFORK_BASE_LINES_H
#define HAYFORK_BASE_LINES_H

#include <stdbool.h>
#include <stddef.h>

enum {
    LINES_SIZE = 80 * 1024, /* bytes that are collected, */
    LINES_MOST = 48 * 1024, /* and of one line */
};

struct lines {
    int fd; /* -1: there is no file */
    bool is_socket, is_pipe;
    bool is_torn; /* what was written last has no end */
    size_t len;
    char bytes[LINES_SIZE];
};

/* Lines go to this descriptor from now on, which is theirs, and must be set not to block; -1 for none. */
void lines_open(struct lines *lines, int fd);

/* Room for a line of LINES_MOST bytes, its line feed included, once lines_flush was called when is_full says
 * so. */
static inline char *lines_room(struct lines *lines)
{
    return lines->bytes + lines->len;
}

static inline bool lines_is_full(const struct lines *lines)
{
    return lines->len > LINES_SIZE - LINES_MOST;
}

/* Writes what was collected. Returns how many lines could not be written; then errno says why. */
size_t lines_flush(struct lines *lines);

#endif
