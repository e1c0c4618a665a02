/* session.h: begins a PostgreSQL session with the settings that a lane relies on. */
#ifndef HAYFORK_DB_SESSION_H
#define HAYFORK_DB_SESSION_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "db/lane.h"

/*
 * Starts an asynchronous connection (PostgreSQL 15, chapter 34.1). The settings travel in the start-up
 * packet and not by SET, which a pooler in transaction mode would leak to other clients; the user's own
 * `options` stay in force before ours. Never returns NULL; PQstatus says whether it began well. like,
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
 * Why an attempt has failed: libpq's words, with what can be done about it where it was a pooler, or a server
 * that is too old, that has refused it.
 */
void db_session_say_failure(const PGconn *pg, char *why, size_t size);

/*
 * Is the server older than those that Hayfork works with? why then gets the reason. One that is asked
 * directly has refused the attempt already; behind a pooler there is a session.
 */
bool db_session_is_too_old(const PGconn *pg, char *why, size_t size);

/* What a session is given, whatever was set for the role, the database or the server. */
struct db_pinned {
    const char *name, *value;
    const char *also; /* values that do as well, with blanks around each; NULL for none */
};

enum { DB_SESSION_PINNED = 14 };

extern const struct db_pinned db_session_pinned[DB_SESSION_PINNED];

/*
 * One statement that makes these settings, and those of the lane, for its transaction: where a pooler has
 * dropped what the session was asked for. Allocated.
 */
char *db_session_settings_sql(const struct db_lane_conf *conf);

enum { DB_SESSION_PARAMETERS = 8 };

/* The parameters that the server reports and that no statement may change for those after it. */
struct db_parameters {
    char *began[DB_SESSION_PARAMETERS];  /* owned */
    bool changed[DB_SESSION_PARAMETERS]; /* since then */
    bool any_changed;
};

/* The session begins with them as they are. */
void db_parameters_begin(struct db_parameters *parameters, const PGconn *pg);

/* The server reports a parameter, of these or of others. */
void db_parameters_take(struct db_parameters *parameters, const char *name, const char *value);

/* The name of one that is not as the session began; NULL if there is none. */
const char *db_parameters_changed(const struct db_parameters *parameters);

void db_parameters_clear(struct db_parameters *parameters);

/* Does the error, which our own messages met, show that what we have prepared is in another session? */
bool db_session_is_shared(const char *error);

/* Why such a connection cannot be used. */
extern const char db_session_shared[];

#endif
