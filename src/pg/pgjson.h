/*
 * pgjson.h: rows of a result as JSON objects, equal to what PostgreSQL's row_to_json says.
 *
 * Values are the text that PostgreSQL sent, with the rules of its to_json (PostgreSQL 15, chapter 9.16):
 * numbers and json go out as they are, booleans by name, dates and times in ISO 8601, other scalars as
 * strings. The session must have DateStyle ISO and client_encoding UTF8.
 */
#ifndef HAYFORK_PG_PGJSON_H
#define HAYFORK_PG_PGJSON_H

#include <stdbool.h>

#include "base/arena.h"
#include "base/json.h"
#include "pg/pgwire.h"

/* How a result's columns are written: the keys, escaped once, and a rule for each. */
struct pgjson_columns;

/*
 * Compiles the columns of a described statement. Freed with pgjson_columns_free. Columns of a type without a
 * plain rule (arrays, composites, anything not built in) are marked: *wrap_wanted is set, and the statement
 * has to be asked again through pgjson_wrap. With as_text there are none of these: such columns are texts.
 */
struct pgjson_columns *pgjson_columns_new(const struct pgwire_field *fields, size_t n, bool as_text,
                                          bool *wrap_wanted);

/* How many there are. */
size_t pgjson_columns_count(const struct pgjson_columns *columns);

/* The type of one, as described. */
uint32_t pgjson_type(const struct pgjson_columns *columns, size_t column);

/* Is this what the wrapped form of a statement with these columns answers with? */
bool pgjson_is_wrapped_form(const struct pgjson_columns *columns, const struct pgwire_field *fields,
                            size_t n);

/*
 * The statement that leaves the marked columns to PostgreSQL's own to_json. sql is its text; the answer is
 * allocated, to be freed with free(). Columns keep their names through struct pgjson_columns.
 */
char *pgjson_wrap(const struct pgjson_columns *columns, const char *sql);

/* The number of the column of that name, or -1. Of two columns with one name it is the first. */
int pgjson_find(const struct pgjson_columns *columns, const char *name);

/*
 * A value of a row as the text that PostgreSQL has for it, also where the column was left to to_json: then
 * the JSON string is undone into the arena. NULL base for SQL NULL.
 */
struct str pgjson_text(const struct pgjson_columns *columns, struct pgwire_row row, int column,
                       const struct arena *arena);

/* Appends a row as an object, keys in the order of the columns. The row has as many values. */
void pgjson_row(struct json_writer *writer, const struct pgjson_columns *columns, struct pgwire_row row);

void pgjson_columns_free(struct pgjson_columns *columns);

#endif
