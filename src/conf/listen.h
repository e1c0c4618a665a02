/* listen.h: `listen`, and the `on` of routes, which goes by the listeners' names. Private to conf/. */
#ifndef HAYFORK_CONF_LISTEN_H
#define HAYFORK_CONF_LISTEN_H

#include "conf/files.h"
#include "conf/yaml.h"

/* Reads the value of `listen` into conf->listen and notes all mistakes. */
void conf_listen_read(struct conf *conf, const struct conf_yaml *node);

/* Adds a listener. name may be NULL. */
void conf_listen_add(struct conf *conf, struct conf_pos pos, const char *name, const char *address);

/*
 * May the name of an override `listen.NAME` be put into the conf's value of `listen`, which may be NULL? It
 * has to be one of the names there, unless these came by overrides, too. Returns false after noting that.
 */
bool conf_listen_check_override(struct conf_files *files, const struct conf_yaml *listen, struct conf_pos pos,
                                const char *name);

/* Reads the value of a route's or the defaults' `on` and notes all mistakes. */
void conf_listen_read_on(struct conf_files *files, struct conf_route *route, const struct conf_yaml *value);

/* Gives a route that has no `on` that of its file's defaults. */
void conf_listen_inherit_on(struct conf_route *route, const struct conf_route *defaults);

/* Notes every `on` that names no listener. */
void conf_listen_check_on(struct conf *conf);

/* Is the route on this listener? */
bool conf_listen_has(const struct conf_listen *listen, const struct conf_route *route);

/* Frees a route's `on`. */
void conf_listen_free_on(struct conf_route *route);

/* The name of the listener for the operators. */
#define CONF_ADMIN "admin"

/* Adds that listener, from the value of `admin`. Returns false where it has no address, which is noted. */
bool conf_listen_add_admin(struct conf *conf, const struct conf_yaml *node);

#endif
