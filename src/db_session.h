/* db_session.h: begins a PostgreSQL session with the settings that a lane relies on. */
#ifndef HAYFORK_DB_SESSION_H
#define HAYFORK_DB_SESSION_H

#include <libpq-fe.h>

#include "db.h"

/*
 * Starts an asynchronous connection (PostgreSQL 15, chapter 34.1). The settings travel in the start-up
 * packet and not by SET, which a pooler in transaction mode would leak to other clients; the user's own
 * `options` stay in force before ours. The answer is never NULL; PQstatus says whether it began well.
 */
PGconn *db_session_start(const struct db_lane_conf *conf);

#endif
