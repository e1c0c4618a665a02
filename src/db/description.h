/* description.h: what PostgreSQL said of a statement: the types of its parameters, its columns. */
#ifndef HAYFORK_DB_DESCRIPTION_H
#define HAYFORK_DB_DESCRIPTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pg/pgcatalogue.h"
#include "pg/pgjson.h"
#include "pg/pgtypes.h"
#include "pg/pgwire.h"

/* Columns as they were described. */
struct db_fields {
    struct pgwire_field *all; /* their names are in text */
    size_t n;
    char *text;
    uint64_t digest; /* of the server's words; not 0 */
};

/* Kept by those who have to read rows by it. */
struct db_description {
    unsigned references;
    uint32_t *types; /* of the parameters */
    size_t n_types;
    struct pgtypes_parameter *parameters; /* what these take */
    struct pgjson_columns *columns;
    struct pgcatalogue *catalogue; /* which has those types that are not built in; NULL: there are none */
    uint64_t digest;               /* of the server's words */
};

/* Begins with a ParameterDescription. NULL if that is not well formed. */
struct db_description *db_description_new(const struct pgwire_message *message);

/* Takes the RowDescription, or the NoData, that follows; false if it is not well formed. */
bool db_description_take_fields(struct db_description *description, const struct pgwire_message *message,
                                struct db_fields *fields);

/* The digest of a RowDescription, or a NoData. */
uint64_t db_fields_digest(const struct pgwire_message *message);

/*
 * Its types are known, those that are not built in from the catalogue (NULL if there are none): now it knows
 * its parameters and how rows are written.
 */
void db_description_complete(struct db_description *description, const struct db_fields *fields,
                             enum pgjson_want want, struct pgcatalogue *catalogue);

/* Are the parameters of the same types? */
bool db_description_takes_the_same(const struct db_description *one, const struct db_description *other);

static inline struct db_description *db_description_keep(struct db_description *description)
{
    description->references++;
    return description;
}

/* The last one who kept it frees it. NULL is allowed. */
void db_description_drop(struct db_description *description);

/* Moves the columns out of *from, which has none then. */
struct db_fields db_fields_take(struct db_fields *from);

void db_fields_clear(struct db_fields *fields);

#endif
