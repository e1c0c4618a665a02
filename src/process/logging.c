/* logging.c: the log of a process as the conf has it. */
#include "process/logging.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

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
