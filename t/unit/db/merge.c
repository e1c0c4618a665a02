/* db_merge.c: which reads are held back for a turn, so that more of them go out as one. */
#include "db/db_private.h"
#include "unit/tap.h"

static struct db_lane lane;
static struct db_statement statement;

/* At the end of a turn so many wait: are they held back? If not, they go out. */
static bool held_back(size_t n)
{
    lane.gathers = false;
    bool held = db_merge_gathers(&statement, n);
    if (!held)
        db_merge_sends(&statement, n);
    return held && lane.gathers;
}

/* A statement of which so many have gone out at a time, again and again. */
static void begin(size_t n)
{
    lane = (struct db_lane){0};
    statement = (struct db_statement){.lane = &lane};
    for (int i = 0; i < 10; i++)
        db_merge_sends(&statement, n);
}

static void test_few(void)
{
    begin(1);
    ok(!held_back(1), "one that comes alone, as those before it, goes out at once");
    begin(0);
    ok(!held_back(20), "so do the first many");
}

static void test_two(void)
{
    begin(1);
    ok(!held_back(2), "the first time that two come in a turn, they go out at once");
    ok(held_back(1), "from then on one waits for another");
    ok(held_back(2), "and two for a third");
    ok(!held_back(2), "who does not come: they go out");
}

static void test_many(void)
{
    begin(20);
    ok(held_back(3), "where many go out at a time, some are held back");
    ok(!held_back(3), "for one turn, if no more come");
    ok(held_back(3), "the next ones, too");
    ok(held_back(9), "for another turn, if more come");
    ok(held_back(15), "and another one");
    ok(!held_back(18), "but not for more than three");
    ok(held_back(10), "then it begins anew");
    ok(!held_back(8), "those of whom some have left meanwhile go out");
}

static void test_fewer(void)
{
    begin(20);
    int held = 0;
    for (int i = 0; i < 20; i++)
        held += held_back(1);
    ok(held > 0 && held < 10, "when it is one at a time for a while, nobody is held back any more (%d were)",
       held);
    ok(!held_back(1), "nor from then on");
}

int main(void)
{
    test_few();
    test_two();
    test_many();
    test_fewer();
    return done_testing();
}
