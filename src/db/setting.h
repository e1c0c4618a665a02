/* setting.h: settings that hold for the transaction of a query, in a step in front of its statement. */
#ifndef HAYFORK_DB_SETTING_H
#define HAYFORK_DB_SETTING_H

#include "db/lane.h"
#include "pg/pgwire.h"

/* The same settings, with the same values, in the same order? */
bool db_settings_are_equal(const struct db_settings *one, const struct db_settings *other);

/*
 * Writes a statement that makes them, for the rest of the transaction (PostgreSQL 15, section 9.27.1,
 * set_config): Parse, Bind, Execute. It returns one row. statement_timeout is lifted as well, if unbounded.
 */
void db_settings_write(struct pgwire_writer *out, struct db_settings settings, bool unbounded);

#endif
