/* arena.c: texts in memory that is freed together with what it is for. */
#include "base/arena.h"

#include <stdio.h>

char *arena_copy(const struct arena *arena, struct str text)
{
    char *copy = arena_alloc(arena, text.len + 1);
    if (text.len > 0)
        memcpy(copy, text.base, text.len);
    copy[text.len] = '\0';
    return copy;
}

char *arena_vprintf(const struct arena *arena, const char *format, va_list args)
{
    char most[256]; /* texts fit in here, and then nothing is written twice */
    va_list again;
    va_copy(again, args);
    size_t size = (size_t)vsnprintf(most, sizeof(most), format, args) + 1;
    char *text = arena_alloc(arena, size);
    if (size <= sizeof(most))
        memcpy(text, most, size);
    else
        vsnprintf(text, size, format, again);
    va_end(again);
    return text;
}

char *arena_printf(const struct arena *arena, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = arena_vprintf(arena, format, args);
    va_end(args);
    return text;
}
