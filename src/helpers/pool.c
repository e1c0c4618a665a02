/* pool.c: a worker's jobs for helpers. */
#include "helpers/pool.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/mem.h"
#include "metrics/metric.h"

struct helpers_job {
    struct helpers_pool *pool;
    struct helpers_job *next, **link;  /* in the queue, or among those that are done */
    const struct helpers_job_ops *ops; /* NULL: nobody wants it any longer */
    void *arg;
    h2o_timeout_entry_t timer; /* of waiting, then of working */
    h2o_socket_t *socket;      /* to its helper; NULL while it waits */
    pid_t helper;
    int fds[HELPERS_FDS]; /* -1 once they are sent */
    size_t len;
    char message[];
};

struct helpers_pool {
    struct helpers_pool_conf conf;
    h2o_socket_t *offers;
    bool listens; /* for offers */
    struct helpers_job *first, **last;
    unsigned n_waiting, n_working;
    struct helpers_job *working;
};

static void show(const struct helpers_pool *pool)
{
    metric_set(METRIC_JOBS_WAITING, pool->n_waiting);
    metric_set(METRIC_JOBS_RUNNING, pool->n_working);
}

/* Lists */

static void put_in(struct helpers_job **at, struct helpers_job *job)
{
    job->next = *at;
    job->link = at;
    if (job->next != NULL)
        job->next->link = &job->next;
    *at = job;
}

static void take_out(struct helpers_job *job)
{
    struct helpers_pool *pool = job->pool;
    *job->link = job->next;
    if (job->next != NULL)
        job->next->link = job->link;
    if (pool->last == &job->next)
        pool->last = job->link;
    if (job->socket == NULL)
        pool->n_waiting--;
    else
        pool->n_working--;
    show(pool);
}

static void close_fds(struct helpers_job *job)
{
    for (unsigned i = 0; i < HELPERS_FDS; i++) {
        if (job->fds[i] >= 0)
            close(job->fds[i]);
        job->fds[i] = -1;
    }
}

static void discard(struct helpers_job *job)
{
    take_out(job);
    h2o_timeout_unlink(&job->timer);
    if (job->socket != NULL)
        h2o_socket_close(job->socket);
    close_fds(job);
    free(job);
}

static void listen_if_needed(struct helpers_pool *pool);

static void end(struct helpers_job *job, enum helpers_end how, const void *answer, size_t len)
{
    static const enum metric_of_server counts[] = {[HELPERS_ANSWERED] = METRIC_JOBS_DONE,
                                                   [HELPERS_WAITED] = METRIC_JOBS_WAITED,
                                                   [HELPERS_LATE] = METRIC_JOBS_LATE,
                                                   [HELPERS_DIED] = METRIC_JOBS_DIED};
    struct helpers_pool *pool = job->pool;
    const struct helpers_job_ops *ops = job->ops;
    void *arg = job->arg;
    metric_add(ops == NULL ? METRIC_JOBS_ABANDONED : counts[how], 1);
    discard(job);
    listen_if_needed(pool);
    if (ops != NULL)
        ops->done(arg, how, answer, len);
}

/* Working */

static void on_late(h2o_timeout_entry_t *entry)
{
    struct helpers_job *job = H2O_STRUCT_FROM_MEMBER(struct helpers_job, timer, entry);
    job->pool->conf.condemn(job->pool->conf.arg, job->helper);
    end(job, HELPERS_LATE, NULL, 0);
}

static void on_answer(h2o_socket_t *socket, const char *error)
{
    struct helpers_job *job = socket->data;
    char answer[HELPERS_MESSAGE];
    unsigned n_fds = 0;
    ssize_t len =
        error != NULL ? 0 : helpers_receive(h2o_socket_get_fd(socket), answer, sizeof(answer), NULL, &n_fds);
    if (len < 0 && errno == EAGAIN)
        return;
    if (len > 0)
        end(job, HELPERS_ANSWERED, answer, (size_t)len);
    else
        end(job, HELPERS_DIED, NULL, 0);
}

/* The helper has the job from here on. */
static void begin_work(struct helpers_job *job, int socket, pid_t helper)
{
    struct helpers_pool *pool = job->pool;
    take_out(job);
    h2o_timeout_unlink(&job->timer);
    close_fds(job);
    job->helper = helper;
    job->socket = h2o_evloop_socket_create(pool->conf.loop, socket, 0);
    job->socket->data = job;
    h2o_socket_dont_read(job->socket, 1);
    h2o_socket_read_start(job->socket, on_answer);
    put_in(&pool->working, job);
    pool->n_working++;
    show(pool);
    job->timer.cb = on_late;
    h2o_timeout_link(pool->conf.loop, timeouts_get(pool->conf.timeouts, pool->conf.time), &job->timer);
}

/* The process that has made the other end of a pair of sockets; 0 where that is not known. */
static pid_t maker_of(int socket)
{
    struct ucred maker;
    socklen_t len = sizeof(maker);
    return getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &maker, &len) == 0 ? maker.pid : 0;
}

/* Takes an offer. Returns its socket, or -1 where there is none just now, and sets whether another may be. */
static int take_offer(struct helpers_pool *pool, bool *again)
{
    struct helpers_offer offer;
    int socket = -1;
    unsigned n_fds = 1;
    ssize_t len = helpers_receive(h2o_socket_get_fd(pool->offers), &offer, sizeof(offer), &socket, &n_fds);
    *again = len > 0;
    if (len == (ssize_t)sizeof(offer) && n_fds == 1 && offer.version == HELPERS_VERSION &&
        fcntl(socket, F_SETFL, O_NONBLOCK) == 0)
        return socket;
    if (n_fds == 1)
        close(socket);
    return -1;
}

/* Gives what waits to those that offer themselves. One that has ended since it did is passed over. */
static void hand_out(struct helpers_pool *pool)
{
    bool again = true;
    while (again && pool->first != NULL) {
        struct helpers_job *job = pool->first;
        int socket = take_offer(pool, &again);
        if (socket < 0)
            continue;
        if (helpers_send(socket, job->message, job->len, job->fds, HELPERS_FDS))
            begin_work(job, socket, maker_of(socket));
        else
            close(socket);
    }
    listen_if_needed(pool);
}

static void on_offers(h2o_socket_t *offers, const char *error)
{
    struct helpers_pool *pool = offers->data;
    if (error == NULL)
        hand_out(pool);
}

/* Offers are for those that have work: they are not taken before. */
static void listen_if_needed(struct helpers_pool *pool)
{
    bool wants = pool->first != NULL;
    if (wants && !pool->listens)
        h2o_socket_read_start(pool->offers, on_offers);
    if (!wants && pool->listens)
        h2o_socket_read_stop(pool->offers);
    pool->listens = wants;
}

/* Waiting */

static void on_waited(h2o_timeout_entry_t *entry)
{
    end(H2O_STRUCT_FROM_MEMBER(struct helpers_job, timer, entry), HELPERS_WAITED, NULL, 0);
}

bool helpers_job_waits(const struct helpers_job *job)
{
    return job->socket == NULL;
}

bool helpers_pool_is_full(const struct helpers_pool *pool)
{
    return pool->n_waiting >= pool->conf.queue;
}

struct helpers_job *helpers_pool_add(struct helpers_pool *pool, const void *message, size_t len,
                                     const int fds[HELPERS_FDS], unsigned wait,
                                     const struct helpers_job_ops *ops, void *arg)
{
    struct helpers_job *job = mem_calloc(1, sizeof(*job) + len);
    memcpy(job->fds, fds, sizeof(job->fds));
    if (helpers_pool_is_full(pool)) {
        metric_add(METRIC_JOBS_FULL, 1);
        close_fds(job);
        free(job);
        return NULL;
    }
    job->pool = pool;
    job->ops = ops;
    job->arg = arg;
    job->len = len;
    memcpy(job->message, message, len);
    put_in(pool->last, job);
    pool->last = &job->next;
    pool->n_waiting++;
    show(pool);
    job->timer.cb = on_waited;
    h2o_timeout_link(pool->conf.loop, timeouts_get(pool->conf.timeouts, wait), &job->timer);
    if (pool->first == job)
        hand_out(pool); /* at once where a helper is free: more may come in the same turn, for another one */
    return job;
}

/* A helper that is at work sees that the worker's end is shut, and stops where it can; its time runs on. */
void helpers_pool_abandon(struct helpers_pool *pool, struct helpers_job *job)
{
    job->ops = NULL;
    if (job->socket != NULL) {
        shutdown(h2o_socket_get_fd(job->socket), SHUT_WR);
        return;
    }
    metric_add(METRIC_JOBS_ABANDONED, 1);
    discard(job);
    listen_if_needed(pool);
}

/* Life */

struct helpers_pool *helpers_pool_new(const struct helpers_pool_conf *conf)
{
    struct helpers_pool *pool = mem_calloc(1, sizeof(*pool));
    pool->conf = *conf;
    pool->last = &pool->first;
    pool->offers = h2o_evloop_socket_create(conf->loop, conf->offers, 0);
    pool->offers->data = pool;
    h2o_socket_dont_read(pool->offers, 1);
    return pool;
}

void helpers_pool_free(struct helpers_pool *pool)
{
    if (pool == NULL)
        return;
    while (pool->first != NULL)
        discard(pool->first);
    while (pool->working != NULL)
        discard(pool->working);
    h2o_socket_close(pool->offers);
    free(pool);
}
