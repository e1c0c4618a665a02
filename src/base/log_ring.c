/* log_ring.c: the last lines of the log, in memory that processes share. */
#include "base/log_ring.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/utf8.h"

void log_ring_add(struct log_ring *ring, const char *process, struct str text)
{
    uint64_t number = atomic_fetch_add(&ring->n, 1) + 1;
    struct log_ring_place *place = &ring->places[(number - 1) % LOG_RING_LINES];
    struct str cut = utf8_cut(text, LOG_RING_TEXT - 1);
    atomic_store(&place->number, 0);
    atomic_thread_fence(memory_order_release); /* what is written, is written after that */
    clock_iso(place->line.time);
    place->line.time[CLOCK_ISO_LEN] = '\0';
    place->line.pid = (int)getpid();
    snprintf(place->line.process, sizeof(place->line.process), "%s", process);
    memcpy(place->line.text, cut.base, cut.len);
    place->line.text[cut.len] = '\0';
    atomic_store(&place->number, number);
}

/*
 * Two processes write in one place where one of them has stood still for as long as the whole ring lasts:
 * then the text may be mixed, but is text.
 */
static bool read_place(const struct log_ring_place *place, uint64_t number, struct log_ring_line *line)
{
    if (atomic_load(&place->number) != number)
        return false;
    *line = place->line;
    atomic_thread_fence(memory_order_acquire); /* what was read, was read before the next line */
    line->time[CLOCK_ISO_LEN] = line->process[LOG_RING_PROCESS - 1] = line->text[LOG_RING_TEXT - 1] = '\0';
    return atomic_load(&place->number) == number && utf8_is_valid(str_of(line->text)) &&
           utf8_is_valid(str_of(line->process));
}

size_t log_ring_read(const struct log_ring *ring, struct log_ring_line *lines)
{
    uint64_t last = atomic_load(&ring->n), first = last < LOG_RING_LINES ? 0 : last - LOG_RING_LINES;
    size_t n = 0;
    for (uint64_t number = last; number > first; number--)
        n += read_place(&ring->places[(number - 1) % LOG_RING_LINES], number, &lines[n]);
    return n;
}
