/*
 * types.c: learns the types of described statements that are not built in from the database's catalogue.
 *
 * A session that begins describes all of a lane's statements at once, and their types are asked for together,
 * at the end of the turn. A statement that is described later asks again: the types may have changed as well
 * as the tables.
 */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "db/db_private.h"

/* Types that are to be asked for, each once. */
struct wanted {
    uint32_t *oids;
    size_t n;
};

static void want(struct wanted *wanted, uint32_t oid)
{
    if (pgtypes_builtin(oid) != NULL)
        return;
    for (size_t i = 0; i < wanted->n; i++) {
        if (wanted->oids[i] == oid)
            return;
    }
    MEM_GROW(&wanted->oids, wanted->n);
    wanted->oids[wanted->n++] = oid;
}

/* The columns of which only the text is wanted need not be known. */
static void want_all(struct wanted *wanted, const struct db_statement *statement,
                     const struct db_preparation *preparation)
{
    const struct db_description *description = preparation->description;
    for (size_t i = 0; i < description->n_types; i++)
        want(wanted, description->types[i]);
    for (size_t i = 0; statement->conf.want != PGJSON_TEXTS && i < preparation->n_fields; i++)
        want(wanted, preparation->fields[i].type);
}

bool db_types_wanted(struct db_connection *connection, struct db_statement *statement)
{
    struct db_preparation *preparation = &connection->preparations[statement->number];
    struct wanted wanted = {0};
    want_all(&wanted, statement, preparation);
    free(wanted.oids);
    preparation->wants_types = wanted.n > 0;
    connection->wants_types |= preparation->wants_types;
    return preparation->wants_types;
}

void db_types_ask(struct db_connection *connection)
{
    struct db_lane *lane = connection->lane;
    struct pgwire_writer *out = &connection->io.out;
    struct wanted wanted = {0};
    if (connection->ends)
        return;
    connection->wants_types = false;
    struct db_flight *flight = db_flight_new(connection, NULL, FLIGHT_TYPES);
    for (size_t i = 0; i < lane->n_statements; i++) {
        struct db_preparation *preparation = &connection->preparations[i];
        if (!preparation->wants_types)
            continue;
        preparation->wants_types = false;
        preparation->types_asked = flight;
        want_all(&wanted, lane->statements[i], preparation);
    }
    flight->catalogue = pgcatalogue_new();
    char *oids = pgcatalogue_array(wanted.oids, wanted.n);
    pgwire_parse(out, "", pgcatalogue_sql, NULL, 0);
    pgwire_execute(out, "", &(struct str){oids, strlen(oids)}, 1, NULL);
    pgwire_sync(out);
    free(oids);
    free(wanted.oids);
}

bool db_types_take(struct db_flight *flight, struct pgwire_row row)
{
    struct pgwire_value values[PGCATALOGUE_COLUMNS];
    for (size_t i = 0; i < PGCATALOGUE_COLUMNS; i++)
        values[i] = pgwire_row_next(&row);
    return pgcatalogue_take(flight->catalogue, values);
}

void db_types_answered(struct db_connection *connection, struct db_flight *flight)
{
    struct db_lane *lane = connection->lane;
    pgcatalogue_complete(flight->catalogue);
    for (size_t i = 0; i < lane->n_statements; i++) {
        struct db_preparation *preparation = &connection->preparations[i];
        if (preparation->types_asked != flight)
            continue;
        preparation->types_asked = NULL;
        db_on_types(connection, lane->statements[i], flight->catalogue, flight->error);
    }
}
