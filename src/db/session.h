/* session.h: begins a PostgreSQL session with the settings that a lane relies on. */
#ifndef HAYFORK_DB_SESSION_H
#define HAYFORK_DB_SESSION_H

#include <libpq-fe.h>

#include "db/lane.h"
#include "pg/pgwire.h"

struct db_connection;

/*
 * Starts an asynchronous connection (PostgreSQL 15, chapter 34.1). The settings travel in the start-up
 * packet and not by SET, which a pooler in transaction mode would leak to other clients; the user's own
 * `options` stay in force before ours. The answer is never NULL; PQstatus says whether it began well. like,
 * or NULL, is a session of this lane that is connected: then it is the same server, and its name need not be
 * looked up, for which libpq would have us wait.
 */
PGconn *db_session_start(const struct db_lane_conf *conf, const PGconn *like);

/*
 * The same session, but waits until it is there or has failed: timeout seconds for each host, unless the
 * user's conninfo or PGCONNECT_TIMEOUT says something else. Of conf it reads connect, read_only and deadline.
 */
PGconn *db_session_connect(const struct db_lane_conf *conf, unsigned timeout);

/*
 * What can be done about an attempt that has failed, where it was a pooler that refused it: a text to be
 * appended to libpq's, or an empty one.
 */
const char *db_session_advice(const PGconn *pg);

/* The parameters that the server reports and that no statement may change for those behind it, by number. */
const char *db_session_parameter_name(size_t i);

enum { DB_SESSION_LOOK_COLUMNS = 24 };

/*
 * Asks a session that has just begun whether it is as it was asked for: a pooler may have dropped what the
 * start-up packet said. The answer's row is handed to db_session_seen, its end to db_session_looked with the
 * error's body, or NULL. A session in which answers would come out wrong is failed.
 */
void db_session_look(struct db_connection *connection);
void db_session_seen(struct db_connection *connection, struct pgwire_row row);
void db_session_looked(struct db_connection *connection, const char *error);

/* Does the error, which our own messages met, show that what we have prepared is in another session? */
bool db_session_is_shared(const char *error);

/* Fails the connection for that. */
void db_session_fail_shared(struct db_connection *connection);

#endif
