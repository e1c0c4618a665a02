/* cancel.h: has PostgreSQL give up what a session does. */
#ifndef HAYFORK_DB_CANCEL_H
#define HAYFORK_DB_CANCEL_H

#include <libpq-fe.h>

/*
 * Asks the server, on a connection of its own, to cancel what the session does at that moment (PostgreSQL 15,
 * section 34.7). Returns at once, and nobody is told how it ends: it may come when the session does something
 * else, so this is for sessions that take no more queries. Does nothing where too many are under way.
 */
void db_cancel(PGconn *pg);

#endif
