/*
 * types.c: learns the types of described statements that are not built in from the database's catalogue.
 *
 * A session that begins describes all of a lane's statements at once, and their types are asked for together,
 * at the end of the turn. A statement that is described later asks again: the types may have changed as well
 * as the tables.
 */
#include "db/types.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* Asks for types. */
struct asking {
    struct db_flight flight;
    struct pgcatalogue *catalogue; /* what has come so far */
};

/* Types that are to be asked for, each once. */
struct wanted {
    uint32_t *oids;
    size_t n;
};

static struct asking *asking_of(struct db_flight *flight)
{
    return H2O_STRUCT_FROM_MEMBER(struct asking, flight, flight);
}

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

static void want_all(struct wanted *wanted, const struct db_statement *statement,
                     const struct db_preparation *preparation)
{
    const struct db_description *description = preparation->description;
    for (size_t i = 0; i < description->n_types; i++)
        want(wanted, description->types[i]);
    for (size_t i = 0; statement->conf.want != PGJSON_TEXTS && i < preparation->fields.n; i++)
        want(wanted, preparation->fields.all[i].type);
}

static bool any_wanted(const struct db_preparations *preparations)
{
    for (size_t i = 0; i < preparations->statements->n; i++) {
        if (preparations->of[i].wants_types)
            return true;
    }
    return false;
}

static const char *on_row(struct db_flight *flight, const struct pgwire_message *message,
                          struct pgwire_row row)
{
    struct pgwire_value values[PGCATALOGUE_COLUMNS];
    (void)message;
    for (size_t i = 0; i < PGCATALOGUE_COLUMNS; i++)
        values[i] = pgwire_row_next(&row);
    return pgcatalogue_take(asking_of(flight)->catalogue, values)
               ? NULL
               : "PostgreSQL's catalogue has a type that cannot be read";
}

static void dispose(struct db_flight *flight)
{
    struct asking *asking = asking_of(flight);
    pgcatalogue_drop(asking->catalogue);
    db_flight_clear(flight);
    free(asking);
}

static const char *on_end(struct db_flight *flight, bool spoilt)
{
    struct db_connection *connection = db_connection_of_flight(flight);
    struct db_preparations *preparations = connection->preparations;
    struct asking *asking = asking_of(flight);
    (void)spoilt;
    pgcatalogue_complete(asking->catalogue);
    for (size_t i = 0; i < preparations->statements->n; i++) {
        if (preparations->of[i].types_asked == flight)
            db_prepare_with_types(connection, preparations->statements->all[i], asking->catalogue,
                                  flight->error);
    }
    dispose(flight);
    return NULL;
}

static const struct db_flight_ops asking_ops = {.row = on_row, .end = on_end, .lost = dispose};

void db_types_ask(struct db_connection *connection)
{
    struct db_preparations *preparations = connection->preparations;
    struct pgwire_writer *out = &connection->pipeline.io.out;
    struct wanted wanted = {0};
    if (connection->pipeline.ends || !any_wanted(preparations))
        return;
    struct asking *asking = mem_alloc(sizeof(*asking));
    db_flight_begin(&asking->flight, &connection->pipeline, &asking_ops, NULL, DB_AT_PARSE);
    db_flight_set_columns(&asking->flight, PGCATALOGUE_COLUMNS);
    for (size_t i = 0; i < preparations->statements->n; i++) {
        struct db_preparation *preparation = &preparations->of[i];
        if (!preparation->wants_types)
            continue;
        db_preparation_set_types_asked(preparation, &asking->flight);
        want_all(&wanted, preparations->statements->all[i], preparation);
    }
    asking->catalogue = pgcatalogue_new();
    char *oids = pgcatalogue_array(wanted.oids, wanted.n);
    pgwire_parse(out, "", pgcatalogue_sql, NULL, 0);
    pgwire_execute(out, "", &(struct str){oids, strlen(oids)}, 1, NULL);
    pgwire_sync(out);
    free(oids);
    free(wanted.oids);
}
