/* work.c: a job: texts from one file, results into another. */
#include "inferring/work.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

#include "base/mem.h"
#include "inference/exchange.h"
#include "inferring/batch.h"

enum { MOST_BYTES = 1 << 30 }; /* of a job's texts: a worker has less */

static const struct work_model *models;
static size_t n_models;
static unsigned time_ms;

void work_begin(const struct work_model *all, size_t n, unsigned time)
{
    models = all;
    n_models = n;
    time_ms = time;
}

static void set_alarm(unsigned ms)
{
    const struct itimerval timer = {.it_value = {ms / 1000, ms % 1000 * 1000}};
    setitimer(ITIMER_REAL, &timer, NULL);
}

/* Returns what the file has, to be freed, or NULL. */
static char *read_file(int file, size_t *len)
{
    struct stat about;
    if (fstat(file, &about) != 0 || about.st_size > MOST_BYTES)
        return NULL;
    char *bytes = mem_alloc((size_t)about.st_size + 1);
    for (*len = 0; *len < (size_t)about.st_size;) {
        ssize_t n = pread(file, bytes + *len, (size_t)about.st_size - *len, (off_t)*len);
        if (n <= 0) {
            free(bytes);
            return NULL;
        }
        *len += (size_t)n;
    }
    return bytes;
}

/* Splits the bytes into texts. Returns how many are whole; *texts is to be freed. */
static size_t split(const char *bytes, size_t len, struct batch_text **texts)
{
    size_t n = 0;
    struct exchange_text head;
    *texts = NULL;
    while (len >= sizeof(head)) {
        memcpy(&head, bytes, sizeof(head));
        if (head.len > len - sizeof(head))
            break;
        MEM_GROW(texts, n);
        (*texts)[n++] = (struct batch_text){{bytes + sizeof(head), head.len}, head.cuts != 0};
        bytes += sizeof(head) + head.len;
        len -= sizeof(head) + head.len;
    }
    return n;
}

static bool write_results(int file, const struct exchange_result *results, const float *numbers, size_t n,
                          size_t width)
{
    size_t size = sizeof(*results) + width * sizeof(*numbers), len = n * size;
    char *bytes = mem_alloc(len);
    for (size_t i = 0; i < n; i++) {
        memcpy(bytes + i * size, &results[i], sizeof(*results));
        memcpy(bytes + i * size + sizeof(*results), numbers + i * width, width * sizeof(*numbers));
    }
    size_t at = 0;
    while (at < len) {
        ssize_t done = pwrite(file, bytes + at, len - at, (off_t)at);
        if (done <= 0)
            break;
        at += (size_t)done;
    }
    free(bytes);
    return at == len;
}

static bool is_wanted(void *arg)
{
    return helpers_is_wanted(*(const int *)arg);
}

/* Returns NULL, or why there is no result, to be freed. */
static char *run(const struct helpers_call *call, const struct work_model *model, size_t *n)
{
    struct batch_text *texts;
    size_t len = 0, width = model->model.width;
    int socket = call->socket;
    char *bytes = read_file(call->in, &len);
    if (bytes == NULL)
        return mem_printf("the texts cannot be read: %s", strerror(errno));
    *n = split(bytes, len, &texts);
    struct exchange_result *results = mem_calloc(*n, sizeof(*results));
    float *numbers = mem_calloc(*n * width, sizeof(*numbers));
    char *error = batch_run(&model->model, model->engine, texts, *n, results, numbers, is_wanted, &socket);
    if (error == NULL && !write_results(call->out, results, numbers, *n, width))
        error = mem_printf("the results cannot be written: %s", strerror(errno));
    free(numbers);
    free(results);
    free(texts);
    free(bytes);
    return error;
}

size_t work_do(const struct helpers_call *call, void *answer, size_t size)
{
    struct exchange_job job;
    struct exchange_answer said = {0};
    size_t n = 0;
    char *error = NULL;
    _Static_assert(sizeof(said) <= 1024, "an answer is one message");
    set_alarm(time_ms);
    if (call->len == sizeof(job))
        memcpy(&job, call->job, sizeof(job));
    if (call->len != sizeof(job) || job.model >= n_models || models[job.model].engine == NULL)
        error = mem_strdup("there is no such model: worker and helper are not of one conf");
    else {
        error = run(call, &models[job.model], &n);
        said.length = models[job.model].model.length;
    }
    set_alarm(0);
    said.n = (uint32_t)n;
    if (error != NULL)
        snprintf(said.reason, sizeof(said.reason), "%s", error);
    free(error);
    memcpy(answer, &said, sizeof(said) < size ? sizeof(said) : size);
    return sizeof(said);
}
