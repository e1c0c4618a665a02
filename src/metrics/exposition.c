/* exposition.c: figures in Prometheus' text format 0.0.4, and in that of OpenMetrics 1.0. */
#include "metrics/exposition.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put(struct exposition *exposition, const char *text)
{
    json_raw(&exposition->text, text, strlen(text));
}

/* There are tens of thousands of them where there are many routes: printf takes most of the time. */
static void put_number(struct exposition *exposition, uint64_t number)
{
    char digits[20];
    size_t at = sizeof(digits);
    do
        digits[--at] = (char)('0' + number % 10);
    while ((number /= 10) > 0);
    json_raw(&exposition->text, digits + at, sizeof(digits) - at);
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

/* A sample up to its value. */
static void begin_sample(struct exposition *exposition, const struct exposition_label *labels, size_t n)
{
    bool any = false;
    put(exposition, exposition->name);
    put(exposition, ending_of(exposition->type));
    for (size_t i = 0; i < n; i++)
        put_label(exposition, &any, labels[i].name, labels[i].value);
    put(exposition, any ? "} " : " ");
}

void exposition_sample(struct exposition *exposition, const struct exposition_label *labels, size_t n,
                       uint64_t value)
{
    begin_sample(exposition, labels, n);
    put_number(exposition, value);
    put(exposition, "\n");
}

static void put_us(struct exposition *exposition, uint64_t us)
{
    char text[8];
    put_number(exposition, us / 1000000);
    snprintf(text, sizeof(text), ".%06u", (unsigned)(us % 1000000));
    put(exposition, text);
    put(exposition, "\n");
}

void exposition_sample_us(struct exposition *exposition, const struct exposition_label *labels, size_t n,
                          uint64_t us)
{
    begin_sample(exposition, labels, n);
    put_us(exposition, us);
}

/* The labels of a histogram's samples, without the brace at the end. They are written once: there are many
 * samples. */
static struct exposition labels_of(const struct exposition_label *labels, size_t n, char *memory, size_t size)
{
    struct exposition written = {.text = json_writer_on(memory, size)};
    bool any = false;
    for (size_t i = 0; i < n; i++)
        put_label(&written, &any, labels[i].name, labels[i].value);
    return written;
}

/* A sample of a histogram up to its value. */
static void begin_part(struct exposition *exposition, const char *ending, const struct json_writer *labels,
                       const char *le)
{
    put(exposition, exposition->name);
    put(exposition, ending);
    json_raw(&exposition->text, labels->base, labels->len);
    if (le != NULL) {
        put(exposition, labels->len > 0 ? ",le=\"" : "{le=\"");
        put(exposition, le);
        put(exposition, "\"} ");
    } else {
        put(exposition, labels->len > 0 ? "} " : " ");
    }
}

/* The count is the last bucket's, so that the two agree, whatever is counted meanwhile. */
void exposition_histogram(struct exposition *exposition, const struct exposition_label *labels, size_t n,
                          const struct series_times *times)
{
    char memory[512];
    uint64_t below = 0;
    struct exposition written = labels_of(labels, n, memory, sizeof(memory));
    for (size_t i = 0; i < SERIES_BUCKETS; i++) {
        below += atomic_load_explicit(&times->buckets[i], memory_order_relaxed);
        begin_part(exposition, "_bucket", &written.text, series_bounds_text[i]);
        put_number(exposition, below);
        put(exposition, "\n");
    }
    begin_part(exposition, "_sum", &written.text, NULL);
    put_us(exposition, atomic_load_explicit(&times->sum_us, memory_order_relaxed));
    begin_part(exposition, "_count", &written.text, NULL);
    put_number(exposition, below);
    put(exposition, "\n");
    if (written.text.owned)
        free(written.text.base);
}

void exposition_end(struct exposition *exposition)
{
    if (exposition->is_open)
        put(exposition, "# EOF\n");
}
