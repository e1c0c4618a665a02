/* report.c: all that workers and master have counted, for monitoring systems. */
#include "metrics/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/mem.h"
#include "metrics/sums.h"

enum { ROUTE_LABELS = 3, MOST_LABELS = 4 };

/* Routes */

struct route {
    const struct series *series;
    struct exposition_label labels[MOST_LABELS];
};

struct routes {
    struct sums_routes sums;
    struct route *all; /* each with its labels */
    size_t n;
};

static struct routes routes_read(const struct shm *shm)
{
    struct routes routes = {.sums = sums_routes_read(shm)};
    routes.n = routes.sums.n;
    routes.all = mem_calloc(routes.n, sizeof(*routes.all));
    for (size_t i = 0; i < routes.n; i++) {
        const struct sums_route *route = &routes.sums.all[i];
        routes.all[i] = (struct route){
            route->series,
            {{"route", route->path}, {"method", route->method}, {"listener", route->listeners}}};
    }
    return routes;
}

static struct str status_text(char text[8], unsigned place)
{
    unsigned status = series_status(place);
    int len = status == 0 ? snprintf(text, 8, "other") : snprintf(text, 8, "%u", status);
    return (struct str){text, (size_t)len};
}

/* One sample for each status. The labels have room for one more. */
static void write_statuses(struct exposition *exposition, const struct series *series,
                           struct exposition_label *labels, size_t n)
{
    char text[8];
    for (unsigned i = 0; series != NULL && i < SERIES_STATUSES; i++) {
        if (series->answers[i] == 0)
            continue;
        labels[n] = (struct exposition_label){"status", status_text(text, i)};
        exposition_sample(exposition, labels, n + 1, series->answers[i]);
    }
}

static void write_routes(struct exposition *exposition, struct routes *routes)
{
    struct exposition_label status[1];
    exposition_family(exposition, "hayfork_requests", EXPOSITION_COUNTER,
                      "Requests for a route, by the status of their answers; 499: the client left before.");
    for (size_t i = 0; i < routes->n; i++)
        write_statuses(exposition, routes->all[i].series, routes->all[i].labels, ROUTE_LABELS);
    exposition_family(
        exposition, "hayfork_http_errors", EXPOSITION_COUNTER,
        "Requests that are for no route, or that HTTP refuses, by the status of their answers.");
    write_statuses(exposition, routes->sums.unrouted, status, 0);
    exposition_family(exposition, "hayfork_request_duration_seconds", EXPOSITION_HISTOGRAM,
                      "From the head of a request to the last byte of its answer.");
    for (size_t i = 0; i < routes->n; i++)
        exposition_histogram(exposition, routes->all[i].labels, ROUTE_LABELS, &routes->all[i].series->total);
    exposition_family(exposition, "hayfork_database_duration_seconds", EXPOSITION_HISTOGRAM,
                      "Of that, in PostgreSQL, with the time that a query waits for a connection.");
    for (size_t i = 0; i < routes->n; i++) {
        if (sums_any_time(&routes->all[i].series->database))
            exposition_histogram(exposition, routes->all[i].labels, ROUTE_LABELS,
                                 &routes->all[i].series->database);
    }
    exposition_family(exposition, "hayfork_received_bytes", EXPOSITION_COUNTER, "Bytes of requests' bodies.");
    for (size_t i = 0; i < routes->n; i++)
        exposition_sample(exposition, routes->all[i].labels, ROUTE_LABELS, routes->all[i].series->received);
    exposition_family(exposition, "hayfork_sent_bytes", EXPOSITION_COUNTER,
                      "Bytes of answers, with their heads.");
    for (size_t i = 0; i < routes->n; i++)
        exposition_sample(exposition, routes->all[i].labels, ROUTE_LABELS, routes->all[i].series->sent);
}

/* Tables of metrics */

/* Something that has all rows of a table. */
struct item {
    const _Atomic uint64_t *values;
    struct exposition_label labels[2];
    bool is_whole_upstream; /* what has happened to no one server: it is written where there is something */
};

/* The samples that items have in a family, whose rows are from first to end. */
static void write_family(struct exposition *exposition, const struct metric_table *table, size_t first,
                         size_t end, const struct item *items, size_t n)
{
    const struct metric *rows = table->rows;
    exposition_family(exposition, rows[first].family,
                      rows[first].type == METRIC_COUNTER ? EXPOSITION_COUNTER : EXPOSITION_GAUGE,
                      rows[first].help);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = first; j < end; j++) {
            if (items[i].is_whole_upstream && items[i].values[j] == 0)
                continue;
            struct exposition_label labels[] = {
                items[i].labels[0], items[i].labels[1], {rows[j].label, {NULL, 0}}};
            if (rows[j].value != NULL)
                labels[2].value = str_of(rows[j].value);
            exposition_sample(exposition, labels, 3, items[i].values[j]);
        }
    }
}

static void write_table(struct exposition *exposition, const struct metric_table *table,
                        const struct item *items, size_t n)
{
    for (size_t first = 0, end; first < table->n; first = end) {
        for (end = first + 1; end < table->n; end++) {
            if (strcmp(table->rows[end].family, table->rows[first].family) != 0)
                break;
        }
        write_family(exposition, table, first, end, items, n);
    }
}

static void write_server(struct exposition *exposition, const struct totals *totals)
{
    struct item server = {.values = totals->values};
    write_table(exposition, &metrics_of_server, &server, 1);
}

static void write_lanes(struct exposition *exposition, const struct totals *totals, const struct shm *shm)
{
    struct item *items = mem_calloc(totals->n_names + 1, sizeof(*items));
    size_t n = 0;
    for (size_t i = 0; i < totals->n_names; i++) {
        const struct shm_lane *lane = &totals->lanes[i];
        if (lane->name != 0)
            items[n++] =
                (struct item){lane->values, {{"lane", str_of(shm_name_text(shm, lane->name))}}, false};
    }
    write_table(exposition, &metrics_of_lane, items, n);
    free(items);
}

static void write_upstreams(struct exposition *exposition, const struct totals *totals, const struct shm *shm)
{
    struct item *items = mem_calloc(totals->n_names + 1, sizeof(*items));
    size_t n = 0;
    for (size_t i = 0; i < totals->n_names; i++) {
        const struct shm_upstream *upstream = &totals->upstreams[i];
        if (upstream->name == 0)
            continue;
        const char *name = shm_name_text(shm, upstream->name), *tab = strchr(name, SHM_UPSTREAM_SERVER);
        size_t len = tab == NULL ? strlen(name) : (size_t)(tab - name);
        items[n++] = (struct item){
            .values = upstream->values,
            .labels = {{"upstream", {name, len}}, {"server", str_of(tab == NULL ? "" : tab + 1)}},
            .is_whole_upstream = tab == NULL,
        };
    }
    write_table(exposition, &metrics_of_upstream, items, n);
    free(items);
}

/* Workers */

struct worker {
    const struct shm_slot *slot;
    char index[16], generation[16];
    struct exposition_label labels[2];
};

struct workers {
    struct sums_workers sums;
    struct worker *all; /* each with its labels */
    size_t n;
};

static struct workers workers_read(const struct shm *shm)
{
    struct workers workers = {.sums = sums_workers_read(shm)};
    workers.n = workers.sums.n;
    workers.all = mem_calloc(workers.n, sizeof(*workers.all));
    for (size_t i = 0; i < workers.n; i++) {
        struct worker *worker = &workers.all[i];
        worker->slot = workers.sums.all[i].slot;
        snprintf(worker->index, sizeof(worker->index), "%u", workers.sums.all[i].index);
        snprintf(worker->generation, sizeof(worker->generation), "%u", workers.sums.all[i].generation);
        worker->labels[0] = (struct exposition_label){"worker", str_of(worker->index)};
        worker->labels[1] = (struct exposition_label){"generation", str_of(worker->generation)};
    }
    return workers;
}

static void write_states(struct exposition *exposition, const struct workers *workers)
{
    exposition_family(exposition, "hayfork_workers", EXPOSITION_GAUGE, "Worker processes, by their state.");
    for (int state = SHM_STARTING; state <= SHM_DRAINING; state++) {
        uint64_t n = 0;
        for (size_t i = 0; i < workers->n; i++)
            n += atomic_load(&workers->all[i].slot->state) == state;
        struct exposition_label label = {"state", str_of(sums_state_name(state))};
        exposition_sample(exposition, &label, 1, n);
    }
}

static void write_workers(struct exposition *exposition, const struct workers *workers)
{
    write_states(exposition, workers);
    exposition_family(exposition, "hayfork_worker_resident_memory_bytes", EXPOSITION_GAUGE,
                      "Memory of a worker, with what it shares.");
    for (size_t i = 0; i < workers->n; i++)
        exposition_sample(exposition, workers->all[i].labels, 2, workers->all[i].slot->resident);
    exposition_family(exposition, "hayfork_worker_proportional_memory_bytes", EXPOSITION_GAUGE,
                      "Memory of a worker, where what is shared counts in part, by how many share it.");
    for (size_t i = 0; i < workers->n; i++)
        exposition_sample(exposition, workers->all[i].labels, 2, workers->all[i].slot->proportional);
    exposition_family(exposition, "hayfork_worker_cpu_seconds", EXPOSITION_COUNTER,
                      "Processor time that a worker has had.");
    for (size_t i = 0; i < workers->n; i++)
        exposition_sample_us(exposition, workers->all[i].labels, 2, workers->all[i].slot->cpu_us);
    exposition_family(exposition, "hayfork_worker_age_seconds", EXPOSITION_GAUGE,
                      "How long ago a worker was started.");
    for (size_t i = 0; i < workers->n; i++) {
        uint64_t started = workers->all[i].slot->started, now = clock_ms();
        exposition_sample_us(exposition, workers->all[i].labels, 2,
                             now < started ? 0 : (now - started) * 1000);
    }
}

static void write_connections(struct exposition *exposition, const struct workers *workers)
{
    exposition_family(exposition, "hayfork_connections", EXPOSITION_GAUGE, "Open connections of clients.");
    exposition_sample(exposition, NULL, 0, sums_connections(&workers->sums));
}

static void write_build(struct exposition *exposition, const char *commit)
{
    struct exposition_label labels[] = {{"version", STR(PACKAGE_VERSION)}, {"commit", str_of(commit)}};
    exposition_family(exposition, "hayfork_build", EXPOSITION_INFO, "What is running.");
    exposition_sample(exposition, labels, 2, 1);
}

void report_write(struct exposition *exposition, const struct shm *shm, const char *commit)
{
    struct routes routes = routes_read(shm);
    struct workers workers = workers_read(shm);
    const struct totals *totals = &routes.sums.totals;
    write_build(exposition, commit);
    write_routes(exposition, &routes);
    write_connections(exposition, &workers);
    write_server(exposition, totals);
    write_lanes(exposition, totals, shm);
    write_upstreams(exposition, totals, shm);
    write_workers(exposition, &workers);
    exposition_end(exposition);
    free(routes.all);
    free(workers.all);
    sums_routes_free(&routes.sums);
    sums_workers_free(&workers.sums);
}
