/* look.h: looks at a session that has just begun: is it as it was asked for? */
#ifndef HAYFORK_DB_LOOK_H
#define HAYFORK_DB_LOOK_H

#include "db/connection.h"

enum { DB_LOOK_LEFT = 8 }; /* settings that are the database's own */

/* What has been seen of a lane's sessions. */
struct db_look {
    struct db_env *env;
    char *left[DB_LOOK_LEFT]; /* settings of the last session that began; owned */
    bool may_write;           /* a session that was to be read-only is not */
    char *settings; /* SQL in front of each transaction: a pooler drops what sessions ask for; or NULL */
    bool overtakes; /* the next session is the first one with it */
};

void db_look_init(struct db_look *look, struct db_env *env);
void db_look_clear(struct db_look *look);

/*
 * Asks a session that has just begun whether it is as it was asked for: a pooler may have dropped what the
 * start-up packet said. The connection, which awaits that, is failed if what it reads would come out wrong.
 */
void db_look_at(struct db_look *look, struct db_connection *connection);

#endif
