/*
 * store.h: memory that is counted, under a limit that many share: what clients have sent, and what is made of
 * it.
 *
 * A store is what belongs together, such as a body and the values that were read from it. It may have several
 * owners; with the last one all of it is freed, and the limit has it back.
 */
#ifndef HAYFORK_BASE_STORE_H
#define HAYFORK_BASE_STORE_H

#include <stdbool.h>
#include <stddef.h>

struct store;

struct store_limit {
    size_t most; /* bytes, as malloc(3) gives them out */
    size_t used;
    /* More is wanted than there is room for: what can be given up for `wanted` bytes is. Must not free the
     * store that wants them. May be NULL. */
    void (*make_room)(struct store_limit *limit, const struct store *wants, size_t wanted);
};

/*
 * Is there room for size bytes more, perhaps once room is made? wants is whose they will be, or NULL. What
 * would be alone there always has room: a limit that is too low for one still lets one after the other
 * through.
 */
bool store_has_room(struct store_limit *limit, const struct store *wants, size_t size);

/* Counts bytes that are allocated elsewhere, and no longer. To be asked for by store_has_room. */
void store_count(struct store_limit *limit, size_t size);
void store_discount(struct store_limit *limit, size_t size);

/* A new store with one owner. */
struct store *store_new(struct store_limit *limit);

/* One owner more, and one less. */
struct store *store_keep(struct store *store);
void store_drop(struct store *store);

/*
 * Makes a block, or makes the block larger or smaller, as realloc(3) does. Returns NULL where the limit
 * allows no more; then the block stays as it is. It is freed with the store, if not before.
 */
void *store_resize(struct store *store, void *block, size_t size);
void store_free(struct store *store, void *block);

#endif
