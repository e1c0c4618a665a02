/*
 * credential.h: secrets, which never stand in the conf: a file's name, or credential:NAME for what the
 * service manager passes (systemd.exec(5), LoadCredential=).
 */
#ifndef HAYFORK_CONF_CREDENTIAL_H
#define HAYFORK_CONF_CREDENTIAL_H

#include "conf/conf.h"

enum { CONF_CREDENTIAL_MOST = 4096 }; /* bytes of a secret */

/*
 * What names a secret, as it is kept: credential:NAME as it is, a path resolved beside the file of that name.
 * Returns NULL after setting *problem where it cannot be one. The caller frees either.
 */
char *conf_credential_name(const char *file_name, const char *text, char **problem);

/*
 * Opens a secret. Returns its text without the line end, which the caller frees, or NULL after setting
 * *problem, which the caller frees and which holds nothing of the secret.
 */
char *conf_credential_open(const char *name, char **problem);

#endif
