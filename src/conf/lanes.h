/* lanes.h: the lanes of the conf: `database.lanes`, and what follows from it. Private to conf/. */
#ifndef HAYFORK_CONF_LANES_H
#define HAYFORK_CONF_LANES_H

#include "conf/yaml.h"

/* Makes the lanes read and write. To be called before anything is read. */
void conf_lanes_init(struct conf *conf);

/*
 * Reads the value of database.lanes, adds to conf->lanes and notes all mistakes. A lane with a mistake is
 * there all the same, so that routes can name it.
 */
void conf_lanes_read(struct conf *conf, const struct conf_yaml *node);

/* Fills in what the lanes do not say themselves. To be called when all directives have been read. */
void conf_lanes_complete(struct conf *conf);

/* The index of the lane of that name, or conf->n_lanes. */
size_t conf_lanes_find(const struct conf *conf, const char *name);

/* The names of all lanes, for messages. The caller frees the array, not the names. */
const char **conf_lanes_names(const struct conf *conf);

void conf_lanes_free(struct conf *conf);

#endif
