/* kind_sql.c: routes with `sql`: their keys. */
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/hint.h"
#include "conf/kind.h"
#include "conf/lanes.h"
#include "conf/params.h"
#include "conf/statement.h"
#include "conf/reading.h"
#include "conf/write.h"

static const char *const answers[] = {
    [CONF_ANSWER_ROW] = "row",
    [CONF_ANSWER_ROWS] = "rows",
    [CONF_ANSWER_NONE] = "none",
    [CONF_ANSWER_VALUE] = "value",
};

/* Reading */

static void read_sql(struct conf_reading *reading, const char *key, const struct conf_yaml *value)
{
    if (!conf_reading_want_verbatim(reading, key, value))
        return;
    reading->route->sql = mem_strdup(value->value);
    reading->route->sql_pos = value->pos;
}

static void read_sql_file(struct conf_reading *reading, const char *key, const struct conf_yaml *value)
{
    const struct conf_file *file = conf_reading_file(reading, key, value);
    if (file == NULL)
        return;
    reading->route->sql = mem_strdup(file->text);
    reading->route->sql_pos = conf_files_at(file, 0);
}

static void read_answer(struct conf_reading *reading, const char *key, const struct conf_yaml *value)
{
    size_t i = conf_reading_word(
        reading, key, value, answers, 4,
        "row (one object), rows (an array), none (no body) or value (the first column as it "
        "is)");
    if (i < 4)
        reading->route->answer = (enum conf_answer)i;
}

static void read_query(struct conf_reading *reading, const char *key, const struct conf_yaml *value)
{
    (void)key;
    if (!conf_params_read(reading->files, reading->route, PARAMS_QUERY, value))
        reading->unknown_key = true;
}

static void read_unknown_query(struct conf_reading *reading, const char *key, const struct conf_yaml *value)
{
    static const char *const words[] = {"refuse", "ignore"};
    reading->route->ignore_unknown_query =
        conf_reading_word(reading, key, value, words, 2, "refuse (answered 400) or ignore") == 1;
}

static void read_merge(struct conf_reading *reading, const char *key, const struct conf_yaml *value)
{
    static const char *const words[] = {"on", "off"};
    reading->route->merge_off = conf_reading_word(reading, key, value, words, 2, "on or off") == 1;
}

static void read_body(struct conf_reading *reading, const char *key, const struct conf_yaml *value)
{
    (void)key;
    if (!conf_params_read(reading->files, reading->route, PARAMS_BODY, value))
        reading->unknown_key = true;
}

static void read_body_as(struct conf_reading *reading, const char *key, const struct conf_yaml *value)
{
    (void)key;
    conf_params_read_body_as(reading->files, reading->route, value);
}

/* Returns 0 for what is not a number of three digits. */
static int status_of(const char *text)
{
    return strlen(text) == 3 && strspn(text, "0123456789") == 3 ? atoi(text) : 0;
}

static void read_status(struct conf_reading *reading, const char *key, const struct conf_yaml *value)
{
    if (!conf_reading_want_text(reading, key, value))
        return;
    int status = status_of(value->value);
    if (status >= 200 && status <= 299)
        reading->route->status = status;
    else
        conf_files_error(reading->files, value->pos,
                         "%s is that of a successful answer: it takes a number from 200 to 299, not \"%.*s\"",
                         key, CONF_FILES_QUOTE(value->value));
}

static void read_no_row(struct conf_reading *reading, const char *key, const struct conf_yaml *value)
{
    if (!conf_reading_want_text(reading, key, value))
        return;
    int status = status_of(value->value);
    if (status == 204 || (status >= 400 && status <= 499))
        reading->route->no_row = status;
    else
        conf_files_error(reading->files, value->pos,
                         "%s takes 204 (nothing, which is not an error) or a status from 400 to 499, not "
                         "\"%.*s\"",
                         key, CONF_FILES_QUOTE(value->value));
}

static void note_no_lane(struct conf_reading *reading, const struct conf_yaml *value)
{
    const struct conf *conf = reading->conf;
    const char **names = conf_lanes_names(conf);
    char *choice = conf_hint_choice(names, conf->n_lanes);
    const char *near = conf_hint_nearest(value->value, names, conf->n_lanes);
    char *meant = conf_hint_did_you_mean(near);
    conf_files_error(reading->files, value->pos, "lane takes %s, not \"%.*s\"%s", choice,
                     CONF_FILES_QUOTE(value->value),
                     near == NULL ? "; other lanes have to be declared in database.lanes" : meant);
    free(meant);
    free(choice);
    free(names);
}

static void read_lane(struct conf_reading *reading, const char *key, const struct conf_yaml *value)
{
    const struct conf *conf = reading->conf;
    /* After a mistake it is the lane on which everything can run, so that it causes no other. */
    reading->route->lane = CONF_LANE_WRITE;
    if (!conf_reading_want_text(reading, key, value))
        return;
    size_t found = conf_lanes_find(conf, value->value);
    if (found < conf->n_lanes)
        reading->route->lane = (unsigned)found;
    else if (!conf->lanes_incomplete)
        note_no_lane(reading, value);
}

/* Checking */

static void finish(struct conf_reading *reading)
{
    static const char *const of_bodies[] = {"body", "body_as"};
    const struct conf_route *route = reading->route;
    const struct conf_yaml *status = conf_reading_key(reading, "status");
    const struct conf_yaml *no_row = conf_reading_key(reading, "no_row");
    const struct conf_yaml *merge = conf_reading_key(reading, "merge");
    bool has_answer = conf_reading_key(reading, "answer") != NULL;
    if (!has_answer) {
        conf_files_error(
            reading->files, route->pos,
            "this route needs an answer: write `answer: row` for one object, `answer: rows` for "
            "an array, `answer: none` for no body, or `answer: value` for the first column as it "
            "is");
    } else if (no_row != NULL && route->answer == CONF_ANSWER_ROWS) {
        conf_files_error(
            reading->files, no_row->pos,
            "with `answer: rows` no row is an empty array; no_row goes with row, value and none");
    } else if (status != NULL && route->answer != CONF_ANSWER_NONE &&
               (route->status == 204 || route->status == 205)) {
        conf_files_error(reading->files, status->pos,
                         "an answer with status %d has no body: write `answer: none`", route->status);
    }
    if (merge != NULL && has_answer && route->answer != CONF_ANSWER_ROW)
        conf_files_error(reading->files, merge->pos, "only reads with `answer: row` are merged; remove this");
    for (size_t i = 0; conf_reading_is_for(reading, "GET") && i < 2; i++) {
        const struct conf_yaml *key = conf_reading_key(reading, of_bodies[i]);
        if (key != NULL)
            conf_files_error(reading->files, key->pos,
                             "a GET request has no body: make this route a POST, or take URL parameters by "
                             "`query`");
    }
    conf_params_finish(reading->files, reading->route);
}

static void complete(const struct conf_reading *reading, const struct conf_route *defaults)
{
    struct conf_route *route = reading->route;
    if (conf_reading_key(reading, "lane") == NULL)
        route->lane = conf_reading_is_for(reading, "GET") ? CONF_LANE_READ : CONF_LANE_WRITE;
    if (conf_reading_key(reading, "merge") == NULL)
        route->merge_off = defaults->merge_off;
    if (route->status == 0)
        route->status = route->answer == CONF_ANSWER_NONE ? 204 : 200;
    if (route->no_row == 0)
        route->no_row = 404;
}

static void check(struct conf *conf, struct conf_route *route, const struct str *names, size_t n_names)
{
    struct conf_lane *lane = &conf->lanes[route->lane];
    if (route->deadline == 0)
        route->deadline = lane->deadline;
    if (route->whole)
        lane->used = true;
    bool is_sound = route->sql != NULL && conf_statement_scan(conf, route);
    if (route->whole && is_sound && n_names != SIZE_MAX)
        conf_statement_check_params(conf, route, names, n_names);
}

/* Printing */

static void print(const struct conf *conf, const struct conf_route *route, int indent, FILE *out)
{
    conf_write_own_text("sql", route->sql, true, indent, out);
    conf_write_params("query", route, PARAMS_QUERY, indent, out);
    conf_write_text("unknown_query", route->ignore_unknown_query ? "ignore" : "refuse", indent, out);
    conf_write_params("body", route, PARAMS_BODY, indent, out);
    for (size_t i = 0; i < route->n_declared; i++) {
        if (route->declared[i].spec.source == PARAMS_BODY_AS)
            conf_write_text("body_as", route->declared[i].spec.name, indent, out);
    }
    conf_write_text("answer", answers[route->answer], indent, out);
    fprintf(out, "%*sstatus: %d\n", indent, "", route->status);
    if (route->answer != CONF_ANSWER_ROWS)
        fprintf(out, "%*sno_row: %d\n", indent, "", route->no_row);
    conf_write_text("lane", conf->lanes[route->lane].name, indent, out);
    if (route->answer == CONF_ANSWER_ROW)
        conf_write_text("merge", route->merge_off ? "off" : "on", indent, out);
}

static const struct conf_key keys[] = {
    {"sql", read_sql},
    {"sql_file", read_sql_file},
    {"answer", read_answer},
    {"query", read_query},
    {"unknown_query", read_unknown_query},
    {"body", read_body},
    {"body_as", read_body_as},
    {"status", read_status},
    {"no_row", read_no_row},
    {"lane", read_lane},
    {"merge", read_merge},
};

const struct conf_kind conf_kind_sql = {
    .keys = keys,
    .n_keys = sizeof(keys) / sizeof(keys[0]),
    .has_originals = true,
    .n_first = 2,
    .asks_database = true,
    .fills_headers = true,
    .finish = finish,
    .complete = complete,
    .check = check,
    .print = print,
};
