/* files.c: which descriptors a process that was forked keeps. */
#include "process/files.h"

#include <stdlib.h>
#include <unistd.h>

static int compare_fds(const void *a, const void *b)
{
    return *(const int *)a - *(const int *)b;
}

void files_close_others(int *keep, size_t n)
{
    int from = STDERR_FILENO + 1;
    qsort(keep, n, sizeof(*keep), compare_fds);
    for (size_t i = 0; i < n; i++) {
        if (keep[i] > from)
            close_range((unsigned)from, (unsigned)keep[i] - 1, 0);
        if (keep[i] >= from)
            from = keep[i] + 1;
    }
    close_range((unsigned)from, ~0U, 0);
}
