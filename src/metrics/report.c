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

static struct routes routes_read(struct shm *shm)
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

static struct str status_text(char text[8], const struct series *series, unsigned which)
{
    int len = series->statuses[which] == 0 ? snprintf(text, 8, "other")
                                           : snprintf(text, 8, "%u", (unsigned)series->statuses[which]);
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
        labels[n] = (struct exposition_label){"status", status_text(text, series, i)};
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

static struct workers workers_read(struct shm *shm)
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

static void write_connections(struct exposition *exposition, struct shm *shm, const struct workers *workers)
{
    exposition_family(exposition, "hayfork_connections", EXPOSITION_GAUGE, "Open connections of clients.");
    exposition_sample(exposition, NULL, 0, sums_connections(&workers->sums));
    exposition_family(exposition, "hayfork_connections_accepted", EXPOSITION_COUNTER,
                      "Connections of clients that were accepted.");
    exposition_sample(exposition, NULL, 0, shm_sum_accepted(shm));
}

/* Lanes */

struct lanes {
    const struct shm *shm;
    struct shm_lane sums[SHM_LANE_NAMES];
    size_t n;
};

static struct exposition_label lane_label(const struct lanes *lanes, size_t which)
{
    return (struct exposition_label){"lane", str_of(shm_name_text(lanes->shm, lanes->sums[which].name))};
}

static void write_lane_states(struct exposition *exposition, const struct lanes *lanes)
{
    static const struct {
        const char *name, *help;
        size_t offset; /* in struct shm_lane, of an _Atomic unsigned */
    } families[] = {
        {"hayfork_database_connections", "Connections to PostgreSQL that are open.",
         offsetof(struct shm_lane, open)},
        {"hayfork_database_in_flight", "Statements that PostgreSQL has not answered yet.",
         offsetof(struct shm_lane, in_flight)},
        {"hayfork_database_waiting", "Queries that wait to be sent.", offsetof(struct shm_lane, waiting)},
    };
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        exposition_family(exposition, families[i].name, EXPOSITION_GAUGE, families[i].help);
        for (size_t j = 0; j < lanes->n; j++) {
            const char *lane = (const char *)&lanes->sums[j];
            struct exposition_label label = lane_label(lanes, j);
            exposition_sample(exposition, &label, 1,
                              atomic_load((const _Atomic unsigned *)(lane + families[i].offset)));
        }
    }
}

static void write_lane_counts(struct exposition *exposition, const struct lanes *lanes)
{
    static const struct {
        const char *name, *help;
        enum shm_lane_count count;
    } families[] = {
        {"hayfork_database_queries", "Queries that a lane has taken.", SHM_LANE_QUERIES},
        {"hayfork_database_merged", "Statements that have asked for several queries at once.",
         SHM_LANE_MERGED},
        {"hayfork_database_merged_queries", "Queries that were asked so.", SHM_LANE_MERGED_QUERIES},
        {"hayfork_database_retries", "Queries that were sent again after a connection broke.",
         SHM_LANE_RETRIED},
        {"hayfork_database_spills", "Connections that were opened beside the first one.", SHM_LANE_SPILLS},
        {"hayfork_database_connections_lost", "Connections to PostgreSQL that broke.", SHM_LANE_LOST},
    };
    for (size_t i = 0; i < sizeof(families) / sizeof(families[0]); i++) {
        exposition_family(exposition, families[i].name, EXPOSITION_COUNTER, families[i].help);
        for (size_t j = 0; j < lanes->n; j++) {
            struct exposition_label label = lane_label(lanes, j);
            exposition_sample(exposition, &label, 1, lanes->sums[j].counts[families[i].count]);
        }
    }
}

/* Why queries were not answered. */
static void write_lane_failures(struct exposition *exposition, const struct lanes *lanes)
{
    static const struct {
        const char *cause;
        enum shm_lane_count count;
    } causes[] = {
        {"away", SHM_LANE_REFUSED_AWAY}, {"full", SHM_LANE_REFUSED_FULL}, {"not_sent", SHM_LANE_NOT_SENT},
        {"late", SHM_LANE_LATE},         {"lost", SHM_LANE_LOST_QUERIES},
    };
    exposition_family(exposition, "hayfork_database_failures", EXPOSITION_COUNTER,
                      "Queries without a result, by the cause.");
    for (size_t i = 0; i < lanes->n; i++) {
        for (size_t j = 0; j < sizeof(causes) / sizeof(causes[0]); j++) {
            struct exposition_label labels[] = {lane_label(lanes, i), {"cause", str_of(causes[j].cause)}};
            exposition_sample(exposition, labels, 2, lanes->sums[i].counts[causes[j].count]);
        }
    }
}

static void write_lanes(struct exposition *exposition, const struct shm *shm)
{
    struct lanes lanes = {.shm = shm};
    lanes.n = shm_sum_lanes(shm, lanes.sums);
    write_lane_states(exposition, &lanes);
    write_lane_counts(exposition, &lanes);
    write_lane_failures(exposition, &lanes);
}

static void write_master(struct exposition *exposition, const struct shm *shm)
{
    static const char *const deaths[SHM_DEATHS] = {"exited", "killed", "never_ready"};
    static const char *const reloads[SHM_RELOADS] = {"done", "refused"};
    exposition_family(exposition, "hayfork_worker_starts", EXPOSITION_COUNTER, "Workers that were started.");
    exposition_sample(exposition, NULL, 0, shm->starts);
    exposition_family(exposition, "hayfork_worker_deaths", EXPOSITION_COUNTER,
                      "Workers that ended without being told to, by the way they did.");
    for (int i = 0; i < SHM_DEATHS; i++) {
        struct exposition_label label = {"cause", str_of(deaths[i])};
        exposition_sample(exposition, &label, 1, shm->deaths[i]);
    }
    exposition_family(exposition, "hayfork_reloads", EXPOSITION_COUNTER, "Reloads, by their result.");
    for (int i = 0; i < SHM_RELOADS; i++) {
        struct exposition_label label = {"result", str_of(reloads[i])};
        exposition_sample(exposition, &label, 1, shm->reloads[i]);
    }
}

void report_write(struct exposition *exposition, struct shm *shm)
{
    struct routes routes = routes_read(shm);
    struct workers workers = workers_read(shm);
    struct exposition_label version = {"version", STR(PACKAGE_VERSION)};
    exposition_family(exposition, "hayfork_build", EXPOSITION_INFO, "What is running.");
    exposition_sample(exposition, &version, 1, 1);
    write_routes(exposition, &routes);
    write_connections(exposition, shm, &workers);
    write_lanes(exposition, shm);
    write_workers(exposition, &workers);
    write_master(exposition, shm);
    exposition_end(exposition);
    free(routes.all);
    sums_routes_free(&routes.sums);
    free(workers.all);
    sums_workers_free(&workers.sums);
}
