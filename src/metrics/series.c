/* series.c: what is counted of each route. */
#include "metrics/series.h"

#include "metrics/counter.h"

const uint32_t series_bounds_us[SERIES_BUCKETS - 1] = {
    100,   250,    500,    1000,   2500,    5000,    10000,   25000,
    50000, 100000, 250000, 500000, 1000000, 2500000, 5000000, 10000000,
};

const char *const series_bounds_text[SERIES_BUCKETS] = {
    "0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05",
    "0.1",    "0.25",    "0.5",    "1.0",   "2.5",    "5.0",   "10.0", "+Inf",
};

/* The place of a status, which is the last one where all are taken. */
static unsigned place_of(struct series *series, uint16_t status)
{
    unsigned i = 0;
    for (; i < SERIES_STATUSES - 1; i++) {
        uint16_t there = atomic_load_explicit(&series->statuses[i], memory_order_relaxed);
        if (there == status)
            return i;
        if (there == 0)
            break;
    }
    if (i < SERIES_STATUSES - 1)
        atomic_store_explicit(&series->statuses[i], status, memory_order_relaxed);
    return i;
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
    counter_add(&series->answers[place_of(series, (uint16_t)status)], 1);
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
    for (unsigned i = 0; i < SERIES_STATUSES; i++) {
        uint64_t n = atomic_load_explicit(&from->answers[i], memory_order_relaxed);
        uint16_t status = atomic_load_explicit(&from->statuses[i], memory_order_relaxed);
        if (n > 0)
            counter_add(&into->answers[status == 0 ? SERIES_STATUSES - 1 : place_of(into, status)], n);
    }
    counter_add(&into->received, atomic_load_explicit(&from->received, memory_order_relaxed));
    counter_add(&into->sent, atomic_load_explicit(&from->sent, memory_order_relaxed));
    fold_times(&into->total, &from->total);
    fold_times(&into->database, &from->database);
}
