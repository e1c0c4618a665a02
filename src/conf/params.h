/* params.h: `query`, `body` and `body_as`: the parameters that a route declares. Private to conf/. */
#ifndef HAYFORK_CONF_PARAMS_H
#define HAYFORK_CONF_PARAMS_H

#include "conf/files.h"
#include "conf/yaml.h"

/* Can name be that of a parameter, so that SQL may say :name (see pg/scan.h)? */
bool conf_params_is_name(struct str name);

/*
 * Reads the value of `query` (source is PARAMS_QUERY) or `body` (PARAMS_BODY) into route->declared and notes
 * all mistakes. Returns false, after noting that, for SQL that was meant to stand in `sql`.
 */
bool conf_params_read(struct conf_files *files, struct conf_route *route, enum params_source source,
                      const struct conf_yaml *value);

/* The same for the value of `body_as`. */
void conf_params_read_body_as(struct conf_files *files, struct conf_route *route,
                              const struct conf_yaml *value);

/* When all keys of a route are read: checks what concerns several of them, and fills in route->body_fields.
 */
void conf_params_finish(struct conf_files *files, struct conf_route *route);

/* Is text an SQL statement, as far as its first word tells? */
bool conf_params_looks_like_sql(const char *text);

/* Frees what these have put into a route. */
void conf_params_free(struct conf_route *route);

#endif
