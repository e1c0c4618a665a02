/* params_body.h: parameters out of a JSON body. */
#ifndef HAYFORK_ROUTE_PARAMS_BODY_H
#define HAYFORK_ROUTE_PARAMS_BODY_H

#include "route/params_gathering.h"

/* Fills in the values that come from the body. */
bool params_body_read(const struct params_gathering *all);

#endif
