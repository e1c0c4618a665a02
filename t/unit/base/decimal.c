/* decimal.c: which of two decimal numbers is the greater. */
#include "base/decimal.h"

#include <stdlib.h>

#include "base/mem.h"
#include "unit/tap.h"

/* Compares both ways round, from copies without a NUL after them. */
static void check(const char *a, const char *b, int want)
{
    struct str left = {mem_alloc(strlen(a)), strlen(a)}, right = {mem_alloc(strlen(b)), strlen(b)};
    int order = 99, back = 99;
    memcpy((char *)left.base, a, left.len);
    memcpy((char *)right.base, b, right.len);
    bool good = decimal_compare(left, right, &order) && decimal_compare(right, left, &back);
    ok(good && (order > 0) - (order < 0) == want && (back > 0) - (back < 0) == -want, "%s %s %s", a,
       want < 0    ? "is less than"
       : want == 0 ? "equals"
                   : "is greater than",
       b);
    free((char *)left.base);
    free((char *)right.base);
}

/* In ascending order; what stands on one line, with blanks between, is equal. */
static const char *const ladder[] = {
    "-1e999999999 -1E+999999999 -10e999999998",
    "-18446744073709551617",
    "-18446744073709551616",
    "-10.5 -010.50 -1.05e1 -105E-1",
    "-10.4999999999999999999999999999999999999999",
    "-1 -1. -01.0 -0.1e1 -1e0 -10e-1 -.1e1",
    "-0.5 -.5 -5e-1",
    "-1e-999999999",
    "0 -0 +0 00 0. .0 0.000 -0.0 0e5 0e-999999999 0e999999999",
    "1e-999999999 +1e-0000999999999",
    "0.09 .09 9e-2 0.0900",
    "0.1 .1 .10 1e-1",
    "0.1000000000000000000000000000000000001",
    "0.5",
    "1 +1 1.0 0001 1e0 1e+0 1e-0 0.001e3 100e-2 10.0e-1",
    "1.0000000000000000000000000000000000001",
    "2",
    "9",
    "9.5",
    "10 1e1 0.1e2 1.0e1 100e-1",
    "10.01 1.001e1",
    "10.1",
    "99",
    "100 1e2",
    "101",
    "9007199254740992",
    "9007199254740993 9007199254740993.0 9.007199254740993e15",
    "18446744073709551615",
    "18446744073709551616 1844674407370955161.6e1",
    "1e300 10e299",
    "1e301",
    "1e999999999",
};

enum { STEPS = sizeof(ladder) / sizeof(ladder[0]), MOST_EQUAL = 16 };

static size_t split(char *line, char **words)
{
    size_t n = 0;
    for (char *word = strtok(line, " "); word != NULL; word = strtok(NULL, " "))
        words[n++] = word;
    return n;
}

static void test_ladder(void)
{
    for (size_t i = 0; i < STEPS; i++) {
        char *line = mem_strdup(ladder[i]), *words[MOST_EQUAL];
        size_t n = split(line, words);
        for (size_t word = 0; word < n; word++)
            check(words[0], words[word], 0);
        for (size_t j = i + 1; j < STEPS; j++) {
            char *other = mem_strdup(ladder[j]), *others[MOST_EQUAL];
            size_t n_others = split(other, others);
            check(words[(i + j) % n], others[j % n_others], -1);
            free(other);
        }
        free(line);
    }
}

static void test_refused(void)
{
    static const char *const texts[] = {
        "",
        "-",
        "+",
        ".",
        "-.",
        "e1",
        ".e1",
        "1e",
        "1e+",
        "1e-",
        "1e1.5",
        "1.2.3",
        "--1",
        "+-1",
        " 1",
        "1 ",
        "1,5",
        "0x10",
        "1_0",
        "NaN",
        "Infinity",
        "-inf",
        "abc",
        "1a",
        "a1",
        "1e1e1",
        "1e 1",
        "1ee1",
        "1..2",
        "..1",
        "1e--1",
        "1e1000000000",
        "0e1000000000",
        "1e-10000000000",
        "1e99999999999999999999999999",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        int order;
        ok(!decimal_compare(str_of(texts[i]), STR("1"), &order), "\"%s\" is not compared", texts[i]);
        ok(!decimal_compare(STR("1"), str_of(texts[i]), &order), "nor is 1 with it");
    }
}

/* A million digits that differ in the last. */
static void test_long(void)
{
    enum { DIGITS = 1000000 };
    char *a = mem_alloc(DIGITS), *b = mem_alloc(DIGITS);
    int order;
    memset(a, '7', DIGITS);
    memset(b, '7', DIGITS);
    ok(decimal_compare((struct str){a, DIGITS}, (struct str){b, DIGITS}, &order) && order == 0,
       "a million digits are equal");
    b[DIGITS - 1] = '8';
    ok(decimal_compare((struct str){a, DIGITS}, (struct str){b, DIGITS}, &order) && order < 0,
       "and differ in the last");
    a[1] = '.';
    ok(decimal_compare((struct str){a, DIGITS}, STR("8"), &order) && order < 0, "behind the point, too");
    free(a);
    free(b);
}

int main(void)
{
    test_ladder();
    test_refused();
    test_long();
    return done_testing();
}
