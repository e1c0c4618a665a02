/* speck.c: the cipher's published example, and what ids need of it. */
#include "base/speck.h"

#include <stdlib.h>

#include "base/mem.h"
#include "unit/tap.h"

static void test_example(void)
{
    static const uint32_t key[SPECK_KEY_WORDS] = {0x03020100, 0x0b0a0908, 0x13121110, 0x1b1a1918};
    struct speck speck;
    speck_init(&speck, key);
    ok(speck_permute(&speck, 0x3b7265747475432d) == 0x8c6fa548454e028b,
       "the example of appendix C of the paper");
}

static int by_size(const void *left, const void *right)
{
    const uint64_t *a = left, *b = right;
    return (*a > *b) - (*a < *b);
}

static void test_all_different(void)
{
    enum { MANY = 1000000 };
    struct speck speck;
    uint64_t *ids = mem_calloc(MANY, sizeof(*ids));
    size_t n_twice = 0;
    speck_init_random(&speck);
    for (uint64_t i = 0; i < MANY; i++)
        ids[i] = speck_permute(&speck, i);
    qsort(ids, MANY, sizeof(*ids), by_size);
    for (size_t i = 1; i < MANY; i++)
        n_twice += ids[i] == ids[i - 1];
    is_int((long long)n_twice, 0, "a million numbers stay different");
    free(ids);
}

static void test_keys(void)
{
    struct speck one, other;
    size_t n_same = 0;
    speck_init_random(&one);
    speck_init_random(&other);
    for (uint64_t i = 0; i < 1000; i++)
        n_same += speck_permute(&one, i) == speck_permute(&other, i);
    is_int((long long)n_same, 0, "two random keys have no number in common");
}

int main(void)
{
    test_example();
    test_all_different();
    test_keys();
    return done_testing();
}
