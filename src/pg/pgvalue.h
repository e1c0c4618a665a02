/*
 * pgvalue.h: a value as JSON, from the text that PostgreSQL has for it: what its to_json says (PostgreSQL 15,
 * chapter 9.16), also for arrays (section 8.15), composites (section 8.16.6) and what they are made of.
 *
 * The session must have DateStyle ISO and client_encoding UTF8.
 */
#ifndef HAYFORK_PG_PGVALUE_H
#define HAYFORK_PG_PGVALUE_H

#include <stdbool.h>

#include "base/json.h"
#include "pg/pgtypes.h"

/* PostgreSQL writes numbers as JSON does, but for NaN, Infinity and -Infinity. */
static inline void pgvalue_write_number(struct json_writer *writer, const char *text, size_t len)
{
    bool negative = len > 1 && text[0] == '-';
    char first = len > 0 ? text[negative] : '\0';
    if (first >= '0' && first <= '9')
        json_raw(writer, text, len);
    else
        json_string(writer, text, len);
}

/*
 * Appends a value that is not NULL. False, and something was appended, if the text is none of that type: then
 * the type has changed since it was learned. That shows in arrays, composites and hstore alone.
 */
bool pgvalue_write(struct json_writer *writer, const struct pgtypes_type *type, const char *text, size_t len);

#endif
