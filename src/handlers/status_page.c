/* status_page.c: the operators' page, with tables of what goes on for who runs no scripts. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "base/clock.h"
#include "conf/kind.h"
#include "handlers/page.h"
#include "handlers/status.h"

/* Texts: all but our own words are escaped */

static void put(struct json_writer *out, const char *html)
{
    json_raw(out, html, strlen(html));
}

static void put_text(struct json_writer *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        switch (text.base[i]) {
        case '<':
            put(out, "&lt;");
            break;
        case '>':
            put(out, "&gt;");
            break;
        case '&':
            put(out, "&amp;");
            break;
        case '"':
            put(out, "&quot;");
            break;
        default:
            json_char(out, text.base[i]);
        }
    }
}

__attribute__((format(printf, 2, 3))) static void put_format(struct json_writer *out, const char *format, ...)
{
    char text[128];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    put_text(out, str_of(text));
}

static void put_number(struct json_writer *out, uint64_t number)
{
    put_format(out, "%" PRIu64, number);
}

static void put_bytes(struct json_writer *out, uint64_t bytes)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB", "PB"};
    double size = (double)bytes;
    size_t i = 0;
    for (; size >= 1000 && i < 5; i++)
        size /= 1000;
    put_format(out, i == 0 ? "%.0f %s" : "%.1f %s", size, units[i]);
}

static void begin_cell(struct json_writer *out, const char *classes)
{
    put(out, "<td class=\"");
    put(out, classes);
    put(out, "\">");
}

static void number_cell(struct json_writer *out, const char *classes, uint64_t number)
{
    begin_cell(out, classes);
    put_number(out, number);
    put(out, "</td>");
}

static void text_cell(struct json_writer *out, const char *classes, struct str text)
{
    begin_cell(out, classes);
    put_text(out, text);
    put(out, "</td>");
}

/* A row that says that there is none. */
static void put_none(struct json_writer *out, const char *text)
{
    put(out, "<tr><td class=\"empty\" colspan=\"8\">");
    put(out, text);
    put(out, "</td></tr>");
}

/* Times */

/*
 * The time that so many of a hundred took at most: what lies between two bounds is taken as spread evenly.
 * Says nothing where there is none.
 */
static void put_percentile(struct json_writer *out, const uint64_t *buckets, unsigned percent)
{
    uint64_t sum = 0;
    size_t i = 0;
    for (size_t j = 0; j < SERIES_BUCKETS; j++)
        sum += buckets[j];
    if (sum == 0) {
        put(out, "–");
        return;
    }
    double wanted = (double)sum * percent / 100;
    for (; i + 1 < SERIES_BUCKETS && (buckets[i] == 0 || wanted > (double)buckets[i]); i++)
        wanted -= (double)buckets[i];
    double low = i == 0 ? 0 : series_bounds_us[i - 1];
    double high = i + 1 < SERIES_BUCKETS ? series_bounds_us[i] : low;
    double us = buckets[i] == 0 ? low : low + (high - low) * wanted / (double)buckets[i];
    if (us < 1000)
        put_format(out, "%.0f µs", us);
    else if (us < 1000000)
        put_format(out, us < 100000 ? "%.1f ms" : "%.0f ms", us / 1000);
    else
        put_format(out, "%.2f s", us / 1000000);
}

static void percentile_cell(struct json_writer *out, const char *classes, const uint64_t *buckets,
                            unsigned percent)
{
    begin_cell(out, classes);
    put_percentile(out, buckets, percent);
    put(out, "</td>");
}

static void put_age(struct json_writer *out, uint64_t s)
{
    if (s >= 86400)
        put_format(out, "%" PRIu64 " d %" PRIu64 " h", s / 86400, s % 86400 / 3600);
    else if (s >= 3600)
        put_format(out, "%" PRIu64 " h %" PRIu64 " min", s / 3600, s % 3600 / 60);
    else
        put_format(out, "%" PRIu64 " min %" PRIu64 " s", s / 60, s % 60);
}

/* Tables */

static void write_route(struct json_writer *out, const struct status_route *route)
{
    const struct series *series = route->counted.series;
    struct status_counts counts = status_counts_of(series);
    uint64_t database[SERIES_BUCKETS] = {0};
    for (size_t i = 0; series != NULL && i < SERIES_BUCKETS; i++)
        database[i] = series->database.buckets[i];
    put(out, "<tr><td><div class=\"route\"><span class=\"method\">");
    put_text(out, route->conf != NULL ? str_of(route->conf->method) : route->counted.method);
    put(out, "</span> ");
    put_text(out, route->conf != NULL ? str_of(route->conf->path) : route->counted.path);
    put(out, "</div></td><td class=\"n\">–</td>");
    number_cell(out, "n wide", counts.requests);
    number_cell(out, "n", counts.client_errors + counts.server_errors);
    percentile_cell(out, "n wide", counts.buckets, 50);
    percentile_cell(out, "n", counts.buckets, 99);
    percentile_cell(out, "n wide", database, 99);
    begin_cell(out, "n wide");
    put_bytes(out, series == NULL ? 0 : series->sent);
    put(out, "</td></tr>");
}

static void write_routes(const struct status *status, struct json_writer *out)
{
    for (size_t i = 0; i < status->n_shown; i++)
        write_route(out, &status->shown[i]);
    if (status->n_shown == 0)
        put_none(out, "The conf has no route.");
}

/* The sum of what a table's rows of that family have. */
static uint64_t sum_of(const struct metric_table *table, const char *family, const _Atomic uint64_t *values)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < table->n; i++)
        sum += strcmp(table->rows[i].family, family) == 0 ? values[i] : 0;
    return sum;
}

/* The labels of a family whose values are not 0. */
static void label_cell(struct json_writer *out, const struct metric_table *table, const char *family,
                       const _Atomic uint64_t *values)
{
    bool any = false;
    begin_cell(out, "");
    for (size_t i = 0; i < table->n; i++) {
        if (strcmp(table->rows[i].family, family) != 0 || values[i] == 0)
            continue;
        put(out, any ? ", " : "");
        put_text(out, str_of(table->rows[i].value));
        any = true;
    }
    put(out, any ? "</td>" : "–</td>");
}

static void write_lanes(const struct status *status, struct json_writer *out)
{
    const struct metric_table *table = &metrics_of_lane;
    for (size_t i = 0; i < status->routes.totals.n_names; i++) {
        const struct shm_lane *lane = &status->routes.totals.lanes[i];
        if (lane->name == 0)
            continue;
        put(out, "<tr>");
        text_cell(out, "", str_of(shm_name_text(status->from->shm, lane->name)));
        label_cell(out, table, "hayfork_database_state", lane->values);
        number_cell(out, "n", lane->values[METRIC_LANE_OPEN]);
        number_cell(out, "n", lane->values[METRIC_LANE_IN_FLIGHT]);
        number_cell(out, "n", lane->values[METRIC_LANE_WAITING]);
        number_cell(out, "n", lane->values[METRIC_LANE_QUERIES]);
        number_cell(out, "n", sum_of(table, "hayfork_database_failures", lane->values));
        put(out, "</tr>");
    }
}

static void write_workers(const struct status *status, struct json_writer *out)
{
    for (size_t i = 0; i < status->workers.n; i++) {
        const struct sums_worker *worker = &status->workers.all[i];
        const struct shm_slot *slot = worker->slot;
        const char *route = status_route_in_hand(status, slot);
        put(out, "<tr>");
        number_cell(out, "", worker->index);
        text_cell(out, "", str_of(sums_state_name((enum shm_worker_state)slot->state)));
        number_cell(out, "n", (uint64_t)slot->pid);
        number_cell(out, "n", worker->generation);
        begin_cell(out, "n");
        put_age(out, status_age_ms(slot) / 1000);
        put(out, "</td>");
        number_cell(out, "n", slot->values[METRIC_REQUESTS_IN_FLIGHT]);
        begin_cell(out, "n");
        put_bytes(out, slot->proportional);
        put(out, "</td><td class=\"n\">");
        put_format(out, "%.1f s", (double)slot->cpu_us / 1e6);
        put(out, "</td>");
        text_cell(out, "route", route == NULL ? STR("–") : str_of(route));
        put(out, "</tr>");
    }
}

static bool has_upstreams(const struct status *status)
{
    for (size_t i = 0; i < status->routes.totals.n_names; i++) {
        if (status->routes.totals.upstreams[i].name != 0)
            return true;
    }
    return false;
}

static void write_upstreams(const struct status *status, struct json_writer *out)
{
    for (size_t i = 0; i < status->routes.totals.n_names; i++) {
        const struct shm_upstream *upstream = &status->routes.totals.upstreams[i];
        struct status_upstream_name name = status_upstream_name(status, upstream);
        if (upstream->name == 0 || name.server.base == NULL)
            continue;
        put(out, "<tr>");
        text_cell(out, "", name.upstream);
        text_cell(out, "", name.server);
        number_cell(out, "n", upstream->values[METRIC_UPSTREAM_CONNECTIONS]);
        number_cell(out, "n", upstream->values[METRIC_UPSTREAM_IN_FLIGHT]);
        number_cell(out, "n", upstream->values[METRIC_UPSTREAM_REQUESTS]);
        number_cell(out, "n", upstream->values[METRIC_UPSTREAM_REUSED]);
        number_cell(out, "n", sum_of(&metrics_of_upstream, "hayfork_upstream_failures", upstream->values));
        put(out, "</tr>");
    }
}

static void write_line(struct json_writer *out, const char *level, const struct log_ring_line *line)
{
    put(out, "<tr>");
    text_cell(out, "", str_of(line->time));
    text_cell(out, "", str_of(level));
    text_cell(out, "wide", str_of(line->process));
    text_cell(out, "", str_of(line->text));
    put(out, "</tr>");
}

static void write_log(const struct status *status, struct json_writer *out)
{
    struct log_ring_line errors[LOG_RING_LINES], warnings[LOG_RING_LINES];
    size_t n_errors = log_ring_read(&status->from->shm->log.errors, errors),
           n_warnings = log_ring_read(&status->from->shm->log.warnings, warnings), i = 0, j = 0;
    while (i < n_errors || j < n_warnings) {
        bool is_error = j == n_warnings || (i < n_errors && strcmp(errors[i].time, warnings[j].time) >= 0);
        write_line(out, is_error ? "error" : "warning", is_error ? &errors[i++] : &warnings[j++]);
    }
    if (n_errors + n_warnings == 0)
        put_none(out, "There were none.");
}

/* Single figures */

static void write_version(const struct status *status, struct json_writer *out)
{
    (void)status;
    put_text(out, STR(PACKAGE_VERSION));
}

static void write_now(const struct status *status, struct json_writer *out)
{
    char now[CLOCK_ISO_LEN];
    (void)status;
    clock_iso(now);
    put_text(out, (struct str){now, CLOCK_ISO_LEN});
}

static void write_facts(const struct status *status, struct json_writer *out)
{
    put_format(out, "%zu workers", status->workers.n);
}

static void write_requests(const struct status *status, struct json_writer *out)
{
    put_number(out, status->total.requests);
}

static void write_server_errors(const struct status *status, struct json_writer *out)
{
    put_number(out, status->total.server_errors);
}

static void write_client_errors(const struct status *status, struct json_writer *out)
{
    put_number(out, status->total.client_errors);
}

static void write_in_flight(const struct status *status, struct json_writer *out)
{
    put_number(out, status->routes.totals.values[METRIC_REQUESTS_IN_FLIGHT]);
}

static void write_connections(const struct status *status, struct json_writer *out)
{
    put_number(out, sums_connections(&status->workers));
}

static void write_p50(const struct status *status, struct json_writer *out)
{
    put_percentile(out, status->total.buckets, 50);
}

static void write_p90(const struct status *status, struct json_writer *out)
{
    put_percentile(out, status->total.buckets, 90);
}

static void write_p99(const struct status *status, struct json_writer *out)
{
    put_percentile(out, status->total.buckets, 99);
}

static void hide_upstreams(const struct status *status, struct json_writer *out)
{
    put(out, has_upstreams(status) ? "" : " hidden");
}

/* The page */

static const struct place {
    const char *name;
    void (*write)(const struct status *status, struct json_writer *out);
} places[] = {
    {"version", write_version},
    {"now", write_now},
    {"facts", write_facts},
    {"requests", write_requests},
    {"p50", write_p50},
    {"p90", write_p90},
    {"p99", write_p99},
    {"server-errors", write_server_errors},
    {"client-errors", write_client_errors},
    {"in-flight", write_in_flight},
    {"connections", write_connections},
    {"routes", write_routes},
    {"lanes", write_lanes},
    {"workers", write_workers},
    {"upstreams-hidden", hide_upstreams},
    {"upstreams", write_upstreams},
    {"log", write_log},
};

static void write_place(const struct status *status, struct json_writer *out, struct str name)
{
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        if (str_equal(name, str_of(places[i].name)))
            places[i].write(status, out);
    }
}

/* A place of the page is <!--{name}-->. */
void status_write_page(const struct status *status, struct json_writer *out)
{
    const char *rest = page_html.text, *place, *end;
    while ((place = strstr(rest, "<!--{")) != NULL && (end = strstr(place, "}-->")) != NULL) {
        json_raw(out, rest, (size_t)(place - rest));
        write_place(status, out, (struct str){place + 5, (size_t)(end - place) - 5});
        rest = end + 4;
    }
    put(out, rest);
}
