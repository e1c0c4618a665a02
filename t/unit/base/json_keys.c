/* json_keys.c: keys of objects within each other, at random, against a plain search for each. */
#include "base/json_keys.h"

#include <stdlib.h>

#include "base/mem.h"
#include "unit/tap.h"

enum { LEVELS = 8, STEPS = 200000, MOST_KEYS = LEVELS * 200, NAMES = 300, NAME_SIZE = 48 };

struct test {
    struct json_keys keys;
    struct json_keys_level levels[LEVELS];
    size_t firsts[LEVELS], depth;
    unsigned names[MOST_KEYS]; /* of the keys that are there */
    char raw[MOST_KEYS][NAME_SIZE];
    size_t n, most;
    uint32_t chance;
};

static unsigned below(struct test *test, unsigned n)
{
    test->chance = test->chance * 1103515245 + 12345;
    return (test->chance >> 16) % n;
}

/* The same name as it stands, or with an escape. */
static struct json_key make_key(struct test *test, unsigned name)
{
    char *raw = test->raw[test->n], plain[NAME_SIZE];
    struct json_key key = {.has_escapes = below(test, 3) == 0};
    size_t len = (size_t)sprintf(plain, "%s%u", name % 2 == 0 ? "a" : "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", name);
    sprintf(raw, "%s%s", key.has_escapes ? "\\u0061" : "a", plain + 1);
    key.text = str_of(raw);
    key.is_hashed = key.has_escapes;
    key.hash = key.is_hashed ? siphash_of(siphash_secret(), (struct str){plain, len}) : 0;
    return key;
}

static bool is_there(const struct test *test, unsigned name)
{
    for (size_t i = test->firsts[test->depth - 1]; i < test->n; i++) {
        if (test->names[i] == name)
            return true;
    }
    return false;
}

/* Adds a key to the innermost object. Returns whether the answer was right. */
static bool add(struct test *test)
{
    unsigned name = below(test, NAMES);
    struct json_key key = make_key(test, name);
    enum json_keys_result want = is_there(test, name) ? JSON_KEYS_REPEATED : JSON_KEYS_NEW;
    bool right = json_keys_add(&test->keys, &test->levels[test->depth - 1], &key) == want;
    test->names[test->n] = name;
    test->n += want == JSON_KEYS_NEW;
    test->most = test->n > test->most ? test->n : test->most;
    return right;
}

static void open_one(struct test *test)
{
    test->firsts[test->depth] = test->n;
    test->levels[test->depth] = json_keys_open(&test->keys, (uint32_t)test->depth + 1);
    test->depth++;
}

static void close_one(struct test *test)
{
    json_keys_close(&test->keys, &test->levels[--test->depth]);
    test->n = test->firsts[test->depth];
}

/* Objects of so many keys on the average, in which others open and close. */
static void test_objects(unsigned keys)
{
    struct test *test = mem_calloc(1, sizeof(*test));
    size_t n_wrong = 0;
    test->chance = keys;
    json_keys_begin(&test->keys, NULL);
    for (int i = 0; i < STEPS; i++) {
        bool changes = below(test, keys) == 0, deeper = below(test, 2) == 0;
        if (test->depth == 0 || (changes && deeper && test->depth < LEVELS))
            open_one(test);
        else if (changes || test->n == MOST_KEYS)
            close_one(test);
        else
            n_wrong += !add(test);
    }
    json_keys_end(&test->keys);
    is_int((long long)n_wrong, 0, "objects of about %u keys in each other, at most %zu at a time", keys,
           test->most);
    free(test);
}

int main(void)
{
    test_objects(3);
    test_objects(10);
    test_objects(100);
    test_objects(1000);
    return done_testing();
}
