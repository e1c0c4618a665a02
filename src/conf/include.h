/* include.h: `defaults`, `routes` and `include`. Private to conf/. */
#ifndef HAYFORK_CONF_INCLUDE_H
#define HAYFORK_CONF_INCLUDE_H

#include "conf/yaml.h"

/*
 * Reads `defaults`, `routes` and `include` of the conf, whose file is path and whose mapping is root, into
 * conf->routes: first its own, then those of the included files in the order of their names. Notes all
 * mistakes.
 */
void conf_include_read(struct conf *conf, const char *path, const struct conf_yaml *root);

#endif
