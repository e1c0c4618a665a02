/* complain.c: what is logged at once, what is left out, and what is said about it a minute later. */
#include "base/complain.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/utf8.h"
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
    static char text[64 * 1024];
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

static void complain_often(const char *about, unsigned n)
{
    for (unsigned i = 1; i <= n; i++)
        complain(LOG_LEVEL_ERROR, about, "%s: disk full (request %u)", about, i);
}

static void lose(const char *lane, const char *why)
{
    char about[64];
    snprintf(about, sizeof(about), "lane %s: lost", lane);
    complain_in_words(LOG_LEVEL_ERROR, about, "lane %s: %s", lane, why);
}

static void test_words(void)
{
    begin();
    is_str(LOGGED(lose("read", "reset")), "lane read: reset\n", "the first time is news");
    is_str(LOGGED(lose("read", "reset")), "", "the second is not");
    is_str(LOGGED(lose("write", "reset")), "lane write: reset\n",
           "another trouble has nothing to do with it");
    pass_seconds(COMPLAIN_CHANGED_S);
    is_str(LOGGED(lose("read", "reset")), "", "the same words are not after some seconds");
    is_str(LOGGED(lose("read", "refused")),
           "lane read: lost: 2 more in the last minute\nlane read: refused\n",
           "other words are, and what was left out is told before");
    is_str(LOGGED(lose("read", "reset")), "", "but not at once");
    pass_seconds(COMPLAIN_INTERVAL_S);
    is_str(LOGGED(complain_sum_up()), "lane read: lost: 1 more in the last minute\n", "nothing is forgotten");
}

static void test_forgetting(void)
{
    uint32_t left_out = 0;
    begin();
    is_int(complain_forget("a", 10, &left_out), COMPLAIN_NONE,
           "nothing is known about a trouble that never was");
    is_str(LOGGED(complain_often("a", 4)), "a: disk full (request 1)\n", "it comes");
    is_int(complain_forget("a", 10, &left_out), COMPLAIN_FRESH, "one of a moment ago is kept");
    is_str(LOGGED(complain_often("a", 1)), "", "and is not news");
    is_int(left_out, 0, "its count is kept, too");
    pass_seconds(11);
    is_int(complain_forget("a", 10, &left_out), COMPLAIN_OVER, "one that is over is forgotten");
    is_int(left_out, 4, "and the line that says so has the count");
    is_str(complain_left_out(left_out), "; 4 more lines about it were left out", "in these words");
    is_str(complain_left_out(0), "", "or in none");
    is_int(complain_forget("a", 10, &left_out), COMPLAIN_NONE, "once");
    is_str(LOGGED(complain_sum_up_all()), "", "then there is nothing left to tell");
    is_str(LOGGED(complain_often("a", 1)), "a: disk full (request 1)\n", "it is news when it comes again");
}

/* So many troubles that the places for some are taken. */
static unsigned complain_of_many(void)
{
    char about[32];
    unsigned written = 0;
    for (unsigned i = 0; i < 4 * COMPLAIN_PLACES; i++) {
        snprintf(about, sizeof(about), "%u", i);
        complain(LOG_LEVEL_ERROR, about, "x");
    }
    for (size_t i = 0; i < COMPLAIN_PLACES; i++)
        written += atomic_load(&table.places[i].stamp) != 0;
    return written;
}

static void test_full(void)
{
    char want[128];
    unsigned written = 0;
    begin();
    LOGGED(written = complain_of_many());
    ok(written > COMPLAIN_PLACES / 2 && written <= COMPLAIN_PLACES, "a table takes no more than it can: %u",
       written);
    snprintf(want, sizeof(want), "too many different problems at the same time; lines left out: %u\n",
             4 * COMPLAIN_PLACES - written);
    is_str(LOGGED(complain_sum_up()), want, "how many were left out is said");
    is_str(LOGGED(complain_of_many()), "", "still none");
    is_str(LOGGED(complain_sum_up()), "", "it is said once a minute");
    pass_seconds(COMPLAIN_INTERVAL_S);
    ok(strstr(LOGGED(complain_sum_up()), "0: 1 more in the last minute\n") != NULL, "and the rest is said");
    pass_seconds(COMPLAIN_INTERVAL_S);
    is_str(LOGGED(complain(LOG_LEVEL_ERROR, "new", "new")), "new\n", "old ones make room");
}

static void test_end(void)
{
    begin();
    LOGGED(complain_often("a", 3));
    LOGGED(complain_often("b", 2));
    const char *said = LOGGED(complain_sum_up_all());
    ok(strstr(said, "a: 2 more in the last minute\n") != NULL &&
           strstr(said, "b: 1 more in the last minute\n") != NULL,
       "at the end the counts do not wait for their minute: %s", said);
    is_str(LOGGED(complain_sum_up_all()), "", "they are told once");
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

/* What does not fit is cut between two characters. */
static void test_long_subject(void)
{
    char about[600] = "";
    while (strlen(about) + 2 < sizeof(about))
        strcat(about, "ä");
    begin();
    LOGGED(complain_often(about, 2));
    const char *said = LOGGED(complain_sum_up_all()), *end = strstr(said, ": 1 more in the last minute\n");
    ok(end != NULL && end - said > 200 && strncmp(said, about, (size_t)(end - said)) == 0,
       "what is long is cut: %s", said);
    ok(end != NULL && utf8_is_valid((struct str){said, (size_t)(end - said)}), "between two characters");
}

static void test_debug(void)
{
    begin();
    log_open("", LOG_LEVEL_DEBUG);
    is_str(LOGGED(complain_often("x", 2)), "x: disk full (request 1)\nx: disk full (request 2)\n",
           "a log that takes all gets all");
    is_str(LOGGED(complain_sum_up_all()), "", "and nothing is left to tell");
}

enum { PROCESSES = 4, ROUNDS = 20000 };

/* Some of them meet one trouble, some the other, and now and then it is over. */
static void meet_trouble(int process)
{
    uint32_t left_out = 0;
    for (int round = 0; round < ROUNDS; round++) {
        complain(LOG_LEVEL_ERROR, round % 3 == 0 ? "a" : "b", "line");
        if (process == 0 && round % 1000 == 999 && complain_forget("a", 0, &left_out) == COMPLAIN_OVER) {
            log_errorx("over: %u", left_out);
            left_out = 0;
        }
    }
}

static void run_processes(void)
{
    for (int i = 0; i < PROCESSES; i++) {
        if (fork() != 0)
            continue;
        meet_trouble(i);
        _exit(0);
    }
    while (wait(NULL) > 0)
        continue;
    complain_sum_up_all();
}

static void test_processes(void)
{
    struct complaints *shared =
        mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsigned long total = 0, n_lines = 0;
    begin();
    complain_share(shared);
    for (const char *line = LOGGED(run_processes()); *line != '\0'; line = strchr(line, '\n') + 1) {
        unsigned long n;
        n_lines++;
        if (sscanf(line, "%*[ab]: %lu more", &n) == 1 || sscanf(line, "over: %lu", &n) == 1)
            total += n;
        else
            total++;
    }
    is_int((long long)total, (long long)PROCESSES * ROUNDS,
           "of several processes with the same trouble no line is lost, and none is counted twice");
    ok(n_lines < 100, "in few lines: %lu", n_lines);
    munmap(shared, sizeof(*shared));
}

int main(void)
{
    test_words();
    test_forgetting();
    test_full();
    test_counting();
    test_long_subject();
    test_debug();
    test_end();
    test_processes();
    return done_testing();
}
