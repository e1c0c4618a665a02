/* document.h: reads the JSON files of a model's folder. */
#ifndef HAYFORK_INFERENCE_DOCUMENT_H
#define HAYFORK_INFERENCE_DOCUMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/json_read.h"
#include "base/str.h"

/* A file, and the object in it. Begins as all zeroes. */
struct document {
    char *path;
    char *text;
    size_t len;
    struct json_value root;
};

/*
 * Reads a file of a folder, as bytes. Returns NULL, or what is wrong, with the file's name, which the caller
 * frees. Both have document_free to follow.
 */
char *document_load(struct document *document, const char *folder, const char *name);

/* The same for a file that has an object as JSON. */
char *document_read(struct document *document, const char *folder, const char *name);

/* The same for a text that was read already; it is copied. */
char *document_take(struct document *document, const char *path, struct str text);

void document_free(struct document *document);

/* Is there such a file? */
bool document_is_there(const char *folder, const char *name);

/* A message that names the file; to be freed. */
char *document_error(const struct document *document, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Finds a member of an object; where there is none, or value is none, or it is null, returns false. */
bool document_find(const struct json_value *object, const char *key, struct json_value *member);

/* A member's text, to be freed, or NULL where it is no string or has a NUL. */
char *document_text(const struct json_value *object, const char *key);

/* A string's text, to be freed; *len is its length. */
char *document_string(struct str quoted, size_t *len);

/* Is it this string? */
bool document_is(const struct json_value *value, const char *text);

/* A member that is true or false; or what is said for one that is missing, null or something else. */
bool document_bool(const struct json_value *object, const char *key, bool missing);

/* A whole number from 0 to most; a greater one is most. Returns false for anything else. */
bool document_number(const struct json_value *value, uint32_t most, uint32_t *number);

#endif
