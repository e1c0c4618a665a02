/* complain.c: what is logged at once, what is left out, and what is said about it a minute later. */
#include "base/complain.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "unit/tap.h"

static struct complaints table;

static void begin(void)
{
    memset(&table, 0, sizeof(table));
    complain_share(&table);
    log_open("", LOG_LEVEL_INFO);
}

/* So much time goes by for the table. */
static void pass_seconds(unsigned seconds)
{
    for (size_t i = 0; i < COMPLAIN_PLACES; i++) {
        if (atomic_load(&table.places[i].stamp) != 0)
            atomic_fetch_sub(&table.places[i].stamp, seconds);
    }
    if (atomic_load(&table.told_at) != 0)
        atomic_fetch_sub(&table.told_at, seconds * UINT64_C(1000));
}

/* What a statement logs, without what each line begins with. */
#define LOGGED(statement) (catch_log(), (statement), caught())

static FILE *caught_log;
static int shown;

static void catch_log(void)
{
    caught_log = tmpfile();
    shown = dup(STDERR_FILENO);
    if (caught_log == NULL || shown < 0 || dup2(fileno(caught_log), STDERR_FILENO) < 0)
        abort();
}

static const char *caught(void)
{
    static char text[4096];
    char line[512];
    size_t used = 0;
    dup2(shown, STDERR_FILENO);
    close(shown);
    rewind(caught_log);
    text[0] = '\0';
    while (fgets(line, sizeof(line), caught_log) != NULL)
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s", line + strlen("hayfork: "));
    fclose(caught_log);
    return text;
}

static void test_news(void)
{
    begin();
    uint32_t key = COMPLAIN_KEY("lane", "read"), other = COMPLAIN_KEY("lane", "write");
    ok(key != COMPLAIN_KEY("laner", "ead"), "where one text of a key ends counts");
    ok(complain_is_news(key, 1), "the first time is news");
    ok(!complain_is_news(key, 1), "the second is not");
    ok(complain_is_news(other, 1), "another key has nothing to do with it");
    pass_seconds(COMPLAIN_CHANGED_S + 1);
    ok(!complain_is_news(key, 1), "the same words are not after some seconds");
    ok(complain_is_news(key, 2), "other words are");
    ok(!complain_is_news(key, 3), "but not at once");
    pass_seconds(COMPLAIN_INTERVAL_S);
    ok(complain_is_news(key, 2), "the same words are after a minute");
}

static void test_own_place(void)
{
    struct complaint place = {0};
    begin();
    ok(complain_is_news_at(&place), "what has a place of its own: the first time is news");
    ok(!complain_is_news_at(&place), "the second is not");
    atomic_fetch_sub(&place.stamp, COMPLAIN_INTERVAL_S);
    ok(complain_is_news_at(&place), "it is after a minute");
    ok(complain_is_news(0, 0), "no key sees it");
}

static void test_forgetting(void)
{
    begin();
    uint32_t key = COMPLAIN_KEY("upstream", "a");
    is_int(complain_forget(key, 10), COMPLAIN_NONE, "nothing is known about a trouble that never was");
    complain_is_news(key, 0);
    is_int(complain_forget(key, 10), COMPLAIN_FRESH, "one of a moment ago is kept");
    ok(!complain_is_news(key, 0), "and is not news");
    pass_seconds(11);
    is_int(complain_forget(key, 10), COMPLAIN_OVER, "one that is over is forgotten");
    is_int(complain_forget(key, 10), COMPLAIN_NONE, "once");
    ok(complain_is_news(key, 0), "and is news when it comes again");
}

/* Keys that look for a place among the same ones. */
static void test_full(void)
{
    const char *one = "too many kinds of trouble at the same time; lines that were left out: 1\n";
    begin();
    unsigned taken = 0;
    for (uint32_t i = 1; i <= 20; i++)
        taken += complain_is_news(i * COMPLAIN_PLACES, 0);
    is_int(taken, 8, "a table that is full of fresh ones takes no more");
    is_str(LOGGED(complain_sum_up()),
           "too many kinds of trouble at the same time; lines that were left out: 12\n",
           "how many were left out is said");
    ok(!complain_is_news(21 * COMPLAIN_PLACES, 0), "still none");
    is_str(LOGGED(complain_sum_up()), "", "it is said once a minute");
    pass_seconds(COMPLAIN_INTERVAL_S);
    ok(complain_is_news(21 * COMPLAIN_PLACES, 0), "old ones make room");
    is_str(LOGGED(complain_sum_up()), one, "and the rest is said");
}

static void complain_often(const char *about, unsigned n)
{
    for (unsigned i = 1; i <= n; i++)
        complain(LOG_LEVEL_ERROR, about, "%s: disk full (request %u)", about, i);
}

static void test_counting(void)
{
    const char *about = "GET /contacts: 500: SQLSTATE 53100";
    begin();
    is_str(LOGGED(complain_often(about, 1000)), "GET /contacts: 500: SQLSTATE 53100: disk full (request 1)\n",
           "one line of a thousand");
    is_str(LOGGED(complain(LOG_LEVEL_ERROR, "GET /", "GET /: %s", "another")), "GET /: another\n",
           "another trouble is written");
    is_str(LOGGED(complain_sum_up()), "", "nothing is summed up within the minute");
    pass_seconds(COMPLAIN_INTERVAL_S);
    is_str(LOGGED(complain_sum_up()), "GET /contacts: 500: SQLSTATE 53100: 999 more in the last minute\n",
           "after a minute the count is written, where something was left out");
    is_str(LOGGED(complain_often(about, 1)), "", "a line soon after that is left out");
    pass_seconds(COMPLAIN_INTERVAL_S);
    is_str(LOGGED(complain_often(about, 1)), "", "what was left out is told before another line is written");
    is_str(LOGGED(complain_sum_up()), "GET /contacts: 500: SQLSTATE 53100: 2 more in the last minute\n",
           "with its count");
    pass_seconds(COMPLAIN_INTERVAL_S);
    is_str(LOGGED(complain_sum_up()), "", "a quiet minute is not told");
    is_str(LOGGED(complain_often(about, 1)), "GET /contacts: 500: SQLSTATE 53100: disk full (request 1)\n",
           "after it the next line is written at once");
}

static void test_debug(void)
{
    begin();
    log_open("", LOG_LEVEL_DEBUG);
    is_str(LOGGED(complain_often("x", 2)), "x: disk full (request 1)\nx: disk full (request 2)\n",
           "a log that takes all gets all");
}

enum { PROCESSES = 4, ROUNDS = 200 };

/* Returns how often it was news for this process. */
static unsigned meet_trouble(void)
{
    unsigned news = 0;
    for (uint32_t round = 1; round <= ROUNDS; round++) {
        news += complain_is_news(round * UINT32_C(2654435761), 0);
        complain(LOG_LEVEL_DEBUG, "each", "x");
    }
    return news;
}

static void test_processes(void)
{
    struct complaints *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsigned news = 0, left_out = 0;
    begin();
    complain_share(shared);
    for (int i = 0; i < PROCESSES; i++) {
        if (fork() == 0)
            _exit((int)meet_trouble());
    }
    for (int i = 0, status; i < PROCESSES && wait(&status) > 0; i++)
        news += (unsigned)WEXITSTATUS(status);
    is_int(news, ROUNDS, "of several processes with the same trouble one logs it");
    for (size_t i = 0; i < COMPLAIN_PLACES; i++)
        left_out += atomic_load(&shared->places[i].left_out);
    is_int(left_out, PROCESSES * ROUNDS - 1, "and what all of them left out is counted together");
    munmap(shared, sizeof(*shared));
}

int main(void)
{
    test_news();
    test_own_place();
    test_forgetting();
    test_full();
    test_counting();
    test_debug();
    test_processes();
    return done_testing();
}
