/* yield.c: when a busy worker lets others have its processor. */
#include "loop/yield.h"

#include "unit/tap.h"

static const uint64_t US = 1000, MS = 1000000, S = 1000000000;

/* A worker that has been busy for a while, and the time. */
static struct yielding yielding;
static uint64_t now;

/* A turn begins so long after the last one. */
static bool turn_after(uint64_t ns)
{
    now += ns;
    return yield_is_due(&yielding, now);
}

static void yields_for(uint64_t ns)
{
    yield_took(&yielding, now, now + ns);
    now += ns;
}

static void begin(void)
{
    yielding = (struct yielding){0};
    now = 1000 * S;
    turn_after(0);
}

/* Turns 50 us apart for so long, in which each yield takes as long as given. Returns what all yields took. */
static uint64_t work(uint64_t duration, uint64_t each)
{
    uint64_t end = now + duration, spent = 0;
    while (now < end) {
        if (!turn_after(50 * US))
            continue;
        yields_for(each);
        spent += each;
    }
    return spent;
}

static void test_busy(void)
{
    begin();
    ok(turn_after(20 * US), "a busy worker yields");
    yields_for(1 * US);
    ok(turn_after(20 * US), "and again in its next turn");
    yields_for(1 * US);
    ok(!turn_after(5 * MS), "a worker that slept for long has nothing to gain by it");
    ok(turn_after(20 * US), "until it is busy again");
}

static void test_clients(void)
{
    begin();
    work(10 * S, 200 * US);
    ok(turn_after(20 * US), "clients that take a share of the processor do not end it");
    for (int i = 0; i < 10; i++) {
        yields_for(3 * MS);
        work(S, 50 * US);
    }
    ok(turn_after(20 * US), "nor does a long yield now and then");
}

static void test_hog(void)
{
    begin();
    uint64_t first = work(100 * MS, 3 * MS);
    ok(first >= 9 * MS && first <= 15 * MS, "yields to one who computes end after a few: %d ms",
       (int)(first / MS));
    ok(!turn_after(20 * US), "then there is a pause");
    uint64_t later = work(100 * S, 3 * MS);
    ok(later < S / 2, "as long as he does, little is lost: %d ms of 100 s", (int)(later / MS));
    ok(later > 50 * MS, "though it is tried again now and then");
    work(20 * S, 10 * US);
    ok(turn_after(20 * US), "when he is done, yielding goes on");
    yields_for(3 * MS);
    ok(turn_after(20 * US), "as if nothing had been");
    first = work(100 * MS, 3 * MS);
    ok(first >= 6 * MS && first <= 15 * MS, "up to the next one: %d ms", (int)(first / MS));
}

int main(void)
{
    test_busy();
    test_clients();
    test_hog();
    return done_testing();
}
