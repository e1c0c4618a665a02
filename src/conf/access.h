/* access.h: `access_log`, at the top level, in `defaults` and in a route. Private to conf/. */
#ifndef HAYFORK_CONF_ACCESS_H
#define HAYFORK_CONF_ACCESS_H

#include <stdio.h>

#include "conf/conf.h"
#include "conf/files.h"
#include "conf/yaml.h"

/* Reads a mapping, or a single value, which is its `to`, into what is all zero at first. Notes all mistakes.
 */
void conf_access_read(struct conf_files *files, const struct conf_yaml *node, struct conf_access_log *log);

/* What it does not say itself is as it is in from, entry by entry. */
void conf_access_inherit(struct conf_access_log *log, const struct conf_access_log *from);

/* What nobody has said is as it is built in. */
void conf_access_complete(struct conf_access_log *log);

/* Numbers the files of the conf's routes, and of requests without one. */
void conf_access_number_files(struct conf *conf);

bool conf_access_is_same(const struct conf_access_log *a, const struct conf_access_log *b);

/* Writes it as it would stand in a conf. */
void conf_access_print(const struct conf_access_log *log, int indent, FILE *out);

void conf_access_free(struct conf_access_log *log);

#endif
