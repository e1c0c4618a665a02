/* conf_route.h: the routes of the conf, each read by itself. Private to conf*.c. */
#ifndef HAYFORK_CONF_ROUTE_H
#define HAYFORK_CONF_ROUTE_H

#include "conf_yaml.h"

/*
 * Reads the value of `routes` into conf->routes and notes all mistakes. A route with a mistake is there
 * all the same, as far as it could be read, with whole false.
 */
void conf_route_read(struct conf *conf, const struct conf_yaml *node);

/* Frees what a route holds. */
void conf_route_free(struct conf_route *route);

/* Is this a key that a route may have? */
bool conf_route_has_key(const char *name);

#endif
