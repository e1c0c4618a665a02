/* mem.h: allocation that never fails: out of memory ends the process with a message. */
#ifndef HAYFORK_BASE_MEM_H
#define HAYFORK_BASE_MEM_H

#include <stdarg.h>
#include <stddef.h>

/*
 * From now on up to a megabyte of freed memory stays with this process. Otherwise what the requests of one
 * turn of the loop need goes back to the kernel at its end, and is asked for, page by page, in the next.
 */
void mem_keep_a_megabyte(void);

/* Each returns memory that the caller frees with free(). mem_calloc clears it. */
void *mem_alloc(size_t size);
void *mem_calloc(size_t count, size_t size);
void *mem_realloc(void *old, size_t size);
char *mem_strdup(const char *text);
char *mem_strndup(const char *text, size_t len);
char *mem_printf(const char *format, ...) __attribute__((format(printf, 1, 2)));
char *mem_vprintf(const char *format, va_list args) __attribute__((format(printf, 1, 0)));

/*
 * Makes room for one more element in a growing array. array is the address of the pointer, count the
 * elements in use; the capacity is the next power of two and is not stored.
 */
#define MEM_GROW(array, count)                                                                               \
    do {                                                                                                     \
        if (((count) & ((count)-1)) == 0)                                                                    \
            *(array) = mem_realloc(*(array), ((count) == 0 ? 1 : (count)*2) * sizeof(**(array)));            \
    } while (0)

#endif
