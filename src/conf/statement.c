/* statement.c: a route's SQL, and where its parameters come from. */
#include "conf/statement.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "conf/files.h"
#include "conf/hint.h"
#include "images/params.h"
#include "base/mem.h"

/* Commands that PostgreSQL calls utilities: a route cannot do any good with them. */
static const struct utility {
    const char *words; /* with a blank before and after each */
    const char *why;
} utilities[] = {
    {" BEGIN START COMMIT END ROLLBACK ABORT SAVEPOINT RELEASE ",
     "every route's statement is a transaction of its own"},
    {" LOCK ", "the lock would end with the statement"},
    {" SET RESET DISCARD ",
     "many requests share the session; set it for a role or database with ALTER ROLE, or in `connect` by "
     "options=-c"},
    {" SHOW ", "write SELECT current_setting('name')"},
    {" PREPARE EXECUTE DEALLOCATE ", "statements are prepared without that: write the statement itself"},
    {" DECLARE FETCH MOVE CLOSE ", "a cursor would end with the statement: write the SELECT itself"},
    {" LISTEN UNLISTEN ", "many requests share the session, and nobody would receive it"},
    {" NOTIFY ", "write SELECT pg_notify('channel', :text)"},
    {" COPY ", "it uses a protocol of its own: write a SELECT, or an INSERT with `body_as`"},
    {" CALL ", "a procedure has no answer: write a function, and SELECT it"},
    {" EXPLAIN ", "use psql for that"},
    {" DO ", "it takes no parameters and has no answer: write a function, and SELECT it"},
    {" VACUUM ANALYZE ANALYSE CLUSTER REINDEX CHECKPOINT REFRESH LOAD ", "maintenance is done with psql"},
    {" TRUNCATE ", "write DELETE FROM, or a function, and SELECT it"},
    {" CREATE ALTER DROP COMMENT GRANT REVOKE SECURITY IMPORT REASSIGN ", "the schema is changed with psql"},
};

/* The statement's first word in capitals, with a blank before and after it; the caller frees it. */
static char *first_word(const char *at)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    char *word = mem_printf(" %.*s ", (int)strspn(at, letters), at);
    for (char *letter = word; *letter != '\0'; letter++) {
        if (*letter >= 'a' && *letter <= 'z')
            *letter -= 'a' - 'A';
    }
    return word;
}

/* word is the statement's first, with a blank on either side. */
static void note_writes(struct conf *conf, const struct conf_route *route, struct conf_pos pos,
                        const char *word)
{
    bool is_get = route->method != NULL && strcmp(route->method, "GET") == 0;
    if (route->lane == CONF_LANE_READ)
        conf_files_error(conf->files, pos, "%.*s writes, and %s is on the read lane: %s",
                         (int)strlen(word) - 2, word + 1, is_get ? "a GET route" : "this route",
                         is_get ? "make it a POST, PUT, PATCH or DELETE, or write `lane: write`"
                                : "remove `lane: read`");
    else
        conf_files_error(conf->files, pos,
                         "%.*s writes, and lane %s only reads: give the lane `from: write`, or the route "
                         "another lane",
                         (int)strlen(word) - 2, word + 1, conf->lanes[route->lane].name);
}

/* By its first word: can this statement be a route's, and in this lane? PostgreSQL has the last word. */
static bool check_command(struct conf *conf, const struct conf_route *route)
{
    const char *at = route->sql + sql_first_word(str_of(route->sql));
    struct conf_pos pos =
        conf_files_place(conf->files, route->sql_pos, route->sql, (size_t)(at - route->sql));
    char *word = first_word(at);
    bool sound = true;
    for (size_t i = 0; i < sizeof(utilities) / sizeof(utilities[0]); i++) {
        if (strstr(utilities[i].words, word) != NULL && strlen(word) > 2) {
            conf_files_error(conf->files, pos, "a route cannot run%.*s: %s", (int)strlen(word) - 1, word,
                             utilities[i].why);
            sound = false;
        }
    }
    if (conf->lanes[route->lane].read_only && strlen(word) > 2 &&
        strstr(" INSERT UPDATE DELETE MERGE ", word) != NULL) {
        note_writes(conf, route, pos, word);
        sound = false;
    }
    if (sound && (*at == '#' || strncmp(at, "//", 2) == 0)) {
        conf_files_error(conf->files, pos, "a comment in SQL begins with --");
        sound = false;
    }
    if (sound && strstr(" SELECT VALUES TABLE WITH INSERT UPDATE DELETE MERGE ", word) == NULL) {
        conf_files_error(conf->files, pos,
                         "a route's statement begins with SELECT, VALUES, TABLE, WITH, INSERT, UPDATE, "
                         "DELETE or MERGE");
        sound = false;
    }
    free(word);
    return sound;
}

bool conf_statement_scan(struct conf *conf, struct conf_route *route)
{
    size_t error_at = 0;
    const char *problem = sql_scan(str_of(route->sql), &route->statement, &error_at);
    if (problem != NULL)
        conf_files_error(conf->files, conf_files_place(conf->files, route->sql_pos, route->sql, error_at),
                         "%s", problem);
    return problem == NULL && check_command(conf, route);
}

static size_t find_capture(const struct str *names, size_t n_names, const char *name)
{
    size_t i = 0;
    while (i < n_names && !str_equal(names[i], str_of(name)))
        i++;
    return i;
}

/* The first of the first n that are declared under this name, or n. */
static size_t find_declared(const struct conf_route *route, size_t n, const char *name)
{
    size_t i = 0;
    while (i < n && strcmp(route->declared[i].spec.name, name) != 0)
        i++;
    return i;
}

static bool sql_uses(const struct conf_route *route, struct str name)
{
    for (size_t i = 0; i < route->statement.n_params; i++) {
        if (str_equal(str_of(route->statement.names[i]), name))
            return true;
    }
    return false;
}

/* A parameter of the SQL that nothing declares. */
static void note_sourceless(struct conf *conf, const struct conf_route *route, const struct str *names,
                            size_t n_names, size_t parameter)
{
    const char *name = route->statement.names[parameter];
    char *copies[ROUTE_MAX_CAPTURES];
    const char **known = mem_alloc((n_names + route->n_declared + 1) * sizeof(*known));
    for (size_t i = 0; i < n_names; i++)
        known[i] = copies[i] = mem_strndup(names[i].base, names[i].len);
    for (size_t i = 0; i < route->n_declared; i++)
        known[n_names + i] = route->declared[i].spec.name;
    const char *near = conf_hint_nearest(name, known, n_names + route->n_declared);
    struct conf_pos pos =
        conf_files_place(conf->files, route->sql_pos, route->sql, route->statement.name_offsets[parameter]);
    if (near != NULL)
        conf_files_error(conf->files, pos, ":%s has no source; did you mean :%s?", name, near);
    else
        conf_files_error(conf->files, pos, ":%s has no source; put {%s} into the path, or %s under query%s",
                         name, name, name, strcmp(route->method, "GET") == 0 ? "" : " or body");
    for (size_t i = 0; i < n_names; i++)
        free(copies[i]);
    free(known);
}

static void give_declared(struct conf *conf, struct conf_route *route, size_t declared, size_t parameter)
{
    const struct conf_param *param = &route->declared[declared];
    route->params[parameter] = param->spec;
    if (route->makes_images && param->spec.source == PARAMS_QUERY &&
        images_params_has(str_of(param->spec.name)))
        conf_files_error(conf->files, param->pos,
                         "%s is a parameter of images here: the SQL needs another name for its own",
                         param->spec.name);
}

static void give_source(struct conf *conf, struct conf_route *route, const struct str *names, size_t n_names,
                        size_t parameter)
{
    struct params_spec *spec = &route->params[parameter];
    const char *name = route->statement.names[parameter];
    size_t capture = find_capture(names, n_names, name);
    size_t declared = find_declared(route, route->n_declared, name);
    if (capture < n_names)
        *spec = (struct params_spec){.name = name,
                                     .source = PARAMS_PATH,
                                     .capture = capture,
                                     .is_rest = names[capture].base[names[capture].len] == '.'};
    else if (declared < route->n_declared)
        give_declared(conf, route, declared, parameter);
    else
        note_sourceless(conf, route, names, n_names, parameter);
}

/*
 * Notes that the SQL has :name where it is not a parameter: in quotes. Returns false, and notes nothing,
 * where it does not.
 */
static bool note_quoted(struct conf *conf, const struct conf_route *route, const char *name)
{
    struct str sql = str_of(route->sql);
    size_t from, to, at = sql_find_quoted(sql, name, &from, &to);
    if (at == sql.len)
        return false;
    bool alone = at == from + 1 && to - from == strlen(name) + 3;
    char *advice = sql.base[from] == '"' ? mem_strdup("a parameter is a value, and cannot be a name")
                   : alone               ? mem_printf("write :%s without them", name)
                           : mem_printf("write it outside of them, as in '%%' || :%s || '%%'", name);
    conf_files_error(conf->files, conf_files_place(conf->files, route->sql_pos, route->sql, at),
                     "in quotes this is a part of the %s, and not the parameter %s: %s",
                     sql.base[from] == '"' ? "name" : "text", name, advice);
    free(advice);
    return true;
}

/* The same, of a parameter that the SQL has elsewhere: it may be meant. After a letter or digit it hardly is.
 */
static void warn_quoted(struct conf *conf, const struct conf_route *route, const char *name)
{
    struct str sql = str_of(route->sql);
    size_t from, to, at = sql_find_quoted(sql, name, &from, &to);
    if (at == sql.len || sql.base[from] == '"' || isalnum((unsigned char)sql.base[at - 1]))
        return;
    conf_files_warn(conf->files, conf_files_place(conf->files, route->sql_pos, route->sql, at),
                    "in quotes this is a part of the text, and not the parameter %s", name);
}

static bool has_body_as(const struct conf_route *route)
{
    for (size_t i = 0; i < route->n_declared; i++) {
        if (route->declared[i].spec.source == PARAMS_BODY_AS)
            return true;
    }
    return false;
}

/* With body_as a field of the body needs no :name of its own, but then nothing looks at its value. */
static void check_unused(struct conf *conf, const struct conf_route *route, const struct conf_param *param)
{
    const struct params_spec *spec = &param->spec;
    if (route->makes_images && spec->source == PARAMS_QUERY && images_params_has(str_of(spec->name)))
        return;
    bool plain = spec->default_text == NULL && !spec->required && spec->min == NULL && spec->max == NULL &&
                 spec->n_one_of == 0;
    if (note_quoted(conf, route, spec->name))
        return;
    if (spec->source != PARAMS_BODY || !has_body_as(route))
        conf_files_error(conf->files, param->pos, "%s is declared, but the SQL has no :%s", spec->name,
                         spec->name);
    else if (!plain)
        conf_files_error(conf->files, param->pos,
                         "the SQL has no :%s, so this value has no effect: body_as passes the body on as it "
                         "came; write the name alone",
                         spec->name);
}

static void check_declared(struct conf *conf, const struct conf_route *route, const struct str *names,
                           size_t n_names, size_t i)
{
    static const char *const keys[] = {
        [PARAMS_QUERY] = "query", [PARAMS_BODY] = "body", [PARAMS_BODY_AS] = "body_as"};
    const struct conf_param *param = &route->declared[i];
    size_t other = find_declared(route, i, param->spec.name);
    if (find_capture(names, n_names, param->spec.name) < n_names)
        conf_files_error(conf->files, param->pos,
                         "%s comes from the path already; a parameter has one source", param->spec.name);
    else if (other < i)
        conf_files_error(conf->files, param->pos,
                         "%s comes from %s already, on line %d; a parameter has one source", param->spec.name,
                         keys[route->declared[other].spec.source], route->declared[other].pos.line);
    else if (!sql_uses(route, str_of(param->spec.name)))
        check_unused(conf, route, param);
}

void conf_statement_check_params(struct conf *conf, struct conf_route *route, const struct str *names,
                                 size_t n_names)
{
    const struct sql_statement *statement = &route->statement;
    route->params = mem_calloc(statement->n_params, sizeof(*route->params));
    for (size_t i = 0; i < statement->n_params; i++) {
        give_source(conf, route, names, n_names, i);
        warn_quoted(conf, route, statement->names[i]);
    }
    for (size_t i = 0; i < route->n_declared; i++)
        check_declared(conf, route, names, n_names, i);
    for (size_t i = 0; i < n_names; i++) {
        size_t at = strlen(route->method) + 1 + (size_t)(names[i].base - route->path);
        char *name = mem_strndup(names[i].base, names[i].len);
        if (!sql_uses(route, names[i]) && !note_quoted(conf, route, name))
            conf_files_error(conf->files, conf_files_place(conf->files, route->pos, route->label, at),
                             "the path has {%s}, but the SQL has no :%s", name, name);
        free(name);
    }
}
