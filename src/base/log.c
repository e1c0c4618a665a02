/* log.c: one line per event on standard error, each naming the process that wrote it. */
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sysexits.h>
#include <time.h>
#include <unistd.h>

/* What log_open was told. One per process, like standard error itself. */
static struct {
    char process[32];
    enum log_level level;
    bool journal;
} this_log = {"", LOG_LEVEL_INFO, false};

/* Is standard error the stream that systemd connected to the journal (systemd.exec(5), $JOURNAL_STREAM)? */
static bool stderr_is_journal(void)
{
    const char *stream = getenv("JOURNAL_STREAM");
    unsigned long long device, inode;
    struct stat status;
    return stream != NULL && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
           fstat(STDERR_FILENO, &status) == 0 && status.st_dev == device && status.st_ino == inode;
}

void log_open(const char *process, enum log_level level)
{
    snprintf(this_log.process, sizeof(this_log.process), "%s", process);
    this_log.level = level;
    this_log.journal = stderr_is_journal();
}

static size_t write_prefix(char *line, size_t size, enum log_level level)
{
    static const struct {
        const char *name;
        int priority; /* sd-daemon(3) */
    } levels[] = {
        [LOG_LEVEL_ERROR] = {"error", 3},
        [LOG_LEVEL_WARN] = {"warn", 4},
        [LOG_LEVEL_INFO] = {"info", 6},
        [LOG_LEVEL_DEBUG] = {"debug", 7},
    };
    int n;
    if (this_log.journal) {
        n = snprintf(line, size, "<%d>%s: ", levels[level].priority, this_log.process);
    } else if (this_log.process[0] == '\0') {
        n = snprintf(line, size, "hayfork: ");
    } else {
        struct timespec now;
        struct tm utc;
        char stamp[24];
        clock_gettime(CLOCK_REALTIME, &now);
        gmtime_r(&now.tv_sec, &utc);
        strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &utc);
        n = snprintf(line, size, "%s.%03ldZ %s %s[%d]: ", stamp, now.tv_nsec / 1000000, levels[level].name,
                     this_log.process, (int)getpid());
    }
    return (size_t)n;
}

bool log_writes(enum log_level level)
{
    return level <= this_log.level;
}

/* Writes the line in one write(2), so that lines of several processes do not mix. */
static void write_line(enum log_level level, int errnum, const char *format, va_list args)
{
    if (!log_writes(level))
        return;
    char line[4096];
    size_t room = sizeof(line) - 1; /* the newline always fits */
    size_t used = write_prefix(line, room, level);
    int n = vsnprintf(line + used, room - used, format, args);
    used = n < 0 || (size_t)n >= room - used ? room - 1 : used + (size_t)n;
    if (errnum != 0) {
        n = snprintf(line + used, room - used, ": %s", strerror(errnum));
        used = n < 0 || (size_t)n >= room - used ? room - 1 : used + (size_t)n;
    }
    while (used > 0 && line[used - 1] == '\n')
        used--;
    for (size_t i = 0; i < used; i++) {
        if ((unsigned char)line[i] < 0x20)
            line[i] = ' '; /* a message of many lines, or somebody's bytes, stay one line */
    }
    line[used++] = '\n';
    ssize_t written;
    do
        written = write(STDERR_FILENO, line, used);
    while (written < 0 && errno == EINTR);
}

void log_at(enum log_level level, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    write_line(level, 0, format, args);
    va_end(args);
}

#define LOG_FUNCTION(name, level, errnum)                                                                    \
    void name(const char *format, ...)                                                                       \
    {                                                                                                        \
        int saved = errno;                                                                                   \
        va_list args;                                                                                        \
        va_start(args, format);                                                                              \
        write_line(level, errnum, format, args);                                                             \
        va_end(args);                                                                                        \
        errno = saved;                                                                                       \
    }

LOG_FUNCTION(log_debug, LOG_LEVEL_DEBUG, 0)
LOG_FUNCTION(log_info, LOG_LEVEL_INFO, 0)
LOG_FUNCTION(log_warn, LOG_LEVEL_WARN, saved)
LOG_FUNCTION(log_warnx, LOG_LEVEL_WARN, 0)
LOG_FUNCTION(log_error, LOG_LEVEL_ERROR, saved)
LOG_FUNCTION(log_errorx, LOG_LEVEL_ERROR, 0)

void log_fatal(const char *format, ...)
{
    int saved = errno;
    va_list args;
    va_start(args, format);
    write_line(LOG_LEVEL_ERROR, saved, format, args);
    va_end(args);
    exit(EX_UNAVAILABLE);
}

void log_fatalx(const char *format, ...)
{
    va_list args;
    va_start(args, format);
    write_line(LOG_LEVEL_ERROR, 0, format, args);
    va_end(args);
    exit(EX_UNAVAILABLE);
}
