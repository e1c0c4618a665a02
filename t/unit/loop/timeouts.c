/* timeouts.c: the timeouts of a loop, one for each duration. */
#include "loop/timeouts.h"

#include "unit/tap.h"

enum { SHORT_MS = 20 };

static int n_over;

static void on_over(h2o_timeout_entry_t *entry)
{
    (void)entry;
    n_over++;
}

int main(void)
{
    h2o_loop_t *loop = h2o_evloop_create();
    struct timeouts *timeouts = timeouts_new(loop);
    h2o_timeout_t *all[100];
    bool all_are_right = true;
    for (uint64_t i = 0; i < 100; i++) {
        all[i] = timeouts_get(timeouts, i * 10);
        all_are_right &= all[i]->timeout == i * 10;
    }
    ok(all_are_right, "a timeout has the duration that was asked for");
    bool all_are_the_same = true;
    for (uint64_t i = 0; i < 100; i++)
        all_are_the_same &= timeouts_get(timeouts, i * 10) == all[i];
    ok(all_are_the_same, "who asks for the same again gets the same, however many there are");

    h2o_timeout_entry_t entries[3] = {{.cb = on_over}, {.cb = on_over}, {.cb = on_over}};
    h2o_timeout_link(loop, timeouts_get(timeouts, SHORT_MS), &entries[0]);
    h2o_timeout_link(loop, timeouts_get(timeouts, SHORT_MS), &entries[1]);
    h2o_timeout_link(loop, timeouts_get(timeouts, 3600000), &entries[2]);
    while (n_over == 0)
        h2o_evloop_run(loop, 10000);
    ok(n_over == 2 && h2o_timeout_is_linked(&entries[2]),
       "all who share one are told when it is over, and others are not");
    h2o_timeout_unlink(&entries[2]);
    timeouts_free(timeouts);
    h2o_evloop_destroy(loop);
    return done_testing();
}
