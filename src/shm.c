/* shm.c: makes the memory that master and workers share. */
#include "shm.h"

#include <sys/mman.h>

#include "log.h"

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
