/* types.h: learns the types of described statements that are not built in from the database's catalogue. */
#ifndef HAYFORK_DB_TYPES_H
#define HAYFORK_DB_TYPES_H

#include "db/statement.h"

/* Asks for all that is wanted. To be called at the end of a turn, if connection->preparations->wants_types.
 */
void db_types_ask(struct db_connection *connection);

#endif
