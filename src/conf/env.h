/*
 * env.h: variables of the environment in the conf's one-line values.
 *
 * ${NAME} and ${NAME:-default} are put in after YAML was read, and what they stand for is never read again:
 * no value can become a key, a list or another variable. $${ is a literal ${.
 */
#ifndef HAYFORK_CONF_ENV_H
#define HAYFORK_CONF_ENV_H

#include "conf/files.h"
#include "conf/yaml.h"

struct conf_env;

/*
 * The environment of a conf: the process's own, and below it what the file says that the top-level value
 * env_file of root names, if there is one (see environ(7) and systemd.exec(5), EnvironmentFile=: lines of
 * NAME=VALUE, comments with # or ;, quotes around a value). Notes mistakes in that file. To be freed with
 * conf_env_free.
 */
struct conf_env *conf_env_new(struct conf_files *files, const struct conf_yaml *root);

void conf_env_free(struct conf_env *env);

/*
 * Puts variables into all one-line values below root, but for those of sql, json and text, whose ${ is their
 * own. An item of a list that is nothing but a variable becomes as many items as it has words. Notes a
 * variable that is not set, and what looks like one and is not.
 */
void conf_env_expand(struct conf_files *files, const struct conf_env *env, struct conf_yaml *root);

/* The text in which each ${ of a value is written so that it stays one. The caller frees it. */
char *conf_env_escape(const char *value);

#endif
