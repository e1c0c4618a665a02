/* totals.c: what all processes of all generations have counted and show, those that are gone included. */
#include "metrics/totals.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

enum { MOST_TRIES = 100 }; /* to read what the master does not move meanwhile, which takes it microseconds */

static void add_values(const struct metric_table *table, _Atomic uint64_t *into, const _Atomic uint64_t *from)
{
    for (size_t i = 0; i < table->n; i++)
        counter_add(&into[i], atomic_load_explicit(&from[i], memory_order_relaxed));
}

static void add_series(struct totals *totals, const struct series *from)
{
    uint32_t name = atomic_load(&from->name);
    if (name == 0 || name > totals->n_names)
        return;
    series_fold(&totals->series[name - 1], from);
    totals->series[name - 1].name = name;
}

static void add_lane(struct totals *totals, const struct shm_lane *from)
{
    uint32_t name = atomic_load(&from->name);
    if (name == 0 || name > totals->n_names)
        return;
    add_values(&metrics_of_lane, totals->lanes[name - 1].values, from->values);
    totals->lanes[name - 1].name = name;
}

static void add_upstream(struct totals *totals, const struct shm_upstream *from)
{
    uint32_t name = atomic_load(&from->name);
    if (name == 0 || name > totals->n_names)
        return;
    add_values(&metrics_of_upstream, totals->upstreams[name - 1].values, from->values);
    totals->upstreams[name - 1].name = name;
}

static void add_slot(struct totals *totals, const struct shm_slot *slot)
{
    add_values(&metrics_of_server, totals->values, slot->values);
    for (size_t i = 0; i < SHM_LANES; i++)
        add_lane(totals, &slot->lanes[i]);
}

/* The generation may leave while it is looked at. */
static void add_generation(struct totals *totals, const struct shm *shm,
                           const struct shm_generation *generation)
{
    const struct shm_share series = generation->series, upstreams = generation->upstreams;
    unsigned first = generation->first, workers = generation->workers;
    if (atomic_load(&generation->number) == 0)
        return;
    for (unsigned i = first; i < first + workers && i < SHM_SLOTS; i++)
        add_slot(totals, &shm->slots[i]);
    for (unsigned i = 0; i < workers * series.each && series.first + i < SHM_SERIES; i++)
        add_series(totals, &shm->series[series.first + i]);
    for (unsigned i = 0; i < workers * upstreams.each && upstreams.first + i < SHM_UPSTREAMS; i++)
        add_upstream(totals, &shm->upstreams[upstreams.first + i]);
}

static void add_all(struct totals *totals, const struct shm *shm)
{
    add_values(&metrics_of_server, totals->values, shm->values);
    for (size_t i = 0; i < totals->n_names; i++) {
        add_series(totals, &shm->ended[i]);
        add_lane(totals, &shm->ended_lanes[i]);
        add_upstream(totals, &shm->ended_upstreams[i]);
    }
    for (unsigned i = 0; i < SHM_GENERATIONS; i++)
        add_generation(totals, shm, &shm->generations[i]);
}

/* Has nothing moved while it was read, since fold was this? */
static bool is_whole(const struct shm *shm, unsigned before)
{
    atomic_thread_fence(memory_order_acquire); /* what was read, was read before the next line */
    return before % 2 == 0 && atomic_load(&shm->fold) == before;
}

void totals_read(struct totals *totals, const struct shm *shm)
{
    for (unsigned tries = 1;; tries++) {
        unsigned before = atomic_load(&shm->fold);
        *totals = (struct totals){.n_names = shm_n_names(shm)};
        totals->series = mem_calloc(totals->n_names + 1, sizeof(*totals->series));
        totals->lanes = mem_calloc(totals->n_names + 1, sizeof(*totals->lanes));
        totals->upstreams = mem_calloc(totals->n_names + 1, sizeof(*totals->upstreams));
        add_all(totals, shm);
        if (is_whole(shm, before) || tries == MOST_TRIES)
            return;
        totals_free(totals);
    }
}

void totals_free(struct totals *totals)
{
    free(totals->series);
    free(totals->lanes);
    free(totals->upstreams);
}
