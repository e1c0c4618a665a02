/* json.h: JSON documents of the conf, sent as they were written or refused. Private to conf/. */
#ifndef HAYFORK_CONF_JSON_H
#define HAYFORK_CONF_JSON_H

#include "conf/files.h"

/*
 * Parses a JSON text (RFC 8259). start is where text begins in its file (see conf_files_place). Returns it
 * without white space between its parts, to be freed by the caller, or NULL after noting a mistake at its
 * place. Refused are what base/json_read.h refuses (so also a key twice in an object, lone surrogates, NUL
 * characters, nesting beyond 64 levels), whole numbers beyond 64 bits, and "{now}" in a key.
 */
char *conf_json_compact(struct conf_files *files, struct conf_pos start, const char *text);

#endif
