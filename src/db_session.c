/* db_session.c: begins a PostgreSQL session with the settings that a lane relies on. */
#include "db_session.h"

#include <stdio.h>
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

/* What libpq is told: PQconnectStartParams takes arrays that end with NULL. */
struct settings {
    const char *keywords[6];
    const char *values[6]; /* NULL counts as not said */
    char *options;         /* owned */
    char timeout[16];
};

/* timeout in seconds; 0 leaves it to libpq. */
static void settings_make(struct settings *settings, const struct db_lane_conf *conf, unsigned timeout)
{
    char *users = user_options(conf->connect);
    bool timeout_is_ours = timeout > 0 && getenv("PGCONNECT_TIMEOUT") == NULL;
    /*
     * DateStyle and client_encoding: pgjson.c relies on them; standard_conforming_strings: sql.c does;
     * bytea_output: handler_sql_answer.c.
     * IntervalStyle: an answer must not depend on a setting that was made for the eyes of psql users.
     * statement_timeout and client_connection_check_interval: the server soon gives up what nobody waits
     * for.
     */
    char *options =
        mem_printf("%s -c DateStyle=ISO -c IntervalStyle=postgres -c bytea_output=hex -c statement_timeout=%u"
                   " -c client_connection_check_interval=500 -c standard_conforming_strings=on%s",
                   users, conf->deadline, conf->read_only ? " -c default_transaction_read_only=on" : "");
    free(users);
    unsetenv("PGDATESTYLE"); /* libpq would send it behind our options */
    *settings = (struct settings){
        /* dbname is expanded as a conninfo string; what comes behind it goes before what it says. */
        .keywords = {"fallback_application_name", "connect_timeout", "dbname", "client_encoding", "options"},
        .values = {"hayfork", timeout_is_ours ? settings->timeout : NULL,
                   conf->connect[0] == '\0' ? NULL : conf->connect, "UTF8", options},
        .options = options,
    };
    snprintf(settings->timeout, sizeof(settings->timeout), "%u", timeout);
}

/* Takes over what libpq has made of the settings. */
static PGconn *settings_used(struct settings *settings, PGconn *pg)
{
    if (pg == NULL)
        log_fatalx("out of memory");
    PQsetNoticeProcessor(pg, on_notice, NULL);
    free(settings->options);
    return pg;
}

PGconn *db_session_start(const struct db_lane_conf *conf)
{
    struct settings settings;
    settings_make(&settings, conf, 0);
    return settings_used(&settings, PQconnectStartParams(settings.keywords, settings.values, 1));
}

PGconn *db_session_connect(const struct db_lane_conf *conf, unsigned timeout)
{
    struct settings settings;
    settings_make(&settings, conf, timeout);
    return settings_used(&settings, PQconnectdbParams(settings.keywords, settings.values, 1));
}
