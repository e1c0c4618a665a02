/*
 * pgcatalogue.h: types that are not built in, as a database's catalogue has them (PostgreSQL 15, chapter 53:
 * pg_type, pg_attribute, pg_cast, pg_proc). Pure: who asks is db/types.c, or the check of a conf.
 */
#ifndef HAYFORK_PG_PGCATALOGUE_H
#define HAYFORK_PG_PGCATALOGUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pg/pgtypes.h"
#include "pg/pgwire.h"

enum { PGCATALOGUE_COLUMNS = 8, PGCATALOGUE_NAME = 256 };

/* The values of the enum with that OID, an expression of SQL, as a text for people; NULL if it is not an
 * enum. */
#define PGCATALOGUE_LABELS(oid)                                                                              \
    "(SELECT pg_catalog.string_agg(label.enumlabel, ', ' ORDER BY label.enumsortorder)"                      \
    " OPERATOR(pg_catalog.||) CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_enum WHERE enumtypid"              \
    " OPERATOR(pg_catalog.=) " oid " OFFSET 20) THEN ' and others' ELSE '' END"                              \
    " FROM (SELECT enumlabel, enumsortorder FROM pg_catalog.pg_enum WHERE enumtypid"                         \
    " OPERATOR(pg_catalog.=) " oid " ORDER BY enumsortorder LIMIT 20) AS label)"

/*
 * What to ask the database: $1 is an array of OIDs. The answer has a row for each of these types and of those
 * that they are made of, at any depth; a composite type has one for each of its fields.
 */
extern const char pgcatalogue_sql[];

/* The types that an answer has told of. */
struct pgcatalogue;

/* An empty one, with one reference to it. */
struct pgcatalogue *pgcatalogue_new(void);
struct pgcatalogue *pgcatalogue_keep(struct pgcatalogue *catalogue);

/* Takes a reference away; the last one frees it. NULL is allowed. */
void pgcatalogue_drop(struct pgcatalogue *catalogue);

/* Takes a row of the answer. False if it is none. */
bool pgcatalogue_take(struct pgcatalogue *catalogue, const struct pgwire_value row[PGCATALOGUE_COLUMNS]);

/* The rows were all: the types are made of each other. To be called once, before the first look. */
void pgcatalogue_complete(struct pgcatalogue *catalogue);

/*
 * The type of that OID, built in or from the catalogue, which may be NULL. One that neither has (it is gone
 * from the database since) is one of which nothing is known but its text. Never NULL; lives as long as the
 * catalogue.
 */
const struct pgtypes_type *pgcatalogue_find(const struct pgcatalogue *catalogue, uint32_t oid);

/*
 * The type's name as PostgreSQL's format_type has it, or, of one that is built in, as the catalogue has it
 * ("int4", "text[]"); "oid 16385" of one that neither has. What is longer is cut.
 */
void pgcatalogue_name(const struct pgcatalogue *catalogue, uint32_t oid, char name[PGCATALOGUE_NAME]);

/*
 * The first twenty values of an enum, of a domain over one, or of an array of one, for people: "new, paid,
 * shipped". NULL for any other type. Lives as long as the catalogue, which may be NULL.
 */
const char *pgcatalogue_labels(const struct pgcatalogue *catalogue, uint32_t oid);

/* The OIDs as an array for $1 of pgcatalogue_sql, to be freed with free(). */
char *pgcatalogue_array(const uint32_t *oids, size_t n);

#endif
