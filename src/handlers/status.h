/* status.h: what the server is doing, read at one time, for the operators' page and for /status.json. */
#ifndef HAYFORK_HANDLERS_STATUS_H
#define HAYFORK_HANDLERS_STATUS_H

#include "base/json.h"
#include "conf/conf.h"
#include "handlers/handler.h"
#include "metrics/sums.h"

/* Where it is read from. All of it is the worker's that answers. */
struct status_source {
    const struct conf *conf;
    struct handler *const *handlers; /* of the conf's routes, in their order */
    const struct shm *shm;
    const struct shm_slot *slot;
};

/* What is counted of requests, of a route or of several. */
struct status_counts {
    uint64_t requests, client_errors, server_errors; /* those with a 4xx, those with a 5xx */
    uint64_t buckets[SERIES_BUCKETS];                /* how many took how long, each counted once */
    uint64_t sum_us;
};

/* A route of the conf, or one that an older conf had and that has counted something. */
struct status_route {
    const struct conf_route *conf; /* NULL: it is gone */
    const struct handler *handler; /* NULL likewise */
    struct sums_route counted;     /* its series is NULL where nothing was */
};

struct status {
    const struct status_source *from;
    struct sums_routes routes; /* whose totals have the lanes, too */
    struct sums_workers workers;
    struct status_route *shown; /* without those of the operators' listener */
    size_t n_shown;
    struct status_counts total; /* of these, and of what is for no route */
};

/* Reads all of it; *from must stay. Freed with status_free. */
void status_read(struct status *status, const struct status_source *from);
void status_free(struct status *status);

/* The counts of one series; all zero for NULL. */
struct status_counts status_counts_of(const struct series *series);

/* Milliseconds since a worker was started. */
uint64_t status_age_ms(const struct shm_slot *slot);

/* The route that a worker's handler runs for at this moment, or NULL; the one that asks is not told. */
const char *status_route_in_hand(const struct status *status, const struct shm_slot *slot);

/* What an upstream's figures are of; server is empty, with base NULL, for what has to do with none of its
 * servers. */
struct status_upstream_name {
    struct str upstream, server;
};

struct status_upstream_name status_upstream_name(const struct status *status,
                                                 const struct shm_upstream *upstream);

/* Appends it as a JSON document, with the keys that hayfork(8) tells. */
void status_write_json(const struct status *status, struct json_writer *out);

/* Appends the operators' page with its tables filled in, for who runs no scripts. */
void status_write_page(const struct status *status, struct json_writer *out);

#endif
