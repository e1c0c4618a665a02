/* setting.c: the step with settings in front of a query's statement. */
#include "db/setting.h"

#include <stdio.h>
#include <string.h>

#include "unit/tap.h"

enum { HEAD = 5 }; /* bytes of a message: type and length */

/* A message's type, and what its length says; *at moves to the next one. */
static char next(struct str bytes, size_t *at, struct str *body)
{
    const unsigned char *head = (const unsigned char *)bytes.base + *at;
    size_t len = (size_t)head[1] << 24 | (size_t)head[2] << 16 | (size_t)head[3] << 8 | head[4];
    *body = (struct str){bytes.base + *at + HEAD, len - 4};
    *at += 1 + len;
    return (char)head[0];
}

/* Is that text in the body, which has NULs in it? */
static bool has(struct str body, const char *text)
{
    return memmem(body.base, body.len, text, strlen(text)) != NULL;
}

/* Parse, Bind and Execute; *parsed and *bound are the first two. */
static bool is_a_step(struct pgwire_writer *out, struct str *parsed, struct str *bound)
{
    struct str bytes = pgwire_peek(out), executed;
    size_t at = 0;
    return next(bytes, &at, parsed) == 'P' && next(bytes, &at, bound) == 'B' &&
           next(bytes, &at, &executed) == 'E' && at == bytes.len;
}

static void test_settings(void)
{
    const struct db_setting both[] = {{"app.user", "anna's"}, {"role", "reader"}};
    struct pgwire_writer out = {0};
    struct str parsed = {NULL, 0}, bound = {NULL, 0};
    db_settings_write(&out, (struct db_settings){both, 2}, false);
    ok(is_a_step(&out, &parsed, &bound), "two settings are one step");
    ok(has(parsed, "SELECT pg_catalog.set_config($1, $2, true), pg_catalog.set_config($3, $4, true)"),
       "which sets both for the transaction");
    ok(has(bound, "app.user") && has(bound, "anna's") && has(bound, "role") && has(bound, "reader"),
       "names and values are parameters: nothing of them is SQL");
    ok(!has(bound, "statement_timeout"), "and nothing else is set");
    pgwire_writer_dispose(&out);
}

static void test_unbounded(void)
{
    const struct db_setting one = {"app.user", "anna"};
    struct pgwire_writer out = {0};
    struct str parsed = {NULL, 0}, bound = {NULL, 0};
    db_settings_write(&out, (struct db_settings){NULL, 0}, true);
    ok(is_a_step(&out, &parsed, &bound) && has(bound, "statement_timeout"),
       "statement_timeout is lifted so, too");
    ok(!has(parsed, "$3"), "by itself");
    pgwire_writer_dispose(&out);

    db_settings_write(&out, (struct db_settings){&one, 1}, true);
    ok(is_a_step(&out, &parsed, &bound) && has(bound, "app.user") && has(bound, "statement_timeout"),
       "or with others");
    pgwire_writer_dispose(&out);
}

static void test_most(void)
{
    struct db_setting all[DB_SETTINGS_MOST];
    char names[DB_SETTINGS_MOST][16];
    struct pgwire_writer out = {0};
    struct str parsed = {NULL, 0}, bound = {NULL, 0};
    for (size_t i = 0; i < DB_SETTINGS_MOST; i++) {
        snprintf(names[i], sizeof(names[i]), "app.n%zu", i);
        all[i] = (struct db_setting){names[i], "on"};
    }
    db_settings_write(&out, (struct db_settings){all, DB_SETTINGS_MOST}, true);
    ok(is_a_step(&out, &parsed, &bound) && has(parsed, "set_config($33, $34, true)") && !has(parsed, "$35"),
       "as many as there may be, and statement_timeout");
    ok(has(bound, names[DB_SETTINGS_MOST - 1]), "up to the last one");
    pgwire_writer_dispose(&out);
}

int main(void)
{
    test_settings();
    test_unbounded();
    test_most();
    return done_testing();
}
