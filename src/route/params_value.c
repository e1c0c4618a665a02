/* params_value.c: is a text what its parameter may be? Its type, its choices, its bounds. */
#include "route/params_value.h"

#include <stdio.h>
#include <string.h>

#include "base/decimal.h"
#include "route/params_check.h"

/* Fails with `<parameter> <end>`, or `<parameter>: element <n> <end>`. */
static bool fail(const struct params_gathering *all, size_t i, size_t element, const char *end)
{
    const char *name = all->specs[i].name;
    return element == 0 ? params_fail(all, name, "%s %s", name, end)
                        : params_fail(all, name, "%s: element %zu %s", name, element, end);
}

static bool fail_of_type(const struct params_gathering *all, size_t i, size_t element, const char *end)
{
    const char *name = all->specs[i].name;
    return element == 0 ? params_fail_of_type(all, name, "%s %s", name, end)
                        : params_fail_of_type(all, name, "%s: element %zu %s", name, element, end);
}

static bool is_one_of(const struct params_spec *spec, struct str text)
{
    for (size_t i = 0; i < spec->n_one_of; i++) {
        if (str_equal(text, str_of(spec->one_of[i])))
            return true;
    }
    return false;
}

/* "must be a, b or c" */
static bool fail_choice(const struct params_gathering *all, size_t i, size_t element)
{
    const struct params_spec *spec = &all->specs[i];
    size_t size = sizeof("must be "), at;
    for (size_t choice = 0; choice < spec->n_one_of; choice++)
        size += strlen(spec->one_of[choice]) + sizeof(" or ");
    char *end = arena_alloc(all->arena, size);
    at = (size_t)sprintf(end, "must be ");
    for (size_t choice = 0; choice < spec->n_one_of; choice++) {
        const char *between = choice == 0 ? "" : choice + 1 < spec->n_one_of ? ", " : " or ";
        at += (size_t)sprintf(end + at, "%s%s", between, spec->one_of[choice]);
    }
    return fail(all, i, element, end);
}

static bool fail_bounds(const struct params_gathering *all, size_t i, size_t element)
{
    const struct params_spec *spec = &all->specs[i];
    const char *min = spec->min == NULL ? "" : spec->min, *max = spec->max == NULL ? "" : spec->max;
    size_t size = sizeof("must be a number between  and ") + strlen(min) + strlen(max);
    char *end = arena_alloc(all->arena, size);
    if (spec->min != NULL && spec->max != NULL)
        snprintf(end, size, "must be a number between %s and %s", min, max);
    else if (spec->min != NULL)
        snprintf(end, size, "must be a number, at least %s", min);
    else
        snprintf(end, size, "must be a number, at most %s", max);
    return fail(all, i, element, end);
}

/* What its type says, with the parameter's own bounds in the place of the type's. */
static const char *say_type(const struct params_gathering *all, size_t i, const char *error)
{
    static const char whole[] = "must be a whole number";
    const struct params_spec *spec = &all->specs[i];
    bool is_bounded = spec->min != NULL && spec->max != NULL;
    return is_bounded && strncmp(error, whole, strlen(whole)) == 0
               ? arena_printf(all->arena, "%s between %s and %s", whole, spec->min, spec->max)
               : error;
}

static bool is_within(const struct params_spec *spec, struct str text)
{
    int order;
    if (spec->min != NULL && (!decimal_compare(text, str_of(spec->min), &order) || order < 0))
        return false;
    return spec->max == NULL || (decimal_compare(text, str_of(spec->max), &order) && order <= 0);
}

bool params_value_is_checked(const struct params_gathering *all, size_t i, uint32_t type)
{
    const struct params_spec *spec = &all->specs[i];
    return spec->n_one_of > 0 || spec->min != NULL || spec->max != NULL || params_check_knows(type);
}

bool params_value_check(const struct params_gathering *all, size_t i, uint32_t type, struct str text,
                        size_t element)
{
    const struct params_spec *spec = &all->specs[i];
    const char *error = params_check(type, text);
    bool is_long = text.len > PARAMS_CHECKED_MAX;
    if (error != NULL)
        return fail_of_type(all, i, element, say_type(all, i, error));
    if (spec->n_one_of > 0 && (is_long || !is_one_of(spec, text)))
        return fail_choice(all, i, element);
    bool is_bounded = spec->min != NULL || spec->max != NULL;
    return !is_bounded || (!is_long && is_within(spec, text)) || fail_bounds(all, i, element);
}
