/* params_value.h: is a text what its parameter may be? */
#ifndef HAYFORK_ROUTE_PARAMS_VALUE_H
#define HAYFORK_ROUTE_PARAMS_VALUE_H

#include "route/params_gathering.h"

/* Is a text of that type looked at? One that is, and is longer than PARAMS_CHECKED_MAX, is refused. */
bool params_value_is_checked(const struct params_gathering *all, size_t i, uint32_t type);

/*
 * Fails if text is not of the type, or not what the parameter i may be. element is 0 for the value itself,
 * else which one of an array it is, from 1 on.
 */
bool params_value_check(const struct params_gathering *all, size_t i, uint32_t type, struct str text,
                        size_t element);

#endif
