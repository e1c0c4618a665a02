/*
 * sql_values.h: the values of a statement's parameters, out of a request. Those of a long body are read in
 * steps (loop/slices.h), so that they hold up nobody else.
 */
#ifndef HAYFORK_HANDLERS_SQL_VALUES_H
#define HAYFORK_HANDLERS_SQL_VALUES_H

#include "handlers/sql_route.h"
#include "http/body.h"
#include "http/request.h"
#include "route/params.h"
#include "route/route.h"

struct sql_values;

/* How it ended that values were read in steps. */
enum sql_values_end {
    SQL_VALUES_READ,
    SQL_VALUES_WRONG, /* problem says what is */
    SQL_VALUES_LATE,  /* the route's deadline is over */
};

struct sql_values_ops {
    /* Called once for each sql_values_read_in_steps, unless they are given up. */
    void (*end)(struct sql_values *values, enum sql_values_end end, const struct params_problem *problem);
};

/* In the request's memory. */
struct sql_values {
    const struct sql_values_ops *ops;
    const struct sql_route *route;
    const struct arena *arena; /* the request's */
    struct str captures[ROUTE_MAX_CAPTURES];
    struct str query;
    struct body_whole body;
    const struct str *texts; /* one for each parameter, base NULL for SQL NULL; NULL until they are read */
    struct sql_values_steps *steps; /* NULL where there were none */
};

/* Keeps what it needs of the request. ops may be called later. */
void sql_values_init(struct sql_values *values, const struct sql_route *route, const struct request *request,
                     const struct sql_values_ops *ops);

/* Reads the body, as body_collect does. */
void sql_values_collect_body(struct sql_values *values, struct body *body,
                             void (*done)(struct body_whole *body, bool complete));

/* Are they to be read in steps? */
bool sql_values_are_long(const struct sql_values *values);

/* Reads them, for parameters of these types. False, with *problem filled in, where the request has none. */
bool sql_values_read(struct sql_values *values, const struct pgtypes_parameter *types,
                     struct params_problem *problem);

/*
 * Begins to; ops->end is called at the end of this turn of the loop or of a later one. is_certain: the types
 * were just asked for.
 */
void sql_values_read_in_steps(struct sql_values *values, const struct pgtypes_parameter *types,
                              bool is_certain);

/* In steps: was it for parameters of these types? Were they certain? */
bool sql_values_are_for(const struct sql_values *values, const struct pgtypes_parameter *types);
bool sql_values_are_certain(const struct sql_values *values);

/* The values do not count. */
void sql_values_forget(struct sql_values *values);

/* The memory for long ones, or NULL. */
struct store *sql_values_store(const struct sql_values *values);

/* Nothing more will be asked of them: what the body took is let go, unless headers of the route need it. */
void sql_values_release(struct sql_values *values);

/* The request ends. */
void sql_values_end(struct sql_values *values);

/* The value of a parameter; false where it has none. */
bool sql_values_find(const struct sql_values *values, const char *name, struct str *value);

/* Has the request brought the value of parameter i? If not, it is one of the conf. */
bool sql_values_are_clients(const struct sql_values *values, size_t i);

#endif
