/* cpus.c: how many cores this process may use. */
#include "process/cpus.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

static unsigned by_affinity(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof(set), &set) != 0)
        return 1;
    return (unsigned)CPU_COUNT(&set);
}

/* What one cpu.max file ("max 100000", "150000 100000") allows, rounded up. */
static unsigned by_cpu_max(const char *folder)
{
    char name[PATH_MAX + 32];
    unsigned long long quota, period;
    unsigned cpus = UINT_MAX;
    snprintf(name, sizeof(name), "/sys/fs/cgroup%s/cpu.max", folder);
    FILE *file = fopen(name, "re");
    if (file == NULL)
        return cpus;
    if (fscanf(file, "%llu %llu", &quota, &period) == 2 && period > 0)
        cpus = (unsigned)((quota + period - 1) / period);
    fclose(file);
    return cpus;
}

unsigned cpus_available(void)
{
    unsigned cpus = by_affinity();
    char line[PATH_MAX] = "";
    FILE *file = fopen("/proc/self/cgroup", "re");
    if (file == NULL)
        return cpus;
    while (fgets(line, sizeof(line), file) != NULL && strncmp(line, "0::", 3) != 0)
        continue;
    fclose(file);
    if (strncmp(line, "0::/", 4) == 0) {
        char *folder = line + 3;
        folder[strcspn(folder, "\n")] = '\0';
        /* a parent's limit binds its children */
        for (char *slash = folder + strlen(folder); slash != NULL; slash = strrchr(folder, '/')) {
            *slash = '\0';
            unsigned allowed = by_cpu_max(folder);
            if (allowed < cpus)
                cpus = allowed;
        }
    }
    return cpus == 0 ? 1 : cpus;
}
