/*
 * main.c: hayfork-images, the program of the helpers that make pictures. The master starts it; nobody else
 * has a use for it.
 *
 * It is a program of its own so that libvips, with the hundred libraries that it is linked with, is in no
 * process but these, and so that nothing of the master's memory, secrets among it, is where a broken picture
 * might break in.
 */
#include <errno.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sysexits.h>

#include "base/log.h"
#include "base/sanitizers.h"
#include "helpers/sandbox.h"
#include "imaging/vips.h"

enum {
    OFFERS = 3, /* the descriptor that it inherits */
    MOST_JOBS = 10000,
    KEPT = 64 * 1024, /* bytes: larger blocks go back to the kernel at once */
};

static void limit(int resource, rlim_t most)
{
    struct rlimit old;
    if (getrlimit(resource, &old) != 0)
        return;
    rlim_t max = old.rlim_max < most ? old.rlim_max : most;
    struct rlimit new = {max, max};
    if (setrlimit(resource, &new) != 0)
        log_warn("cannot limit what this process takes");
}

int main(int argc, char **argv)
{
    static const char *const words[] = {"on", "off"};
    if (argc != 7 || (strcmp(argv[6], words[0]) != 0 && strcmp(argv[6], words[1]) != 0)) {
        fputs("hayfork-images is started by hayfork alone\n", stderr);
        return EX_USAGE;
    }
    enum log_level level = (enum log_level)atoi(argv[1]);
    rlim_t memory = strtoull(argv[3], NULL, 10), file = strtoull(argv[4], NULL, 10);
    const struct helpers_service service = {
        .work = imaging_work, .most_jobs = MOST_JOBS, .most_memory = strtoull(argv[5], NULL, 10)};
    log_open("images", level);
    log_set_format((enum log_format)atoi(argv[2]));
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    mallopt(M_MMAP_THRESHOLD, KEPT);
    mallopt(M_ARENA_MAX, 2);
    imaging_begin();
    if (!HAS_SANITIZER) /* they take more addresses than there is memory */
        limit(RLIMIT_AS, memory);
    limit(RLIMIT_FSIZE, file);
    int statm = helpers_open_memory();
    if (strcmp(argv[6], "on") == 0 && !helpers_confine())
        log_warn("the system calls of this process are not filtered");
    return helpers_serve(OFFERS, statm, &service);
}
