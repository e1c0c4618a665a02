/* store.c: memory under a limit: what is refused, what room is made, and that all of it comes back. */
#include "base/store.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "unit/tap.h"

enum { KB = 1024 };

static void test_counting(void)
{
    struct store_limit limit = {.most = 100 * KB};
    struct store *store = store_new(&limit);
    char *a = store_resize(store, NULL, 10 * KB), *b = store_resize(store, NULL, 20 * KB);
    ok(a != NULL && b != NULL, "two blocks");
    ok(limit.used >= 30 * KB && limit.used < 31 * KB,
       "what is counted is what they take, and a little more: %zu", limit.used);
    memset(a, 'a', 10 * KB);
    a = store_resize(store, a, 40 * KB);
    ok(a != NULL && limit.used >= 60 * KB && limit.used < 61 * KB, "one becomes larger: %zu", limit.used);
    ok(a[0] == 'a' && a[10 * KB - 1] == 'a', "... and keeps its bytes");
    a = store_resize(store, a, 1 * KB);
    ok(a != NULL && limit.used >= 21 * KB && limit.used < 22 * KB, "... and smaller: %zu", limit.used);
    store_free(store, b);
    store_free(store, NULL);
    ok(limit.used < 2 * KB, "one is freed: %zu", limit.used);
    store_keep(store);
    store_drop(store);
    ok(limit.used > 1 * KB && a[0] == 'a', "it stays while it has an owner");
    store_drop(store);
    is_int((long long)limit.used, 0, "nothing is left with the last one");
}

static void test_limit(void)
{
    struct store_limit limit = {.most = 100 * KB};
    struct store *one = store_new(&limit), *other = store_new(&limit);
    char *block = store_resize(one, NULL, 60 * KB);
    size_t used = limit.used;
    ok(block != NULL, "what fits");
    ok(store_resize(other, NULL, 60 * KB) == NULL, "what does not, beside it, is refused");
    ok(store_resize(one, block, 110 * KB) == NULL, "... and so is what grows beyond the limit");
    ok(store_resize(one, block, SIZE_MAX) == NULL && store_resize(other, NULL, SIZE_MAX - 20) == NULL,
       "... or beyond all that there can be");
    is_int((long long)limit.used, (long long)used, "nothing is counted for it");
    ok(store_resize(other, NULL, 30 * KB) != NULL, "what fits beside it");
    store_drop(other);
    block = store_resize(one, block, 150 * KB);
    ok(block != NULL && limit.used > 150 * KB, "who is alone may have more than the limit");
    ok(!store_has_room(&limit, NULL, 1), "... and then there is no room for others");
    store_drop(one);
    ok(store_has_room(&limit, NULL, 200 * KB), "who comes first is let in");
    store_count(&limit, 60 * KB);
    ok(!store_has_room(&limit, NULL, 60 * KB), "what is counted takes room");
    store_discount(&limit, 60 * KB);
    is_int((long long)limit.used, 0, "and gives it back");
}

static struct store *victim;
static size_t n_asked, asked_for;

static void give_up_victim(struct store_limit *limit, const struct store *wants, size_t wanted)
{
    (void)limit;
    n_asked++;
    asked_for = wanted;
    if (victim != NULL && victim != wants)
        store_drop(victim);
    victim = NULL;
}

static void test_room(void)
{
    struct store_limit limit = {.most = 100 * KB, .make_room = give_up_victim};
    struct store *store = store_new(&limit);
    victim = store_new(&limit);
    store_resize(victim, NULL, 80 * KB);
    is_int((long long)n_asked, 0, "no room is made while there is some");
    char *block = store_resize(store, NULL, 50 * KB);
    ok(block != NULL && n_asked == 1 && victim == NULL, "room is made");
    ok(asked_for >= 50 * KB && asked_for < 51 * KB, "... for so much: %zu", asked_for);
    struct store *last = store_new(&limit);
    ok(store_resize(last, NULL, 60 * KB) == NULL && n_asked == 2, "where none can be made, it is refused");
    store_drop(last);
    store_drop(store);
    is_int((long long)limit.used, 0, "nothing is left");
}

/* Thousands of blocks that grow, shrink and go, in any order. */
static void test_all_comes_back(void)
{
    enum { STORES = 16, BLOCKS = 8, STEPS = 100000 };
    struct store_limit limit = {.most = 4000 * KB};
    struct store *stores[STORES] = {NULL};
    char *blocks[STORES][BLOCKS] = {{NULL}};
    unsigned chance = 1, n_refused = 0;
    for (int i = 0; i < STEPS; i++) {
        chance = chance * 1103515245 + 12345;
        size_t s = (chance >> 16) % STORES, b = (chance >> 20) % BLOCKS, size = (chance >> 8) % (100 * KB);
        if (stores[s] == NULL) {
            stores[s] = store_new(&limit);
        } else if (i % 37 == 0) {
            store_drop(stores[s]);
            stores[s] = NULL;
            memset(blocks[s], 0, sizeof(blocks[s]));
        } else if (i % 5 == 0) {
            store_free(stores[s], blocks[s][b]);
            blocks[s][b] = NULL;
        } else {
            char *block = store_resize(stores[s], blocks[s][b], size);
            n_refused += block == NULL;
            blocks[s][b] = block == NULL ? blocks[s][b] : block;
        }
    }
    ok(n_refused > 100, "the limit was met again and again: %u times", n_refused);
    for (size_t s = 0; s < STORES; s++) {
        if (stores[s] != NULL)
            store_drop(stores[s]);
    }
    is_int((long long)limit.used, 0, "... and in the end all has come back");
}

int main(void)
{
    test_counting();
    test_limit();
    test_room();
    test_all_comes_back();
    return done_testing();
}
