/* probe.c: what `hayfork -t --db` asks beyond preparing: privileges, and whether the conf's values fit. */
#include "db/probe.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

/* SQLSTATEs (PostgreSQL 15, appendix A) */
static const char *const insufficient_privilege = "42501";
static const char *const invalid_text_representation = "22P02";

/* $1 is a type by its name. */
static const char labels_sql[] = "SELECT " PGCATALOGUE_LABELS("$1::pg_catalog.regtype::pg_catalog.oid");

static const char sequence_sql[] = "SELECT pg_catalog.has_sequence_privilege($1, 'USAGE, UPDATE')";

static bool is_state(const PGresult *error, const char *state)
{
    return strcmp(db_explain_field(error, PG_DIAG_SQLSTATE), state) == 0;
}

static char *say_labels(const char *labels)
{
    return labels == NULL ? NULL : mem_printf("hint: its values are %s", labels);
}

/* The type that PostgreSQL's message names (enum_in in its enum.c), in English; NULL if it names none. */
static char *enum_of(const PGresult *error)
{
    static const char before[] = "for enum ";
    const char *message = db_explain_field(error, PG_DIAG_MESSAGE_PRIMARY);
    const char *name = strstr(message, before);
    const char *end = name == NULL ? NULL : strstr(name, ": \"");
    if (end == NULL || !is_state(error, invalid_text_representation))
        return NULL;
    name += strlen(before);
    return mem_strndup(name, (size_t)(end - name));
}

static char *advise_grant(const struct db_inquiry *inquiry)
{
    return mem_printf("hint: GRANT it to the role %s", PQuser(inquiry->pg));
}

char *db_probe_help(struct db_inquiry *inquiry, const PGresult *error)
{
    if (is_state(error, insufficient_privilege))
        return advise_grant(inquiry);
    char *type = enum_of(error);
    PGresult *result = type == NULL ? NULL : db_inquiry_ask(inquiry, labels_sql, 0, type);
    bool is_enum = db_inquiry_has_rows(result) && PQgetisnull(result, 0, 0) == 0;
    char *help = is_enum ? say_labels(PQgetvalue(result, 0, 0)) : NULL;
    PQclear(result);
    free(type);
    return help;
}

/* Privileges */

static void note_sequence(const struct db_probe *probe, const char *name)
{
    PGresult *result = db_inquiry_ask(probe->inquiry, sequence_sql, 0, name);
    if (db_inquiry_has_rows(result) && strcmp(PQgetvalue(result, 0, 0), "f") == 0) {
        char *message = mem_printf("permission denied for sequence %s", name);
        char *help = advise_grant(probe->inquiry);
        db_explain_statement(probe->conf, probe->route, message, help, probe->note, probe->arg);
        free(message);
        free(help);
    }
    PQclear(result);
}

/*
 * A plan that calls nextval, as a column's default does, needs a privilege that is looked at only when it
 * runs. What takes the next value of an identity column reads nearly so and needs none.
 */
static void check_sequences(const struct db_probe *probe, const char *line)
{
    static const char call[] = "nextval('", after[] = "'::regclass)";
    while ((line = strstr(line, call)) != NULL) {
        line += strlen(call);
        char *name = mem_strdup(line), *out = name;
        while (*line != '\0' && (*line != '\'' || line[1] == '\'')) {
            line += *line == '\'';
            *out++ = *line++;
        }
        *out = '\0';
        if (strncmp(line, after, strlen(after)) == 0)
            note_sequence(probe, name);
        free(name);
    }
}

void db_probe_rights(const struct db_probe *probe, const PGresult *description)
{
    struct db_inquiry *inquiry = probe->inquiry;
    size_t n = (size_t)PQnparams(description);
    const char **nulls = mem_calloc(n + 1, sizeof(*nulls));
    Oid *types = mem_calloc(n + 1, sizeof(*types));
    for (size_t i = 0; i < n; i++)
        types[i] = PQparamtype(description, (int)i);
    char *sql = mem_printf("EXPLAIN (VERBOSE, COSTS OFF) %s", probe->route->statement.text);
    PGresult *result = db_inquiry_prepare(inquiry, sql, types, n);
    if (db_inquiry_is_good(result)) {
        PQclear(result);
        result =
            db_inquiry_receive(inquiry, PQsendQueryPrepared(inquiry->pg, "", (int)n, nulls, NULL, NULL, 0));
    }
    if (result != NULL && is_state(result, insufficient_privilege)) {
        char *help = advise_grant(inquiry);
        db_explain_statement(probe->conf, probe->route, db_explain_field(result, PG_DIAG_MESSAGE_PRIMARY),
                             help, probe->note, probe->arg);
        free(help);
    }
    for (int i = 0; db_inquiry_has_rows(result) && i < PQntuples(result); i++)
        check_sequences(probe, PQgetvalue(result, i, 0));
    PQclear(result);
    free(types);
    free(nulls);
    free(sql);
}

/* Values */

/* Would PostgreSQL take the text for a value of the type? Notes that it does not. */
static void check_value(const struct db_probe *probe, struct conf_pos pos, const char *what, const char *name,
                        Oid type, const char *text, const char *labels)
{
    PGresult *result = db_inquiry_ask(probe->inquiry, "SELECT $1", type, text);
    const char *state = result == NULL ? "" : db_explain_field(result, PG_DIAG_SQLSTATE);
    if (strncmp(state, "22", 2) == 0 || strncmp(state, "23", 2) == 0) {
        char *message = mem_printf("%s of %s is not a value of its type: %s", what, name,
                                   db_explain_field(result, PG_DIAG_MESSAGE_PRIMARY));
        char *help = say_labels(labels);
        probe->note(probe->arg, pos, message, help);
        free(message);
        free(help);
    }
    PQclear(result);
}

static const struct conf_param *declared_as(const struct conf_route *route, const char *name)
{
    for (size_t i = 0; i < route->n_declared; i++) {
        if (strcmp(route->declared[i].spec.name, name) == 0)
            return &route->declared[i];
    }
    return NULL;
}

void db_probe_values(const struct db_probe *probe, const PGresult *description,
                     const struct pgcatalogue *catalogue)
{
    const struct conf_route *route = probe->route;
    for (size_t i = 0; i < route->statement.n_params && (int)i < PQnparams(description); i++) {
        const struct conf_param *param = declared_as(route, route->statement.names[i]);
        Oid type = PQparamtype(description, (int)i);
        Oid element = pgtypes_parameter(pgcatalogue_find(catalogue, type)).element;
        const char *labels = pgcatalogue_labels(catalogue, type);
        if (param == NULL)
            continue;
        const struct params_spec *spec = &param->spec;
        if (spec->default_text != NULL)
            check_value(probe, param->pos, "the default", spec->name, type, spec->default_text, labels);
        for (size_t k = 0; k < spec->n_one_of; k++)
            check_value(probe, param->pos, "a value in one_of", spec->name, element == 0 ? type : element,
                        spec->one_of[k], labels);
    }
}
