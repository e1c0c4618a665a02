/* slices.c: long work gets a part of each turn, all who have some in turns, and is soon done where it is
 * short. */
#include "loop/slices.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "unit/tap.h"

enum { MOST_LOGGED = 100 };

static struct slices slices;
static char logged[MOST_LOGGED + 1];
static size_t n_logged;

struct job {
    struct slice slice;
    char name;
    unsigned left;    /* steps */
    uint64_t ns;      /* that each takes at least */
    struct job *ends; /* whose work ends with its own */
};

static void on_step(struct slice *slice)
{
    struct job *job = (struct job *)slice;
    uint64_t until = clock_ns() + job->ns;
    while (job->ns > 0 && clock_ns() < until)
        continue;
    if (n_logged < MOST_LOGGED)
        logged[n_logged++] = job->name;
    if (--job->left > 0)
        slices_add(&slices, slice);
    else if (job->ends != NULL)
        slices_remove(&job->ends->slice);
}

static struct job *add(char name, unsigned left, uint64_t ns)
{
    struct job *job = mem_calloc(1, sizeof(*job));
    *job = (struct job){.slice = {.step = on_step}, .name = name, .left = left, .ns = ns};
    slices_add(&slices, &job->slice);
    return job;
}

static void forget(void)
{
    memset(logged, 0, sizeof(logged));
    n_logged = 0;
}

static void test_short(void)
{
    forget();
    ok(!slices_run(&slices), "nothing to do");
    struct job *a = add('a', 3, 0), *b = add('b', 1, 0), *c = add('c', 2, 0);
    bool more = false;
    for (int turn = 0; turn < 10 && (turn == 0 || more); turn++) /* a busy machine may take away a turn */
        more = slices_run(&slices);
    ok(!more, "short work is done");
    is_str(logged, "abcaca", "a step of each in turns");
    free(a);
    free(b);
    free(c);
}

static void test_long(void)
{
    forget();
    struct job *a = add('a', 1000, SLICES_TURN_NS / 2), *b = add('b', 2, SLICES_TURN_NS / 2);
    unsigned turns = 0;
    size_t most = 0;
    while (b->left > 0 && turns < 100) {
        size_t before = n_logged;
        ok(slices_run(&slices), "there is more for the next turn");
        most = n_logged - before > most ? n_logged - before : most;
        turns++;
    }
    ok(turns >= 2 && most <= 3, "long work is cut into turns: of %zu steps at most", most);
    is_str(logged, n_logged == 4 ? "abab" : "ababa", "what is shorter is done before it");
    slices_remove(&a->slice);
    ok(!slices_run(&slices), "work that was given up is forgotten");
    slices_remove(&a->slice);
    free(a);
    free(b);
}

static void test_removed_by_another(void)
{
    forget();
    struct job *a = add('a', 1, 0), *b = add('b', 5, 0), *c = add('c', 1, 0);
    a->ends = b;
    while (slices_run(&slices))
        continue;
    is_str(logged, "ac", "one may end the work of another");
    free(a);
    free(b);
    free(c);
}

int main(void)
{
    slices_init(&slices);
    test_short();
    test_long();
    test_removed_by_another();
    return done_testing();
}
