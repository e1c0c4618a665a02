/* params.c: from the bytes of a request to a statement's parameters. */
#include "route/params.h"

#include "pg/pgtypes.h"
#include "route/params_body.h"
#include "route/params_check.h"
#include "route/params_url.h"

/*
 * The commonest parameter by far, a few digits for an int4 or int8, needs neither decoding nor a look at
 * its bounds. Returns a copy, or NULL if raw is anything else.
 */
static inline char *copy_digits(struct str raw, uint32_t type, const struct arena *arena)
{
    enum { MOST_DIGITS = 9 };
    if ((type != PGTYPES_INT4 && type != PGTYPES_INT8) || raw.len == 0 || raw.len > MOST_DIGITS)
        return NULL;
    for (size_t i = 0; i < raw.len; i++) {
        if (raw.base[i] < '0' || raw.base[i] > '9')
            return NULL;
    }
    char *out = arena_alloc(arena, MOST_DIGITS + 1);
    for (size_t i = 0; i < raw.len; i++)
        out[i] = raw.base[i];
    out[raw.len] = '\0';
    return out;
}

/* The parameter i, from the path. */
static bool gather_capture(const struct params_gathering *all, size_t i, struct str raw)
{
    const char *name = all->specs[i].name;
    enum params_part part = all->specs[i].is_rest ? PARAMS_PART_REST : PARAMS_PART_PATH;
    struct str text;
    const char *error = params_url_decode(all, raw, part, &text);
    if (error != NULL)
        return params_fail(all, name, "%s %s", name, error);
    error = params_check(all->types[i].type, text);
    all->values[i] = text.base;
    return error == NULL || params_fail_of_type(all, name, "%s %s", name, error);
}

/* What the request has not given. */
static bool fill_in(const struct params_gathering *all)
{
    for (size_t i = 0; i < all->n; i++) {
        const struct params_spec *spec = &all->specs[i];
        if (all->values[i] != params_not_given && all->values[i] != params_given_empty)
            continue;
        const char *from = spec->source == PARAMS_QUERY ? "URL" : "body";
        if (spec->required && all->values[i] == params_given_empty) /* as a text it would be given */
            return params_fail_of_type(all, spec->name, "%s is missing from the %s", spec->name, from);
        if (spec->required)
            return params_fail(all, spec->name, "%s is missing from the %s", spec->name, from);
        all->values[i] = spec->default_text;
    }
    return true;
}

bool params_gather(const struct params_spec *specs, const struct pgtypes_parameter *types, size_t n,
                   const struct params_request *request, const struct arena *arena, const char **values,
                   struct params_problem *problem)
{
    const struct params_gathering all = {specs, types, n, request, arena, values, problem};
    bool not_all_path = false, body = false;
    for (size_t i = 0; i < n; i++) {
        if (specs[i].source != PARAMS_PATH) {
            values[i] = params_not_given;
            not_all_path = true;
            body = body || specs[i].source != PARAMS_QUERY;
            continue;
        }
        struct str raw = request->captures[specs[i].capture];
        values[i] = copy_digits(raw, types[i].type, arena);
        if (values[i] == NULL && !gather_capture(&all, i, raw))
            return false;
    }
    if (request->query.len > 0 && !params_url_query(&all))
        return false;
    if (body && !params_body_read(&all))
        return false;
    return !not_all_path || fill_in(&all);
}
