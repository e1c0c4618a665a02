/* params_json.h: a value of a JSON body as the text of a parameter, in steps, as it may be long. */
#ifndef HAYFORK_ROUTE_PARAMS_JSON_H
#define HAYFORK_ROUTE_PARAMS_JSON_H

#include "base/json_read.h"
#include "route/params_array.h"

/* A value that is being made. */
struct params_json {
    const struct params_gathering *all;
    size_t i;             /* parameter */
    const char *at, *end; /* the rest of its JSON text: without the quotes, the brackets around it */
    bool is_array;
    char *out; /* of a string with escapes: what it stands for */
    size_t len;
    struct params_array array;
    int step;       /* of an array: enum step */
    size_t depth;   /* of an element that is JSON: brackets that are open */
    bool in_string; /* there */
    char *scratch;  /* of an array: an element that is checked as a whole */
    size_t scratch_len, scratch_size;
};

/* The parameter i is given this value, of a text that json_read.h has accepted. Most are done with it. */
enum params_progress params_json_begin(struct params_json *json, const struct params_gathering *all, size_t i,
                                       const struct json_value *value);

/* Goes on over about so many bytes. */
enum params_progress params_json_go_on(struct params_json *json, size_t bytes);

#endif
