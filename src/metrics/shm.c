/* shm.c: makes the memory that master and workers share. */
#include "metrics/shm.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
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
    atomic_store(&slot->route, 0);
    atomic_store(&slot->resident, 0);
    atomic_store(&slot->proportional, 0);
    atomic_store(&slot->cpu_us, 0);
    begin_folding(shm);
    fold_lanes(shm, slot);
    end_folding(shm);
}

void shm_slot_end(struct shm_slot *slot)
{
    metric_forget(&metrics_of_server, slot->values);
    for (size_t i = 0; i < SHM_LANES; i++)
        metric_forget(&metrics_of_lane, slot->lanes[i].values);
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

/* The generation that has one of these series, or NULL. */
static const struct shm_generation *owner_of_series(const struct shm *shm, unsigned first, unsigned n)
{
    for (unsigned i = 0; i < SHM_GENERATIONS; i++) {
        const struct shm_generation *other = &shm->generations[i];
        if (other->number != 0 && other->first_series < first + n &&
            first < other->first_series + other->workers * other->series)
            return other;
    }
    return NULL;
}

/* Finds room for so many series of each worker, or for fewer. */
static void take_series(struct shm *shm, struct shm_generation *generation, unsigned series)
{
    generation->series = 0;
    generation->first_series = 0;
    for (unsigned each = series; each > 0; each = each * 7 / 8) {
        unsigned first = 0, n = generation->workers * each;
        for (const struct shm_generation *owner; (owner = owner_of_series(shm, first, n)) != NULL;)
            first = owner->first_series + owner->workers * owner->series;
        if (first + n > SHM_SERIES)
            continue;
        generation->first_series = first;
        generation->series = each;
        if (each < series)
            log_warnx("there is no room to count %u routes of each of %u workers: %u are counted", series - 1,
                      generation->workers, each - 1);
        return;
    }
}

struct shm_generation *shm_begin_generation(struct shm *shm, unsigned number, unsigned workers,
                                            unsigned series)
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
    take_series(shm, generation, series);
    atomic_store(&generation->steady, 0);
    atomic_store(&generation->frugal, false);
    atomic_store(&generation->succeeded, false);
    atomic_store(&generation->number, number); /* from now on others count what it has */
    return generation;
}

void shm_end_generation(struct shm *shm, struct shm_generation *generation)
{
    begin_folding(shm);
    for (unsigned i = 0; i < generation->workers; i++) {
        struct shm_slot *slot = shm_slot(shm, generation, i);
        fold_lanes(shm, slot);
        metric_fold(&metrics_of_server, shm->values, slot->values);
    }
    for (unsigned i = 0; i < generation->workers * generation->series; i++) {
        struct series *series = &shm->series[generation->first_series + i];
        uint32_t name = atomic_load(&series->name);
        if (name == 0 || name > SHM_NAMES)
            continue;
        series_fold(&shm->ended[name - 1], series);
        atomic_store(&shm->ended[name - 1].name, name);
        memset(series, 0, sizeof(*series));
    }
    atomic_store(&generation->number, 0);
    end_folding(shm);
}

struct series *shm_series(struct shm *shm, const struct shm_generation *generation, unsigned index,
                          unsigned which, const char *name)
{
    if (which >= generation->series)
        return NULL;
    struct series *series = &shm->series[generation->first_series + index * generation->series + which];
    atomic_store(&series->name, shm_name(shm, name));
    return series;
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
