/* secret.h: which part of a line of a conf may be a secret, where nothing is known of it. Private to conf/.
 */
#ifndef HAYFORK_CONF_SECRET_H
#define HAYFORK_CONF_SECRET_H

#include <stdbool.h>

#include "base/str.h"

/*
 * Sets the byte of mask, which has as many as line, of each byte that may belong to a secret: the password in
 * a URL, and what is given to a key that is called so. With unread, the line belongs to a file that could not
 * be read as YAML, and more is taken for one.
 */
void conf_secret_mark(struct str line, bool unread, char *mask);

/* A copy of a value with its secrets as stars, one for each byte, to be quoted. The caller frees it. */
char *conf_secret_hide(const char *value);

#endif
