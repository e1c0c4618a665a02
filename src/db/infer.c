/* infer.c: finds out the type of a parameter that PostgreSQL cannot tell, from the parameter's other uses.
 */
#include "db/infer.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "pg/pgtypes.h"

struct db_inference {
    char *sql; /* with $target's uses as $n_params+1, $n_params+2, … */
    const struct sql_statement *statement;
    size_t n_params;
    size_t target;
    uint32_t *types; /* [n_params + uses]; 0 is left to PostgreSQL */
};

struct db_inference *db_infer_new(const struct sql_statement *statement, size_t target,
                                  const uint32_t *declared)
{
    struct db_inference *inference = mem_calloc(1, sizeof(*inference));
    size_t n = statement->n_params, from = 0;
    inference->n_params = n;
    inference->target = target;
    inference->statement = statement;
    inference->types = mem_calloc(n + statement->n_edits, sizeof(*inference->types));
    for (size_t i = 0; i < n; i++)
        inference->types[i] = PGTYPES_TEXT; /* these are not used any longer, but have to have a type */
    char *sql = mem_strdup("");
    for (size_t i = 0; i < statement->n_edits; i++) {
        const struct sql_edit *edit = &statement->edits[i];
        size_t number = sql_edit_number(statement, edit);
        char *longer =
            mem_printf("%s%.*s $%zu", sql, (int)(edit->text_from - from), statement->text + from, n + i + 1);
        free(sql);
        sql = longer;
        from = edit->text_to;
        if (number >= 1 && number <= n)
            inference->types[n + i] = declared[number - 1];
    }
    inference->sql = mem_printf("%s%s", sql, statement->text + from);
    free(sql);
    return inference;
}

const char *db_infer_sql(const struct db_inference *inference)
{
    return inference->sql;
}

size_t db_infer_types(const struct db_inference *inference, const uint32_t **types)
{
    *types = inference->types;
    return inference->n_params + inference->statement->n_edits;
}

size_t db_infer_complaint(const struct db_report *report)
{
    /* 42P08 is the same complaint where a later use tells a type; with a detail, two uses contradict each
     * other */
    if (report->state == NULL ||
        (strcmp(report->state, "42P18") != 0 && (strcmp(report->state, "42P08") != 0 || report->has_detail)))
        return 0;
    const char *dollar =
        strchr(report->message, '$'); /* the words around it depend on the server's language */
    return dollar == NULL ? 0 : strtoul(dollar + 1, NULL, 10);
}

enum db_inferred db_infer_take(struct db_inference *inference, const struct db_report *report, uint32_t *type)
{
    const struct sql_statement *statement = inference->statement;
    size_t n = inference->n_params;
    if (report->state == NULL) {
        for (size_t i = 0; i < statement->n_edits && n + i < report->n_types; i++) {
            *type = report->types[n + i];
            if (sql_edit_number(statement, &statement->edits[i]) == inference->target &&
                inference->types[n + i] == 0 && *type != 0)
                return DB_INFER_FOUND;
        }
        return DB_INFER_UNKNOWN;
    }
    size_t unknown = db_infer_complaint(report);
    if (unknown <= n || unknown > n + statement->n_edits || inference->types[unknown - 1] != 0)
        return DB_INFER_UNKNOWN;
    inference->types[unknown - 1] = PGTYPES_TEXT; /* a use that says nothing */
    return DB_INFER_AGAIN;
}

void db_infer_free(struct db_inference *inference)
{
    if (inference == NULL)
        return;
    free(inference->sql);
    free(inference->types);
    free(inference);
}
