/* series.c: what is counted of each route. */
#include "metrics/series.h"

#include <stddef.h>

#include "metrics/counter.h"

const uint32_t series_bounds_us[SERIES_BUCKETS - 1] = {
    100,   250,    500,    1000,   2500,    5000,    10000,   25000,
    50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000,
};

const char *const series_bounds_text[SERIES_BUCKETS] = {
    "0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05",
    "0.1",    "0.25",    "0.5",    "1.0",   "2.5",    "5.0",   "10.0", "+Inf",
};

/*
 * Those that HTTP has (IANA's registry of status codes) and those of nginx that logs know, in ranges: n from
 * first on have the places from place on. None is in the way of another, whichever comes first.
 */
static const struct {
    unsigned first, n, place;
} ranges[] = {{200, 9, 1}, {300, 9, 10}, {400, 32, 19}, {451, 1, 51}, {499, 1, 52}, {500, 11, 53}};

unsigned series_place(int status)
{
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        unsigned at = (unsigned)status - ranges[i].first;
        if (at < ranges[i].n)
            return ranges[i].place + at;
    }
    return 0;
}

unsigned series_status(unsigned place)
{
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        unsigned at = place - ranges[i].place;
        if (at < ranges[i].n)
            return ranges[i].first + at;
    }
    return 0;
}

void series_add_time(struct series_times *times, uint64_t us)
{
    unsigned i = 0;
    while (i < SERIES_BUCKETS - 1 && us > series_bounds_us[i])
        i++;
    counter_add(&times->buckets[i], 1);
    counter_add(&times->sum_us, us);
}

void series_add(struct series *series, int status, uint64_t us)
{
    counter_add(&series->answers[series_place(status)], 1);
    series_add_time(&series->total, us);
}

static void fold_times(struct series_times *into, const struct series_times *from)
{
    for (unsigned i = 0; i < SERIES_BUCKETS; i++)
        counter_add(&into->buckets[i], atomic_load_explicit(&from->buckets[i], memory_order_relaxed));
    counter_add(&into->sum_us, atomic_load_explicit(&from->sum_us, memory_order_relaxed));
}

void series_fold(struct series *into, const struct series *from)
{
    for (unsigned i = 0; i < SERIES_STATUSES; i++)
        counter_add(&into->answers[i], atomic_load_explicit(&from->answers[i], memory_order_relaxed));
    counter_add(&into->received, atomic_load_explicit(&from->received, memory_order_relaxed));
    counter_add(&into->sent, atomic_load_explicit(&from->sent, memory_order_relaxed));
    fold_times(&into->total, &from->total);
    fold_times(&into->database, &from->database);
}
