/* shm.c: makes the memory that master and workers share. */
#include "metrics/shm.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/mem.h"

enum { SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL };

struct shm *shm_new(int *fd)
{
    *fd = memfd_create("hayfork", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*fd < 0 || ftruncate(*fd, sizeof(struct shm)) != 0 || fcntl(*fd, F_ADD_SEALS, SEALS) != 0)
        log_fatal("cannot make %zu bytes of shared memory", sizeof(struct shm));
    struct shm *shm = mmap(NULL, sizeof(*shm), PROT_READ | PROT_WRITE, MAP_SHARED, *fd, 0);
    if (shm == MAP_FAILED)
        log_fatal("cannot map %zu bytes of shared memory", sizeof(*shm));
    shm->layout = SHM_LAYOUT;
    shm->size = sizeof(*shm);
    return shm;
}

struct shm *shm_map(int fd)
{
    struct stat status;
    if (fstat(fd, &status) != 0 || status.st_size != sizeof(struct shm))
        return NULL;
    struct shm *shm = mmap(NULL, sizeof(*shm), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shm == MAP_FAILED)
        return NULL;
    if (shm->layout == SHM_LAYOUT && shm->size == sizeof(*shm))
        return shm;
    shm_unmap(shm);
    return NULL;
}

void shm_unmap(struct shm *shm)
{
    munmap(shm, sizeof(*shm));
}

size_t shm_bytes(unsigned workers, size_t series, size_t upstreams)
{
    size_t of_each =
        sizeof(struct shm_slot) + series * sizeof(struct series) + upstreams * sizeof(struct shm_upstream);
    size_t of_name = sizeof(struct shm_name) + sizeof(struct series) + sizeof(struct shm_lane) +
                     sizeof(struct shm_upstream);
    return workers * of_each + (series + upstreams + SHM_LANES) * of_name;
}

/* Names */

static void write_name(struct shm_name *name, const char *text)
{
    if (atomic_load_explicit(&name->is_written, memory_order_acquire))
        return;
    strncpy(name->text, text, SHM_NAME_LEN); /* whoever else writes it now writes the same */
    if (strlen(text) > SHM_NAME_LEN)         /* and no two that are cut look the same */
        snprintf(name->text + SHM_NAME_LEN - 19, 20, "...%016" PRIx64, hash_64_text(HASH_64, text));
    atomic_store_explicit(&name->is_written, true, memory_order_release);
}

uint32_t shm_name(struct shm *shm, const char *name)
{
    uint64_t hash = hash_64_text(HASH_64, name);
    if (hash == 0)
        hash = 1; /* 0 is a place that is free */
    for (uint32_t i = 0; i < SHM_NAMES - 1; i++) {
        uint64_t there = 0;
        if (atomic_compare_exchange_strong(&shm->name_hashes[i], &there, hash) || there == hash) {
            write_name(&shm->names[i], name);
            return i + 1;
        }
    }
    write_name(&shm->names[SHM_NAMES - 1], "...");
    return SHM_NAMES;
}

size_t shm_n_names(const struct shm *shm)
{
    size_t n = 0;
    while (n < SHM_NAMES - 1 && atomic_load(&shm->name_hashes[n]) != 0)
        n++;
    return n < SHM_NAMES - 1 ? n : SHM_NAMES; /* the last one stands for all others */
}

const char *shm_name_text(const struct shm *shm, uint32_t number)
{
    return number == 0 || number > SHM_NAMES ? NULL : shm->names[number - 1].text;
}

/* Slots */

/* What is counted moves to where it is kept. Between the two, fold is odd. */

static void begin_folding(struct shm *shm)
{
    atomic_fetch_add(&shm->fold, 1);
    atomic_thread_fence(memory_order_release); /* what is moved, is moved after that */
}

static void end_folding(struct shm *shm)
{
    atomic_fetch_add(&shm->fold, 1);
}

/* Keeps what the slot's lanes have counted. fold is odd meanwhile. */
static void fold_lanes(struct shm *shm, struct shm_slot *slot)
{
    for (size_t i = 0; i < SHM_LANES; i++) {
        struct shm_lane *lane = &slot->lanes[i];
        uint32_t name = atomic_load(&lane->name);
        if (name == 0 || name > SHM_NAMES)
            continue;
        struct shm_lane *ended = &shm->ended_lanes[name - 1];
        metric_fold(&metrics_of_lane, ended->values, lane->values);
        atomic_store(&ended->name, name);
        memset(lane, 0, sizeof(*lane));
    }
}

void shm_slot_begin(struct shm *shm, struct shm_slot *slot)
{
    uint64_t now = clock_ms();
    atomic_store(&slot->state, SHM_STARTING);
    atomic_store(&slot->started, now);
    atomic_store(&slot->heartbeat, now);
    atomic_store(&slot->is_dismissed, false);
    atomic_store(&slot->route, 0);
    atomic_store(&slot->resident, 0);
    atomic_store(&slot->proportional, 0);
    atomic_store(&slot->cpu_us, 0);
    begin_folding(shm);
    fold_lanes(shm, slot);
    end_folding(shm);
}

void shm_slot_end(struct shm *shm, const struct shm_generation *generation, unsigned index)
{
    struct shm_slot *slot = shm_slot(shm, generation, index);
    const struct shm_share *share = &generation->upstreams;
    metric_forget(&metrics_of_server, slot->values);
    for (size_t i = 0; i < SHM_LANES; i++)
        metric_forget(&metrics_of_lane, slot->lanes[i].values);
    for (unsigned i = 0; i < share->each; i++)
        metric_forget(&metrics_of_upstream, shm->upstreams[share->first + index * share->each + i].values);
}

struct shm_lane *shm_slot_lane(struct shm *shm, struct shm_slot *slot, const char *name)
{
    uint32_t number = shm_name(shm, name);
    for (size_t i = 0; i < SHM_LANES; i++) {
        struct shm_lane *lane = &slot->lanes[i];
        if (atomic_load(&lane->name) == 0)
            atomic_store(&lane->name, number);
        if (atomic_load(&lane->name) == number)
            return lane;
    }
    return NULL;
}

/* Generations */

/* The generation that has one of these slots, or NULL. */
static const struct shm_generation *owner_of(const struct shm *shm, unsigned first, unsigned n)
{
    for (unsigned i = 0; i < SHM_GENERATIONS; i++) {
        const struct shm_generation *other = &shm->generations[i];
        if (other->number != 0 && other->first < first + n && first < other->first + other->workers)
            return other;
    }
    return NULL;
}

static const struct shm_share *share_of(const struct shm_generation *generation, size_t offset)
{
    return (const struct shm_share *)((const char *)generation + offset);
}

/* The end of what another generation has of these elements, or 0 where none has any. */
static unsigned end_of_share(const struct shm *shm, size_t offset, unsigned first, unsigned n)
{
    for (unsigned i = 0; i < SHM_GENERATIONS; i++) {
        const struct shm_generation *other = &shm->generations[i];
        const struct shm_share *share = share_of(other, offset);
        unsigned end = share->first + other->workers * share->each;
        if (other->number != 0 && share->first < first + n && first < end)
            return end;
    }
    return 0;
}

/*
 * Finds room for so many elements of an array of `size` for each worker, or for fewer. offset is that of the
 * share in the generation, what: what they stand for.
 */
static void take_share(const struct shm *shm, struct shm_generation *generation, size_t offset,
                       unsigned wanted, unsigned size, const char *what)
{
    struct shm_share *share = (struct shm_share *)share_of(generation, offset);
    *share = (struct shm_share){0};
    for (unsigned each = wanted; each > 0; each = each * 7 / 8) {
        unsigned first = 0, n = generation->workers * each;
        for (unsigned end; (end = end_of_share(shm, offset, first, n)) != 0;)
            first = end;
        if (first + n > size)
            continue;
        *share = (struct shm_share){first, each};
        break;
    }
    if (share->each < wanted)
        log_warnx("there is no room to count %u %s of each of %u workers: %u are counted", wanted - 1, what,
                  generation->workers, share->each == 0 ? 0 : share->each - 1);
}

struct shm_generation *shm_begin_generation(struct shm *shm, unsigned number, unsigned workers,
                                            unsigned series, unsigned upstreams)
{
    struct shm_generation *generation = shm->generations, *end = generation + SHM_GENERATIONS;
    unsigned first = 0;
    while (generation < end && generation->number != 0)
        generation++;
    for (const struct shm_generation *owner; (owner = owner_of(shm, first, workers)) != NULL;)
        first = owner->first + owner->workers;
    if (generation == end || first + workers > SHM_SLOTS)
        return NULL;
    memset(&shm->slots[first], 0, workers * sizeof(shm->slots[0]));
    generation->first = first;
    generation->workers = workers;
    take_share(shm, generation, offsetof(struct shm_generation, series), series, SHM_SERIES, "routes");
    take_share(shm, generation, offsetof(struct shm_generation, upstreams), upstreams, SHM_UPSTREAMS,
               "upstreams and servers");
    atomic_store(&generation->steady, 0);
    atomic_store(&generation->frugal, false);
    atomic_store(&generation->succeeded, false);
    atomic_store(&generation->number, number); /* from now on others count what it has */
    return generation;
}

static void fold_upstream(struct shm *shm, struct shm_upstream *upstream)
{
    uint32_t name = atomic_load(&upstream->name);
    if (name == 0 || name > SHM_NAMES)
        return;
    metric_fold(&metrics_of_upstream, shm->ended_upstreams[name - 1].values, upstream->values);
    atomic_store(&shm->ended_upstreams[name - 1].name, name);
    memset(upstream, 0, sizeof(*upstream));
}

void shm_end_generation(struct shm *shm, struct shm_generation *generation)
{
    begin_folding(shm);
    for (unsigned i = 0; i < generation->workers; i++) {
        struct shm_slot *slot = shm_slot(shm, generation, i);
        fold_lanes(shm, slot);
        metric_fold(&metrics_of_server, shm->values, slot->values);
    }
    for (unsigned i = 0; i < generation->workers * generation->series.each; i++) {
        struct series *series = &shm->series[generation->series.first + i];
        uint32_t name = atomic_load(&series->name);
        if (name == 0 || name > SHM_NAMES)
            continue;
        series_fold(&shm->ended[name - 1], series);
        atomic_store(&shm->ended[name - 1].name, name);
        memset(series, 0, sizeof(*series));
    }
    for (unsigned i = 0; i < generation->workers * generation->upstreams.each; i++)
        fold_upstream(shm, &shm->upstreams[generation->upstreams.first + i]);
    atomic_store(&generation->number, 0);
    end_folding(shm);
}

struct series *shm_series(struct shm *shm, const struct shm_generation *generation, unsigned index,
                          unsigned which, const char *name)
{
    const struct shm_share *share = &generation->series;
    if (which >= share->each)
        return NULL;
    struct series *series = &shm->series[share->first + index * share->each + which];
    atomic_store(&series->name, shm_name(shm, name));
    return series;
}

struct shm_upstream *shm_upstream(struct shm *shm, const struct shm_generation *generation, unsigned index,
                                  unsigned which, const char *name)
{
    static struct shm_upstream of_nobody;
    const struct shm_share *share = &generation->upstreams;
    if (which >= share->each)
        return &of_nobody;
    struct shm_upstream *upstream = &shm->upstreams[share->first + index * share->each + which];
    atomic_store(&upstream->name, shm_name(shm, name));
    return upstream;
}

unsigned shm_connections(const struct shm *shm)
{
    unsigned sum = atomic_load(&shm->guests);
    for (unsigned i = 0; i < SHM_GENERATIONS; i++) {
        const struct shm_generation *generation = &shm->generations[i];
        if (generation->number == 0)
            continue;
        sum += atomic_load(&generation->steady);
        for (unsigned j = 0; j < generation->workers; j++)
            sum += atomic_load(&shm->slots[generation->first + j].spills);
    }
    return sum;
}

/* Two that ask at once may both be turned away from the last place; they ask again. */
bool shm_take_spill(struct shm *shm, const struct shm_generation *generation, struct shm_slot *slot,
                    unsigned max)
{
    if (atomic_load(&generation->frugal))
        return false;
    atomic_fetch_add(&slot->spills, 1);
    if (shm_connections(shm) <= max)
        return true;
    shm_give_spill(slot);
    return false;
}

void shm_give_spill(struct shm_slot *slot)
{
    atomic_fetch_sub(&slot->spills, 1);
}

void shm_be_frugal(struct shm *shm, bool frugal)
{
    for (unsigned i = 0; i < SHM_GENERATIONS; i++)
        atomic_store(&shm->generations[i].frugal, frugal);
}
