/*
 * explain.h: what PostgreSQL says about a route's statement, told in terms of the conf: with the place in
 * the file where it was written, and with the names of the parameters instead of $1, $2, …
 */
#ifndef HAYFORK_DB_EXPLAIN_H
#define HAYFORK_DB_EXPLAIN_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "conf/conf.h"
#include "pg/pgcatalogue.h"

/*
 * Takes one thing that is wrong with a route. help is what PostgreSQL adds to it, one or two lines such as
 * "hint: …", or NULL. The texts are gone after the call.
 */
typedef void db_explain_cb(void *arg, struct conf_pos pos, const char *message, const char *help);

/* A field of an error (PG_DIAG_…; PostgreSQL 15, chapter 34.3), or an empty text. Belongs to result. */
const char *db_explain_field(const PGresult *result, int field);

/*
 * Is an error of preparing a statement the statement's own fault? If not, the database could not look into
 * it at all: it is shutting down, a lock stood in the way, … (PostgreSQL 15, appendix A).
 */
bool db_explain_is_mistake(const PGresult *error);

/* Notes why PostgreSQL refused to prepare the route's statement. more is a line for help, or NULL. */
void db_explain_error(const struct conf *conf, const struct conf_route *route, const PGresult *error,
                      const char *more, db_explain_cb *note, void *arg);

/* Notes message, which may have $1 for a parameter, at the first word of the route's statement. */
void db_explain_statement(const struct conf *conf, const struct conf_route *route, const char *message,
                          const char *help, db_explain_cb *note, void *arg);

/*
 * Notes what about a prepared statement does not fit its route: a command that is not a query, no columns
 * where `answer` needs some, a parameter whose type does not suit `body_as` or bounds, a name in a header
 * that stands for nothing. The catalogue has the types that are not built in. Returns true if nothing was
 * noted.
 */
bool db_explain_description(const struct conf *conf, const struct conf_route *route,
                            const PGresult *description, const struct pgcatalogue *catalogue,
                            db_explain_cb *note, void *arg);

/*
 * Notes what PostgreSQL takes in a statement and is hardly meant: a parameter to order by, a list that is one
 * value, columns of an object with the same name.
 */
void db_explain_oddities(const struct conf *conf, const struct conf_route *route, const PGresult *description,
                         db_explain_cb *note, void *arg);

/*
 * Notes why PostgreSQL refused the form of a statement whose rows it is to write (see pgjson_rows_sql),
 * though it took the statement itself.
 */
void db_explain_rows(const struct conf *conf, const struct conf_route *route, const PGresult *error,
                     db_explain_cb *note, void *arg);

#endif
