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

/*
 * The same session, but waits until it is there or has failed: timeout seconds for each host, unless the
 * user's conninfo or PGCONNECT_TIMEOUT says something else. Of conf it reads connect, read_only and deadline.
 */
PGconn *db_session_connect(const struct db_lane_conf *conf, unsigned timeout);

#endif
