/* params_body.h: parameters out of a JSON body, in steps. */
#ifndef HAYFORK_ROUTE_PARAMS_BODY_H
#define HAYFORK_ROUTE_PARAMS_BODY_H

#include "base/json_read.h"
#include "route/params_json.h"

/* A field that the body has, for a parameter. */
struct params_field {
    size_t i; /* parameter */
    struct json_value value;
};

/* A body that is being read. It must not be moved. */
struct params_rest {
    const struct params_gathering *all;
    int stage; /* enum stage */
    struct json_check check;
    struct params_field *fields; /* in the order of the body */
    size_t n_fields, n_made;     /* of these, how many have become values */
    bool is_making;              /* the next one has begun to */
    struct params_json making;
    bool has_unknown;
    struct str unknown;             /* the raw name of a field that no spec has, and that comes after them */
    size_t looked_at, line, column; /* of a text that is wrong: where that is */
};

void params_body_begin(struct params_rest *rest, const struct params_gathering *all);

/* Fills in the values that come from the body, as far as it gets with about so many bytes. */
enum params_progress params_body_go_on(struct params_rest *rest, size_t bytes);

#endif
