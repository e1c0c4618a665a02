/* session.c: begins a PostgreSQL session with the settings that a lane relies on. */
#include "db/session.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "db/db_private.h"
#include "base/log.h"
#include "base/mem.h"

/*
 * What a session is given, whatever was set for the role, the database or the server (hayfork.conf(5),
 * Settings of a session). By these values are written and read, or SQL is understood: client_encoding,
 * DateStyle, bytea_output          pg/pgvalue.c and handlers/sql_answer.c rely on them extra_float_digits
 * answers have all digits array_nulls                                       route/params_array.c and merged
 * reads rely on it standard_conforming_strings, backslash_quote      pg/scan.c relies on them
 *   quote_all_identifiers                             db/merge.c reads names out of an EXPLAIN
 *   gin_fuzzy_search_limit                            a merged read must find what a single one finds
 *   IntervalStyle, xmlbinary, xmloption, transform_null_equals  set for the eyes and habits of other programs
 * All of them are there from PostgreSQL 14 on, built with or without libxml.
 */
static const struct {
    const char *name, *value;
    const char *also; /* values that do as well, with blanks around each; NULL for none */
} pinned[] = {
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
};

/*
 * What is the database's own: where it is at home. It applies to sessions that begin after it was changed, so
 * that a lane's sessions may differ.
 */
static const char *const left[] = {"TimeZone",   "DateStyle", "timezone_abbreviations",     "lc_monetary",
                                   "lc_numeric", "lc_time",   "default_text_search_config", "search_path"};

enum { N_PINNED = sizeof(pinned) / sizeof(pinned[0]), N_LEFT = sizeof(left) / sizeof(left[0]) };

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
    char *options = mem_printf("%s -c statement_timeout=%u -c client_connection_check_interval=500%s", users,
                               conf->deadline, conf->read_only ? " -c default_transaction_read_only=on" : "");
    for (size_t i = 1; i < N_PINNED; i++) {
        char *longer = mem_printf("%s -c %s=%s", options, pinned[i].name, pinned[i].value);
        free(options);
        options = longer;
    }
    return options;
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

const char *db_session_advice(const PGconn *pg)
{
    bool refused = strstr(PQerrorMessage(pg), "unsupported startup parameter") != NULL;
    return refused ? "PgBouncer takes it with ignore_startup_parameters = options in its ini file" : "";
}

const char *db_session_parameter_name(size_t i)
{
    static const char *const names[DB_SESSION_PARAMETERS] = {"client_encoding",
                                                             "DateStyle",
                                                             "IntervalStyle",
                                                             "TimeZone",
                                                             "standard_conforming_strings",
                                                             "default_transaction_read_only",
                                                             "search_path", /* told from PostgreSQL 18 on */
                                                             "session_authorization"};
    return names[i];
}

/* The columns of the look at a session. */
enum { LOOK_PID, LOOK_TIMEOUT, LOOK_READ_ONLY, LOOK_PINNED, LOOK_LEFT = LOOK_PINNED + N_PINNED };

_Static_assert((int)LOOK_LEFT + (int)N_LEFT == (int)DB_SESSION_LOOK_COLUMNS, "so many columns are read");
_Static_assert((int)N_LEFT == (int)DB_SESSION_LEFT, "so many are remembered");

/* Names are qualified, operators too: the search path is not ours. */
static char *look_sql(void)
{
    char *sql =
        mem_strdup("SELECT pg_catalog.pg_backend_pid(), (extract(epoch FROM pg_catalog.current_setting("
                   "'statement_timeout')::interval) OPERATOR(pg_catalog.*) 1000)::bigint,"
                   " pg_catalog.current_setting('default_transaction_read_only')");
    for (size_t i = 0; i < N_PINNED + N_LEFT; i++) {
        const char *name = i < N_PINNED ? pinned[i].name : left[i - N_PINNED];
        char *longer = mem_printf("%s, pg_catalog.current_setting('%s')", sql, name);
        free(sql);
        sql = longer;
    }
    return sql;
}

void db_session_look(struct db_connection *connection)
{
    /* The name is the same in all sessions: it is taken already where a pooler hands out one that is used. */
    static const char name[] = "hayfork_session";
    char *sql = look_sql();
    db_flight_new(connection, NULL, FLIGHT_LOOKS);
    pgwire_parse(&connection->io.out, name, sql, NULL, 0);
    pgwire_execute(&connection->io.out, name, NULL, 0, NULL);
    pgwire_sync(&connection->io.out);
    free(sql);
    for (size_t i = 0; i < DB_SESSION_PARAMETERS; i++) {
        const char *value = PQparameterStatus(connection->pg, db_session_parameter_name(i));
        connection->parameters[i] = value == NULL ? NULL : mem_strdup(value);
    }
    connection->read_only = false; /* until it is seen to be */
}

static bool is_text(struct pgwire_value value, const char *text)
{
    return value.len == (int32_t)strlen(text) && strncmp(value.text, text, strlen(text)) == 0;
}

/* DateStyle goes on with the order of day and month, which is the database's. */
static bool is_as_pinned(struct pgwire_value value, size_t i)
{
    char word[32];
    const char *comma = value.len < 0 ? NULL : memchr(value.text, ',', (size_t)value.len);
    if (comma != NULL)
        value.len = (int32_t)(comma - value.text);
    if (is_text(value, pinned[i].value))
        return true;
    snprintf(word, sizeof(word), " %.*s ", value.len, value.text);
    return pinned[i].also != NULL && strstr(pinned[i].also, word) != NULL;
}

/*
 * What is left to the database is to be the same in all sessions of the lane, or answers would depend on
 * which one gives them: older sessions make way for this one once it is ready. A pooler may hand out old ones
 * after new ones.
 */
static void compare_left(struct db_connection *connection, struct pgwire_row row, bool pooled)
{
    struct db_lane *lane = connection->lane;
    for (size_t i = 0; i < N_LEFT; i++) {
        struct pgwire_value value = pgwire_row_value(row, LOOK_LEFT + i);
        char *now = mem_strndup(value.len < 0 ? "" : value.text, value.len < 0 ? 0 : (size_t)value.len);
        if (lane->left[i] != NULL && strcmp(lane->left[i], now) != 0) {
            connection->supersedes = !pooled;
            db_complain(lane, DB_DIFFERENT_SETTING,
                        "lane %s: %s is %s in a new session and was %s in those before%s; reload Hayfork to "
                        "have it the same in all lanes and workers",
                        lane->conf.name, left[i], now, lane->left[i], pooled ? "" : ", which end now");
        }
        free(lane->left[i]);
        lane->left[i] = now;
    }
}

void db_session_seen(struct db_connection *connection, struct pgwire_row row)
{
    const struct db_lane_conf *conf = &connection->lane->conf;
    char pid[16], timeout[16];
    snprintf(pid, sizeof(pid), "%d", PQbackendPID(connection->pg));
    snprintf(timeout, sizeof(timeout), "%u", conf->deadline);
    bool pooled = !is_text(pgwire_row_value(row, LOOK_PID), pid);
    bool timed = is_text(pgwire_row_value(row, LOOK_TIMEOUT), timeout);
    bool read_only = is_text(pgwire_row_value(row, LOOK_READ_ONLY), "on");
    connection->read_only = conf->read_only && read_only;
    connection->lane->may_write = !connection->read_only;
    for (size_t i = 0; i < N_PINNED; i++) {
        struct pgwire_value value = pgwire_row_value(row, LOOK_PINNED + i);
        if (!is_as_pinned(value, i)) {
            db_connection_fail(connection, "the session has %s = %.*s, which has to be %s%s", pinned[i].name,
                               value.len, value.text, pinned[i].value,
                               pooled ? "; a pooler in between did not pass on the settings that Hayfork "
                                        "asked for, so set it with "
                                        "ALTER ROLE"
                                      : "");
            return;
        }
    }
    compare_left(connection, row, pooled);
    if (!timed || (conf->read_only && !read_only))
        db_complain(connection->lane, DB_DIFFERENT_SESSION,
                    "lane %s: %s did not pass on the settings that Hayfork asked for:%s%s; set it with ALTER "
                    "ROLE, or connect "
                    "directly",
                    conf->name, pooled ? "a pooler (PgBouncer?) between here and PostgreSQL" : "PostgreSQL",
                    timed ? "" : " queries are not bounded by statement_timeout;",
                    conf->read_only && !read_only ? " the session is not read-only, so its queries are not "
                                                    "asked again when a connection is lost"
                                                  : "");
}

bool db_session_is_shared(const char *error)
{
    return pgwire_error_is(error, "42P05", "StorePreparedStatement") ||
           pgwire_error_is(error, "26000", "FetchPreparedStatement");
}

void db_session_fail_shared(struct db_connection *connection)
{
    db_connection_fail(
        connection,
        "a pooler between here and PostgreSQL gives each transaction another session (in PgBouncer"
        " that is pool_mode = transaction): prepared statements, the read-only session and deadlines"
        " do not work there; use pool_mode = session");
}

void db_session_looked(struct db_connection *connection, const char *error)
{
    if (error == NULL)
        db_connection_prepared(connection);
    else if (db_session_is_shared(error))
        db_session_fail_shared(connection);
    else
        db_connection_fail(connection, "the session cannot be looked at: SQLSTATE %s: %s",
                           pgwire_error_field(error, PG_DIAG_SQLSTATE),
                           pgwire_error_field(error, PG_DIAG_MESSAGE_PRIMARY));
}
