/* metric.c: what is counted and shown besides what is counted of each route. */
#include "metrics/metric.h"

#define ROW(name, type, family, label, value, help) {METRIC_##type, family, label, value, help},
static const struct metric server[] = {METRICS_OF_SERVER(ROW)}, lane[] = {METRICS_OF_LANE(ROW)},
                           upstream[] = {METRICS_OF_UPSTREAM(ROW)};
#undef ROW

const struct metric_table metrics_of_server = {server, METRICS_SERVER_MOST},
                          metrics_of_lane = {lane, METRICS_LANE_MOST},
                          metrics_of_upstream = {upstream, METRICS_UPSTREAM_MOST};

static _Atomic uint64_t of_nobody[METRICS_SERVER_MOST];
static _Atomic uint64_t *own = of_nobody;

void metric_begin(_Atomic uint64_t *values)
{
    own = values;
}

void metric_add(enum metric_of_server which, uint64_t n)
{
    atomic_fetch_add_explicit(&own[which], n, memory_order_relaxed);
}

void metric_set(enum metric_of_server which, uint64_t value)
{
    atomic_store_explicit(&own[which], value, memory_order_relaxed);
}

void metric_fold(const struct metric_table *table, _Atomic uint64_t *into, const _Atomic uint64_t *from)
{
    for (size_t i = 0; i < table->n; i++) {
        if (table->rows[i].type == METRIC_COUNTER)
            atomic_fetch_add(&into[i], atomic_load(&from[i]));
    }
}

void metric_forget(const struct metric_table *table, _Atomic uint64_t *values)
{
    for (size_t i = 0; i < table->n; i++) {
        if (table->rows[i].type == METRIC_GAUGE)
            atomic_store(&values[i], 0);
    }
}
