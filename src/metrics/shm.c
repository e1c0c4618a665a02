/* shm.c: makes the memory that master and workers share. */
#include "metrics/shm.h"

#include <sys/mman.h>

#include "base/log.h"

static size_t shm_size(unsigned workers)
{
    return sizeof(struct shm) + workers * sizeof(struct shm_slot);
}

struct shm *shm_new(unsigned workers)
{
    struct shm *shm =
        mmap(NULL, shm_size(workers), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shm == MAP_FAILED)
        log_fatal("cannot map %zu bytes of shared memory", shm_size(workers));
    shm->version = SHM_VERSION;
    shm->workers = workers;
    return shm;
}

void shm_free(struct shm *shm)
{
    munmap(shm, shm_size(shm->workers));
}

/* Two that ask at once may both be turned away from the last place; they ask again. */
bool shm_take_spill(struct shm *shm, unsigned index, unsigned max)
{
    unsigned sum = 0;
    atomic_fetch_add(&shm->slots[index].spills, 1);
    for (unsigned i = 0; i < shm->workers; i++)
        sum += atomic_load(&shm->slots[i].spills);
    if (sum <= max)
        return true;
    shm_give_spill(shm, index);
    return false;
}

void shm_give_spill(struct shm *shm, unsigned index)
{
    atomic_fetch_sub(&shm->slots[index].spills, 1);
}
