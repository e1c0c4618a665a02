/* db_session.c: begins a PostgreSQL session with the settings that a lane relies on. */
#include "db_session.h"

#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "mem.h"

/* The `options` that the user's conninfo or PGOPTIONS have; allocated. */
static char *user_options(const char *conninfo)
{
    const char *found = getenv("PGOPTIONS");
    PQconninfoOption *parsed = PQconninfoParse(conninfo, NULL);
    for (PQconninfoOption *option = parsed; option != NULL && option->keyword != NULL; option++) {
        if (strcmp(option->keyword, "options") == 0 && option->val != NULL)
            found = option->val;
    }
    char *copy = mem_strdup(found == NULL ? "" : found);
    PQconninfoFree(parsed);
    return copy;
}

/* The server's notices are the database owner's business: they are seen at debug level. */
static void on_notice(void *arg, const char *message)
{
    (void)arg;
    log_debug("PostgreSQL: %s", message);
}

PGconn *db_session_start(const struct db_lane_conf *conf)
{
    char *users = user_options(conf->connect);
    /*
     * DateStyle and client_encoding: pgjson.c relies on them; standard_conforming_strings: sql.c does.
     * IntervalStyle: an answer must not depend on a setting that was made for the eyes of psql users.
     * statement_timeout and client_connection_check_interval: the server soon gives up what nobody waits
     * for.
     */
    char *options =
        mem_printf("%s -c DateStyle=ISO -c IntervalStyle=postgres -c statement_timeout=%u"
                   " -c client_connection_check_interval=500 -c standard_conforming_strings=on%s",
                   users, conf->deadline, conf->read_only ? " -c default_transaction_read_only=on" : "");
    unsetenv("PGDATESTYLE"); /* libpq would send it behind our options */
    /* dbname is expanded as a conninfo string; what comes behind it goes before what it says. */
    const char *keywords[] = {"fallback_application_name", "dbname", "client_encoding", "options", NULL};
    const char *values[] = {"hayfork", conf->connect[0] == '\0' ? NULL : conf->connect, "UTF8", options,
                            NULL};
    PGconn *pg = PQconnectStartParams(keywords, values, 1);
    if (pg == NULL)
        log_fatalx("out of memory");
    PQsetNoticeProcessor(pg, on_notice, NULL);
    free(options);
    free(users);
    return pg;
}
