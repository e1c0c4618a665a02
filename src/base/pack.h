/*
 * pack.h: numbers and texts in one run of bytes, for another process of the same machine. What is read is
 * bounded by the bytes that are there, whatever they say.
 */
#ifndef HAYFORK_BASE_PACK_H
#define HAYFORK_BASE_PACK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* Begin with {0}; free(data) at the end. */
struct pack {
    char *data;
    size_t len, room;
};

void pack_number(struct pack *pack, uint64_t number);
void pack_text(struct pack *pack, struct str text);

/* Begin with {bytes}. failed is set where something was read that is not there; all that is read from then on
 * is 0 or empty. */
struct unpack {
    struct str rest;
    bool failed;
};

uint64_t unpack_number(struct unpack *unpack);

/* The text lies in the bytes that are unpacked. */
struct str unpack_text(struct unpack *unpack);

/* A number of things of which each takes so many bytes at least: never more than there can be. */
size_t unpack_count(struct unpack *unpack, size_t least);

/*
 * A memory file (memfd_create(2)) of that name with the bytes in it, sealed: nobody can change it. Closed on
 * exec. Returns its descriptor, which the caller closes, or -1 with errno set.
 */
int pack_to_file(const struct pack *pack, const char *name);

/*
 * Reads all of a file, from its beginning, without moving the place where others read it. Returns the bytes,
 * which the caller frees, and sets how many there are; NULL with errno set where it cannot, or where there
 * are more than most (EFBIG).
 */
char *pack_from_file(int fd, size_t most, size_t *len);

#endif
