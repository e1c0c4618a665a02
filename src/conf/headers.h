/*
 * headers.h: `headers`: the header fields of a route's answers. Private to conf/.
 *
 * A value is text with the names of columns and parameters in braces: "/contacts/{id}". `{{` is a brace.
 */
#ifndef HAYFORK_CONF_HEADERS_H
#define HAYFORK_CONF_HEADERS_H

#include "conf/files.h"
#include "conf/yaml.h"

/*
 * Reads the value of `headers`, or of `send`, which goes the other way; word is which of them. Adds what it
 * names to the *n headers, and notes all mistakes.
 */
void conf_headers_read(struct conf_files *files, const char *word, const struct conf_yaml *value,
                       struct conf_header **headers, size_t *n);

/*
 * Takes a text with names in braces apart, and adds its pieces to the header's. Returns NULL, or what is
 * wrong at the text's byte *at.
 */
const char *conf_headers_read_pieces(struct conf_header *header, const char *text, size_t *at);

/* Adds copies of those of the n_from headers that the *n headers do not name already. */
void conf_headers_inherit(struct conf_header **headers, size_t *n, const struct conf_header *from,
                          size_t n_from);

/* The first {name} in a header's value, or NULL. */
const char *conf_headers_first_name(const struct conf_header *header);

/* A header's value as it would stand in a conf. The caller frees it. */
char *conf_headers_write(const struct conf_header *header);

/* Frees n headers and the array. */
void conf_headers_free(struct conf_header *headers, size_t n);

#endif
