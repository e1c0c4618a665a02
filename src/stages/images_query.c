/* images_query.c: what the query of a request says about a picture, within what its route allows. */
#include "stages/images_query.h"

#include <string.h>

#include "base/decimal.h"
#include "base/percent.h"
#include "conf/images.h"
#include "conf/kind.h"

/* The part of the query up to the next '&'. */
static struct str next_pair(struct str *query)
{
    const char *end = memchr(query->base, '&', query->len);
    struct str pair = {query->base, end == NULL ? query->len : (size_t)(end - query->base)};
    size_t skipped = pair.len + (end != NULL);
    query->base += skipped;
    query->len -= skipped;
    return pair;
}

/* Returns a text with base NULL where it is malformed. */
static struct str decode(struct str raw, const struct arena *arena)
{
    char *text = arena_alloc(arena, raw.len + 1);
    size_t n = 0;
    for (size_t at = 0; at < raw.len;) {
        bool is_blank = raw.base[at] == '+';
        int c = percent_next(raw, &at);
        if (c <= 0)
            return (struct str){NULL, 0};
        text[n++] = is_blank ? ' ' : (char)c;
    }
    text[n] = '\0';
    return (struct str){text, n};
}

struct reading {
    const struct conf_route *route;
    const struct arena *arena;
    struct images_wish *wish;
    const struct conf_preset *preset; /* that was named, or NULL */
    uint32_t seen;                    /* which parameters the client has said, as bits of their indexes */
    char *rest;                       /* of the query: what is not about the picture */
    size_t rest_len;
    struct problem *problem;
};

/* "w must be a whole number" */
static bool fail(struct reading *reading, const char *name, const char *what)
{
    reading->problem->parameter = name;
    reading->problem->detail = arena_printf(reading->arena, "%s %s.", name, what);
    return false;
}

static const struct params_spec *find_spec(const struct conf_route *route, struct str name)
{
    for (size_t i = 0; i < route->n_declared; i++) {
        const struct params_spec *spec = &route->declared[i].spec;
        if (spec->source == PARAMS_QUERY && str_equal(name, str_of(spec->name)))
            return spec;
    }
    return NULL;
}

static bool is_among(const struct params_spec *spec, struct str value)
{
    for (size_t i = 0; i < spec->n_one_of; i++) {
        if (str_equal(value, str_of(spec->one_of[i])))
            return true;
    }
    return spec->n_one_of == 0;
}

/* Within the bounds that the route has for it? */
static bool check_bounds(struct reading *reading, const struct params_spec *spec, struct str value)
{
    int order = 0;
    if (!is_among(spec, value))
        return fail(reading, spec->name, "is none of those that are allowed");
    if (spec->min != NULL && (!decimal_compare(value, str_of(spec->min), &order) || order < 0))
        return fail(reading, spec->name, arena_printf(reading->arena, "must be %s at least", spec->min));
    if (spec->max != NULL && (!decimal_compare(value, str_of(spec->max), &order) || order > 0))
        return fail(reading, spec->name, arena_printf(reading->arena, "must be %s at most", spec->max));
    return true;
}

static void keep_pair(struct reading *reading, struct str pair)
{
    if (reading->rest_len > 0)
        reading->rest[reading->rest_len++] = '&';
    memcpy(reading->rest + reading->rest_len, pair.base, pair.len);
    reading->rest_len += pair.len;
}

static bool read_preset(struct reading *reading, struct str value)
{
    const struct conf_route *route = reading->route;
    if (reading->preset != NULL)
        return fail(reading, IMAGES_PRESET, "is there more than once");
    for (size_t i = 0; i < route->n_presets; i++) {
        if (str_equal(value, str_of(route->presets[i].name)))
            reading->preset = &route->presets[i];
    }
    return reading->preset != NULL || fail(reading, IMAGES_PRESET, "is none of those that there are");
}

static bool read_param(struct reading *reading, int index, struct str name, struct str value)
{
    const struct params_spec *spec = find_spec(reading->route, name);
    if (spec == NULL && conf_images_are_bounded(reading->route))
        return reading->route->ignore_unknown_query || fail(reading, name.base, "is not a parameter of this");
    if ((reading->seen >> index & 1) != 0)
        return fail(reading, name.base, "is there more than once");
    reading->seen |= UINT32_C(1) << index;
    const char *problem = images_params_set(reading->wish, name, value);
    if (problem != NULL)
        return fail(reading, name.base, problem);
    return spec == NULL || check_bounds(reading, spec, value);
}

static bool read_pair(struct reading *reading, struct str pair)
{
    const struct conf_route *route = reading->route;
    const char *equals = pair.len == 0 ? NULL : memchr(pair.base, '=', pair.len);
    size_t name_len = equals == NULL ? pair.len : (size_t)(equals - pair.base);
    struct str name = decode((struct str){pair.base, name_len}, reading->arena), value = STR("");
    int index = name.base == NULL ? -1 : images_params_find(name);
    bool is_preset = name.base != NULL && route->n_presets > 0 && str_equal(name, str_of(IMAGES_PRESET));
    if (pair.len == 0)
        return true;
    if (index < 0 && !is_preset) {
        if (route->kind->asks_database)
            keep_pair(reading, pair);
        else if (!route->ignore_unknown_query)
            return fail(reading, name.base == NULL ? "?" : name.base, "is not a parameter of this");
        return true;
    }
    if (equals != NULL)
        value = decode((struct str){equals + 1, pair.len - name_len - 1}, reading->arena);
    if (value.base == NULL)
        return fail(reading, name.base, "has a '%' without two hexadecimal digits after it");
    return is_preset ? read_preset(reading, value) : read_param(reading, index, name, value);
}

/* A value of the conf, for what the client did not say. It was looked at when the conf was read. */
static void set_default(struct reading *reading, const char *name, const char *value)
{
    int index = images_params_find(str_of(name));
    if (index < 0 || value == NULL || (reading->seen >> index & 1) != 0)
        return;
    images_params_set(reading->wish, str_of(name), str_of(value));
    reading->seen |= UINT32_C(1) << index;
}

/* First what the preset says, then the route. */
static bool read_defaults(struct reading *reading)
{
    const struct conf_route *route = reading->route;
    for (size_t i = 0; reading->preset != NULL && i < reading->preset->n; i++)
        set_default(reading, reading->preset->params[i].name, reading->preset->params[i].value);
    for (size_t i = 0; i < route->n_declared; i++) {
        const struct params_spec *spec = &route->declared[i].spec;
        int index = spec->source == PARAMS_QUERY ? images_params_find(str_of(spec->name)) : -1;
        if (index >= 0 && spec->required && (reading->seen >> index & 1) == 0)
            return fail(reading, spec->name, "is missing");
        if (index >= 0)
            set_default(reading, spec->name, spec->default_text);
    }
    return true;
}

bool images_query_read(const struct conf_route *route, struct request *request, struct images_wish *wish,
                       struct problem *problem)
{
    struct str query = request->query;
    struct reading reading = {
        .route = route, .arena = &request->sink->arena, .wish = wish, .problem = problem};
    reading.rest = arena_alloc(reading.arena, query.len + 1);
    while (query.len > 0) {
        if (!read_pair(&reading, next_pair(&query)))
            return false;
    }
    request->query = (struct str){reading.rest_len == 0 ? NULL : reading.rest, reading.rest_len};
    if (route->n_presets > 0 && reading.preset == NULL && !conf_images_have_query(route))
        return fail(&reading, IMAGES_PRESET, "is missing");
    return read_defaults(&reading);
}
