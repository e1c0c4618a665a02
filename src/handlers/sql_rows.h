/* sql_rows.h: what the rows of a result gave so far. */
#ifndef HAYFORK_HANDLERS_SQL_ROWS_H
#define HAYFORK_HANDLERS_SQL_ROWS_H

#include "handlers/sql_route.h"
#include "pg/pgjson.h"

/* All zero at first. Its memory is the arena's, but for text, which becomes the heap's where it is long. */
struct sql_rows {
    uint64_t n;
    struct str *named;       /* of the first row: the values of route->names; NULL base for SQL NULL */
    struct str value;        /* `answer: value`: the first one; NULL base for SQL NULL */
    uint32_t value_type;     /* its OID */
    struct json_writer text; /* as JSON; of many rows what no stream has taken yet */
};

/* The first row, or one of which only the first counts; as sql_rows_add. */
bool sql_rows_add_first(struct sql_rows *rows, const struct sql_route *route, const struct arena *arena,
                        const struct pgjson_columns *columns, struct pgwire_row row);

/* One more row. Returns false where it cannot be read: see db_misread. */
static inline bool sql_rows_add(struct sql_rows *rows, const struct sql_route *route,
                                const struct arena *arena, const struct pgjson_columns *columns,
                                struct pgwire_row row)
{
    if (rows->n == 0 || route->conf->answer != CONF_ANSWER_ROWS)
        return sql_rows_add_first(rows, route, arena, columns, row);
    json_char(&rows->text, ',');
    bool good = pgjson_row(&rows->text, columns, row);
    rows->n += good;
    return good;
}

/* There are no more: ends the array of `answer: rows`. */
void sql_rows_end(struct sql_rows *rows, const struct arena *arena);

/* Those so far do not count. Text that a stream has is gone with that. */
void sql_rows_forget(struct sql_rows *rows);

/* For a header: what the first row has under a name, of a column that there is. False for SQL NULL or no row.
 */
bool sql_rows_find(const struct sql_rows *rows, const struct sql_route *route, const char *name,
                   struct str *value);

#endif
