/* batches.c: texts of several requests as one job. */
#include "handlers/batches.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "metrics/metric.h"

struct batches_job {
    struct batches *batches;
    struct helpers_job *job; /* NULL: its requests are being answered */
    int in, out;             /* the files of its texts and of its results */
    size_t n;                /* texts */
    struct batches_request *requests, **last;
};

struct batches {
    struct helpers_pool *pool;
    const struct conf_model *model;
    uint32_t place;
    uint32_t length;          /* tokens that a text may have, as a helper has said */
    struct batches_job *open; /* the last one: as long as it waits, more can join; or NULL */
};

/* Files */

static bool write_all(int file, struct str bytes)
{
    while (bytes.len > 0) {
        ssize_t n = write(file, bytes.base, bytes.len);
        if (n < 0)
            return false;
        bytes = (struct str){bytes.base + n, bytes.len - (size_t)n};
    }
    return true;
}

static bool read_all(int file, char *to, size_t size)
{
    for (size_t at = 0; at < size;) {
        ssize_t n = pread(file, to + at, size - at, (off_t)at);
        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

static void close_files(const int *files, size_t n)
{
    int error = errno;
    for (size_t i = 0; i < n; i++) {
        if (files[i] >= 0)
            close(files[i]);
    }
    errno = error;
}

/* Jobs */

static size_t result_size(const struct batches *batches)
{
    return sizeof(struct exchange_result) + batches->model->width * sizeof(float);
}

static void end_job(struct batches_job *job)
{
    if (job->batches->open == job)
        job->batches->open = NULL;
    close_files((int[]){job->in, job->out}, 2);
    free(job);
}

/* What a helper says is looked at: it may no longer be what it was. Returns the results, to be freed, or
 * NULL.
 */
static char *read_results(struct batches_job *job, const void *answer, size_t len, const char **reason)
{
    static struct exchange_answer read;
    if (len != sizeof(read))
        return NULL;
    memcpy(&read, answer, sizeof(read));
    read.reason[EXCHANGE_REASON - 1] = '\0';
    if (read.reason[0] != '\0')
        *reason = read.reason;
    if (*reason != NULL || read.n != job->n)
        return NULL;
    job->batches->length = read.length;
    char *results = mem_alloc(job->n * result_size(job->batches));
    if (read_all(job->out, results, job->n * result_size(job->batches)))
        return results;
    free(results);
    return NULL;
}

static void on_done(void *arg, enum helpers_end end, const void *answer, size_t len)
{
    struct batches_job *job = arg;
    size_t size = result_size(job->batches);
    const char *reason = NULL;
    char *results = end == HELPERS_ANSWERED ? read_results(job, answer, len, &reason) : NULL;
    if (end == HELPERS_ANSWERED && results == NULL && reason == NULL)
        end = HELPERS_DIED;
    job->job = NULL; /* which is over: batches_leave has nothing to abandon */
    if (job->batches->open == job)
        job->batches->open = NULL;  /* whoever is answered may ask again */
    while (job->requests != NULL) { /* each may leave meanwhile, as another one is answered */
        struct batches_request *request = job->requests;
        job->requests = request->next;
        request->job = NULL;
        request->done(request, end, results == NULL ? NULL : results + request->first * size, reason);
    }
    free(results);
    end_job(job);
}

static struct batches_job *new_job(struct batches *batches, struct str texts, unsigned wait)
{
    static const struct helpers_job_ops ops = {.done = on_done};
    const struct exchange_job message = {.model = batches->place};
    int in = memfd_create("texts", MFD_CLOEXEC), out = memfd_create("results", MFD_CLOEXEC);
    int files[] = {in, out, fcntl(in, F_DUPFD_CLOEXEC, 0), fcntl(out, F_DUPFD_CLOEXEC, 0)};
    if (files[2] < 0 || files[3] < 0 || !write_all(in, texts)) {
        close_files(files, 4);
        return NULL;
    }
    struct batches_job *job = mem_calloc(1, sizeof(*job));
    *job = (struct batches_job){.batches = batches, .in = in, .out = out, .last = &job->requests};
    job->job = helpers_pool_add(batches->pool, &message, sizeof(message), files + 2, wait, &ops, job);
    if (job->job == NULL) {
        end_job(job);
        errno = EAGAIN;
        return NULL;
    }
    return job;
}

/* Requests */

bool batches_add(struct batches *batches, struct str texts, size_t n, unsigned wait,
                 struct batches_request *request)
{
    struct batches_job *job = batches->open;
    bool joins = job != NULL && helpers_job_waits(job->job) && job->n + n <= batches->model->texts;
    if (joins && !write_all(job->in, texts)) {
        batches->open = NULL; /* a part may be written: what the job has is complete without it */
        joins = false;
    }
    if (!joins)
        job = new_job(batches, texts, wait);
    if (job == NULL)
        return false;
    batches->open = job;
    request->job = job;
    request->next = NULL;
    request->first = job->n;
    request->n = n;
    job->n += n;
    *job->last = request;
    job->last = &request->next;
    metric_add(METRIC_TEXTS, n);
    if (joins)
        metric_add(METRIC_TEXTS_JOINED, n);
    return true;
}

void batches_leave(struct batches_request *request)
{
    struct batches_job *job = request->job;
    if (job == NULL)
        return;
    struct batches_request **link = &job->requests;
    while (*link != request)
        link = &(*link)->next;
    *link = request->next;
    if (job->last == &request->next)
        job->last = link;
    request->job = NULL;
    if (job->requests != NULL || job->job == NULL)
        return;
    helpers_pool_abandon(job->batches->pool, job->job);
    end_job(job);
}

struct exchange_result batches_result(const struct batches *batches, const char *results, size_t i,
                                      float *numbers)
{
    struct exchange_result result;
    const char *at = results + i * result_size(batches);
    memcpy(&result, at, sizeof(result));
    memcpy(numbers, at + sizeof(result), batches->model->width * sizeof(float));
    return result;
}

uint32_t batches_length(const struct batches *batches)
{
    return batches->length;
}

struct batches *batches_new(struct helpers_pool *pool, const struct conf_model *model, uint32_t place)
{
    struct batches *batches = mem_calloc(1, sizeof(*batches));
    *batches = (struct batches){.pool = pool, .model = model, .place = place};
    return batches;
}

void batches_free(struct batches *batches)
{
    free(batches);
}
