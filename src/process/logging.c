/* logging.c: the log of a process as the conf has it. */
#include "process/logging.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/complain.h"
#include "base/log.h"
#include "base/mem.h"

enum { MODE = 0640 };

bool logging_is_file(const char *to)
{
    return strcmp(to, "stderr") != 0 && strcmp(to, "stdout") != 0;
}

int logging_open(const char *path)
{
    enum { FLAGS = O_APPEND | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC };
    int fd = open(path, O_WRONLY | FLAGS, MODE);
    if (fd < 0 && errno == ENXIO) /* a FIFO that nobody reads yet: what is written waits in it (fifo(7)) */
        fd = open(path, O_RDWR | FLAGS, MODE);
    return fd;
}

static void set(const char *process, const struct conf *conf)
{
    log_open(process, conf->log.level);
    log_set_format(conf->log.format);
}

void logging_begin(const char *process, const struct conf *conf)
{
    const char *to = conf->log.to;
    int fd = logging_is_file(to)         ? logging_open(to)
             : strcmp(to, "stderr") == 0 ? STDERR_FILENO
                                         : STDOUT_FILENO;
    set(process, conf);
    if (fd >= 0) {
        log_set_file(fd);
    } else {
        int error = errno;
        log_set_file(STDERR_FILENO);
        errno = error;
        log_error("cannot open %s: the log goes to standard error", to);
    }
}

void logging_inherit(const char *process, const struct conf *conf)
{
    set(process, conf);
}

/*
 * Our own opening of a standard stream, as others may write into it in the same way: only then it may be set
 * not to block. Of a socket there is no other one; into that lines are sent without waiting.
 */
static int open_standard(const char *to)
{
    int fd = strcmp(to, "stderr") == 0 ? STDERR_FILENO : STDOUT_FILENO;
    char *path = mem_printf("/proc/self/fd/%d", fd);
    int opened = open(path, O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    free(path);
    return opened >= 0 ? opened : fcntl(fd, F_DUPFD_CLOEXEC, 0);
}

int *logging_open_access(const struct conf *conf)
{
    int *files = mem_calloc(conf->n_access_files + 1, sizeof(*files));
    for (size_t i = 0; i < conf->n_access_files; i++) {
        const char *to = conf->access_files[i];
        files[i] = logging_is_file(to) ? logging_open(to) : open_standard(to);
        int error = errno;
        char *about = mem_printf("access log %s", to);
        if (files[i] < 0)
            complain(LOG_LEVEL_ERROR, about, "cannot open the access log %s, and drops its lines: %s", to,
                     strerror(error));
        free(about);
    }
    return files;
}
