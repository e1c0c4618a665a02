/* lack.h: errors that say that this process or this machine has no more of something, whoever it was for. */
#ifndef HAYFORK_BASE_LACK_H
#define HAYFORK_BASE_LACK_H

#include <errno.h>
#include <stdbool.h>

/* Was there no descriptor, or no memory of the kernel's, for it? It may well work in a moment. */
static inline bool lack_is(int error)
{
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM;
}

#endif
