/* pipeline.c: what the server sends goes to those who have something in flight, in order. */
#include "db/pipeline.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "unit/tap.h"

static struct db_env env;
static struct db_pipeline pipeline;
static char story[512];  /* what was called */
static char bytes[1024]; /* from the server */
static const char *row_says, *end_says;
static bool prefers_to_be_lost;
static char statement; /* stands for one: it is only handed on */

static void tell(const char *what, const char *more)
{
    size_t len = strlen(story);
    snprintf(story + len, sizeof(story) - len, "%s%s%s ", what, more[0] == '\0' ? "" : ":", more);
}

static void dispose(struct db_flight *flight)
{
    db_flight_clear(flight);
    free(flight);
}

static const char *on_row(struct db_flight *flight, const struct pgwire_message *message,
                          struct pgwire_row row)
{
    char text[16];
    struct pgwire_value value = pgwire_row_next(&row);
    (void)flight;
    (void)message;
    snprintf(text, sizeof(text), "%.*s", value.len, value.text);
    tell("row", text);
    return row_says;
}

static const char *on_end(struct db_flight *flight, bool spoilt)
{
    tell(spoilt ? "spoilt" : "end", flight->error == NULL ? flight->tag : flight->ran ? "failed" : "refused");
    dispose(flight);
    return end_says;
}

static void on_lost(struct db_flight *flight)
{
    tell("lost", "");
    dispose(flight);
}

static bool prefers(const struct db_flight *flight)
{
    (void)flight;
    return prefers_to_be_lost;
}

static const struct db_flight_ops ops = {
    .row = on_row, .end = on_end, .lost = on_lost, .prefers_to_be_lost = prefers};
static const struct db_flight_ops describing = {.end = on_end, .lost = on_lost, .describes = true};

static void on_head_ended(struct db_pipeline *at, const struct db_flight *head, uint64_t ms)
{
    (void)at;
    (void)ms;
    tell("head", head->tag);
}

static const struct db_pipeline_ops told = {.head_ended = on_head_ended};

static void begin(void)
{
    db_pipeline_init(&pipeline, &env, &told);
    story[0] = '\0';
    row_says = end_says = NULL;
    prefers_to_be_lost = false;
    pipeline.io.in = bytes;
    pipeline.io.in_from = pipeline.io.in_to = 0;
    pipeline.io.wants = PGWIRE_HEAD;
}

static struct db_flight *fly(const struct db_flight_ops *what, enum db_phase phase)
{
    struct db_flight *flight = malloc(sizeof(*flight));
    db_flight_begin(flight, &pipeline, what, (struct db_statement *)&statement, phase);
    db_flight_set_columns(flight, 1);
    return flight;
}

static void put(char type, const char *body, size_t len)
{
    char *at = bytes + pipeline.io.in_to;
    at[0] = type;
    at[1] = at[2] = 0;
    at[3] = (char)((len + 4) >> 8);
    at[4] = (char)(len + 4);
    memcpy(at + 5, body, len);
    pipeline.io.in_to += 5 + len;
}

static void put_row(char digit)
{
    const char body[] = {0, 1, 0, 0, 0, 1, digit};
    put('D', body, sizeof(body));
}

static void put_error(const char *severity)
{
    char body[128];
    int len =
        snprintf(body, sizeof(body), "S%s%cV%s%cC22012%cMdivision by zero%c", severity, 0, severity, 0, 0, 0);
    body[len] = '\0';
    put('E', body, (size_t)len + 1);
}

/* Bind, a row, and that it is complete; without the Sync. */
static void put_result(char digit)
{
    put('2', "", 0);
    put_row(digit);
    put('C', "SELECT 1", 9);
}

static bool came(const char *expected)
{
    db_pipeline_take(&pipeline);
    bool same = strcmp(story, expected) == 0;
    if (!same)
        printf("# %s\n", story);
    story[0] = '\0';
    return same;
}

static bool ends(const char *why)
{
    return pipeline.ends && strcmp(pipeline.why, why) == 0;
}

static void end(void)
{
    db_pipeline_lose(&pipeline);
}

static void test_order(void)
{
    begin();
    fly(&ops, DB_AT_BIND);
    fly(&ops, DB_AT_BIND);
    put_result('1');
    ok(came("row:1 "), "a row comes at once");
    put('Z', "I", 1);
    put_result('2');
    ok(came("head:SELECT 1 end:SELECT 1 row:2 "), "the end with the Sync; what is next is for the next one");
    ok(pipeline.n == 1, "which is the only one now");
    end();
    ok(strcmp(story, "lost ") == 0 && pipeline.n == 0, "it is lost with the connection");
}

static void test_errors(void)
{
    begin();
    fly(&ops, DB_AT_BIND);
    put_error("ERROR");
    put('Z', "I", 1);
    ok(came("head end:refused "), "an error instead of a Bind: it was refused");
    fly(&ops, DB_AT_BIND);
    put('2', "", 0);
    put_error("ERROR");
    put('Z', "I", 1);
    ok(came("head end:failed "), "an error after it: it had run");
    ok(!pipeline.ends, "the connection goes on");
    fly(&ops, DB_AT_BIND);
    put_error("FATAL");
    ok(came("") && ends("FATAL:  division by zero"), "but not after one that is fatal");
    end();
}

/* What row or end returns is why the connection ends. */
static void test_failures(void)
{
    begin();
    fly(&ops, DB_AT_BIND);
    row_says = "a row of a kind that nobody knows";
    put_result('1');
    put('Z', "I", 1);
    ok(came("row:1 ") && ends("a row of a kind that nobody knows"), "what is wrong with a row ends it");
    end();
    begin();
    fly(&ops, DB_AT_BIND);
    fly(&ops, DB_AT_BIND);
    end_says = "an end that nobody knows\n";
    put_result('1');
    put('Z', "I", 1);
    put_result('2');
    ok(came("row:1 head:SELECT 1 end:SELECT 1 ") && ends("an end that nobody knows"),
       "or with an end: nothing is taken after it");
    end();
    begin();
    fly(&ops, DB_AT_BIND);
    put_row('1');
    ok(came("") && ends("PostgreSQL sent something out of order (a message of type 68)"),
       "so does what comes out of order");
    end();
    begin();
    put('2', "", 0);
    ok(came("") && ends("PostgreSQL sent something out of order (a message of type 50)"),
       "or while nothing is in flight");
}

static void test_spoilt(void)
{
    static const char why[] = "a statement has left a transaction open in the session, which is closed";
    begin();
    fly(&ops, DB_AT_BIND);
    put_result('1');
    put('Z', "T", 1);
    ok(came("row:1 head:SELECT 1 spoilt:SELECT 1 ") && ends(why), "it ends in a session that was spoilt");
    begin();
    fly(&ops, DB_AT_BIND);
    prefers_to_be_lost = true;
    put_result('1');
    put('Z', "T", 1);
    ok(came("row:1 ") && ends(why) && pipeline.n == 1, "or is lost with it, if it prefers that");
    end();
}

static void test_settings(void)
{
    begin();
    db_flight_set_prefix(fly(&ops, DB_AT_BIND));
    put('1', "", 0);
    put_result('9');
    put_result('1');
    put('Z', "I", 1);
    ok(came("row:1 head:SELECT 1 end:SELECT 1 "), "the answer to settings is not for the one who asked");
    db_flight_set_prefix(fly(&ops, DB_AT_BIND));
    put('1', "", 0);
    put('2', "", 0);
    put_error("ERROR");
    put('Z', "I", 1);
    ok(came("head end:refused "), "where one is wrong, the statement has not run");
}

static void test_describing(void)
{
    static const char no_types[] = {0, 0};
    begin();
    struct db_flight *flight = fly(&describing, DB_AT_PARSE);
    db_flight_add_close(flight);
    put('3', "", 0);
    put('1', "", 0);
    put('t', no_types, sizeof(no_types));
    put('n', "", 0);
    ok(came("") && flight->parsed && flight->told != NULL && flight->told->n_types == 0,
       "what is described is kept until the end");
    put('Z', "I", 1);
    ok(came("head end "), "which comes with the Sync");
    fly(&describing, DB_AT_PARSE);
    put('3', "", 0);
    ok(came("") && pipeline.ends, "nothing is closed that was not asked for");
    end();
}

int main(void)
{
    test_order();
    test_errors();
    test_failures();
    test_spoilt();
    test_settings();
    test_describing();
    return done_testing();
}
