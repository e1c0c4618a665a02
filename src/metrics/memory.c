/* memory.c: how much memory this process has. */
#include "metrics/memory.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The kilobytes of a line, as bytes. */
static uint64_t find(const char *text, const char *name)
{
    const char *line = strstr(text, name);
    return line == NULL ? 0 : strtoull(line + strlen(name), NULL, 10) * 1024;
}

bool memory_read(struct memory *memory)
{
    char text[4096];
    int fd = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
    ssize_t len = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
    text[len > 0 ? len : 0] = '\0';
    if (fd >= 0)
        close(fd);
    *memory = (struct memory){find(text, "\nRss:"), find(text, "\nPss:")};
    return memory->resident > 0;
}
