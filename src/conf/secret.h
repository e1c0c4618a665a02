/* secret.h: a connection string without its passwords, to be shown. Private to conf*.c. */
#ifndef HAYFORK_CONF_SECRET_H
#define HAYFORK_CONF_SECRET_H

/*
 * A copy of a libpq conninfo or URI (PostgreSQL's chapter "Connection Strings") with "***" in the place of
 * each password. Where there is doubt, as where libpq could not read it, too much is hidden. The caller frees
 * it.
 */
char *conf_secret_hide(const char *connect);

#endif
