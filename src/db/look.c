/* look.c: looks at a session that has just begun: is it as it was asked for? */
#include "db/look.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "db/trouble.h"

/*
 * What is the database's own: where it is at home. It applies to sessions that begin after it was changed, so
 * that a lane's sessions may differ.
 */
static const char *const left[DB_LOOK_LEFT] = {
    "TimeZone",   "DateStyle", "timezone_abbreviations",     "lc_monetary",
    "lc_numeric", "lc_time",   "default_text_search_config", "search_path"};

/* The columns of the look at a session. */
enum {
    PID,
    TIMEOUT,
    READ_ONLY,
    PINNED,
    LEFT = PINNED + DB_SESSION_PINNED,
    N_COLUMNS = LEFT + DB_LOOK_LEFT,
};

struct looking {
    struct db_flight flight;
    struct db_look *look;
};

/* Names are qualified, operators too: the search path is not ours. */
static char *look_sql(void)
{
    char *sql =
        mem_strdup("SELECT pg_catalog.pg_backend_pid(), (extract(epoch FROM pg_catalog.current_setting("
                   "'statement_timeout')::interval) OPERATOR(pg_catalog.*) 1000)::bigint,"
                   " pg_catalog.current_setting('default_transaction_read_only')");
    for (size_t i = 0; i < DB_SESSION_PINNED + DB_LOOK_LEFT; i++) {
        const char *name = i < DB_SESSION_PINNED ? db_session_pinned[i].name : left[i - DB_SESSION_PINNED];
        char *longer = mem_printf("%s, pg_catalog.current_setting('%s')", sql, name);
        free(sql);
        sql = longer;
    }
    return sql;
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
    if (is_text(value, db_session_pinned[i].value))
        return true;
    snprintf(word, sizeof(word), " %.*s ", value.len, value.text);
    return db_session_pinned[i].also != NULL && strstr(db_session_pinned[i].also, word) != NULL;
}

/*
 * What is left to the database is to be the same in all sessions of the lane, or results would depend on
 * which one gives them: older sessions make way for this one once it is ready. A pooler may hand out old ones
 * after new ones.
 */
static void compare_left(struct db_look *look, struct db_connection *connection, struct pgwire_row row,
                         bool pooled)
{
    const char *lane = look->env->conf.name;
    for (size_t i = 0; i < DB_LOOK_LEFT; i++) {
        struct pgwire_value value = pgwire_row_value(row, LEFT + i);
        char *now = mem_strndup(value.len < 0 ? "" : value.text, value.len < 0 ? 0 : (size_t)value.len);
        if (look->left[i] != NULL && strcmp(look->left[i], now) != 0) {
            if (!pooled)
                db_connection_supersede(connection);
            db_trouble(look->env, DB_DIFFERENT_SETTING,
                       "lane %s: %s is %s in a new session and was %s in those before%s; reload Hayfork to "
                       "have it the same in all lanes and workers",
                       lane, left[i], now, look->left[i], pooled ? "" : ", which end now");
        }
        free(look->left[i]);
        look->left[i] = now;
    }
}

/* What the session lacks that a lane can do without. */
static void complain(const struct db_env *env, bool pooled, bool timed, bool read_only)
{
    if (timed && (read_only || !env->conf.read_only))
        return;
    db_trouble(env, DB_DIFFERENT_SESSION,
               "lane %s: %s did not pass on the settings that Hayfork asked for:%s%s; set it with ALTER "
               "ROLE, or connect "
               "directly",
               env->conf.name, pooled ? "a pooler (PgBouncer?) between here and PostgreSQL" : "PostgreSQL",
               timed ? "" : " queries are not bounded by statement_timeout;",
               env->conf.read_only && !read_only ? " the session is not read-only, so its queries are not "
                                                   "asked again when a connection is lost"
                                                 : "");
}

static const char *on_row(struct db_flight *flight, const struct pgwire_message *message,
                          struct pgwire_row row)
{
    struct db_look *look = H2O_STRUCT_FROM_MEMBER(struct looking, flight, flight)->look;
    struct db_connection *connection = db_connection_of_flight(flight);
    const struct db_lane_conf *conf = &look->env->conf;
    char pid[16], timeout[16];
    (void)message;
    snprintf(pid, sizeof(pid), "%d", PQbackendPID(connection->pg));
    snprintf(timeout, sizeof(timeout), "%u", conf->deadline);
    bool pooled = !is_text(pgwire_row_value(row, PID), pid);
    bool timed = is_text(pgwire_row_value(row, TIMEOUT), timeout);
    bool read_only = is_text(pgwire_row_value(row, READ_ONLY), "on");
    db_connection_set_read_only(connection, conf->read_only && read_only);
    look->may_write = !connection->read_only;
    for (size_t i = 0; i < DB_SESSION_PINNED; i++) {
        struct pgwire_value value = pgwire_row_value(row, PINNED + i);
        if (!is_as_pinned(value, i))
            return db_flight_failure(
                flight, "the session has %s = %.*s, which has to be %s%s", db_session_pinned[i].name,
                value.len, value.text, db_session_pinned[i].value,
                pooled ? "; a pooler in between did not pass on the settings that Hayfork "
                         "asked for, so set it with "
                         "ALTER ROLE"
                       : "");
    }
    compare_left(look, connection, row, pooled);
    complain(look->env, pooled, timed, read_only);
    return NULL;
}

static void dispose(struct db_flight *flight)
{
    db_flight_clear(flight);
    free(H2O_STRUCT_FROM_MEMBER(struct looking, flight, flight));
}

static const char *on_end(struct db_flight *flight, bool spoilt)
{
    const char *failed = NULL;
    (void)spoilt;
    if (flight->error == NULL)
        db_connection_prepared(db_connection_of_flight(flight));
    else
        failed = db_flight_failure(flight, "the session cannot be looked at: SQLSTATE %s: %s",
                                   pgwire_error_field(flight->error, PG_DIAG_SQLSTATE),
                                   pgwire_error_field(flight->error, PG_DIAG_MESSAGE_PRIMARY));
    dispose(flight);
    return failed;
}

static const struct db_flight_ops looking_ops = {.row = on_row, .end = on_end, .lost = dispose};

void db_look_at(struct db_look *look, struct db_connection *connection)
{
    /* The name is the same in all sessions: it is taken already where a pooler hands out one that is used. */
    static const char name[] = "hayfork_session";
    struct pgwire_writer *out = &connection->pipeline.io.out;
    struct looking *looking = mem_alloc(sizeof(*looking));
    char *sql = look_sql();
    looking->look = look;
    db_flight_begin(&looking->flight, &connection->pipeline, &looking_ops, NULL, DB_AT_PARSE);
    db_flight_set_columns(&looking->flight, N_COLUMNS);
    pgwire_parse(out, name, sql, NULL, 0);
    pgwire_execute(out, name, NULL, 0, NULL);
    pgwire_sync(out);
    free(sql);
}

void db_look_init(struct db_look *look, struct db_env *env)
{
    *look = (struct db_look){.env = env};
}

void db_look_clear(struct db_look *look)
{
    for (size_t i = 0; i < DB_LOOK_LEFT; i++)
        free(look->left[i]);
}
