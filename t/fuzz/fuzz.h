/*
 * fuzz.h: what the fuzz targets share: checks that end the run, and chance that comes from the input.
 *
 * Each target defines LLVMFuzzerTestOneInput, which libFuzzer (`make fuzz`) and replay.c (`make check`) call.
 */
#ifndef HAYFORK_FUZZ_H
#define HAYFORK_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What must be true whatever the input is. The rest is a format and its arguments for the message. */
#define FUZZ_CHECK(condition, ...)                                                                           \
    do {                                                                                                     \
        if (!(condition)) {                                                                                  \
            fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                          \
            fprintf(stderr, __VA_ARGS__);                                                                    \
            fputc('\n', stderr);                                                                             \
            abort();                                                                                         \
        }                                                                                                    \
    } while (0)

/* The same input brings the same choices. */
struct fuzz_chance {
    uint64_t state;
};

static inline struct fuzz_chance fuzz_chance_of(const uint8_t *data, size_t size)
{
    uint64_t hash = 14695981039346656037u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ data[i]) * 1099511628211u;
    return (struct fuzz_chance){hash};
}

/* A number from 0 to n - 1. */
static inline size_t fuzz_below(struct fuzz_chance *chance, size_t n)
{
    uint64_t x = chance->state += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return (size_t)((x ^ x >> 31) % n);
}

/* A copy in memory of its own size, so that the sanitizers see a byte that is read after it. */
static inline char *fuzz_copy(const void *bytes, size_t len)
{
    char *copy = mem_alloc(len);
    if (len != 0)
        memcpy(copy, bytes, len);
    return copy;
}

/* Bytes that are gathered. Begins as all zeroes; base is to be freed. */
struct fuzz_bytes {
    char *base;
    size_t len, capacity;
};

static inline void fuzz_append(struct fuzz_bytes *to, const void *bytes, size_t len)
{
    if (len == 0)
        return;
    if (to->capacity - to->len < len)
        to->base = mem_realloc(to->base, to->capacity = (to->len + len) * 2);
    memcpy(to->base + to->len, bytes, len);
    to->len += len;
}

static inline struct str fuzz_str(const struct fuzz_bytes *bytes)
{
    return (struct str){bytes->base, bytes->len};
}

#endif
