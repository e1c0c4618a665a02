/* sql_values.c: the values of a statement's parameters, out of a request, at once or in steps. */
#include "handlers/sql_values.h"

#include <string.h>

#include "base/clock.h"
#include "handlers/headers.h"

enum { LONG_BODY = 4096 /* bytes: the values of a longer one are read in steps */ };

/* Values that are read in steps. */
struct sql_values_steps {
    struct slice slice;
    struct sql_values *values;
    struct params_gathering all;
    struct params_request request;
    struct params_problem problem;
    struct params_rest *rest;        /* NULL: it has not begun */
    struct pgtypes_parameter *types; /* that they are for */
    bool is_certain;
    uint64_t until; /* clock_ms */
};

void sql_values_init(struct sql_values *values, const struct sql_route *route, const struct request *request,
                     const struct sql_values_ops *ops)
{
    values->ops = ops;
    values->route = route;
    values->arena = &request->sink->arena;
    memcpy(values->captures, request->captures, request->n_captures * sizeof(values->captures[0]));
    values->query = request->query;
    values->body = (struct body_whole){0};
    values->texts = NULL;
    values->steps = NULL;
}

void sql_values_collect_body(struct sql_values *values, struct body *body,
                             void (*done)(struct body_whole *body, bool complete))
{
    values->body.arena = values->arena;
    values->body.done = done;
    body_collect(&values->body, body);
}

bool sql_values_are_long(const struct sql_values *values)
{
    return values->body.len > LONG_BODY;
}

bool sql_values_find(const struct sql_values *values, const char *name, struct str *value)
{
    const struct sql_statement *statement = &values->route->conf->statement;
    for (size_t i = 0; values->texts != NULL && i < statement->n_params; i++) {
        if (strcmp(statement->names[i], name) == 0 && values->texts[i].base != NULL) {
            *value = values->texts[i];
            return true;
        }
    }
    return false;
}

/* For headers_find_refused: a parameter that no column of the result stands before. */
static bool find_before_result(void *arg, const char *name, struct str *value)
{
    const struct sql_values *values = arg;
    return sql_values_find(values, name, value) && !db_statement_has_column(values->route->statement, name);
}

/* What params.h is asked. */
static struct params_gathering gathering_of(const struct sql_values *values,
                                            const struct pgtypes_parameter *types,
                                            struct params_request *request, struct params_problem *problem)
{
    const struct conf_route *conf = values->route->conf;
    size_t n = conf->statement.n_params;
    *request = (struct params_request){
        .captures = values->captures,
        .query = values->query,
        .body = {values->body.bytes, values->body.len},
        .keeper = values->body.len > BODY_SMALL ? values->body.body : NULL,
        .ignore_unknown_query = conf->ignore_unknown_query,
        .body_fields = conf->body_fields,
        .n_body_fields = conf->n_body_fields,
    };
    return (struct params_gathering){
        .specs = conf->params,
        .types = types,
        .n = n,
        .request = request,
        .arena = values->arena,
        .values = arena_alloc(values->arena, (n + 1) * sizeof(struct str)),
        .problem = problem,
    };
}

/* They are read: may they go into the answer's headers? False, with the problem filled in, if not. */
static bool take(struct sql_values *values, const struct params_gathering *all)
{
    const struct sql_route *route = values->route;
    values->texts = all->values;
    const char *name =
        route->n_names == 0
            ? NULL
            : headers_find_refused(route->conf->headers, route->conf->n_headers, find_before_result, values);
    if (name != NULL)
        *all->problem = (struct params_problem){.parameter = name,
                                                .detail = arena_printf(all->arena, HEADERS_REFUSED, name)};
    return name == NULL;
}

bool sql_values_read(struct sql_values *values, const struct pgtypes_parameter *types,
                     struct params_problem *problem)
{
    struct params_request request;
    struct params_rest *rest;
    struct params_gathering all = gathering_of(values, types, &request, problem);
    values->texts = NULL;
    return params_gather(&all, SIZE_MAX, &rest) == PARAMS_DONE && take(values, &all);
}

static void on_step(struct slice *slice)
{
    struct sql_values_steps *steps = H2O_STRUCT_FROM_MEMBER(struct sql_values_steps, slice, slice);
    struct sql_values *values = steps->values;
    if (clock_ms() > steps->until) {
        values->ops->end(values, SQL_VALUES_LATE, NULL);
        return;
    }
    enum params_progress progress = steps->rest == NULL
                                        ? params_gather(&steps->all, SLICES_STEP, &steps->rest)
                                        : params_go_on(steps->rest, SLICES_STEP);
    if (progress == PARAMS_MORE)
        slices_add(values->route->slices, slice);
    else if (progress == PARAMS_DONE && take(values, &steps->all))
        values->ops->end(values, SQL_VALUES_READ, NULL);
    else
        values->ops->end(values, SQL_VALUES_WRONG, &steps->problem);
}

static struct sql_values_steps *steps_new(struct sql_values *values)
{
    const struct conf_route *conf = values->route->conf;
    struct sql_values_steps *steps = arena_alloc(values->arena, sizeof(*steps));
    steps->slice = (struct slice){.step = on_step};
    steps->values = values;
    steps->types = arena_alloc(values->arena, (conf->statement.n_params + 1) * sizeof(*steps->types));
    steps->until = clock_ms() + conf->deadline;
    return steps;
}

void sql_values_read_in_steps(struct sql_values *values, const struct pgtypes_parameter *types,
                              bool is_certain)
{
    if (values->steps == NULL)
        values->steps = steps_new(values);
    struct sql_values_steps *steps = values->steps;
    for (size_t i = 0; i < values->route->conf->statement.n_params; i++)
        steps->types[i] = types[i];
    steps->all = gathering_of(values, steps->types, &steps->request, &steps->problem);
    steps->problem = (struct params_problem){0};
    steps->rest = NULL;
    steps->is_certain = is_certain;
    values->texts = NULL;
    slices_add(values->route->slices, &steps->slice);
}

bool sql_values_are_for(const struct sql_values *values, const struct pgtypes_parameter *types)
{
    for (size_t i = 0; i < values->route->conf->statement.n_params; i++) {
        const struct pgtypes_parameter *had = &values->steps->types[i];
        if (had->type != types[i].type || had->element != types[i].element ||
            had->delimiter != types[i].delimiter)
            return false;
    }
    return true;
}

bool sql_values_are_certain(const struct sql_values *values)
{
    return values->steps->is_certain;
}

void sql_values_forget(struct sql_values *values)
{
    values->texts = NULL;
}

struct store *sql_values_store(const struct sql_values *values)
{
    return values->body.body == NULL ? NULL : values->body.body->store;
}

void sql_values_release(struct sql_values *values)
{
    if (values->route->n_names > 0 || sql_values_store(values) == NULL)
        return;
    values->texts = NULL;
    body_release(values->body.body);
}

void sql_values_end(struct sql_values *values)
{
    if (values->steps != NULL)
        slices_remove(&values->steps->slice);
}

bool sql_values_are_clients(const struct sql_values *values, size_t i)
{
    const struct params_spec *spec = &values->route->conf->params[i];
    bool may_be_default = spec->source == PARAMS_QUERY || spec->source == PARAMS_BODY;
    return !may_be_default || values->texts[i].base != spec->default_text;
}
