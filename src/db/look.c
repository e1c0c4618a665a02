/* look.c: looks at a session that has just begun: is it as it was asked for? */
#include "db/look.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/complain.h"
#include "base/mem.h"
#include "db/trouble.h"

/*
 * What is the database's own: where it is at home. It applies to sessions that begin after it was changed, so
 * that a lane's sessions may differ.
 */
static const char *const left[DB_LOOK_LEFT] = {
    "TimeZone",   "DateStyle", "timezone_abbreviations",     "lc_monetary",
    "lc_numeric", "lc_time",   "default_text_search_config", "search_path"};

/*
 * Something that no other session was asked. A pooler that takes a session for idle while some of its queries
 * are still to be answered (PgBouncer 1.18, when a client leaves that has sent several) hands it on, with
 * their answers. All of them come before that to the look.
 */
static uint64_t random_number(void)
{
    uint64_t number;
    while (getrandom(&number, sizeof(number), 0) != sizeof(number))
        ;
    return number;
}

/* The columns of the look at a session. */
enum {
    QUESTION,
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
    char question[24];
    bool again; /* with settings in front */
};

/*
 * Names are qualified, operators too: the search path is not ours. A standby's transactions are read-only
 * until it is promoted: where the session is to be, what counts is that it is asked to.
 */
static char *look_sql(const struct db_look *look)
{
    char *sql = mem_printf(
        "SELECT $1::text, pg_catalog.pg_backend_pid(), (extract(epoch FROM pg_catalog.current_setting("
        "'statement_timeout')::interval) OPERATOR(pg_catalog.*) 1000)::bigint,"
        " pg_catalog.current_setting('%stransaction_read_only')",
        look->settings == NULL ? "default_" : "");
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

/* The first setting that the session has and may not have; DB_SESSION_PINNED if there is none. */
static size_t first_wrong(struct pgwire_row row)
{
    size_t i = 0;
    while (i < DB_SESSION_PINNED && is_as_pinned(pgwire_row_value(row, PINNED + i), i))
        i++;
    return i;
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
static void complain_of(const struct db_env *env, bool timed, bool read_only)
{
    if (timed && (read_only || !env->conf.read_only))
        return;
    db_trouble(
        env, DB_DIFFERENT_SESSION,
        "lane %s: PostgreSQL did not take the settings that Hayfork asked for:%s%s; set it with ALTER ROLE",
        env->conf.name, timed ? "" : " queries are not bounded by statement_timeout;",
        env->conf.read_only && !read_only ? " the session is not read-only, so its queries are not "
                                            "asked again when a connection is lost"
                                          : "");
}

/* A pooler has dropped what the session was asked for, and what each transaction begins with it does not
 * drop. */
static void set_in_front(struct db_look *look)
{
    const char *lane = look->env->conf.name;
    char *about = mem_printf("settings in front of queries (lane %s)", lane);
    look->settings = db_session_settings_sql(&look->env->conf);
    look->overtakes = true;
    complain(LOG_LEVEL_INFO, about,
             "lane %s: a pooler (PgBouncer?) between here and PostgreSQL did not pass on the settings that "
             "Hayfork "
             "asked for: they are sent in front of each query",
             lane);
    free(about);
}

/* Sessions that began before it was known that settings have to be sent in front make way for this one. */
static void overtake(struct db_look *look, struct db_connection *connection)
{
    if (look->overtakes)
        db_connection_supersede(connection);
    look->overtakes = false;
}

static const char *on_row(struct db_flight *flight, const struct pgwire_message *message,
                          struct pgwire_row row)
{
    struct looking *looking = H2O_STRUCT_FROM_MEMBER(struct looking, flight, flight);
    struct db_look *look = looking->look;
    struct db_connection *connection = db_connection_of_flight(flight);
    const struct db_lane_conf *conf = &look->env->conf;
    char pid[16], timeout[16];
    (void)message;
    if (!is_text(pgwire_row_value(row, QUESTION), looking->question))
        return "a pooler has passed on an answer that was another session's";
    snprintf(pid, sizeof(pid), "%d", PQbackendPID(connection->pg));
    snprintf(timeout, sizeof(timeout), "%u", conf->deadline);
    bool pooled = !is_text(pgwire_row_value(row, PID), pid);
    bool timed = is_text(pgwire_row_value(row, TIMEOUT), timeout);
    bool read_only = is_text(pgwire_row_value(row, READ_ONLY), "on");
    size_t wrong = first_wrong(row);
    bool as_asked = timed && (read_only || !conf->read_only) && wrong == DB_SESSION_PINNED;
    if (pooled)
        db_connection_set_pooled(connection);
    if (pooled && !as_asked && look->settings == NULL) {
        set_in_front(look);
        looking->again = true;
        return NULL;
    }
    if (wrong < DB_SESSION_PINNED) {
        struct pgwire_value value = pgwire_row_value(row, PINNED + wrong);
        return db_flight_failure(flight, "the session has %s = %.*s, which has to be %s",
                                 db_session_pinned[wrong].name, value.len, value.text,
                                 db_session_pinned[wrong].value);
    }
    db_connection_set_read_only(connection, conf->read_only && read_only);
    look->may_write = !connection->read_only;
    compare_left(look, connection, row, pooled);
    complain_of(look->env, timed, read_only);
    overtake(look, connection);
    return NULL;
}

static void dispose(struct db_flight *flight)
{
    db_flight_clear(flight);
    free(H2O_STRUCT_FROM_MEMBER(struct looking, flight, flight));
}

static const char *on_end(struct db_flight *flight, bool spoilt)
{
    struct looking *looking = H2O_STRUCT_FROM_MEMBER(struct looking, flight, flight);
    struct db_connection *connection = db_connection_of_flight(flight);
    const char *failed = NULL;
    (void)spoilt;
    if (flight->error != NULL) {
        failed = db_flight_failure(flight, "the session cannot be looked at: SQLSTATE %s: %s",
                                   pgwire_error_field(flight->error, PG_DIAG_SQLSTATE),
                                   pgwire_error_field(flight->error, PG_DIAG_MESSAGE_PRIMARY));
    } else if (looking->again) {
        db_look_at(looking->look, connection);
    } else {
        connection->ops->seen(connection);
        db_connection_prepared(connection);
    }
    dispose(flight);
    return failed;
}

static const struct db_flight_ops looking_ops = {.row = on_row, .end = on_end, .lost = dispose};

void db_look_at(struct db_look *look, struct db_connection *connection)
{
    /* The name is the same in all sessions: it is taken already where a pooler hands out one that is used. */
    const char *name = look->settings == NULL ? "hayfork_session" : "";
    struct pgwire_writer *out = &connection->pipeline.io.out;
    struct looking *looking = mem_alloc(sizeof(*looking));
    char *sql = look_sql(look);
    looking->look = look;
    looking->again = false;
    snprintf(looking->question, sizeof(looking->question), "%016" PRIx64, random_number());
    db_pipeline_set_settings(&connection->pipeline, look->settings);
    db_flight_begin(&looking->flight, &connection->pipeline, &looking_ops, NULL, DB_AT_PARSE);
    db_flight_set_columns(&looking->flight, N_COLUMNS);
    pgwire_parse(out, name, sql, NULL, 0);
    pgwire_execute(out, name, &(struct str){looking->question, strlen(looking->question)}, 1, NULL);
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
    free(look->settings);
}
