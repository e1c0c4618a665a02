/* handoff.c: who is passed a connection, and what becomes of it when something goes wrong on the way. */
#include "process/handoff.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "unit/tap.h"

enum { WORKERS = 3 };

static const uint64_t PLACE = (uint64_t)1 << 32; /* a reserved one, as handoff.c counts it */

static struct handoff queues;
static struct shm *shm;
static int shm_fd;
static struct handoff_worker workers[WORKERS];
static int connection; /* any descriptor will do */

/* Three workers without a connection. */
static void begin(void)
{
    if (!handoff_open(&queues, WORKERS))
        exit(EXIT_FAILURE);
    shm = shm_new(&shm_fd);
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i] = (struct handoff_worker){.handoff = &queues, .slots = shm->slots, .index = i};
        shm->slots[i].takes_passed = true;
        shm->slots[i].heartbeat = clock_ms();
    }
}

static void end(void)
{
    handoff_close(&queues);
    shm_unmap(shm);
    close(shm_fd);
}

static long load(unsigned i)
{
    return handoff_load(&workers[i]);
}

/* So many connections, which no other worker can take. */
static void fill(unsigned i, int count)
{
    for (unsigned other = 0; other < WORKERS; other++)
        shm->slots[other].takes_passed = false;
    while (count-- > 0)
        handoff_place(&workers[i], connection, 0);
    for (unsigned other = 0; other < WORKERS; other++)
        shm->slots[other].takes_passed = true;
}

/* Does the worker take one, from that listener? */
static bool takes(unsigned i, size_t want)
{
    size_t listener = SIZE_MAX;
    int fd = handoff_take(&workers[i], &listener);
    if (fd < 0)
        return false;
    bool closes = (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0;
    close(fd);
    return closes && listener == want;
}

static void check_choice(void)
{
    begin();
    ok(!handoff_place(&workers[0], connection, 5), "who has none keeps the first");
    ok(handoff_place(&workers[0], connection, 7), "and passes the second");
    is_int(load(1), 1, "which is counted at once where it goes");
    ok(handoff_place(&workers[0], connection, 8), "the third goes elsewhere");
    is_int(load(2), 1, "to the worker that has the fewest");
    ok(!handoff_place(&workers[0], connection, 9), "the fourth stays: nobody has fewer");
    ok(takes(1, 7) && takes(2, 8), "they arrive with the listener they came from");
    ok(!takes(1, 0) && errno == EAGAIN, "once");
    is_int(load(0) * 100 + load(1) * 10 + load(2), 211, "and are counted once");
    handoff_closed(&workers[1]);
    is_int(load(1), 0, "until they are closed");
    end();
}

static void check_who_takes_none(void)
{
    begin();
    fill(0, 3);
    shm->slots[1].takes_passed = false;
    shm->slots[2].heartbeat = clock_ms() - 60000;
    ok(!handoff_place(&workers[0], connection, 0), "neither who drains nor who is stuck is passed any");
    is_int(load(1) + load(2), 0, "nor is a place left reserved there");
    end();
}

static void check_full_queue(void)
{
    enum { MANY = 2000 };
    int small = 4096, passed = 0, taken = 0;
    begin();
    fill(0, MANY);
    shm->slots[2].takes_passed = false;
    setsockopt(queues.queues[1].to, SOL_SOCKET, SO_SNDBUF, &small, sizeof(small));
    while (passed < MANY && handoff_place(&workers[0], connection, 0))
        passed++;
    ok(passed > 0 && passed < MANY, "what does not fit into the queue is served where it came");
    is_int(load(0), MANY + 1, "and counted there");
    is_int(load(1), passed, "and not where it did not go");
    while (takes(1, 0))
        taken++;
    is_int(taken, passed, "all that was in the queue arrives");
    end();
}

static void check_no_descriptor(void)
{
    struct rlimit limit, low;
    begin();
    fill(0, 1);
    handoff_place(&workers[0], connection, 0);
    getrlimit(RLIMIT_NOFILE, &limit);
    low = limit;
    low.rlim_cur = 3; /* stdin, stdout and stderr are open */
    setrlimit(RLIMIT_NOFILE, &low);
    ok(!takes(1, 0) && errno == EMFILE, "where no descriptor is to be had none is taken");
    setrlimit(RLIMIT_NOFILE, &limit);
    ok(takes(1, 0), "and none is lost");
    end();
}

static void check_deaths(void)
{
    begin();
    fill(0, 1);
    shm->slots[1].connections += PLACE; /* someone died who was about to pass one */
    shm->slots[2].connections += PLACE;
    handoff_place(&workers[0], connection, 0);
    is_int(load(1), 1, "a reserved place counts as a connection");
    ok(handoff_is_expecting(&workers[1]), "for which a worker that drains waits");
    handoff_forget_lost(&workers[1]);
    ok(load(1) == 0 && !handoff_is_expecting(&workers[1]), "until it turns out that nobody comes");
    end();

    begin();
    fill(0, 1);
    handoff_place(&workers[0], connection, 3);
    handoff_forget_lost(&workers[1]);
    is_int(load(1), 1, "a place is not lost while its connection waits in the queue");
    fill(1, 4);
    handoff_forget_dead(&shm->slots[1]);
    is_int(load(1), 1, "of a dead worker's connections only those in its queue are left");
    ok(takes(1, 3), "and its successor takes them");
    is_int(load(1), 1, "they are counted then");
    end();

    begin();
    fill(0, 1);
    handoff_place(&workers[0], connection, 3);
    shm->slots[1].connections -= PLACE; /* taken for lost while it was on its way */
    ok(takes(1, 3) && load(1) == 1, "one whose place was forgotten is counted when it arrives");
    end();
}

/* So many connections have come to the first worker and left at once, another one has stayed: is the next one
 * passed? */
static bool is_passed_behind(int count)
{
    bool passed, late = true;
    while (late) { /* if we were kept from running, they did not come fast enough */
        begin();
        uint64_t began = clock_ms();
        for (int i = 0; i < count; i++) {
            handoff_place(&workers[0], connection, 0);
            handoff_closed(&workers[0]);
        }
        fill(0, 1);
        passed = handoff_place(&workers[0], connection, 0);
        late = clock_ms() - began >= 30;
        end();
    }
    return passed;
}

static void check_rush(void)
{
    ok(!is_passed_behind(200), "in a rush of connections that leave at once none is passed");
    ok(is_passed_behind(20), "a few of them are no rush");

    begin();
    for (int i = 0; i < 600; i++)
        handoff_place(&workers[0], connection, 0);
    is_int(load(0), 200, "nor are hundreds at once that stay: all workers get the same");
    end();
}

int main(void)
{
    connection = open("/dev/null", O_RDONLY);
    check_choice();
    check_who_takes_none();
    check_full_queue();
    check_no_descriptor();
    check_deaths();
    check_rush();
    close(connection);
    return done_testing();
}
