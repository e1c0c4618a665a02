/*
 * spool.c: memory for bytes that clients have not taken yet.
 *
 * It is memory and not a file. What is written to a file goes to the page cache first, which is memory, too,
 * until the kernel has more dirty pages than it wants: then write(2) waits for the disk, and with it the loop
 * and all its clients. Reading back what was evicted waits as well. Neither can be had without waiting, but
 * by threads or a ring of its own, and a worker needs no right to write files. A memfd is counted like memory
 * and costs a system call and a copy for each way; here the rows are written once, and sent from where they
 * are.
 *
 * Pages are mapped, and not taken from the heap: 64 MB of it would stay with the process once anything that
 * lives longer is after them. Those given back are kept for a while, as the kernel clears each page that it
 * gives out, which took a tenth of the time of a list with 10,000 rows.
 */
#include "base/spool.h"

#include <stdlib.h>
#include <sys/mman.h>

#include "base/log.h"
#include "base/mem.h"

enum { SPARE_KEPT = 16 }; /* pages that are not trimmed */

static char *page_new(void)
{
    char *page = mmap(NULL, SPOOL_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED)
        log_fatalx("out of memory");
    return page;
}

struct spool_block *spool_take(struct spool *spool)
{
    struct spool_block *block = spool->spare;
    if (block != NULL) {
        spool->spare = block->next;
        if (--spool->n_spare < spool->least_spare)
            spool->least_spare = spool->n_spare;
    } else {
        block = mem_alloc(sizeof(*block));
        block->page = page_new();
    }
    block->next = NULL;
    block->text = json_writer_on(block->page, SPOOL_PAGE);
    block->size = SPOOL_PAGE;
    spool->used += block->size;
    return block;
}

struct spool_block *spool_adopt(struct spool *spool, struct json_writer text)
{
    struct spool_block *block = mem_calloc(1, sizeof(*block));
    if (text.owned && text.capacity - text.len > text.capacity / 8) { /* room that nobody will use */
        text.base = mem_realloc(text.base, text.len);
        text.capacity = text.len;
    }
    block->text = text;
    block->size = text.owned ? text.capacity : 0;
    spool->used += block->size;
    return block;
}

void spool_give(struct spool *spool, struct spool_block *block)
{
    if (block->text.owned)
        free(block->text.base);
    spool->used -= block->size;
    if (block->page != NULL) {
        block->next = spool->spare;
        spool->spare = block;
        spool->n_spare++;
    } else {
        free(block);
    }
}

static void free_spare(struct spool *spool, size_t n)
{
    for (; n > 0; n--) {
        struct spool_block *block = spool->spare;
        spool->spare = block->next;
        spool->n_spare--;
        munmap(block->page, SPOOL_PAGE);
        free(block);
    }
}

bool spool_trim(struct spool *spool)
{
    size_t unused = spool->least_spare;
    free_spare(spool, unused < SPARE_KEPT ? 0 : unused - SPARE_KEPT);
    spool->least_spare = spool->n_spare;
    return spool->n_spare > SPARE_KEPT;
}

void spool_dispose(struct spool *spool)
{
    free_spare(spool, spool->n_spare);
}
