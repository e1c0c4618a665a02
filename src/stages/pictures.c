/* pictures.c: pictures that are being made: one job for all requests that want the same. */
#include "stages/pictures.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"
#include "metrics/metric.h"

struct pictures_flight {
    struct pictures *pictures;
    struct pictures_flight *next;
    char tag[PICTURES_TAG_SIZE];
    struct helpers_job *job;
    int made; /* the file that the helper writes the picture into */
    struct pictures_waiter *waiters;
};

struct pictures {
    struct helpers_pool *pool;
    struct pictures_flight *flights; /* as many as the pool takes jobs, at most */
};

void picture_drop(struct picture *picture)
{
    if (picture != NULL && --picture->owners == 0)
        free(picture);
}

static void end_flight(struct pictures_flight *flight)
{
    struct pictures_flight **link = &flight->pictures->flights;
    while (*link != flight)
        link = &(*link)->next;
    *link = flight->next;
    close(flight->made);
    free(flight);
}

static void add_waiter(struct pictures_flight *flight, struct pictures_waiter *waiter)
{
    waiter->flight = flight;
    waiter->next = flight->waiters;
    flight->waiters = waiter;
}

/* Copied out of the file, which its maker may still have. Returns NULL where it is not there as a whole. */
static struct picture *read_picture(int file, uint64_t size)
{
    off_t there = lseek(file, 0, SEEK_END);
    if (there < 0 || (uint64_t)there < size)
        return NULL;
    struct picture *picture = mem_alloc(sizeof(*picture) + size);
    *picture = (struct picture){.owners = 1, .len = size};
    for (size_t at = 0; at < size;) {
        ssize_t got = pread(file, picture->bytes + at, size - at, (off_t)at);
        if (got <= 0) {
            free(picture);
            return NULL;
        }
        at += (size_t)got;
    }
    return picture;
}

/* What a helper says is looked at: it may no longer be what it was. */
static bool is_sound(const struct images_result *result, size_t len)
{
    return len == sizeof(*result) && result->status >= 200 && result->status <= 599 &&
           result->format < IMAGES_FORMATS && (result->status != 200 || result->format != IMAGES_OTHER) &&
           memchr(result->parameter, '\0', sizeof(result->parameter)) != NULL &&
           memchr(result->detail, '\0', sizeof(result->detail)) != NULL &&
           memchr(result->reason, '\0', sizeof(result->reason)) != NULL;
}

static void on_done(void *arg, enum helpers_end end, const void *answer, size_t len)
{
    struct pictures_flight *flight = arg;
    struct images_result result;
    struct picture *picture = NULL;
    if (end == HELPERS_ANSWERED) {
        memcpy(&result, answer, len < sizeof(result) ? len : sizeof(result));
        if (!is_sound(&result, len))
            end = HELPERS_DIED;
        else if (result.status == 200 && (picture = read_picture(flight->made, result.size)) == NULL)
            end = HELPERS_DIED;
    }
    while (flight->waiters != NULL) { /* each may leave meanwhile, as another one is answered */
        struct pictures_waiter *waiter = flight->waiters;
        flight->waiters = waiter->next;
        waiter->flight = NULL;
        if (picture != NULL)
            picture->owners++;
        waiter->done(waiter, end, end == HELPERS_ANSWERED ? &result : NULL, picture);
    }
    picture_drop(picture);
    end_flight(flight);
}

bool pictures_join(struct pictures *pictures, const char *tag, struct pictures_waiter *waiter)
{
    struct pictures_flight *flight = pictures->flights;
    while (flight != NULL && strcmp(flight->tag, tag) != 0)
        flight = flight->next;
    if (flight == NULL)
        return false;
    add_waiter(flight, waiter);
    metric_add(METRIC_IMAGES_SHARED, 1);
    return true;
}

bool pictures_make(struct pictures *pictures, const char *tag, const struct images_job *job, int original,
                   unsigned wait, struct pictures_waiter *waiter)
{
    static const struct helpers_job_ops ops = {.done = on_done};
    int made = memfd_create("picture", MFD_CLOEXEC), copy = fcntl(made, F_DUPFD_CLOEXEC, 0);
    if (copy < 0 ||
        fcntl(original, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) != 0) {
        int error = errno;
        close(original);
        if (made >= 0)
            close(made);
        if (copy >= 0)
            close(copy);
        errno = error;
        return false;
    }
    struct pictures_flight *flight = mem_calloc(1, sizeof(*flight));
    flight->pictures = pictures;
    flight->next = pictures->flights;
    flight->made = made;
    strcpy(flight->tag, tag);
    pictures->flights = flight;
    flight->job =
        helpers_pool_add(pictures->pool, job, sizeof(*job), (int[]){original, copy}, wait, &ops, flight);
    if (flight->job == NULL) {
        end_flight(flight);
        errno = EAGAIN;
        return false;
    }
    add_waiter(flight, waiter);
    return true;
}

void pictures_leave(struct pictures_waiter *waiter)
{
    struct pictures_flight *flight = waiter->flight;
    if (flight == NULL)
        return;
    struct pictures_waiter **link = &flight->waiters;
    while (*link != waiter)
        link = &(*link)->next;
    *link = waiter->next;
    waiter->flight = NULL;
    if (flight->waiters != NULL)
        return;
    helpers_pool_abandon(flight->pictures->pool, flight->job);
    end_flight(flight);
}

struct pictures *pictures_new(struct helpers_pool *pool)
{
    struct pictures *pictures = mem_calloc(1, sizeof(*pictures));
    pictures->pool = pool;
    return pictures;
}

void pictures_free(struct pictures *pictures)
{
    free(pictures);
}
