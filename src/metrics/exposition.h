/*
 * exposition.h: figures as monitoring systems read them: Prometheus' text format 0.0.4, and OpenMetrics 1.0.
 */
#ifndef HAYFORK_METRICS_EXPOSITION_H
#define HAYFORK_METRICS_EXPOSITION_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json.h"
#include "base/str.h"
#include "metrics/series.h"

enum exposition_type { EXPOSITION_COUNTER, EXPOSITION_GAUGE, EXPOSITION_HISTOGRAM, EXPOSITION_INFO };

/* What is being written. text may be freed when `owned` is set, as any writer's. */
struct exposition {
    struct json_writer text;
    bool is_open;     /* OpenMetrics */
    const char *name; /* of the present family */
    enum exposition_type type;
};

/* The Content-Type that goes with it. */
struct str exposition_content_type(const struct exposition *exposition);

/*
 * Begins a family. The name is without the ending that counters and infos have in their samples, and ends in
 * its unit, where it has one of seconds or bytes. help is one line.
 */
void exposition_family(struct exposition *exposition, const char *name, enum exposition_type type,
                       const char *help);

/* A label of a sample; one whose value is empty is left out. */
struct exposition_label {
    const char *name;
    struct str value;
};

/* A sample of the family, of a counter, a gauge or an info. */
void exposition_sample(struct exposition *exposition, const struct exposition_label *labels, size_t n,
                       uint64_t value);

/* The same, where the value is millionths. */
void exposition_sample_us(struct exposition *exposition, const struct exposition_label *labels, size_t n,
                          uint64_t us);

/* All samples of a histogram. */
void exposition_histogram(struct exposition *exposition, const struct exposition_label *labels, size_t n,
                          const struct series_times *times);

/* Ends the text. */
void exposition_end(struct exposition *exposition);

#endif
