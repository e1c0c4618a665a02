/* types.h: learns the types of described statements that are not built in from the database's catalogue. */
#ifndef HAYFORK_DB_TYPES_H
#define HAYFORK_DB_TYPES_H

#include "db/statement.h"

/* Asks for all that is wanted on the connection, if any is. */
void db_types_ask(struct db_connection *connection);

#endif
