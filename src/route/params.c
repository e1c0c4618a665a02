/* params.c: from the bytes of a request to a statement's parameters. */
#include "route/params.h"

#include "pg/pgtypes.h"
#include "route/params_body.h"
#include "route/params_check.h"
#include "route/params_url.h"

/*
 * The commonest parameter by far, a few digits for an int4 or int8, needs neither decoding nor a look at
 * its bounds.
 */
static inline bool is_plain_number(struct str raw, uint32_t type)
{
    enum { MOST_DIGITS = 9 };
    if ((type != PGTYPES_INT4 && type != PGTYPES_INT8) || raw.len == 0 || raw.len > MOST_DIGITS)
        return false;
    for (size_t i = 0; i < raw.len; i++) {
        if (raw.base[i] < '0' || raw.base[i] > '9')
            return false;
    }
    return true;
}

/* The parameter i, from the path. */
static bool gather_capture(const struct params_gathering *all, size_t i, struct str raw)
{
    const char *name = all->specs[i].name;
    enum params_part part = all->specs[i].is_rest ? PARAMS_PART_REST : PARAMS_PART_PATH;
    const char *error = params_url_decode(all, raw, part, &all->values[i]);
    if (error != NULL)
        return params_fail(all, name, "%s %s", name, error);
    error = params_check(all->types[i].type, all->values[i]);
    return error == NULL || params_fail_of_type(all, name, "%s %s", name, error);
}

/* What the request has not given. */
static bool fill_in(const struct params_gathering *all)
{
    for (size_t i = 0; i < all->n; i++) {
        const struct params_spec *spec = &all->specs[i];
        const char *base = all->values[i].base;
        if (base != params_not_given && base != params_given_empty)
            continue;
        const char *from = spec->source == PARAMS_QUERY ? "URL" : "body";
        if (spec->required && base == params_given_empty) /* as a text it would be given */
            return params_fail_of_type(all, spec->name, "%s is missing from the %s", spec->name, from);
        if (spec->required)
            return params_fail(all, spec->name, "%s is missing from the %s", spec->name, from);
        all->values[i] = spec->default_text == NULL ? (struct str){NULL, 0} : str_of(spec->default_text);
    }
    return true;
}

/* What is left of all, once the body is read. */
static enum params_progress finish(const struct params_gathering *all, enum params_progress body)
{
    return body != PARAMS_DONE || fill_in(all) ? body : PARAMS_FAILED;
}

static enum params_progress begin_body(const struct params_gathering *all, size_t bytes,
                                       struct params_rest **rest)
{
    if (all->request->body.len <= bytes) {
        struct params_rest whole; /* not cleared: most of it is not needed for a small body */
        params_body_begin(&whole, all);
        return finish(all, params_body_go_on(&whole, SIZE_MAX));
    }
    *rest = params_resize(all, NULL, 0, sizeof(**rest));
    if (*rest == NULL)
        return PARAMS_FAILED;
    params_body_begin(*rest, all);
    return params_go_on(*rest, bytes);
}

enum params_progress params_gather(const struct params_gathering *all, size_t bytes,
                                   struct params_rest **rest)
{
    const struct params_spec *specs = all->specs;
    bool not_all_path = false, body = false;
    for (size_t i = 0; i < all->n; i++) {
        if (specs[i].source != PARAMS_PATH) {
            all->values[i] = (struct str){params_not_given, 0};
            not_all_path = true;
            body = body || specs[i].source != PARAMS_QUERY;
            continue;
        }
        all->values[i] = all->request->captures[specs[i].capture];
        if (!is_plain_number(all->values[i], all->types[i].type) && !gather_capture(all, i, all->values[i]))
            return PARAMS_FAILED;
    }
    if (all->request->query.len > 0 && !params_url_query(all))
        return PARAMS_FAILED;
    if (body)
        return begin_body(all, bytes, rest);
    return !not_all_path || fill_in(all) ? PARAMS_DONE : PARAMS_FAILED;
}

enum params_progress params_go_on(struct params_rest *rest, size_t bytes)
{
    return finish(rest->all, params_body_go_on(rest, bytes));
}
