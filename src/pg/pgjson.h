/*
 * pgjson.h: rows of a result as JSON objects, equal to what PostgreSQL's row_to_json says.
 *
 * Values are the text that PostgreSQL sent, with the rules of its to_json (PostgreSQL 15, chapter 9.16):
 * numbers and json go out as they are, booleans by name, dates and times in ISO 8601, arrays and composites
 * by what they are made of (pg/pgvalue.h), the rest as strings. The session must have DateStyle ISO and
 * client_encoding UTF8.
 *
 * A few values cannot be told from their text: records, which bring types and names of their own, and types
 * for which someone has made a cast to json. A statement that answers with one of these is executed within
 * another one, which has PostgreSQL's row_to_json make the object of each row (pgjson_rows_sql).
 */
#ifndef HAYFORK_PG_PGJSON_H
#define HAYFORK_PG_PGJSON_H

#include <stdbool.h>

#include "base/json.h"
#include "pg/pgcatalogue.h"
#include "pg/pgwire.h"

/* How a result's columns are written: the keys, escaped once, and a rule for each. */
struct pgjson_columns;

/* What is wanted of rows. */
enum pgjson_want {
    PGJSON_OBJECTS, /* pgjson_row */
    PGJSON_TEXTS,   /* pgjson_text */
    PGJSON_BOTH,
};

/*
 * Compiles the columns of a described statement, whose types that are not built in are in the catalogue; NULL
 * if there are none. The catalogue is kept. Freed with pgjson_columns_free.
 */
struct pgjson_columns *pgjson_columns_new(const struct pgwire_field *fields, size_t n, enum pgjson_want want,
                                          struct pgcatalogue *catalogue);

/* Does PostgreSQL itself have to make the objects? Then pgjson_rows_sql is what is to be executed. */
bool pgjson_by_server(const struct pgjson_columns *columns);

/*
 * The statement whose rows have these objects, and after them the columns of sql if their texts are wanted,
 * too. To be freed with free().
 */
char *pgjson_rows_sql(const struct pgjson_columns *columns, const char *sql);

/* How many there are. */
size_t pgjson_columns_count(const struct pgjson_columns *columns);

/* The name of one, and its type, as described. */
const char *pgjson_name(const struct pgjson_columns *columns, size_t column);
uint32_t pgjson_type(const struct pgjson_columns *columns, size_t column);

/* How many values a row has, of the statement that is executed. */
size_t pgjson_values(const struct pgjson_columns *columns);

/* Are these that statement's columns? */
bool pgjson_fits(const struct pgjson_columns *columns, const struct pgwire_field *fields, size_t n);

/* The number of the column of that name, or -1. Of two columns with one name it is the first. */
int pgjson_find(const struct pgjson_columns *columns, const char *name);

/* A value of a row as the text that PostgreSQL has for it. NULL base for SQL NULL. */
struct str pgjson_text(const struct pgjson_columns *columns, struct pgwire_row row, int column);

/*
 * Appends a row as an object, keys in the order of the columns. The row has pgjson_values values. False, and
 * nothing is appended, if a value is not of the type that it had when the types were learned.
 */
bool pgjson_row(struct json_writer *writer, const struct pgjson_columns *columns, struct pgwire_row row);

void pgjson_columns_free(struct pgjson_columns *columns);

#endif
