/*
 * conninfo.h: libpq's connection strings: what is wrong with one, and which parts of it are secret. Private
 * to conf*.c.
 *
 * Both forms are known, key=value pairs and URIs (PostgreSQL's chapter "Connection Strings").
 */
#ifndef HAYFORK_CONF_CONNINFO_H
#define HAYFORK_CONF_CONNINFO_H

#include <stdbool.h>
#include <stddef.h>

/*
 * Would libpq take it? Returns NULL, or what is wrong in our words, without a part of any value, to be freed
 * by the caller; *at is then the offset of the byte where it is wrong. Connects to nothing and reads no file.
 */
char *conf_conninfo_check(const char *text, size_t *at);

/*
 * Sets the byte of mask, which has as many as text, of each byte that belongs to a password or another
 * secret. Where there is doubt, as where libpq cannot read the text, too much is taken for secret.
 */
void conf_conninfo_mark(const char *text, char *mask);

/* Has libpq an option of that name, or is it what others call one? */
bool conf_conninfo_has_option(const char *name);

/*
 * The pair of such an option and its value as it stands in a connection string, which the caller frees. NULL
 * for an option whose value is a secret: then *secret is set.
 */
char *conf_conninfo_pair(const char *name, const char *value, bool *secret);

/* A copy with "***" in the place of each secret, to be shown. The caller frees it. */
char *conf_conninfo_hide(const char *text);

#endif
