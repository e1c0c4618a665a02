/* route.h: the routes of the conf, each read by itself. Private to conf/. */
#ifndef HAYFORK_CONF_ROUTE_H
#define HAYFORK_CONF_ROUTE_H

#include "conf/yaml.h"

/*
 * Reads the value of `routes`, adds to conf->routes and notes all mistakes. A route with a mistake is there
 * all the same, as far as it could be read, with whole false. A route's deadline is 0 if neither it nor
 * defaults, which is of the same file, has one. The lanes have to be known already.
 */
void conf_route_read(struct conf *conf, const struct conf_yaml *node, const struct conf_route *defaults);

/*
 * Reads the value of `defaults` into the members of an empty route that may have a default, and notes all
 * mistakes. The caller frees it with conf_route_free.
 */
void conf_route_read_defaults(struct conf_files *files, const struct conf_yaml *node,
                              struct conf_route *defaults);

/* Frees what a route holds. */
void conf_route_free(struct conf_route *route);

/* Is this a key that a route may have? */
bool conf_route_has_key(const char *name);

#endif
