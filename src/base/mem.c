/* mem.c: allocation that never fails: out of memory ends the process with a message. */
#include "base/mem.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

static void *checked(void *memory)
{
    if (memory == NULL)
        log_fatalx("out of memory");
    return memory;
}

void mem_keep_a_megabyte(void)
{
    enum { MEGABYTE = 1024 * 1024 };
    mallopt(M_TRIM_THRESHOLD, MEGABYTE);
    mallopt(M_MMAP_THRESHOLD, MEGABYTE); /* setting the one stops the other from growing by itself */
}

void *mem_alloc(size_t size)
{
    return checked(malloc(size == 0 ? 1 : size));
}

void *mem_calloc(size_t count, size_t size)
{
    return checked(calloc(count == 0 ? 1 : count, size == 0 ? 1 : size));
}

void *mem_realloc(void *old, size_t size)
{
    return checked(realloc(old, size == 0 ? 1 : size));
}

char *mem_strdup(const char *text)
{
    return checked(strdup(text));
}

char *mem_strndup(const char *text, size_t len)
{
    char *copy = mem_alloc(len + 1);
    if (len != 0)
        memcpy(copy, text, len);
    copy[len] = '\0';
    return copy;
}

char *mem_vprintf(const char *format, va_list args)
{
    char *text;
    if (vasprintf(&text, format, args) < 0)
        log_fatalx("out of memory");
    return text;
}

char *mem_printf(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *text = mem_vprintf(format, args);
    va_end(args);
    return text;
}
