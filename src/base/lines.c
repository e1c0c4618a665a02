/* lines.c: lines that are collected, and written whole into a file. */
#include "base/lines.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/str.h"

void lines_open(struct lines *lines, int fd)
{
    struct stat status;
    if (lines->fd >= 0 && lines->fd != fd)
        close(lines->fd);
    bool is_known = fd >= 0 && fstat(fd, &status) == 0;
    lines->fd = fd;
    lines->is_torn = false;
    lines->is_socket = is_known && S_ISSOCK(status.st_mode);
    lines->is_pipe = is_known && !S_ISREG(status.st_mode);
}

static ssize_t write_some(const struct lines *lines, const char *bytes, size_t len)
{
    ssize_t written;
    do
        written = lines->is_socket ? send(lines->fd, bytes, len, MSG_DONTWAIT | MSG_NOSIGNAL)
                                   : write(lines->fd, bytes, len);
    while (written < 0 && errno == EINTR);
    return written;
}

/* As many whole lines as a pipe takes as one, one at least. */
static size_t part_of(const struct lines *lines, struct str rest)
{
    if (!lines->is_pipe || rest.len <= PIPE_BUF)
        return rest.len;
    const char *end = memrchr(rest.base, '\n', PIPE_BUF);
    if (end == NULL)
        end = memchr(rest.base, '\n', rest.len);
    return (size_t)(end - rest.base) + 1;
}

static size_t count(struct str text)
{
    size_t n = 0;
    const char *end = text.base + text.len;
    for (const char *at = text.base; (at = memchr(at, '\n', (size_t)(end - at))) != NULL; at++)
        n++;
    return n;
}

size_t lines_flush(struct lines *lines)
{
    struct str rest = {lines->bytes, lines->len};
    lines->len = 0;
    if (lines->fd < 0) {
        errno = EBADF;
        return count(rest);
    }
    if (lines->is_torn && rest.len > 0) /* the line that was cut ends here */
        lines->is_torn = write_some(lines, "\n", 1) != 1;
    while (rest.len > 0 && !lines->is_torn) {
        ssize_t written = write_some(lines, rest.base, part_of(lines, rest));
        if (written <= 0) {
            lines->is_torn = rest.base > lines->bytes && rest.base[-1] != '\n';
            break;
        }
        rest = (struct str){rest.base + written, rest.len - (size_t)written};
    }
    return count(rest);
}
