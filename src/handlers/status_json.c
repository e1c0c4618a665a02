/* status_json.c: what the server is doing, as a JSON document. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/clock.h"
#include "base/mem.h"
#include "conf/kind.h"
#include "db/lane.h"
#include "handlers/status.h"

/* Writing: a comma goes before all but the first of an object or array */

static void separate(struct json_writer *out)
{
    char last = out->len == 0 ? '[' : out->base[out->len - 1];
    if (last != '[' && last != '{' && last != ':')
        json_char(out, ',');
}

static void key(struct json_writer *out, const char *name)
{
    separate(out);
    json_string(out, name, strlen(name));
    json_char(out, ':');
}

static void open(struct json_writer *out, const char *name, char bracket)
{
    if (name == NULL)
        separate(out);
    else
        key(out, name);
    json_char(out, bracket);
}

static void number(struct json_writer *out, const char *name, uint64_t value)
{
    char text[20], *end = text + sizeof(text), *begin = end;
    do
        *--begin = (char)('0' + value % 10);
    while ((value /= 10) != 0);
    if (name == NULL)
        separate(out);
    else
        key(out, name);
    json_raw(out, begin, (size_t)(end - begin));
}

/* Seconds, from millionths. */
static void seconds(struct json_writer *out, const char *name, uint64_t us)
{
    char text[32];
    int len = snprintf(text, sizeof(text), "%" PRIu64 ".%06" PRIu64, us / 1000000, us % 1000000);
    key(out, name);
    json_raw(out, text, (size_t)len);
}

static void text(struct json_writer *out, const char *name, struct str value)
{
    key(out, name);
    json_string(out, value.base, value.len);
}

/* NULL where there is none. */
static void text_or_null(struct json_writer *out, const char *name, const char *value)
{
    if (value != NULL) {
        text(out, name, str_of(value));
        return;
    }
    key(out, name);
    json_raw(out, "null", 4);
}

/* Requests */

static void write_times(struct json_writer *out, const char *name, const uint64_t *buckets, uint64_t sum_us)
{
    open(out, name, '{');
    open(out, "buckets", '[');
    for (size_t i = 0; i < SERIES_BUCKETS; i++)
        number(out, NULL, buckets[i]);
    json_char(out, ']');
    seconds(out, "sum", sum_us);
    json_char(out, '}');
}

static void write_counts(struct json_writer *out, const struct status_counts *counts)
{
    number(out, "requests", counts->requests);
    number(out, "client_errors", counts->client_errors);
    number(out, "server_errors", counts->server_errors);
    write_times(out, "latency", counts->buckets, counts->sum_us);
}

static void write_bounds(struct json_writer *out)
{
    open(out, "bounds", '[');
    for (size_t i = 0; i + 1 < SERIES_BUCKETS; i++) {
        separate(out);
        json_raw(out, series_bounds_text[i], strlen(series_bounds_text[i]));
    }
    json_char(out, ']');
}

/* Workers */

static void write_worker(struct json_writer *out, const struct status *status,
                         const struct sums_worker *worker)
{
    const struct shm_slot *slot = worker->slot;
    uint64_t now = clock_ms(), heartbeat = slot->heartbeat;
    open(out, NULL, '{');
    number(out, "worker", worker->index);
    number(out, "generation", worker->generation);
    number(out, "pid", (uint64_t)slot->pid);
    text(out, "state", str_of(sums_state_name((enum shm_worker_state)slot->state)));
    seconds(out, "age", status_age_ms(slot) * 1000);
    seconds(out, "heartbeat", now < heartbeat ? 0 : (now - heartbeat) * 1000);
    number(out, "connections", slot->connections & UINT32_MAX);
    number(out, "in_flight", slot->values[METRIC_REQUESTS_IN_FLIGHT]);
    number(out, "resident", slot->resident);
    number(out, "proportional", slot->proportional);
    seconds(out, "cpu", slot->cpu_us);
    text_or_null(out, "route", status_route_in_hand(status, slot));
    json_char(out, '}');
}

/* Figures of a table, under what their families are called after the prefix; those of one with labels are an
 * object */

static const char *name_of(const struct metric *row, const char *prefix)
{
    size_t len = strlen(prefix);
    return strncmp(row->family, prefix, len) == 0 ? row->family + len : row->family;
}

static void write_metrics(struct json_writer *out, const struct metric_table *table, const char *prefix,
                          const _Atomic uint64_t *values)
{
    const char *labelled = NULL; /* the family whose object is open */
    for (size_t i = 0; i < table->n; i++) {
        const struct metric *row = &table->rows[i];
        if (labelled != NULL && strcmp(row->family, labelled) != 0) {
            json_char(out, '}');
            labelled = NULL;
        }
        if (row->label != NULL && labelled == NULL) {
            open(out, name_of(row, prefix), '{');
            labelled = row->family;
        }
        number(out, row->label != NULL ? row->value : name_of(row, prefix), values[i]);
    }
    if (labelled != NULL)
        json_char(out, '}');
}

static void write_lane(struct json_writer *out, const struct status *status, const struct shm_lane *lane)
{
    open(out, NULL, '{');
    text(out, "lane", str_of(shm_name_text(status->from->shm, lane->name)));
    write_metrics(out, &metrics_of_lane, "hayfork_database_", lane->values);
    json_char(out, '}');
}

/* What no server of an upstream has is that of the upstream, whose server is null. */
static void write_upstream(struct json_writer *out, const struct status *status,
                           const struct shm_upstream *upstream)
{
    struct status_upstream_name name = status_upstream_name(status, upstream);
    open(out, NULL, '{');
    text(out, "upstream", name.upstream);
    text_or_null(out, "server", name.server.base); /* which ends with NUL, as the whole name does */
    write_metrics(out, &metrics_of_upstream, "hayfork_upstream_", upstream->values);
    json_char(out, '}');
}

/* Routes */

/* With null for a type as long as PostgreSQL has not described the statement. */
static void write_parameters(struct json_writer *out, const struct conf_route *conf,
                             const struct db_statement *statement)
{
    char type[PGCATALOGUE_NAME];
    open(out, "parameters", '[');
    for (size_t i = 0; i < conf->statement.n_params; i++) {
        bool is_known = db_statement_parameter_type(statement, i, type);
        open(out, NULL, '{');
        text(out, "name", str_of(conf->statement.names[i]));
        text_or_null(out, "type", is_known ? type : NULL);
        json_char(out, '}');
    }
    json_char(out, ']');
}

static void write_columns(struct json_writer *out, const struct db_statement *statement)
{
    char type[PGCATALOGUE_NAME];
    const char *name;
    open(out, "columns", '[');
    for (size_t i = 0; db_statement_column(statement, i, &name, type); i++) {
        open(out, NULL, '{');
        text(out, "name", str_of(name));
        text(out, "type", str_of(type));
        json_char(out, '}');
    }
    json_char(out, ']');
}

static void write_conf(struct json_writer *out, const struct status *status, const struct conf_route *conf,
                       const struct db_statement *statement)
{
    text(out, "method", str_of(conf->method));
    text(out, "path", str_of(conf->path));
    open(out, "listeners", '[');
    for (size_t i = 0; i < conf->n_on; i++) {
        separate(out);
        json_string(out, conf->on[i].name, strlen(conf->on[i].name));
    }
    json_char(out, ']');
    text(out, "kind", str_of(conf_kind_name(conf->kind)));
    if (conf->kind->asks_database)
        text(out, "lane", str_of(status->from->conf->lanes[conf->lane].name));
    if (statement == NULL)
        return;
    write_parameters(out, conf, statement);
    write_columns(out, statement);
}

/* It is in no conf any longer. */
static void write_former(struct json_writer *out, const struct sums_route *route)
{
    struct str rest = route->listeners;
    text(out, "method", route->method);
    text(out, "path", route->path);
    open(out, "listeners", '[');
    while (rest.len > 0) {
        const char *comma = memchr(rest.base, ',', rest.len);
        size_t len = comma == NULL ? rest.len : (size_t)(comma - rest.base), skipped = len + (comma != NULL);
        separate(out);
        json_string(out, rest.base, len);
        rest = (struct str){rest.base + skipped, rest.len - skipped};
    }
    json_char(out, ']');
    text_or_null(out, "kind", NULL);
}

static void write_statuses(struct json_writer *out, const struct series *series)
{
    open(out, "statuses", '{');
    for (unsigned i = 0; series != NULL && i < SERIES_STATUSES; i++) {
        char name[8];
        if (series->answers[i] == 0)
            continue;
        snprintf(name, sizeof(name), "%u", series_status(i));
        number(out, series_status(i) == 0 ? "other" : name, series->answers[i]);
    }
    json_char(out, '}');
}

static void write_database(struct json_writer *out, const struct series *series)
{
    uint64_t buckets[SERIES_BUCKETS] = {0}, sum_us = 0;
    if (series == NULL || !sums_any_time(&series->database))
        return;
    for (size_t i = 0; i < SERIES_BUCKETS; i++)
        buckets[i] = series->database.buckets[i];
    sum_us = series->database.sum_us;
    write_times(out, "database", buckets, sum_us);
}

static void write_route(struct json_writer *out, const struct status *status,
                        const struct status_route *route)
{
    const struct series *series = route->counted.series;
    struct status_counts counts = status_counts_of(series);
    open(out, NULL, '{');
    if (route->conf != NULL)
        write_conf(out, status, route->conf, route->handler->statement);
    else
        write_former(out, &route->counted);
    write_counts(out, &counts);
    write_statuses(out, series);
    write_database(out, series);
    number(out, "received", series == NULL ? 0 : series->received);
    number(out, "sent", series == NULL ? 0 : series->sent);
    json_char(out, '}');
}

/* The log */

static void write_lines(struct json_writer *out, const char *name, const struct log_ring *ring)
{
    struct log_ring_line *lines = mem_calloc(LOG_RING_LINES, sizeof(*lines));
    size_t n = log_ring_read(ring, lines);
    open(out, name, '[');
    for (size_t i = 0; i < n; i++) {
        open(out, NULL, '{');
        text(out, "time", str_of(lines[i].time));
        text(out, "process", str_of(lines[i].process));
        number(out, "pid", (uint64_t)lines[i].pid);
        text(out, "text", str_of(lines[i].text));
        json_char(out, '}');
    }
    json_char(out, ']');
    free(lines);
}

/* All of it */

void status_write_json(const struct status *status, struct json_writer *out)
{
    char now[CLOCK_ISO_LEN];
    clock_iso(now);
    open(out, NULL, '{');
    text(out, "version", STR(PACKAGE_VERSION));
    text(out, "now", (struct str){now, CLOCK_ISO_LEN});
    seconds(out, "clock", clock_ms() * 1000);
    write_counts(out, &status->total);
    write_bounds(out);
    number(out, "connections", sums_connections(&status->workers));
    write_metrics(out, &metrics_of_server, "hayfork_", status->routes.totals.values);
    open(out, "workers", '[');
    for (size_t i = 0; i < status->workers.n; i++)
        write_worker(out, status, &status->workers.all[i]);
    json_char(out, ']');
    open(out, "lanes", '[');
    for (size_t i = 0; i < status->routes.totals.n_names; i++) {
        if (status->routes.totals.lanes[i].name != 0)
            write_lane(out, status, &status->routes.totals.lanes[i]);
    }
    json_char(out, ']');
    open(out, "upstreams", '[');
    for (size_t i = 0; i < status->routes.totals.n_names; i++) {
        if (status->routes.totals.upstreams[i].name != 0)
            write_upstream(out, status, &status->routes.totals.upstreams[i]);
    }
    json_char(out, ']');
    open(out, "routes", '[');
    for (size_t i = 0; i < status->n_shown; i++)
        write_route(out, status, &status->shown[i]);
    json_char(out, ']');
    write_lines(out, "errors", &status->from->shm->log.errors);
    write_lines(out, "warnings", &status->from->shm->log.warnings);
    json_char(out, '}');
}
