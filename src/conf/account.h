/* account.h: `user` and `group`: who the workers run as. Private to conf/. */
#ifndef HAYFORK_CONF_ACCOUNT_H
#define HAYFORK_CONF_ACCOUNT_H

#include "conf/yaml.h"

/*
 * Looks up what conf->user and conf->group say, in the databases of users and groups (getpwnam(3),
 * getgrnam(3)), and fills in conf->account. Notes mistakes at their place below root.
 */
void conf_account_read(struct conf *conf, const struct conf_yaml *root);

/* Looks up a user or a group by name or number. Returns NULL, or what is wrong, to be freed. */
char *conf_account_find_user(const char *text, uid_t *uid);
char *conf_account_find_group(const char *text, gid_t *gid);

void conf_account_free(struct conf *conf);

#endif
