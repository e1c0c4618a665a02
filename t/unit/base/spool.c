/* spool.c: memory for bytes that clients have not taken yet. */
#include "base/spool.h"

#include "base/mem.h"
#include "unit/tap.h"

enum { BLOCKS = 100, KEPT = 16 };

static struct spool spool;

static void take_and_give(size_t n)
{
    struct spool_block *blocks[BLOCKS];
    for (size_t i = 0; i < n; i++)
        blocks[i] = spool_take(&spool);
    for (size_t i = 0; i < n; i++)
        spool_give(&spool, blocks[i]);
}

static void test_blocks(void)
{
    struct spool_block *a = spool_take(&spool), *b = spool_take(&spool);
    ok(spool.used == 2 * SPOOL_PAGE, "blocks count for what they take");
    ok(a->text.len == 0 && a->text.capacity == SPOOL_PAGE, "a block has room for a page");
    memset(json_reserve(&a->text, SPOOL_PAGE), 'a', SPOOL_PAGE);
    memset(json_reserve(&b->text, SPOOL_PAGE), 'b', SPOOL_PAGE);
    ok(a->text.base[SPOOL_PAGE - 1] == 'a' && b->text.base[0] == 'b', "of its own");
    spool_give(&spool, a);
    ok(spool.used == SPOOL_PAGE, "what is given back does not count");
    a = spool_take(&spool);
    ok(a->text.len == 0 && spool.used == 2 * SPOOL_PAGE, "and is empty when it is taken again");
    spool_give(&spool, a);
    spool_give(&spool, b);
}

static void test_adopted(void)
{
    struct json_writer text = {0};
    char here[100] = "[]";
    memset(json_reserve(&text, 100000), 'x', 100000);
    text.len = 100000;
    struct spool_block *block = spool_adopt(&spool, text);
    ok(block->text.len == 100000 && block->text.base[99999] == 'x', "a text on the heap is taken over");
    ok(spool.used >= 100000 && spool.used < 120000,
       "and counts for what it is, not for what it had room for");
    spool_give(&spool, block);
    ok(spool.used == 0, "until it is given back");
    text = json_writer_on(here, sizeof(here));
    text.len = 2;
    block = spool_adopt(&spool, text);
    ok(block->text.base == here && spool.used == 0, "a text elsewhere stays there, and does not count");
    spool_give(&spool, block);
}

static void test_trim(void)
{
    take_and_give(BLOCKS);
    ok(spool.n_spare == BLOCKS, "what is given back is kept");
    ok(spool_trim(&spool) && spool.n_spare == BLOCKS, "by the first trim, too, as it was just in use");
    take_and_give(BLOCKS - 10);
    spool_trim(&spool);
    ok(spool.n_spare == BLOCKS, "what was used since the last trim stays, and a few more");
    take_and_give(BLOCKS / 2);
    ok(spool_trim(&spool) && spool.n_spare == BLOCKS / 2 + KEPT, "the rest goes");
    ok(!spool_trim(&spool) && spool.n_spare == KEPT, "and so does all but a few that nobody uses");
}

int main(void)
{
    test_blocks();
    test_adopted();
    test_trim();
    spool_dispose(&spool);
    ok(spool.spare == NULL && spool.n_spare == 0 && spool.used == 0, "then nothing is left");
    return done_testing();
}
