/* session.c: begins a PostgreSQL session with the settings that a lane relies on. */
#include "db/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "pg/pgwire.h"

enum {
    OLDEST_VERSION = 140000, /* as PQserverVersion has it */
    CHECK_INTERVAL_MS = 500, /* how soon the server notices that nobody waits any longer */
};

/*
 * By these values are written and read, or SQL is understood (hayfork.conf(5), Settings of a session):
 *
 *   client_encoding, DateStyle, bytea_output      pg/pgvalue.c and handlers/sql_answer.c rely on them
 *   extra_float_digits                            numbers are written with all digits
 *   array_nulls                                   route/params_array.c and merged reads rely on it
 *   standard_conforming_strings, backslash_quote  pg/scan.c relies on them
 *   quote_all_identifiers                         db/merge.c reads names out of an EXPLAIN
 *   gin_fuzzy_search_limit                        a merged read must find what a single one finds
 *   exit_on_error                                 one client's mistake must not end what others wait for
 *   IntervalStyle, xmlbinary, xmloption, transform_null_equals
 *                                                 set for the eyes and habits of other programs
 *
 * All of them are there from PostgreSQL 14 on, built with or without libxml.
 */
const struct db_pinned db_session_pinned[DB_SESSION_PINNED] = {
    {"client_encoding", "UTF8", NULL},
    {"DateStyle", "ISO", NULL},
    {"IntervalStyle", "postgres", NULL},
    {"bytea_output", "hex", NULL},
    {"extra_float_digits", "1", " 2 3 "},
    {"array_nulls", "on", NULL},
    {"xmlbinary", "base64", NULL},
    {"xmloption", "content", NULL},
    {"standard_conforming_strings", "on", NULL},
    {"backslash_quote", "safe_encoding", " on "},
    {"quote_all_identifiers", "off", NULL},
    {"transform_null_equals", "off", NULL},
    {"gin_fuzzy_search_limit", "0", NULL},
    {"exit_on_error", "off", NULL},
};

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
    const char *keywords[11];
    const char *values[11]; /* NULL counts as not said */
    char *options;          /* owned */
    char timeout[16];
};

/*
 * The user's options, and ours after them, which count. client_encoding is a parameter of its own.
 * statement_timeout and client_connection_check_interval: the server soon gives up what nobody waits for.
 */
static char *pinned_options(const char *users, const struct db_lane_conf *conf)
{
    char *options = mem_printf("%s -c statement_timeout=%u -c client_connection_check_interval=%u%s", users,
                               conf->deadline, CHECK_INTERVAL_MS,
                               conf->read_only ? " -c default_transaction_read_only=on" : "");
    for (size_t i = 1; i < DB_SESSION_PINNED; i++) {
        char *longer =
            mem_printf("%s -c %s=%s", options, db_session_pinned[i].name, db_session_pinned[i].value);
        free(options);
        options = longer;
    }
    return options;
}

/* client_encoding is left out: who hands out sessions has to know it. */
char *db_session_settings_sql(const struct db_lane_conf *conf)
{
    char *sql =
        mem_printf("SELECT pg_catalog.set_config('statement_timeout', '%u', true), "
                   "pg_catalog.set_config('client_connection_check_interval', '%u', true)%s",
                   conf->deadline, CHECK_INTERVAL_MS,
                   conf->read_only ? ", pg_catalog.set_config('transaction_read_only', 'on', true)" : "");
    for (size_t i = 1; i < DB_SESSION_PINNED; i++) {
        char *longer = mem_printf("%s, pg_catalog.set_config('%s', '%s', true)", sql,
                                  db_session_pinned[i].name, db_session_pinned[i].value);
        free(sql);
        sql = longer;
    }
    return sql;
}

/* timeout in seconds; 0 leaves it to libpq. */
static void settings_make(struct settings *settings, const struct db_lane_conf *conf, unsigned timeout)
{
    char *users = user_options(conf->connect);
    bool timeout_is_ours = timeout > 0 && getenv("PGCONNECT_TIMEOUT") == NULL;
    char *options = pinned_options(users, conf);
    free(users);
    setenv("PGDATESTYLE", "ISO", 1); /* libpq sends it by itself, also where a pooler drops the options */
    *settings = (struct settings){
        /* dbname is expanded as a conninfo string; what comes after it goes before what it says. */
        .keywords = {"fallback_application_name", "connect_timeout", "gssencmode", "dbname",
                     "client_encoding", "options", "password"},
        .values = {"hayfork", timeout_is_ours ? settings->timeout : NULL, "disable",
                   conf->connect[0] == '\0' ? NULL : conf->connect, "UTF8", options, conf->password},
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

PGconn *db_session_start(const struct db_lane_conf *conf, const PGconn *like)
{
    struct settings settings;
    settings_make(&settings, conf, 0);
    if (like != NULL) {
        const char *address = PQhostaddr(like);
        size_t n = 0;
        while (settings.keywords[n] != NULL)
            n++;
        settings.keywords[n] = "host";
        settings.values[n++] = PQhost(like);
        settings.keywords[n] = "hostaddr";
        settings.values[n++] = address == NULL || address[0] == '/' ? "" : address;
        settings.keywords[n] = "port";
        settings.values[n++] = PQport(like);
    }
    return settings_used(&settings, PQconnectStartParams(settings.keywords, settings.values, 1));
}

PGconn *db_session_connect(const struct db_lane_conf *conf, unsigned timeout)
{
    struct settings settings;
    settings_make(&settings, conf, timeout);
    return settings_used(&settings, PQconnectdbParams(settings.keywords, settings.values, 1));
}

static const char too_old[] = "which is out of support; Hayfork needs 14 or newer";

void db_session_say_failure(const PGconn *pg, char *why, size_t size)
{
    const char *error = PQerrorMessage(pg);
    bool no_options = strstr(error, "unsupported startup parameter") != NULL;
    if (strstr(error, "\"client_connection_check_interval\"") != NULL) /* 13 does not know that parameter */
        snprintf(why, size, "this is PostgreSQL 13 or older, %s", too_old);
    else
        snprintf(why, size, "%s%s", error,
                 no_options ? "PgBouncer takes it with ignore_startup_parameters = options in its ini file"
                            : "");
}

bool db_session_is_too_old(const PGconn *pg, char *why, size_t size)
{
    int version = PQserverVersion(pg);
    if (version == 0 || version >= OLDEST_VERSION) /* 0: it does not say */
        return false;
    snprintf(why, size, "this is PostgreSQL %s, %s", PQparameterStatus(pg, "server_version"), too_old);
    return true;
}

/* Parameters */

static const char *const parameter_names[DB_SESSION_PARAMETERS] = {"client_encoding",
                                                                   "DateStyle",
                                                                   "IntervalStyle",
                                                                   "TimeZone",
                                                                   "standard_conforming_strings",
                                                                   "default_transaction_read_only",
                                                                   "search_path", /* told from 18 on */
                                                                   "session_authorization"};

void db_parameters_begin(struct db_parameters *parameters, const PGconn *pg)
{
    db_parameters_clear(parameters);
    for (size_t i = 0; i < DB_SESSION_PARAMETERS; i++) {
        const char *value = PQparameterStatus(pg, parameter_names[i]);
        parameters->began[i] = value == NULL ? NULL : mem_strdup(value);
    }
}

void db_parameters_take(struct db_parameters *parameters, const char *name, const char *value)
{
    bool any = false;
    for (size_t i = 0; i < DB_SESSION_PARAMETERS; i++) {
        const char *began = parameters->began[i];
        if (strcmp(parameter_names[i], name) == 0)
            parameters->changed[i] = began == NULL || strcmp(began, value) != 0;
        any |= parameters->changed[i];
    }
    parameters->any_changed = any;
}

const char *db_parameters_changed(const struct db_parameters *parameters)
{
    if (!parameters->any_changed)
        return NULL;
    size_t i = 0;
    while (!parameters->changed[i])
        i++;
    return parameter_names[i];
}

void db_parameters_clear(struct db_parameters *parameters)
{
    for (size_t i = 0; i < DB_SESSION_PARAMETERS; i++)
        free(parameters->began[i]);
    *parameters = (struct db_parameters){0};
}

/* Poolers */

bool db_session_is_shared(const char *error)
{
    return pgwire_error_is(error, "42P05", "StorePreparedStatement") ||
           pgwire_error_is(error, "26000", "FetchPreparedStatement");
}

const char db_session_shared[] =
    "a pooler between here and PostgreSQL gives each transaction another session (in PgBouncer"
    " that is pool_mode = transaction), which does not have the statements that were prepared; set"
    " max_prepared_statements, which PgBouncer 1.21 and later have, or use pool_mode = session";
