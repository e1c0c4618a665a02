/* log_ring.c: the last lines of the log, in memory that processes share. */
#include "base/log_ring.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/utf8.h"

static uint64_t hash_of(const struct log_ring_line *line)
{
    return hash_64_bytes(HASH_64, (const char *)line, sizeof(*line));
}

void log_ring_add(struct log_ring *ring, const char *process, struct str text)
{
    struct log_ring_line line;
    struct str cut = utf8_cut(text, LOG_RING_TEXT - 1);
    memset(&line, 0, sizeof(line)); /* what lies between the members counts for the hash */
    clock_iso(line.time);
    line.pid = (int)getpid();
    snprintf(line.process, sizeof(line.process), "%s", process);
    memcpy(line.text, cut.base, cut.len);
    uint64_t hash = hash_of(&line), number = atomic_fetch_add(&ring->n, 1) + 1;
    struct log_ring_place *place = &ring->places[(number - 1) % LOG_RING_LINES];
    atomic_store(&place->number, 0);
    atomic_thread_fence(memory_order_release); /* what is written, is written after that */
    place->hash = hash;
    memcpy(&place->line, &line, sizeof(line));
    atomic_store(&place->number, number);
}

/*
 * Two processes write in one place where one of them has stood still for as long as the whole ring lasts. By
 * the hash it is known whose line that is in the end, or that it is nobody's.
 */
static bool read_place(const struct log_ring_place *place, uint64_t number, struct log_ring_line *line)
{
    if (atomic_load(&place->number) != number)
        return false;
    uint64_t hash = place->hash;
    memcpy(line, &place->line, sizeof(*line));
    atomic_thread_fence(memory_order_acquire); /* what was read, was read before the next line */
    return atomic_load(&place->number) == number && hash_of(line) == hash;
}

size_t log_ring_read(const struct log_ring *ring, struct log_ring_line *lines)
{
    uint64_t last = atomic_load(&ring->n), first = last < LOG_RING_LINES ? 0 : last - LOG_RING_LINES;
    size_t n = 0;
    for (uint64_t number = last; number > first; number--)
        n += read_place(&ring->places[(number - 1) % LOG_RING_LINES], number, &lines[n]);
    return n;
}
