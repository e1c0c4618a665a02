/* log_ring.c: the last lines of the log, whoever writes them and whatever becomes of the writer. */
#include "base/log_ring.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/log.h"
#include "base/utf8.h"
#include "unit/tap.h"

static struct log_ring_line lines[LOG_RING_LINES];

static void add(struct log_ring *ring, unsigned number)
{
    char text[32];
    int len = snprintf(text, sizeof(text), "line %u", number);
    log_ring_add(ring, "worker 1", (struct str){text, (size_t)len});
}

static void test_order(struct log_ring *ring)
{
    is_int((long long)log_ring_read(ring, lines), 0, "nothing at first");
    add(ring, 1);
    add(ring, 2);
    is_int((long long)log_ring_read(ring, lines), 2, "two lines");
    is_str(lines[0].text, "line 2", "the newest one first");
    is_str(lines[1].text, "line 1", "then the older one");
    is_str(lines[1].process, "worker 1", "with its process");
    is_int(lines[1].pid, getpid(), "by name and number");
    is_int((long long)strlen(lines[1].time), CLOCK_ISO_LEN, "and its time");
    for (unsigned i = 3; i <= 250; i++)
        add(ring, i);
    is_int((long long)log_ring_read(ring, lines), LOG_RING_LINES, "as many as there is room for");
    is_str(lines[0].text, "line 250", "the newest one is there");
    is_str(lines[LOG_RING_LINES - 1].text, "line 151", "the oldest ones are not");
}

static void test_long(struct log_ring *ring)
{
    char text[3 * LOG_RING_TEXT];
    for (size_t i = 0; i < sizeof(text); i += 3)
        memcpy(text + i, "€", 3);
    log_ring_add(ring, "a process with a very long name of its own", (struct str){text, sizeof(text)});
    log_ring_read(ring, lines);
    is_int((long long)strlen(lines[0].text), 399, "what is long is cut between two characters");
    is_int((long long)strlen(lines[0].process), LOG_RING_PROCESS - 1, "as are names");
}

/* A writer that is killed leaves a line that nobody sees. */
static void test_killed(struct log_ring *ring)
{
    add(ring, 1000);
    ring->places[(ring->n - 1) % LOG_RING_LINES].number = 0;
    is_int((long long)log_ring_read(ring, lines), LOG_RING_LINES - 1,
           "a line that was not finished is left out");
    ok(strcmp(lines[0].text, "line 1000") != 0, "it is that one");
    add(ring, 1001);
    log_ring_read(ring, lines);
    is_str(lines[0].text, "line 1001", "the next one is there");
}

/* What is read is always whole. */
static void test_many_writers(struct log_ring *ring)
{
    enum { WRITERS = 4, EACH = 20000 };
    for (unsigned i = 0; i < WRITERS; i++) {
        if (fork() == 0) {
            for (unsigned j = 0; j < EACH; j++)
                add(ring, 100000 + j);
            _exit(0);
        }
    }
    unsigned bad = 0, looks = 0;
    do {
        size_t n = log_ring_read(ring, lines);
        for (size_t i = 0; i < n; i++)
            bad += strncmp(lines[i].text, "line ", 5) != 0 || !utf8_is_valid(str_of(lines[i].text));
        looks++;
    } while (waitpid(-1, NULL, WNOHANG) != -1);
    ok(looks > 1 && bad == 0, "%u of the lines in %u looks were no lines", bad, looks);
    ok(log_ring_read(ring, lines) >= LOG_RING_LINES - WRITERS,
       "all are there in the end, but for those of who stood still");
}

static void test_log(struct log_rings *rings)
{
    if (freopen("/dev/null", "w", stderr) == NULL)
        abort();
    log_open("worker 7", LOG_LEVEL_WARN);
    log_share(rings);
    log_errorx("an\nerror");
    log_warnx("a warning");
    log_info("something else");
    is_int((long long)log_ring_read(&rings->errors, lines), 1, "an error is kept");
    is_str(lines[0].text, "an\\nerror", "as it is shown");
    is_str(lines[0].process, "worker 7", "with who logged it");
    is_int((long long)log_ring_read(&rings->warnings, lines), 1, "a warning, too, and nothing else");
}

int main(void)
{
    struct log_rings *rings =
        mmap(NULL, 2 * sizeof(*rings), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (rings == MAP_FAILED)
        abort();
    test_order(&rings[0].errors);
    test_long(&rings[0].errors);
    test_killed(&rings[0].errors);
    test_many_writers(&rings[0].warnings);
    test_log(&rings[1]);
    return done_testing();
}
