/* trouble.h: what a lane complains about in the log. */
#ifndef HAYFORK_DB_TROUBLE_H
#define HAYFORK_DB_TROUBLE_H

#include "db/env.h"

/* The first two are over once the lane is connected. */
#define DB_LOST_CONNECTION   "lost the connection to the database"
#define DB_CANNOT_CONNECT    "cannot connect to the database"
#define DB_CANNOT_SPILL      "cannot open another connection"
#define DB_DIFFERENT_SESSION "the session is not as it was asked for"
#define DB_DIFFERENT_SETTING "a setting is another in new sessions"

/* Logs an error of the lane, which has this trouble, as complain_in_words does. */
void db_trouble(const struct db_env *env, const char *trouble, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* The lane is connected. Logs that if it was complained that it is not. */
void db_trouble_is_over(const struct db_env *env);

#endif
