/* spool.h: memory for bytes that clients have not taken yet, in blocks that are counted. */
#ifndef HAYFORK_BASE_SPOOL_H
#define HAYFORK_BASE_SPOOL_H

#include <stdbool.h>
#include <stddef.h>

#include "base/json.h"

enum { SPOOL_PAGE = 64 * 1024 }; /* bytes of most blocks */

/* All zero at first. */
struct spool {
    size_t used;               /* bytes in blocks */
    struct spool_block *spare; /* given back, and kept for whoever takes the next ones */
    size_t n_spare;
    size_t least_spare; /* n_spare was never less since the last spool_trim */
};

struct spool_block {
    struct spool_block *next; /* for whoever has the block */
    struct json_writer text;  /* what it holds */
    char *page;               /* where its text is; NULL where that came from elsewhere */
    size_t size;              /* bytes that it counts for */
};

/* Frees what is kept. No block may be left. */
void spool_dispose(struct spool *spool);

/* To be called once a second: of what is kept, frees what nobody needed since the last call. Returns whether
 * there may be more to free at the next. */
bool spool_trim(struct spool *spool);

/* A block whose text is empty, with room for SPOOL_PAGE bytes. Never fails. */
struct spool_block *spool_take(struct spool *spool);

/* A block for a text that was written elsewhere. What it has on the heap becomes the block's. */
struct spool_block *spool_adopt(struct spool *spool, struct json_writer text);

/* Gives a block back, with what it holds. */
void spool_give(struct spool *spool, struct spool_block *block);

#endif
