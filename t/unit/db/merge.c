/* merge.c: which reads go out as one, and which are held back for a turn, so that more of them do. */
#include "db/merge.h"
#include "unit/tap.h"

static struct db_env env;
static struct db_queue queue;
static struct db_line line;
static struct db_merge merge;
static struct sql_statement sql = {.text = "SELECT 1"};
static struct db_statement statement;
static struct db_query queries[DB_MERGE_MOST];

static void begin(void)
{
    struct db_statement_parts parts = {.line = &line, .merge = &merge};
    statement = (struct db_statement){.env = &env, .conf = {.statement = &sql}, .parts = parts};
    db_queue_init(&queue, &env);
    db_line_init(&line, &queue, &statement);
    db_merge_init(&merge);
}

/* At the end of a turn queries with these settings wait: how many go out as one? 0: they are held back. */
static size_t planned(const struct db_settings *settings, size_t n, size_t n_in_flight)
{
    bool gathers = false;
    for (size_t i = 0; i < n; i++) {
        queries[i] = (struct db_query){.statement = &statement};
        db_set(&queries[i], settings[i]);
        db_query_wait(&queries[i]);
    }
    size_t count = db_merge_plan(&statement, n_in_flight, &gathers);
    for (size_t i = 0; i < n; i++)
        db_query_wait_no_more(&queries[i]);
    return gathers && count > 0 ? SIZE_MAX : count; /* what goes out is not held back */
}

/* So many wait, without settings: are they held back? */
static bool held_back(size_t n)
{
    static const struct db_settings none[DB_MERGE_MOST];
    return planned(none, n, 0) == 0;
}

/* A statement of which so many have gone out at a time, again and again. */
static void begin_with(size_t n)
{
    begin();
    for (int i = 0; i < 10; i++) {
        while (held_back(n))
            continue;
    }
}

static void test_few(void)
{
    begin_with(1);
    ok(!held_back(1), "one that comes alone, as those before it, goes out at once");
    begin();
    ok(!held_back(20), "so do the first many");
}

static void test_two(void)
{
    begin_with(1);
    ok(!held_back(2), "the first time that two come in a turn, they go out at once");
    ok(held_back(1), "from then on one waits for another");
    ok(held_back(2), "and two for a third");
    ok(!held_back(2), "who does not come: they go out");
}

static void test_many(void)
{
    begin_with(20);
    ok(held_back(3), "where many go out at a time, some are held back");
    ok(!held_back(3), "for one turn, if no more come");
    ok(held_back(3), "the next ones, too");
    ok(held_back(9), "for another turn, if more come");
    ok(held_back(15), "and another one");
    ok(!held_back(18), "but not for more than three");
    ok(held_back(10), "then it begins again");
    ok(!held_back(8), "those of whom some have left meanwhile go out");
}

static void test_fewer(void)
{
    begin_with(20);
    int held = 0;
    for (int i = 0; i < 20; i++)
        held += held_back(1);
    ok(held > 0 && held < 10, "when it is one at a time for a while, nobody is held back any more (%d were)",
       held);
    ok(!held_back(1), "nor from then on");
}

static void test_in_flight(void)
{
    const struct db_settings none[3] = {{NULL, 0}};
    begin();
    ok(planned(none, 3, 1) == 3, "with one of a statement in flight, others go out");
    ok(planned(none, 3, 2) == 0, "with two, they wait for more to go with them");
}

/* How many of these go out as one? */
static size_t merged(const struct db_settings *settings, size_t n)
{
    begin();
    return planned(settings, n, 0);
}

#define SETTINGS(...)                                                                                        \
    {                                                                                                        \
        (const struct db_setting[]){__VA_ARGS__},                                                            \
            sizeof((const struct db_setting[]){__VA_ARGS__}) / sizeof(struct db_setting)                     \
    }

static void test_settings(void)
{
    const struct db_settings none = {NULL, 0};
    const struct db_settings anna = SETTINGS({"app.user", "anna"}), anna_too = SETTINGS({"app.user", "anna"});
    const struct db_settings bert = SETTINGS({"app.user", "bert"}), role = SETTINGS({"role", "anna"});
    const struct db_settings both = SETTINGS({"app.user", "anna"}, {"role", "anna"});
    size_t n = merged((struct db_settings[]){none, none, none}, 3);
    ok(n == 3, "queries without settings go out as one");
    n = merged((struct db_settings[]){anna, anna_too, anna}, 3);
    ok(n == 3, "so do those whose settings have the same values");
    n = merged((struct db_settings[]){anna, anna_too, bert, anna}, 4);
    ok(n == 2, "one with another value ends the row: it gets an answer of its own");
    n = merged((struct db_settings[]){anna, role}, 2);
    ok(n == 1, "so does another name,");
    n = merged((struct db_settings[]){anna, both}, 2);
    ok(n == 1, "one setting more,");
    n = merged((struct db_settings[]){anna, none}, 2);
    ok(n == 1, "and none");
    n = merged((struct db_settings[]){none, none, anna}, 3);
    ok(n == 2, "after some without any, too");
}

int main(void)
{
    test_few();
    test_two();
    test_many();
    test_fewer();
    test_in_flight();
    test_settings();
    return done_testing();
}
