/* exposition.c: the text that monitoring systems read. */
#include "metrics/exposition.h"

#include <stdlib.h>

#include "unit/tap.h"

static void is_text(struct exposition *exposition, const char *expected, const char *name)
{
    json_char(&exposition->text, '\0');
    is_str(exposition->text.base, expected, "%s", name);
    free(exposition->text.base);
}

/* One counter of two samples, in either format. */
static void write_counter(struct exposition *exposition)
{
    const struct exposition_label get = {"method", STR("GET")}, none = {"method", STR("")};
    exposition_family(exposition, "hayfork_requests", EXPOSITION_COUNTER, "Requests.");
    exposition_sample(exposition, &get, 1, 5);
    exposition_sample(exposition, &none, 1, 7);
    exposition_end(exposition);
}

static void test_counter(void)
{
    struct exposition older = {.is_open = false}, newer = {.is_open = true};
    write_counter(&older);
    is_text(&older,
            "# TYPE hayfork_requests_total counter\n"
            "# HELP hayfork_requests_total Requests.\n"
            "hayfork_requests_total{method=\"GET\"} 5\n"
            "hayfork_requests_total 7\n",
            "a counter for Prometheus; an empty label is none");
    write_counter(&newer);
    is_text(&newer,
            "# TYPE hayfork_requests counter\n"
            "# HELP hayfork_requests Requests.\n"
            "hayfork_requests_total{method=\"GET\"} 5\n"
            "hayfork_requests_total 7\n"
            "# EOF\n",
            "the same as OpenMetrics");
}

static void test_unit(void)
{
    struct exposition exposition = {.is_open = true};
    exposition_family(&exposition, "hayfork_age_seconds", EXPOSITION_GAUGE, "Age.");
    exposition_sample_us(&exposition, NULL, 0, 1500000);
    is_text(&exposition,
            "# TYPE hayfork_age_seconds gauge\n# UNIT hayfork_age_seconds seconds\n"
            "# HELP hayfork_age_seconds Age.\nhayfork_age_seconds 1.500000\n",
            "OpenMetrics has units");
}

static void test_escapes(void)
{
    struct exposition exposition = {.is_open = false};
    const struct exposition_label label = {"route", STR("/a\"b\\c\nd")};
    exposition_family(&exposition, "hayfork_build", EXPOSITION_INFO, "What.");
    exposition_sample(&exposition, &label, 1, 1);
    is_text(&exposition,
            "# TYPE hayfork_build_info gauge\n# HELP hayfork_build_info What.\n"
            "hayfork_build_info{route=\"/a\\\"b\\\\c\\nd\"} 1\n",
            "values are escaped");
}

static void test_histogram(void)
{
    struct exposition exposition = {.is_open = false};
    struct series_times times = {0};
    series_add_time(&times, 90);
    series_add_time(&times, 20000000);
    exposition.name = "hayfork_x_seconds";
    exposition.type = EXPOSITION_HISTOGRAM;
    exposition_histogram(&exposition, NULL, 0, &times);
    json_char(&exposition.text, '\0');
    ok(strstr(exposition.text.base, "hayfork_x_seconds_bucket{le=\"0.0001\"} 1\n") != NULL, "a bucket");
    ok(strstr(exposition.text.base, "hayfork_x_seconds_bucket{le=\"10.0\"} 1\n") != NULL,
       "has those below, too");
    ok(strstr(exposition.text.base, "hayfork_x_seconds_bucket{le=\"+Inf\"} 2\n") != NULL,
       "the last one has all");
    ok(strstr(exposition.text.base, "hayfork_x_seconds_sum 20.000090\n") != NULL, "their sum");
    ok(strstr(exposition.text.base, "hayfork_x_seconds_count 2\n") != NULL, "their count");
    free(exposition.text.base);
}

int main(void)
{
    test_counter();
    test_unit();
    test_escapes();
    test_histogram();
    return done_testing();
}
