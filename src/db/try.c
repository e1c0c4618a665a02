/* try.c: `hayfork -t --db`: would PostgreSQL take the statements of the conf? */
#include "db/try.h"

#include <stdlib.h>
#include <string.h>
#include <sysexits.h>

#include "conf/files.h"
#include "conf/kind.h"
#include "db/budget.h"
#include "db/explain.h"
#include "db/infer.h"
#include "db/inquiry.h"
#include "db/probe.h"
#include "db/session.h"
#include "base/mem.h"
#include "pg/pgjson.h"

enum {
    CONNECT_LIMIT_S = 10,
};

struct trial {
    const struct conf *conf;
    FILE *errors;
    struct db_inquiry inquiry;
    bool useless[2]; /* database.connect, database.read: need not be tried for another lane */
    bool away;       /* a statement could not be asked about */
    struct db_budget budget;
};

/* Says what could not be done, and why. reason may have several lines and end in a line feed. */
static void note_away(struct trial *trial, const char *what, const char *where, const char *reason)
{
    trial->away = true;
    fprintf(trial->errors, "hayfork: cannot %s %s: ", what, where);
    for (; *reason != '\0'; reason++) {
        if (*reason != '\n')
            putc(*reason == '\t' ? ' ' : *reason, trial->errors);
        else if (reason[1] != '\0')
            fputs("\n    ", trial->errors);
    }
    putc('\n', trial->errors);
}

static void note_warning(void *arg, struct conf_pos pos, const char *message, const char *help)
{
    const struct trial *trial = arg;
    (void)help;
    conf_files_warn(trial->conf->files, pos, "%s", message);
}

static void note_mistake(void *arg, struct conf_pos pos, const char *message, const char *help)
{
    const struct trial *trial = arg;
    conf_files_error(trial->conf->files, pos, "%s", message);
    if (help != NULL)
        conf_files_help(trial->conf->files, help);
}

/* What PostgreSQL said, for those who do not know libpq. types has room for all of them. */
static struct db_report report_of(const PGresult *result, Oid *types)
{
    struct db_report report = {.types = types, .n_types = (size_t)PQnparams(result)};
    for (size_t i = 0; i < report.n_types; i++)
        types[i] = PQparamtype(result, (int)i);
    if (!db_inquiry_is_good(result)) {
        report.state = db_explain_field(result, PG_DIAG_SQLSTATE);
        report.message = db_explain_field(result, PG_DIAG_MESSAGE_PRIMARY);
        report.has_detail = db_explain_field(result, PG_DIAG_MESSAGE_DETAIL)[0] != '\0';
    }
    return report;
}

static enum db_inferred take_inference(struct db_inference *inference, const PGresult *result, Oid *type)
{
    Oid *types = mem_calloc((size_t)PQnparams(result) + 1, sizeof(*types));
    struct db_report report = report_of(result, types);
    enum db_inferred inferred = db_infer_take(inference, &report, type);
    free(types);
    return inferred;
}

/* Looks for the type of a parameter that PostgreSQL could not tell. Returns false if nothing tells it. */
static bool infer(struct trial *trial, const struct sql_statement *statement, size_t number, Oid *declared)
{
    struct db_inference *inference = db_infer_new(statement, number, declared);
    enum db_inferred inferred = DB_INFER_AGAIN;
    Oid type = 0;
    while (inferred == DB_INFER_AGAIN) {
        const Oid *types;
        size_t n = db_infer_types(inference, &types);
        PGresult *result = db_inquiry_prepare(&trial->inquiry, db_infer_sql(inference), types, n);
        if (db_inquiry_is_good(result)) {
            PQclear(result);
            result = db_inquiry_describe(&trial->inquiry);
        }
        inferred = result == NULL ? DB_INFER_UNKNOWN : take_inference(inference, result, &type);
        PQclear(result);
    }
    db_infer_free(inference);
    if (inferred == DB_INFER_FOUND)
        declared[number - 1] = type;
    return inferred == DB_INFER_FOUND;
}

/*
 * Prepares and describes a statement just as a lane does. The answer is the description or the error; NULL if
 * there is none. declared, with room for all parameters, gets the types that had to be found out.
 */
static PGresult *prepare_statement(struct trial *trial, const struct sql_statement *statement, Oid *declared)
{
    memset(declared, 0, statement->n_params * sizeof(*declared));
    for (;;) {
        PGresult *result =
            db_inquiry_prepare(&trial->inquiry, statement->text, declared, statement->n_params);
        if (db_inquiry_is_good(result)) {
            PQclear(result);
            return db_inquiry_describe(&trial->inquiry);
        }
        struct db_report report = report_of(result, NULL);
        size_t number = result == NULL ? 0 : db_infer_complaint(&report);
        bool known = number < 1 || number > statement->n_params || declared[number - 1] != 0;
        if (known || !infer(trial, statement, number, declared))
            return result;
        PQclear(result);
    }
}

/* One value of a row, as it would come in a message. */
static struct pgwire_value value_of(const PGresult *result, int row, int column)
{
    bool is_null = PQgetisnull(result, row, column) == 1;
    return (struct pgwire_value){PQgetvalue(result, row, column),
                                 is_null ? -1 : PQgetlength(result, row, column)};
}

/* Asks for the types of a description that are not built in. The answer is NULL if that cannot be done. */
static struct pgcatalogue *ask_for_types(struct trial *trial, const PGresult *description)
{
    size_t n = (size_t)PQnparams(description), n_fields = (size_t)PQnfields(description);
    uint32_t *oids = mem_calloc(n + n_fields + 1, sizeof(*oids));
    for (size_t i = 0; i < n + n_fields; i++)
        oids[i] = i < n ? PQparamtype(description, (int)i) : PQftype(description, (int)(i - n));
    char *array = pgcatalogue_array(oids, n + n_fields);
    const char *values[] = {array};
    PGresult *result =
        db_inquiry_receive(&trial->inquiry, PQsendQueryParams(trial->inquiry.pg, pgcatalogue_sql, 1, NULL,
                                                              values, NULL, NULL, 0));
    struct pgcatalogue *catalogue = pgcatalogue_new();
    bool good = result != NULL && PQresultStatus(result) == PGRES_TUPLES_OK;
    for (int row = 0; good && row < PQntuples(result); row++) {
        struct pgwire_value fields[PGCATALOGUE_COLUMNS];
        for (int i = 0; i < PGCATALOGUE_COLUMNS; i++)
            fields[i] = value_of(result, row, i);
        good = pgcatalogue_take(catalogue, fields);
    }
    if (!good && trial->inquiry.lost == NULL)
        trial->inquiry.lost = "the types of its columns cannot be looked up";
    pgcatalogue_complete(catalogue);
    PQclear(result);
    free(array);
    free(oids);
    return catalogue;
}

/*
 * Some rows are left to PostgreSQL's own row_to_json by another form of the statement, which it has to take
 * as well. Returns the error if it does not, else NULL.
 */
static PGresult *try_rows(struct trial *trial, const struct conf_route *route, const PGresult *description,
                          struct pgcatalogue *catalogue, const Oid *declared)
{
    bool as_text = route->answer == CONF_ANSWER_VALUE || route->answer == CONF_ANSWER_NONE;
    size_t n = (size_t)PQnfields(description);
    struct pgwire_field *fields = mem_calloc(n + 1, sizeof(*fields));
    for (size_t i = 0; i < n; i++)
        fields[i] = (struct pgwire_field){PQfname(description, (int)i), PQftype(description, (int)i)};
    struct pgjson_columns *columns =
        pgjson_columns_new(fields, n, as_text ? PGJSON_TEXTS : PGJSON_OBJECTS, catalogue);
    free(fields);
    PGresult *result = NULL;
    if (pgjson_by_server(columns)) {
        char *sql = pgjson_rows_sql(columns, route->statement.text);
        result = db_inquiry_prepare(&trial->inquiry, sql, declared, route->statement.n_params);
        free(sql);
    }
    pgjson_columns_free(columns);
    if (db_inquiry_is_good(result)) {
        PQclear(result);
        return NULL;
    }
    return result;
}

static void try_description(struct trial *trial, const struct conf_route *route, const PGresult *description,
                            const Oid *declared)
{
    struct pgcatalogue *catalogue = ask_for_types(trial, description);
    if (trial->inquiry.lost == NULL &&
        db_explain_description(trial->conf, route, description, catalogue, note_mistake, trial)) {
        struct db_probe probe = {&trial->inquiry, trial->conf, route, note_mistake, trial};
        PGresult *error = try_rows(trial, route, description, catalogue, declared);
        if (error != NULL)
            db_explain_rows(trial->conf, route, error, note_mistake, trial);
        PQclear(error);
        db_probe_rights(&probe, description);
        db_probe_values(&probe, description, catalogue);
        db_explain_oddities(trial->conf, route, description, note_warning, trial);
    }
    pgcatalogue_drop(catalogue);
}

static void note_refused(struct trial *trial, const struct conf_route *route, const PGresult *error)
{
    char *help = db_probe_help(&trial->inquiry, error);
    db_explain_error(trial->conf, route, error, help, note_mistake, trial);
    free(help);
}

/* Asks about one statement. Returns false where there is no use in asking about another one. */
static bool try_route(struct trial *trial, const struct conf_route *route)
{
    Oid declared[SQL_MAX_PARAMS];
    PGresult *result = prepare_statement(trial, &route->statement, declared);
    if (db_inquiry_is_good(result))
        try_description(trial, route, result, declared);
    else if (trial->inquiry.lost == NULL && db_explain_is_mistake(result))
        note_refused(trial, route, result);
    else if (trial->inquiry.lost == NULL)
        note_away(trial, "check", route->label, db_explain_field(result, PG_DIAG_MESSAGE_PRIMARY));
    PQclear(result);
    if (trial->inquiry.lost != NULL)
        note_away(trial, "check", route->label, trial->inquiry.lost);
    return trial->inquiry.lost == NULL;
}

/* Opens a session of the lane. Returns false, with nothing to close, where that cannot be done. */
static bool connect_lane(struct trial *trial, const struct conf_lane *lane)
{
    const struct conf *conf = trial->conf;
    bool replica = lane->connect == conf->database.read;
    const char *key = replica ? "database.read" : "database.connect";
    struct db_lane_conf lane_conf = {
        .connect = lane->connect,
        .password = conf->database.password,
        .read_only = lane->read_only,
        .deadline = conf->limits.deadline,
    };
    if (trial->useless[replica])
        return false;
    trial->useless[replica] = true;
    char why[1024];
    PGconn *pg = db_session_connect(&lane_conf, CONNECT_LIMIT_S);
    bool failed = PQstatus(pg) != CONNECTION_OK;
    if (failed)
        db_session_say_failure(pg, why, sizeof(why));
    if (failed || db_session_is_too_old(pg, why, sizeof(why))) {
        note_away(trial, "connect to the database of", key, why);
        PQfinish(pg);
        return false;
    }
    trial->useless[replica] = false;
    char *settings = db_session_settings_sql(&lane_conf);
    db_inquiry_begin(&trial->inquiry, pg, conf->limits.deadline, settings);
    free(settings);
    return true;
}

/* Asks how many connections the server allows, and about the statements of the lane, those of its routes. */
static void try_lane(struct trial *trial, unsigned index)
{
    const struct conf *conf = trial->conf;
    const struct conf_lane *lane = &conf->lanes[index];
    if (!connect_lane(trial, lane))
        return;
    if (!db_budget_knows(&trial->budget, lane->connect)) {
        PGresult *answer = db_inquiry_receive(&trial->inquiry, PQsendQuery(trial->inquiry.pg, db_budget_sql));
        db_budget_take(&trial->budget, lane->connect, answer);
    }
    bool go_on = true;
    for (size_t i = 0; go_on && i < conf->n_routes; i++) {
        const struct conf_route *route = &conf->routes[i];
        if (route->kind->asks_database && route->lane == index)
            go_on = try_route(trial, route);
    }
    db_inquiry_end(&trial->inquiry);
}

int db_try(const struct conf *conf, unsigned workers, FILE *errors)
{
    struct trial trial = {.conf = conf, .errors = errors};
    for (unsigned i = 0; i < conf->n_lanes; i++) {
        if (conf->lanes[i].used)
            try_lane(&trial, i);
    }
    conf_files_print(conf->files, errors);
    db_budget_warn(&trial.budget, conf, workers, errors);
    db_budget_clear(&trial.budget);
    if (conf_files_errors(conf->files) > 0)
        return EX_CONFIG;
    return trial.away ? EX_UNAVAILABLE : EX_OK;
}
