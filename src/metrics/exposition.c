/* exposition.c: figures in Prometheus' text format 0.0.4, and in that of OpenMetrics 1.0. */
#include "metrics/exposition.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static void put(struct exposition *exposition, const char *text)
{
    json_raw(&exposition->text, text, strlen(text));
}

static void put_number(struct exposition *exposition, uint64_t number)
{
    char digits[24];
    snprintf(digits, sizeof(digits), "%" PRIu64, number);
    put(exposition, digits);
}

struct str exposition_content_type(const struct exposition *exposition)
{
    return exposition->is_open ? STR("application/openmetrics-text; version=1.0.0; charset=utf-8")
                               : STR("text/plain; version=0.0.4; charset=utf-8");
}

/* What a sample's name has more than OpenMetrics' family. In the other format the family has it, too. */
static const char *ending_of(enum exposition_type type)
{
    return type == EXPOSITION_COUNTER ? "_total" : type == EXPOSITION_INFO ? "_info" : "";
}

static const char *unit_of(const char *name)
{
    const char *last = strrchr(name, '_');
    return last != NULL && (strcmp(last, "_seconds") == 0 || strcmp(last, "_bytes") == 0) ? last + 1 : NULL;
}

static void describe(struct exposition *exposition, const char *what, const char *text)
{
    put(exposition, "# ");
    put(exposition, what);
    put(exposition, " ");
    put(exposition, exposition->name);
    if (!exposition->is_open)
        put(exposition, ending_of(exposition->type));
    put(exposition, " ");
    put(exposition, text);
    put(exposition, "\n");
}

void exposition_family(struct exposition *exposition, const char *name, enum exposition_type type,
                       const char *help)
{
    static const char *const types[] = {"counter", "gauge", "histogram", "info"};
    exposition->name = name;
    exposition->type = type;
    describe(exposition, "TYPE", type == EXPOSITION_INFO && !exposition->is_open ? "gauge" : types[type]);
    if (exposition->is_open && unit_of(name) != NULL)
        describe(exposition, "UNIT", unit_of(name));
    describe(exposition, "HELP", help);
}

/* A backslash, a quote and a line's end are escaped; nothing else is. */
static void put_escaped(struct exposition *exposition, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.base[i];
        if (c == '\\' || c == '"' || c == '\n')
            json_char(&exposition->text, '\\');
        json_char(&exposition->text, c == '\n' ? 'n' : c);
    }
}

static void put_label(struct exposition *exposition, bool *any, const char *name, struct str value)
{
    if (value.len == 0)
        return;
    put(exposition, *any ? "," : "{");
    put(exposition, name);
    put(exposition, "=\"");
    put_escaped(exposition, value);
    put(exposition, "\"");
    *any = true;
}

/* A sample up to its value. le is a histogram's bound, or NULL. */
static void begin_sample(struct exposition *exposition, const char *ending,
                         const struct exposition_label *labels, size_t n, const char *le)
{
    bool any = false;
    put(exposition, exposition->name);
    put(exposition, ending);
    for (size_t i = 0; i < n; i++)
        put_label(exposition, &any, labels[i].name, labels[i].value);
    if (le != NULL)
        put_label(exposition, &any, "le", str_of(le));
    put(exposition, any ? "} " : " ");
}

void exposition_sample(struct exposition *exposition, const struct exposition_label *labels, size_t n,
                       uint64_t value)
{
    begin_sample(exposition, ending_of(exposition->type), labels, n, NULL);
    put_number(exposition, value);
    put(exposition, "\n");
}

static void put_us(struct exposition *exposition, uint64_t us)
{
    char text[32];
    snprintf(text, sizeof(text), "%" PRIu64 ".%06" PRIu64 "\n", us / 1000000, us % 1000000);
    put(exposition, text);
}

void exposition_sample_us(struct exposition *exposition, const struct exposition_label *labels, size_t n,
                          uint64_t us)
{
    begin_sample(exposition, ending_of(exposition->type), labels, n, NULL);
    put_us(exposition, us);
}

/* The count is the last bucket's, so that the two agree, whatever is counted meanwhile. */
void exposition_histogram(struct exposition *exposition, const struct exposition_label *labels, size_t n,
                          const struct series_times *times)
{
    uint64_t below = 0;
    for (size_t i = 0; i < SERIES_BUCKETS; i++) {
        below += atomic_load_explicit(&times->buckets[i], memory_order_relaxed);
        begin_sample(exposition, "_bucket", labels, n, series_bounds_text[i]);
        put_number(exposition, below);
        put(exposition, "\n");
    }
    begin_sample(exposition, "_sum", labels, n, NULL);
    put_us(exposition, atomic_load_explicit(&times->sum_us, memory_order_relaxed));
    begin_sample(exposition, "_count", labels, n, NULL);
    put_number(exposition, below);
    put(exposition, "\n");
}

void exposition_end(struct exposition *exposition)
{
    if (exposition->is_open)
        put(exposition, "# EOF\n");
}
