/* statement.h: a route's SQL, and where its parameters come from. Private to conf/. */
#ifndef HAYFORK_CONF_STATEMENT_H
#define HAYFORK_CONF_STATEMENT_H

#include "conf/conf.h"

/* Scans the SQL of a route into route->statement. Returns false after noting a mistake. */
bool conf_statement_scan(struct conf *conf, struct conf_route *route);

/*
 * Gives every parameter of the SQL its source, in route->params, and notes those that have none or several,
 * and those that are declared in vain. names are the n_names captures of the path, inside of route->path.
 */
void conf_statement_check_params(struct conf *conf, struct conf_route *route, const struct str *names,
                                 size_t n_names);

#endif
