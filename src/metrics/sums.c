/* sums.c: what all workers of all generations have counted by route, and which workers there are. */
#include "metrics/sums.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static struct str part(const char **from, char end)
{
    const char *stop = strchr(*from, end);
    struct str text = {*from, stop == NULL ? strlen(*from) : (size_t)(stop - *from)};
    *from = stop == NULL ? *from + text.len : stop + 1;
    return text;
}

/* From "METHOD /path", perhaps with listeners; the whole name where it is not so. */
static struct sums_route route_of(const struct shm *shm, const struct series *series)
{
    const char *name = shm_name_text(shm, series->name);
    struct str label = part(&name, SERIES_LISTENERS);
    const char *blank = label.len == 0 ? NULL : memchr(label.base, ' ', label.len);
    size_t method = blank == NULL ? 0 : (size_t)(blank - label.base),
           skipped = blank == NULL ? 0 : method + 1;
    return (struct sums_route){
        .series = series,
        .method = {label.base, method},
        .path = {label.base + skipped, label.len - skipped},
        .listeners = str_of(name),
    };
}

static bool is_used(const struct series *series)
{
    for (unsigned i = 0; i < SERIES_STATUSES; i++) {
        if (series->answers[i] != 0)
            return true;
    }
    return false;
}

struct sums_routes sums_routes_read(const struct shm *shm)
{
    struct sums_routes routes = {.n = 0};
    totals_read(&routes.totals, shm);
    routes.all = mem_calloc(routes.totals.n_names + 1, sizeof(*routes.all));
    for (size_t i = 0; i < routes.totals.n_names; i++) {
        const struct series *series = &routes.totals.series[i];
        if (series->name == 0)
            continue;
        if (shm_name_text(shm, series->name)[0] == '\0')
            routes.unrouted = series;
        else if (is_used(series))
            routes.all[routes.n++] = route_of(shm, series);
    }
    return routes;
}

void sums_routes_free(struct sums_routes *routes)
{
    free(routes->all);
    totals_free(&routes->totals);
}

bool sums_any_time(const struct series_times *times)
{
    for (unsigned i = 0; i < SERIES_BUCKETS; i++) {
        if (times->buckets[i] != 0)
            return true;
    }
    return false;
}

struct sums_workers sums_workers_read(const struct shm *shm)
{
    struct sums_workers workers = {NULL, 0};
    for (unsigned i = 0; i < SHM_GENERATIONS; i++) {
        const struct shm_generation *generation = &shm->generations[i];
        unsigned number = atomic_load(&generation->number);
        for (unsigned j = 0; number != 0 && j < generation->workers; j++) {
            const struct shm_slot *slot = &shm->slots[generation->first + j];
            if (atomic_load(&slot->state) == SHM_EMPTY)
                continue;
            MEM_GROW(&workers.all, workers.n);
            workers.all[workers.n++] = (struct sums_worker){slot, j + 1, number};
        }
    }
    return workers;
}

void sums_workers_free(struct sums_workers *workers)
{
    free(workers->all);
}

const char *sums_state_name(enum shm_worker_state state)
{
    static const char *const names[] = {[SHM_EMPTY] = "empty",
                                        [SHM_STARTING] = "starting",
                                        [SHM_PREPARED] = "prepared",
                                        [SHM_READY] = "ready",
                                        [SHM_DRAINING] = "draining"};
    return names[state];
}

uint64_t sums_connections(const struct sums_workers *workers)
{
    uint64_t open = 0;
    for (size_t i = 0; i < workers->n; i++)
        open += atomic_load(&workers->all[i].slot->connections) & UINT32_MAX;
    return open;
}
