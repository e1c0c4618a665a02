/* admin.h: `admin`, the listener for the operators, with the routes on it. */
#ifndef HAYFORK_CONF_ADMIN_H
#define HAYFORK_CONF_ADMIN_H

#include "conf/conf.h"
#include "conf/yaml.h"

/*
 * Reads `admin` of the conf's main file, whose other listeners and routes were read before: adds a listener,
 * with routes of its own that end the conf's.
 */
void conf_admin_read(struct conf *conf, const struct conf_yaml *root);

#endif
