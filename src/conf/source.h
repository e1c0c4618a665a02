/* source.h: where the values of a log line come from: names with a dot, such as request.path. Private to
 * conf/. */
#ifndef HAYFORK_CONF_SOURCE_H
#define HAYFORK_CONF_SOURCE_H

#include "base/str.h"
#include "conf/conf.h"

/*
 * Reads the name of a source, "header.User-Agent". Returns NULL, or what is wrong, which the caller frees.
 */
char *conf_source_read(struct str text, struct conf_source *source);

/*
 * Takes a text with sources in braces apart; `{{` is a brace. Sets the pieces, which the caller frees with
 * conf_source_free. Returns NULL, or what is wrong at the text's byte *at, which the caller frees.
 */
char *conf_source_read_text(const char *text, struct conf_source **pieces, size_t *n, size_t *at);

/* Frees n sources and the array. */
void conf_source_free(struct conf_source *sources, size_t n);

#endif
