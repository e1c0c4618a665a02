/* busypoll.c: whether a worker that finds nothing to do looks again at once, or sleeps. */
#include "loop/busypoll.h"

#include "unit/tap.h"

static const uint64_t US = 1000, MS = 1000000, S = 1000000000;

static struct busypoll busypoll;
static uint64_t now;

/* A turn ends so long after the last one, with something done in it or nothing. */
static bool turn_after(uint64_t ns, bool worked)
{
    now += ns;
    return busypoll_goes_on(&busypoll, worked, now);
}

/*
 * Work comes so far apart for so long; the worker looks for it each microsecond, or sleeps. Returns how long
 * it looked.
 */
static uint64_t work(uint64_t duration, uint64_t interval)
{
    uint64_t end = now + duration, looked = 0;
    while (now < end) {
        uint64_t next = now + interval;
        bool goes_on = turn_after(0, true);
        while (goes_on && now < next) {
            looked += US;
            goes_on = turn_after(US, false);
        }
        now = next;
    }
    return looked;
}

static void begin(void)
{
    busypoll = (struct busypoll){0};
    now = 1000 * S;
}

static void test_busy(void)
{
    begin();
    ok(!turn_after(0, false), "a worker that was just started sleeps");
    work(10 * MS, 30 * US);
    turn_after(0, true);
    ok(turn_after(10 * US, false), "one whose work comes in short intervals looks for more");
    ok(turn_after(10 * US, false), "and again");
    ok(!turn_after(10 * US, false), "but sleeps when nothing has come for a while");
    ok(!turn_after(S, false), "and does so again, whatever wakes it,");
    ok(turn_after(US, true), "until it has something to do");
}

static void test_seldom(void)
{
    begin();
    ok(work(S, MS) == 0, "a worker whose work comes each millisecond always sleeps");
    work(S, 30 * US);
    uint64_t looked = work(S, 150 * US);
    ok(looked < 10 * MS,
       "one whose work begins to come further apart soon does: it looked for %d us of a second",
       (int)(looked / US));
    looked = work(S, 40 * US);
    ok(looked > S / 2, "one whose work begins to come in short intervals soon looks: for %d us of a second",
       (int)(looked / US));
}

static void test_pause(void)
{
    begin();
    work(100 * MS, 30 * US);
    turn_after(10 * S, true);
    ok(turn_after(10 * US, false), "a long pause is not remembered for long");
}

static void test_awake(void)
{
    begin();
    work(MS, 30 * US);
    uint64_t slept = 0, end = now + S;
    while (now < end) {
        slept += !turn_after(10 * US, true);
        slept += !turn_after(10 * US, false);
    }
    ok(slept >= 3000,
       "however short the intervals, the kernel can let the core go idle three times a millisecond");
    ok(slept <= 3500, "and not much more often: %d times in a second", (int)slept);
}

int main(void)
{
    test_busy();
    test_seldom();
    test_pause();
    test_awake();
    return done_testing();
}
