/* explain.c: what PostgreSQL says about a route's statement, told in terms of the conf. */
#include "db/explain.h"

#include <stdlib.h>
#include <string.h>

#include "conf/files.h"
#include "conf/hint.h"
#include "db/lane.h"
#include "base/mem.h"
#include "pg/pgtypes.h"

/* SQLSTATEs (PostgreSQL 15, appendix A) */
static const char *const ambiguous_parameter = "42P08";
static const char *const indeterminate_datatype = "42P18";

/* One route, and whoever wants to know what is wrong with it. */
struct finding {
    const struct conf *conf;
    const struct conf_route *route;
    db_explain_cb *note;
    void *arg;
    bool any;
};

static void note_at(struct finding *finding, struct conf_pos pos, char *message, const char *help)
{
    finding->any = true;
    finding->note(finding->arg, pos, message, help);
    free(message);
}

static bool is_blank(char c)
{
    return c != '\0' && strchr(" \t\r\n\f\v", c) != NULL;
}

/* The place of a byte of the route's SQL as the user wrote it. */
static struct conf_pos place(const struct finding *finding, size_t source_offset)
{
    const struct conf_route *route = finding->route;
    return conf_files_place(finding->conf->files, route->sql_pos, route->sql, source_offset);
}

/* The place of a byte of the statement's text. What follows the last word belongs directly after it. */
static struct conf_pos place_in_text(const struct finding *finding, size_t offset)
{
    const struct sql_statement *statement = &finding->route->statement;
    if (statement->text[offset + strspn(statement->text + offset, " \t\r\n\f\v")] == '\0') {
        while (offset > 0 && is_blank(statement->text[offset - 1]))
            offset--;
    }
    return place(finding, sql_source_offset(statement, offset));
}

static struct conf_pos place_of_parameter(const struct finding *finding, size_t parameter)
{
    return place(finding, finding->route->statement.name_offsets[parameter]);
}

static struct conf_pos place_of_statement(const struct finding *finding)
{
    return place_in_text(finding, sql_first_word(str_of(finding->route->statement.text)));
}

/* Byte offset in text of a position as PostgreSQL counts: in characters, from 1. */
static size_t byte_offset(const char *text, long position)
{
    size_t at = 0;
    while (position > 1 && text[at] != '\0') {
        at++;
        while (((unsigned char)text[at] & 0xC0) == 0x80)
            at++;
        position--;
    }
    return at;
}

/* Byte offset in the statement's text that the error is about; false if it does not say. */
static bool error_offset(const struct sql_statement *statement, const PGresult *error, size_t *offset)
{
    long position = strtol(db_explain_field(error, PG_DIAG_STATEMENT_POSITION), NULL, 10);
    *offset = byte_offset(statement->text, position);
    return position > 0;
}

/* Reads `$12`: which parameter that is, counted from 0. Returns its length, or 0 if it is none. */
static size_t read_number(const struct sql_statement *statement, const char *text, size_t *parameter)
{
    size_t digits = text[0] == '$' ? strspn(text + 1, "0123456789") : 0;
    *parameter = digits == 0 || digits > 4 ? 0 : (size_t)atoi(text + 1);
    if (*parameter == 0 || *parameter > statement->n_params)
        return 0;
    *parameter -= 1;
    return 1 + digits;
}

/* What PostgreSQL says, on one line and with :name for $1. The caller frees it. */
static char *in_our_words(const struct sql_statement *statement, const char *text)
{
    char *words = NULL;
    size_t size, parameter, len;
    FILE *out = open_memstream(&words, &size);
    if (out == NULL)
        return mem_strdup(text);
    for (; *text != '\0'; text += len) {
        len = read_number(statement, text, &parameter);
        if (len > 0) {
            fprintf(out, ":%s", statement->names[parameter]);
        } else {
            len = 1;
            putc(*text == '\n' || *text == '\t' ? ' ' : *text, out);
        }
    }
    fclose(out);
    return words;
}

/* Adds a line to *help, which is NULL while there is none. */
static void add_help(char **help, const char *label, const char *line)
{
    if (line[0] == '\0')
        return;
    char *longer = mem_printf("%s%s%s%s", *help == NULL ? "" : *help, *help == NULL ? "" : "\n", label, line);
    free(*help);
    *help = longer;
}

/* Other languages begin a comment so. In SQL `#` is an operator, if it is one at all. */
static bool is_hash(const char *text, size_t at)
{
    return text[at] == '#' && (at == 0 || is_blank(text[at - 1])) &&
           (is_blank(text[at + 1]) || text[at + 1] == '#');
}

/* Does such a `#` stand between the beginning of the line and that offset, or begin the line above? */
static bool follows_hash(const char *text, size_t offset)
{
    while (offset > 0 && text[offset - 1] != '\n') {
        if (is_hash(text, --offset))
            return true;
    }
    if (offset == 0)
        return false;
    size_t above = offset - 1;
    while (above > 0 && text[above - 1] != '\n')
        above--;
    return is_hash(text, above + strspn(text + above, " \t"));
}

/* The lines that PostgreSQL, and we, add to its message; NULL if there are none. The caller frees them. */
static char *help_of(const struct sql_statement *statement, const PGresult *error, const char *more)
{
    char *detail = in_our_words(statement, db_explain_field(error, PG_DIAG_MESSAGE_DETAIL));
    char *hint = in_our_words(statement, db_explain_field(error, PG_DIAG_MESSAGE_HINT));
    char *help = NULL;
    size_t offset;
    add_help(&help, "detail: ", detail);
    add_help(&help, "hint: ", hint);
    add_help(&help, "", more == NULL ? "" : more);
    if (error_offset(statement, error, &offset) && follows_hash(statement->text, offset + 1))
        add_help(&help, "hint: ", "a comment in SQL begins with --");
    free(detail);
    free(hint);
    return help;
}

const char *db_explain_field(const PGresult *result, int field)
{
    const char *text = PQresultErrorField(result, field);
    return text == NULL ? "" : text;
}

bool db_explain_is_mistake(const PGresult *error)
{
    /* connection, rollback, resources, object in use, intervention, system, internal error */
    static const char *const away[] = {"08", "40", "53", "55", "57", "58", "XX"};
    const char *state = db_explain_field(error, PG_DIAG_SQLSTATE);
    for (size_t i = 0; i < sizeof(away) / sizeof(away[0]); i++) {
        if (strncmp(state, away[i], 2) == 0)
            return false;
    }
    return state[0] != '\0';
}

/*
 * Which parameter has a type that PostgreSQL cannot tell? A use that says nothing (42P08, with its place), or
 * a parameter without any that does (42P18). The same 42P08 with a detail is about uses that contradict each
 * other.
 */
static bool is_untyped(const struct sql_statement *statement, const PGresult *error, size_t *parameter)
{
    const char *state = db_explain_field(error, PG_DIAG_SQLSTATE);
    const char *number = strchr(db_explain_field(error, PG_DIAG_MESSAGE_PRIMARY), '$');
    bool untyped = strcmp(state, indeterminate_datatype) == 0 ||
                   (strcmp(state, ambiguous_parameter) == 0 &&
                    PQresultErrorField(error, PG_DIAG_MESSAGE_DETAIL) == NULL);
    return untyped && number != NULL && read_number(statement, number, parameter) > 0;
}

void db_explain_statement(const struct conf *conf, const struct conf_route *route, const char *message,
                          const char *help, db_explain_cb *note, void *arg)
{
    struct finding finding = {conf, route, note, arg, false};
    note_at(&finding, place_of_statement(&finding), in_our_words(&route->statement, message), help);
}

void db_explain_error(const struct conf *conf, const struct conf_route *route, const PGresult *error,
                      const char *more, db_explain_cb *note, void *arg)
{
    struct finding finding = {conf, route, note, arg, false};
    const struct sql_statement *statement = &route->statement;
    size_t offset, parameter;
    bool has_offset = error_offset(statement, error, &offset);
    if (is_untyped(statement, error, &parameter)) {
        const char *name = statement->names[parameter];
        note_at(&finding,
                has_offset ? place_in_text(&finding, offset) : place_of_parameter(&finding, parameter),
                mem_printf("cannot tell the type of :%s; write :%s::text", name, name), NULL);
        return;
    }
    char *help = help_of(statement, error, more);
    note_at(&finding, has_offset ? place_in_text(&finding, offset) : place_of_statement(&finding),
            in_our_words(statement, db_explain_field(error, PG_DIAG_MESSAGE_PRIMARY)), help);
    free(help);
}

void db_explain_rows(const struct conf *conf, const struct conf_route *route, const PGresult *error,
                     db_explain_cb *note, void *arg)
{
    struct finding finding = {conf, route, note, arg, false};
    const char *reason = db_explain_field(error, PG_DIAG_MESSAGE_PRIMARY);
    char *help = mem_printf("detail: PostgreSQL cannot be asked for that afterwards: %s", reason);
    note_at(&finding, place_of_statement(&finding),
            mem_strdup("write to_json(COLUMN) for columns that are records or of a type with a cast to json"),
            help);
    free(help);
}

static bool is_one_of(struct str word, const char *const *words)
{
    while (*words != NULL && (strlen(*words) != word.len || strncasecmp(*words, word.base, word.len) != 0))
        words++;
    return *words != NULL;
}

/*
 * PostgreSQL prepares commands (SET, CALL, …), too. On a session that many share they must not run. What
 * makes a table is one in disguise: SELECT … INTO, which answers no columns.
 */
static void check_kind(struct finding *finding, const PGresult *description)
{
    static const char *const reads[] = {"SELECT", "VALUES", "TABLE", NULL};
    static const char *const answers[] = {"row", "rows", "none", "value"};
    const struct conf_route *route = finding->route;
    const char *text = route->statement.text + sql_first_word(str_of(route->statement.text));
    struct str word = {text, strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")};
    bool is_read = is_one_of(word, reads), has_columns = PQnfields(description) > 0;
    char *message = NULL;
    if (is_read && !has_columns)
        message = mem_printf("this %.*s answers no columns; if it has INTO, which makes a table, remove that",
                             (int)word.len, word.base);
    else if (route->answer != CONF_ANSWER_NONE && !has_columns)
        message = mem_printf("`answer: %s` needs columns, and this statement has none; add RETURNING, or "
                             "write `answer: none`",
                             answers[route->answer]);
    if (message != NULL)
        note_at(finding, place_of_statement(finding), message, NULL);
}

/* Other types that are not built in may take any text. */
static bool may_be_json(Oid type)
{
    return type == PGTYPES_JSON || type == PGTYPES_JSONB || type == PGTYPES_TEXT || type == PGTYPES_VARCHAR ||
           pgtypes_builtin(type) == NULL;
}

static bool may_be_number(Oid type)
{
    switch (type) {
    case PGTYPES_INT2:
    case PGTYPES_INT4:
    case PGTYPES_INT8:
    case PGTYPES_OID:
    case PGTYPES_FLOAT4:
    case PGTYPES_FLOAT8:
    case PGTYPES_NUMERIC:
        return true;
    default:
        return pgtypes_builtin(type) == NULL;
    }
}

static void check_parameter(struct finding *finding, size_t parameter, struct pgtypes_parameter takes)
{
    const struct params_spec *spec = &finding->route->params[parameter];
    Oid type = takes.type, element = takes.element;
    char *message = NULL;
    if (spec->source == PARAMS_BODY_AS && !may_be_json(type))
        message =
            mem_printf("the body is JSON, and PostgreSQL takes :%s for something else; write :%s::jsonb",
                       spec->name, spec->name);
    else if ((spec->min != NULL || spec->max != NULL) && !may_be_number(element == 0 ? type : element))
        message = mem_printf("%s has %s, and PostgreSQL does not take :%s for a number; write :%s::int",
                             spec->name, spec->min != NULL ? "min" : "max", spec->name, spec->name);
    if (message != NULL)
        note_at(finding, place_of_parameter(finding, parameter), message, NULL);
}

/* Names in a header's value: columns of the answer, else parameters. */
static void check_header(struct finding *finding, const struct conf_header *header, const char *const *names,
                         size_t n_names)
{
    for (size_t i = 0; i < header->n_pieces; i++) {
        const char *name = header->pieces[i].text;
        size_t found = 0;
        while (found < n_names && strcmp(names[found], name) != 0)
            found++;
        if (!header->pieces[i].is_name || found < n_names)
            continue;
        char *meant = conf_hint_did_you_mean(conf_hint_nearest(name, names, n_names));
        note_at(finding, header->pos,
                mem_printf("{%s} is neither a column of the answer nor a parameter of %s%s", name,
                           finding->route->label, meant),
                NULL);
        free(meant);
    }
}

static void check_headers(struct finding *finding, const PGresult *description)
{
    const struct sql_statement *statement = &finding->route->statement;
    size_t n_columns = (size_t)PQnfields(description), n_names = n_columns + statement->n_params;
    const char **names = mem_alloc(n_names * sizeof(*names));
    for (size_t i = 0; i < n_names; i++)
        names[i] = i < n_columns ? PQfname(description, (int)i) : statement->names[i - n_columns];
    for (size_t i = 0; i < finding->route->n_headers; i++)
        check_header(finding, &finding->route->headers[i], names, n_names);
    free(names);
}

bool db_explain_description(const struct conf *conf, const struct conf_route *route,
                            const PGresult *description, const struct pgcatalogue *catalogue,
                            db_explain_cb *note, void *arg)
{
    struct finding finding = {conf, route, note, arg, false};
    check_kind(&finding, description);
    for (size_t i = 0; i < route->statement.n_params && (int)i < PQnparams(description); i++)
        check_parameter(&finding, i,
                        pgtypes_parameter(pgcatalogue_find(catalogue, PQparamtype(description, (int)i))));
    check_headers(&finding, description);
    return !finding.any;
}

static void note_odd_use(struct finding *finding, enum sql_use use, size_t at)
{
    const struct sql_statement *statement = &finding->route->statement;
    size_t parameter;
    if (read_number(statement, statement->text + at, &parameter) == 0)
        return;
    const char *name = statement->names[parameter];
    char *message =
        use == SQL_USE_ORDER
            ? mem_printf(
                  "%s is a value, and the same for each row: it orders nothing; write ORDER BY CASE :%s "
                  "WHEN 'name' THEN name END",
                  name, name)
            : mem_printf(
                  "IN compares with one value here, also where %s is meant as a list: for a list write "
                  "%s (:%s)",
                  name, use == SQL_USE_IN ? "= ANY" : "<> ALL", name);
    note_at(finding, place_in_text(finding, at), message, NULL);
}

/* Of columns with the same name most readers of JSON keep the last one (RFC 8259, section 4). */
static void check_names(struct finding *finding, const PGresult *description)
{
    int n = PQnfields(description);
    for (int i = 1; i < n; i++) {
        const char *name = PQfname(description, i);
        int first = 0;
        while (strcmp(PQfname(description, first), name) != 0)
            first++;
        if (first < i)
            note_at(
                finding, place_of_statement(finding),
                mem_printf("columns %d and %d are both named \"%s\", and in an object most clients see one "
                           "of them: name one with AS",
                           first + 1, i + 1, name),
                NULL);
    }
}

void db_explain_oddities(const struct conf *conf, const struct conf_route *route, const PGresult *description,
                         db_explain_cb *note, void *arg)
{
    struct finding finding = {conf, route, note, arg, false};
    enum sql_use use;
    for (size_t from = 0, at; (use = sql_odd_use(route->statement.text, from, &at)) != SQL_USE_USUAL;
         from = at + 1)
        note_odd_use(&finding, use, at);
    if (route->answer == CONF_ANSWER_ROW || route->answer == CONF_ANSWER_ROWS)
        check_names(&finding, description);
}
