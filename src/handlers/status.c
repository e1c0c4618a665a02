/* status.c: what the server is doing, read at one time. */
#include "handlers/status.h"

#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "conf/kind.h"
#include "conf/listen.h"

struct status_counts status_counts_of(const struct series *series)
{
    struct status_counts counts = {0};
    for (unsigned i = 0; series != NULL && i < SERIES_STATUSES; i++) {
        uint64_t n = series->answers[i];
        unsigned status = series_status(i);
        counts.requests += n;
        counts.client_errors += status >= 400 && status < 500 ? n : 0;
        counts.server_errors += status >= 500 ? n : 0;
    }
    for (unsigned i = 0; series != NULL && i < SERIES_BUCKETS; i++)
        counts.buckets[i] = series->total.buckets[i];
    counts.sum_us = series == NULL ? 0 : series->total.sum_us;
    return counts;
}

static void add_counts(struct status_counts *sum, const struct series *series)
{
    struct status_counts counts = status_counts_of(series);
    sum->requests += counts.requests;
    sum->client_errors += counts.client_errors;
    sum->server_errors += counts.server_errors;
    sum->sum_us += counts.sum_us;
    for (unsigned i = 0; i < SERIES_BUCKETS; i++)
        sum->buckets[i] += counts.buckets[i];
}

static void show(struct status *status, struct status_route route)
{
    MEM_GROW(&status->shown, status->n_shown);
    status->shown[status->n_shown++] = route;
    add_counts(&status->total, route.counted.series);
}

/* The operators' own listener would make a server that nobody uses look busy. */
static bool is_admins(const struct sums_route *route)
{
    return str_equal(route->listeners, STR(CONF_ADMIN));
}

/* For each name in the shared memory: which of the routes it is, counted from 1; 0: none that has counted. */
static size_t *index_of(const struct status *status)
{
    size_t *places = mem_calloc(status->routes.totals.n_names + 1, sizeof(*places));
    for (size_t i = 0; i < status->routes.n; i++)
        places[status->routes.all[i].series->name] = i + 1;
    return places;
}

/* A route of the conf, with what is counted of it, which is then not shown again. */
static struct status_route route_of(const struct status *status, size_t which, size_t *places)
{
    const struct handler *handler = status->from->handlers[which];
    struct status_route route = {.conf = &status->from->conf->routes[which], .handler = handler};
    uint32_t name = handler->series == NULL ? 0 : atomic_load(&handler->series->name);
    if (name == 0 || name > status->routes.totals.n_names || places[name] == 0)
        return route;
    route.counted = status->routes.all[places[name] - 1];
    places[name] = 0;
    return route;
}

static void find_routes(struct status *status)
{
    const struct conf *conf = status->from->conf;
    size_t *places = index_of(status);
    for (size_t i = 0; i < conf->n_routes; i++) {
        struct status_route route = route_of(status, i, places);
        if (conf->routes[i].kind != &conf_kind_admin)
            show(status, route);
    }
    for (size_t i = 0; i < status->routes.n; i++) {
        const struct sums_route *route = &status->routes.all[i];
        if (places[route->series->name] != 0 && !is_admins(route))
            show(status, (struct status_route){.counted = *route});
    }
    free(places);
}

void status_read(struct status *status, const struct status_source *from)
{
    *status = (struct status){
        .from = from, .routes = sums_routes_read(from->shm), .workers = sums_workers_read(from->shm)};
    find_routes(status);
    add_counts(&status->total, status->routes.unrouted);
}

void status_free(struct status *status)
{
    sums_routes_free(&status->routes);
    sums_workers_free(&status->workers);
    free(status->shown);
}

uint64_t status_age_ms(const struct shm_slot *slot)
{
    uint64_t now = clock_ms(), started = atomic_load(&slot->started);
    return now < started ? 0 : now - started;
}

const char *status_route_in_hand(const struct status *status, const struct shm_slot *slot)
{
    return slot == status->from->slot ? NULL : shm_name_text(status->from->shm, atomic_load(&slot->route));
}

struct status_upstream_name status_upstream_name(const struct status *status,
                                                 const struct shm_upstream *upstream)
{
    const char *name = shm_name_text(status->from->shm, upstream->name);
    const char *tab = name == NULL ? NULL : strchr(name, SHM_UPSTREAM_SERVER);
    if (tab == NULL)
        return (struct status_upstream_name){str_of(name == NULL ? "" : name), {NULL, 0}};
    return (struct status_upstream_name){{name, (size_t)(tab - name)}, str_of(tab + 1)};
}
