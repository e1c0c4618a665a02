/* store.c: memory that is counted, under a limit that many share. */
#include "base/store.h"

#include <malloc.h>
#include <stdalign.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"

enum { OVERHEAD = sizeof(size_t) /* of malloc(3), for each block */ };

/* What is in front of each block's bytes. */
struct block {
    alignas(max_align_t) struct block *next;
    struct block *prev;
};

struct store {
    struct store_limit *limit;
    size_t used;
    unsigned owners;
    struct block blocks; /* a ring */
};

/* What the block really takes. */
static size_t size_of(void *memory)
{
    return memory == NULL ? 0 : malloc_usable_size(memory) + OVERHEAD;
}

static bool fits(const struct store_limit *limit, const struct store *wants, size_t size)
{
    size_t own = wants == NULL ? 0 : wants->used;
    return limit->used == own || (size <= limit->most && limit->used <= limit->most - size);
}

bool store_has_room(struct store_limit *limit, const struct store *wants, size_t size)
{
    if (!fits(limit, wants, size) && limit->make_room != NULL)
        limit->make_room(limit, wants, size);
    return fits(limit, wants, size);
}

void store_count(struct store_limit *limit, size_t size)
{
    limit->used += size;
}

void store_discount(struct store_limit *limit, size_t size)
{
    limit->used -= size;
}

static void count(struct store *store, size_t size)
{
    store->used += size;
    store->limit->used += size;
}

static void discount(struct store *store, size_t size)
{
    store->used -= size;
    store->limit->used -= size;
}

struct store *store_new(struct store_limit *limit)
{
    struct store *store = mem_alloc(sizeof(*store));
    *store = (struct store){.limit = limit, .owners = 1};
    store->blocks.next = store->blocks.prev = &store->blocks;
    count(store, size_of(store));
    return store;
}

struct store *store_keep(struct store *store)
{
    store->owners++;
    return store;
}

void store_drop(struct store *store)
{
    if (--store->owners > 0)
        return;
    for (struct block *block = store->blocks.next, *next; block != &store->blocks; block = next) {
        next = block->next;
        free(block);
    }
    store->limit->used -= store->used;
    free(store);
}

void *store_resize(struct store *store, void *memory, size_t size)
{
    struct block *block = memory == NULL ? NULL : (struct block *)memory - 1;
    size_t had = size_of(block);
    if (size > SIZE_MAX - sizeof(*block) - OVERHEAD)
        return NULL;
    size += sizeof(*block);
    if (size > had && !store_has_room(store->limit, store, size + OVERHEAD - had))
        return NULL;
    discount(store, had);
    if (block == NULL) {
        block = mem_alloc(size);
        block->next = store->blocks.next;
        block->prev = &store->blocks;
    } else {
        block = mem_realloc(block, size);
    }
    block->next->prev = block->prev->next = block;
    count(store, size_of(block));
    return block + 1;
}

void store_free(struct store *store, void *memory)
{
    if (memory == NULL)
        return;
    struct block *block = (struct block *)memory - 1;
    block->next->prev = block->prev;
    block->prev->next = block->next;
    discount(store, size_of(block));
    free(block);
}
