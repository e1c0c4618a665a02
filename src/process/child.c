/* child.c: what all processes that the master forks have in common: how they end, and when the next one
 * begins. */
#include "process/child.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "base/clock.h"
#include "base/mem.h"

enum {
    BACK_OFF_FIRST_MS = 100, /* before a process that failed is started again; doubled each time */
    BACK_OFF_LAST_MS = 5000,
    MEGABYTE = 1024 * 1024,
};

char *child_describe_death(int status, uint64_t resident)
{
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL && resident > 0)
        return mem_printf("was killed by signal %d (%s) with %" PRIu64 " MB of memory", WTERMSIG(status),
                          strsignal(WTERMSIG(status)), (resident + MEGABYTE - 1) / MEGABYTE);
    if (WIFSIGNALED(status))
        return mem_printf("was killed by signal %d (%s)%s", WTERMSIG(status), strsignal(WTERMSIG(status)),
                          WCOREDUMP(status) ? ", core dumped" : "");
    return mem_printf("ended with exit code %d", WEXITSTATUS(status));
}

void child_back_off(struct child *child, bool was_steady)
{
    if (was_steady)
        child->back_off = 0;
    child->start_at = clock_ms() + child->back_off;
    child->back_off = child->back_off == 0 ? BACK_OFF_FIRST_MS : child->back_off * 2;
    if (child->back_off > BACK_OFF_LAST_MS)
        child->back_off = BACK_OFF_LAST_MS;
}
