/*
 * probe.h: what `hayfork -t --db` asks PostgreSQL about a route beyond having its statement prepared. Nothing
 * of it runs the statement.
 */
#ifndef HAYFORK_DB_PROBE_H
#define HAYFORK_DB_PROBE_H

#include "db/explain.h"
#include "db/inquiry.h"

struct db_probe {
    struct db_inquiry *inquiry;
    const struct conf *conf;
    const struct conf_route *route;
    db_explain_cb *note;
    void *arg;
};

/* Notes what the role may not do that the statement, which has this description, does. */
void db_probe_rights(const struct db_probe *probe, const PGresult *description);

/* Notes defaults and choices (one_of) that are not values of their parameters' types. */
void db_probe_values(const struct db_probe *probe, const PGresult *description,
                     const struct pgcatalogue *catalogue);

/*
 * A line for who reads an error of preparing a statement: the values of the enum that it is about, or that a
 * GRANT is missing. NULL if there is nothing to add; else the caller frees it.
 */
char *db_probe_help(struct db_inquiry *inquiry, const PGresult *error);

#endif
