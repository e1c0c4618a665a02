/*
 * arena.h: memory that is never freed by itself, but all together with what it is for, such as a request.
 *
 * Whoever owns the memory says how it is taken; a text that has to outlive its source is copied here.
 */
#ifndef HAYFORK_BASE_ARENA_H
#define HAYFORK_BASE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include "base/str.h"

/* alloc(arg, size) never fails. */
struct arena {
    void *(*alloc)(void *arg, size_t size);
    void *arg;
};

static inline void *arena_alloc(const struct arena *arena, size_t size)
{
    return arena->alloc(arena->arg, size);
}

/* A copy that ends in a NUL. */
char *arena_copy(const struct arena *arena, struct str text);

char *arena_printf(const struct arena *arena, const char *format, ...) __attribute__((format(printf, 2, 3)));
char *arena_vprintf(const struct arena *arena, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

#endif
