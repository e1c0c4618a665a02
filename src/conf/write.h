/* write.h: values as they would stand in a conf file (`hayfork -T`). Private to conf/. */
#ifndef HAYFORK_CONF_WRITE_H
#define HAYFORK_CONF_WRITE_H

#include <stdbool.h>
#include <stdio.h>

#include "conf/conf.h"

enum { CONF_WRITE_STEP = 2 }; /* blanks of indentation for each level */

/*
 * Writes a text as a YAML scalar, and ends the line. indent is that of its key. Variables may stand in such a
 * value: a ${ of its own is kept from being one.
 */
void conf_write_scalar(const char *text, int indent, FILE *out);

/* A key with such a value. */
void conf_write_text(const char *key, const char *text, int indent, FILE *out);

/* The same for the texts in which no variables stand: sql, json and text. Verbatim text is always quoted. */
void conf_write_own_text(const char *key, const char *text, bool verbatim, int indent, FILE *out);

/* A key that may be any text, with its colon; the line does not end. */
void conf_write_key(const char *key, int indent, FILE *out);

/* A text in double quotes, with escapes where it needs them. */
void conf_write_quoted(const char *text, FILE *out);

/* Nothing for no headers. */
void conf_write_headers(const char *key, const struct conf_header *headers, size_t n, int indent, FILE *out);

/* The parameters of one source, below their key; nothing for none. */
void conf_write_params(const char *key, const struct conf_route *route, enum params_source source, int indent,
                       FILE *out);

/* A key whose value is of the same type as a directive's. */
void conf_write_like(const char *key, const char *section, const char *name, const void *place, int indent,
                     FILE *out);

#endif
