/*
 * handoff.c: spreads connections evenly: a worker passes what it accepted to the one that has the fewest.
 *
 * The kernel deals connections out to the sockets of a SO_REUSEPORT set by a hash of the addresses, so that
 * of four workers with four clients one is idle. Therefore a worker looks at the others' counts after it has
 * accepted, before a byte is read: if one has fewer, it reserves a place there and passes the descriptor
 * (unix(7), SCM_RIGHTS). A passed connection is never passed on.
 *
 * Two cores, which the clients shared, a constant answer, the schemes in turns; means of trials, medians of
 * rounds. Less than 10 % is a tie:
 *
 *                                                   SO_REUSEPORT   the same,       one listener,
 *                                                   set alone      with hand-off   with hand-off
 *     idle of 4 workers, 4 clients (100 trials)     1.30           0.00            0.00
 *     most on one of 4, 64 clients (30 trials)      20.8           16.0            16.0
 *     2 workers, wrk -c 2, requests a second        57,600         72,700          68,400
 *     4 workers, wrk -c 4, requests a second        76,500         69,900          73,900
 *     one request per connection (ab), CPU of the workers a request, in us:
 *         2 workers, ab -c 4 and 64                 16.7, 15.8     16.7, 14.2      15.8, 15.8
 *         4 workers                                 17.5, 16.7     22.5, 17.5      26.7, 20.8
 *         16 workers                                22.1, 44.2     27.5, 31.3      44.6, 42.9
 *
 * (One listener without hand-off had 2.1 idle, and 59 of 64 on one, where the set alone had 1.1 and 20. More
 * workers than cores gain nothing from having a client each. The set alone with 16 workers is without
 * TCP_DEFER_ACCEPT, which takes a fifth off.) One listener wakes all workers for each connection. Where every
 * one-request connection that found another one open was passed, ab -c 64 took 1.5 times the CPU, and had
 * 0.6 of the requests a second: hence is_rush.
 *
 * slot->connections has the open connections in its lower half and the reserved places in the upper one, so
 * that both are compared and swapped as one: no two workers reserve the same place. Counts only go to where
 * none was smaller, so they differ by one at most while no connection is closed.
 */
#include "process/handoff.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/mem.h"

enum {
    STALE_MS = 3000,  /* a worker whose last heartbeat is older is stuck */
    INTERVAL_MS = 32, /* in which arrivals are counted */
    RUSH = 256,       /* so many at all workers in one to two intervals are a rush, */
    RUSH_FACTOR = 2,  /* if so many times as many have come as are here */
};

static const uint64_t OPEN = 1;
static const uint64_t RESERVED = (uint64_t)1 << 32;

static unsigned load_of(uint64_t connections)
{
    return (unsigned)(connections % RESERVED + connections / RESERVED);
}

bool handoff_open(struct handoff *handoff, unsigned workers)
{
    *handoff = (struct handoff){.queues = mem_calloc(workers, sizeof(*handoff->queues))};
    while (handoff->n < workers) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) != 0) {
            log_error("cannot make a queue between workers");
            handoff_close(handoff);
            return false;
        }
        handoff->queues[handoff->n++] = (struct handoff_queue){.to = pair[0], .from = pair[1]};
    }
    return true;
}

void handoff_close(struct handoff *handoff)
{
    for (unsigned i = 0; i < handoff->n; i++) {
        close(handoff->queues[i].to);
        close(handoff->queues[i].from);
    }
    free(handoff->queues);
    *handoff = (struct handoff){0};
}

/* One message: a size_t, which listener, with the descriptor beside it. */
union control {
    struct cmsghdr align;
    char bytes[CMSG_SPACE(sizeof(int))];
};

static bool send_connection(int queue, int fd, size_t listener)
{
    union control control = {0};
    struct iovec data = {&listener, sizeof(listener)};
    struct msghdr message = {
        .msg_iov = &data,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN(sizeof(fd));
    memcpy(CMSG_DATA(header), &fd, sizeof(fd));
    return sendmsg(queue, &message, MSG_DONTWAIT | MSG_NOSIGNAL) == sizeof(listener);
}

/* Returns -1 if there is no message, or one without a descriptor. */
static int receive_connection(int queue, size_t *listener)
{
    union control control = {0};
    struct iovec data = {listener, sizeof(*listener)};
    struct msghdr message = {
        .msg_iov = &data,
        .msg_iovlen = 1,
        .msg_control = &control,
        .msg_controllen = sizeof(control),
    };
    int fd = -1;
    ssize_t got = recvmsg(queue, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    struct cmsghdr *header = got < 0 ? NULL : CMSG_FIRSTHDR(&message);
    if (header != NULL && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS)
        memcpy(&fd, CMSG_DATA(header), sizeof(fd));
    else if (got >= 0)
        errno = EMFILE; /* the kernel had to drop it */
    return fd;
}

bool handoff_pass_file(const struct handoff *handoff, unsigned index, size_t which, int fd)
{
    return send_connection(handoff->queues[index].to, fd, HANDOFF_FILES + which);
}

static struct shm_slot *own_slot(const struct handoff_worker *worker)
{
    return &worker->slots[worker->index];
}

/* Ends a reservation and adds what became of it. There may be none: see handoff_forget_lost. */
static void end_reservation(struct shm_slot *slot, uint64_t add)
{
    uint64_t seen = atomic_load(&slot->connections), next;
    do {
        next = (seen >= RESERVED ? seen - RESERVED : seen) + add;
    } while (!atomic_compare_exchange_weak(&slot->connections, &seen, next));
}

/* How many connections this worker has begun to serve in the last one to two intervals. */
static unsigned recent_ones(struct handoff_worker *worker, uint64_t now)
{
    uint64_t elapsed = now - worker->since;
    if (elapsed >= INTERVAL_MS) {
        worker->before = elapsed < 2 * INTERVAL_MS ? worker->recent : 0;
        worker->recent = 0;
        worker->since = now;
    }
    return worker->recent + worker->before;
}

/*
 * Do connections come by the thousand a second, and most of them leave at once? Then passing them costs more
 * than it brings: the next ones even out what the kernel's dealing leaves uneven. Clients that all come at
 * once and stay are no rush, however many they are.
 */
static bool is_rush(const struct handoff_worker *worker, unsigned recent, unsigned load)
{
    return recent * worker->handoff->n >= RUSH && recent >= RUSH_FACTOR * load;
}

/* The worker with the fewest connections that has fewer than these and can take one, or NULL. */
static struct shm_slot *find_less_loaded(const struct handoff_worker *worker, unsigned load, uint64_t now,
                                         uint64_t *seen)
{
    struct shm_slot *best = NULL;
    unsigned n = worker->handoff->n;
    for (unsigned i = 1; load > 0 && i < n; i++) {
        struct shm_slot *slot = &worker->slots[(worker->index + i) % n];
        uint64_t connections = atomic_load(&slot->connections);
        if (load_of(connections) >= load || !atomic_load(&slot->takes_passed) ||
            atomic_load_explicit(&slot->heartbeat, memory_order_relaxed) + STALE_MS < now)
            continue;
        best = slot;
        load = load_of(connections);
        *seen = connections;
    }
    return best;
}

bool handoff_place(struct handoff_worker *worker, int fd, size_t listener)
{
    struct shm_slot *own = own_slot(worker), *other;
    uint64_t now = clock_ms(), mine, theirs;
    unsigned recent = recent_ones(worker, now);
    do { /* again, if a count has changed meanwhile: then another worker may have the fewest */
        mine = atomic_load(&own->connections);
        other = is_rush(worker, recent, load_of(mine))
                    ? NULL
                    : find_less_loaded(worker, load_of(mine), now, &theirs);
        if (other == NULL && atomic_compare_exchange_strong(&own->connections, &mine, mine + OPEN)) {
            worker->recent++;
            return false;
        }
    } while (other == NULL ||
             !atomic_compare_exchange_strong(&other->connections, &theirs, theirs + RESERVED));
    /* Once more: whoever drains sets takes_passed to false first, and waits for reserved places then. */
    int queue = worker->handoff->queues[other - worker->slots].to;
    if (atomic_load(&other->takes_passed) && send_connection(queue, fd, listener))
        return true;
    end_reservation(other, 0); /* it has just begun to drain, or its queue is full */
    atomic_fetch_add(&own->connections, OPEN);
    return false;
}

int handoff_take(struct handoff_worker *worker, size_t *listener)
{
    int queue = worker->handoff->queues[worker->index].from;
    /* A connection that is received when no descriptor is available is lost: try first. */
    int probe = fcntl(queue, F_DUPFD_CLOEXEC, 0);
    if (probe < 0)
        return -1;
    close(probe);
    int fd = receive_connection(queue, listener);
    if (fd < 0)
        return -1;
    if (*listener >= HANDOFF_FILES)
        return fd;
    end_reservation(own_slot(worker), OPEN);
    recent_ones(worker, clock_ms());
    worker->recent++;
    return fd;
}

void handoff_closed(struct handoff_worker *worker)
{
    atomic_fetch_sub(&own_slot(worker)->connections, OPEN);
}

unsigned handoff_load(const struct handoff_worker *worker)
{
    return load_of(atomic_load(&own_slot(worker)->connections));
}

bool handoff_is_expecting(const struct handoff_worker *worker)
{
    return atomic_load(&own_slot(worker)->connections) >= RESERVED;
}

/* If one of these places is not lost but someone's who is passing a connection in this instant, then that
 * connection is not counted until it is taken: no harm is done. */
void handoff_forget_lost(struct handoff_worker *worker)
{
    struct shm_slot *slot = own_slot(worker);
    uint64_t seen = atomic_load(&slot->connections);
    int waiting;
    if (seen >= RESERVED && ioctl(worker->handoff->queues[worker->index].from, FIONREAD, &waiting) == 0 &&
        waiting == 0)
        atomic_compare_exchange_strong(&slot->connections, &seen, seen % RESERVED);
}

void handoff_forget_dead(struct shm_slot *slot)
{
    uint64_t seen = atomic_load(&slot->connections);
    while (!atomic_compare_exchange_weak(&slot->connections, &seen, seen - seen % RESERVED))
        continue;
}
