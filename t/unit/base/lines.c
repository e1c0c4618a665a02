/* lines.c: what is written is whole, what cannot be written is counted, and nobody waits. */
#include "base/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "unit/tap.h"

static struct lines lines = {.fd = -1};
static char path[] = "/tmp/hayfork-lines-XXXXXX", text[256];

static void add(const char *line)
{
    memcpy(lines_room(&lines), line, strlen(line));
    lines.len += strlen(line);
}

/* No file of this process grows beyond so many bytes, as if the disk were full. */
static void limit(rlim_t bytes)
{
    struct rlimit limits;
    getrlimit(RLIMIT_FSIZE, &limits);
    limits.rlim_cur = bytes;
    setrlimit(RLIMIT_FSIZE, &limits);
}

static const char *written(void)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, text, sizeof(text) - 1);
    close(fd);
    text[n < 0 ? 0 : n] = '\0';
    return text;
}

static void test_file(void)
{
    add("one\n");
    add("two\n");
    is_int((long long)lines_flush(&lines), 2, "without a file, lines are counted");
    int fd = mkostemp(path, O_CLOEXEC);
    close(fd);
    lines_open(&lines, open(path, O_WRONLY | O_APPEND | O_CLOEXEC));
    add("one\n");
    add("two\n");
    is_int((long long)lines_flush(&lines), 0, "all are written");
    is_str(written(), "one\ntwo\n", "as they are");
    limit(14);
    add("three\n");
    add("four\n");
    is_int((long long)lines_flush(&lines), 1, "one that does not fit is counted");
    is_int(errno, EFBIG, "and why");
    is_str(written(), "one\ntwo\nthree\n", "the one before it is there");
    limit(17);
    add("five\n");
    add("six\n");
    is_int((long long)lines_flush(&lines), 2, "one that fits in part is counted, too");
    limit(RLIM_INFINITY);
    add("seven\n");
    is_int((long long)lines_flush(&lines), 0, "later there is room");
    is_str(written(), "one\ntwo\nthree\nfiv\nseven\n", "what was cut ends before the next line");
    unlink(path);
}

static void test_pipe(void)
{
    static char many[8 * 1024];
    int fds[2];
    if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) != 0)
        exit(1);
    lines_open(&lines, fds[1]);
    memset(many, 'x', sizeof(many));
    size_t dropped = 0, added = 0;
    for (int turn = 0; turn < 40; turn++) {
        for (int i = 0; i < 10; i++, added++) {
            memset(lines_room(&lines), 'y', 999);
            lines_room(&lines)[999] = '\n';
            lines.len += 1000;
        }
        dropped += lines_flush(&lines);
    }
    ok(dropped > 0 && errno == EAGAIN, "what a pipe does not take is dropped");
    size_t got = 0;
    for (ssize_t n; (n = read(fds[0], many, sizeof(many))) > 0;)
        got += (size_t)n;
    is_int((long long)got, (long long)(added - dropped) * 1000, "the others are whole");
    lines_open(&lines, -1);
    close(fds[0]);
}

int main(void)
{
    signal(SIGXFSZ, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    test_file();
    test_pipe();
    return done_testing();
}
