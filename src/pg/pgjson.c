/* pgjson.c: rows of a result as JSON objects, equal to what PostgreSQL's row_to_json says. */
#include "pg/pgjson.h"

#include <stdlib.h>

#include "base/mem.h"
#include "pg/pgtypes.h"
#include "pg/pgvalue.h"
#include "pg/scan.h"

struct column {
    enum pgtypes_rule rule;
    uint32_t oid; /* of its type, as described */
    const struct pgtypes_type *type;
    char *name;     /* as PostgreSQL has it; owned */
    struct str key; /* `{"id":` for the first column, `,"name":` for the others; owned */
};

struct pgjson_columns {
    size_t n;
    bool special;                  /* by_server, or there are no columns */
    bool by_server;                /* PostgreSQL itself makes the objects, in the first value of a row */
    bool texts_too;                /* after which are all others */
    struct pgcatalogue *catalogue; /* which has the types */
    struct column columns[];
};

static struct str key_for(const char *name, bool is_first)
{
    struct json_writer writer = json_writer_on(NULL, 0);
    json_char(&writer, is_first ? '{' : ',');
    json_string(&writer, name, strlen(name));
    json_char(&writer, ':');
    return (struct str){writer.base, writer.len};
}

struct pgjson_columns *pgjson_columns_new(const struct pgwire_field *fields, size_t n, enum pgjson_want want,
                                          struct pgcatalogue *catalogue)
{
    struct pgjson_columns *columns = mem_calloc(1, sizeof(*columns) + n * sizeof(columns->columns[0]));
    columns->n = n;
    columns->catalogue = catalogue == NULL ? NULL : pgcatalogue_keep(catalogue);
    for (size_t i = 0; i < n; i++) {
        struct column *column = &columns->columns[i];
        column->oid = fields[i].type;
        column->type = pgcatalogue_find(catalogue, fields[i].type);
        column->rule = column->type->rule;
        column->name = mem_strdup(fields[i].name);
        column->key = key_for(fields[i].name, i == 0);
        columns->by_server |= column->type->opaque && want != PGJSON_TEXTS;
    }
    columns->texts_too = want == PGJSON_BOTH;
    columns->special = columns->by_server || n == 0;
    return columns;
}

size_t pgjson_columns_count(const struct pgjson_columns *columns)
{
    return columns->n;
}

const char *pgjson_name(const struct pgjson_columns *columns, size_t column)
{
    return columns->columns[column].name;
}

uint32_t pgjson_type(const struct pgjson_columns *columns, size_t column)
{
    return columns->columns[column].oid;
}

bool pgjson_by_server(const struct pgjson_columns *columns)
{
    return columns->by_server;
}

size_t pgjson_values(const struct pgjson_columns *columns)
{
    return !columns->by_server ? columns->n : columns->texts_too ? columns->n + 1 : 1;
}

bool pgjson_fits(const struct pgjson_columns *columns, const struct pgwire_field *fields, size_t n)
{
    size_t first = columns->by_server ? 1 : 0;
    bool same = n == pgjson_values(columns) && (first == 0 || fields[0].type == PGTYPES_JSON);
    for (size_t i = first; same && i < n; i++)
        same = fields[i].type == columns->columns[i - first].oid;
    return same;
}

/*
 * As a whole row, so that columns may come and go, and have what names they like. The text may end in a
 * comment: the bracket needs a line of its own. What writes has to stand in the WITH of the outermost
 * statement (PostgreSQL 15, section 7.8.4): so what the text begins with stays there, and if the rest of it
 * writes, that becomes the last of them.
 */
char *pgjson_rows_sql(const struct pgjson_columns *columns, const char *sql)
{
    size_t main = sql_main_part(sql);
    const char *list = columns->texts_too ? "pg_catalog.row_to_json(hayfork_r.*), hayfork_r.*"
                                          : "pg_catalog.row_to_json(hayfork_r.*)";
    if (!sql_is_write(sql + main))
        return mem_printf("%.*sSELECT %s FROM (%s\n) AS hayfork_r", (int)main, sql, list, sql + main);
    return mem_printf("%.*s%s hayfork_r AS (%s\n) SELECT %s FROM hayfork_r", (int)main, sql,
                      main == 0 ? "WITH" : ",", sql + main, list);
}

int pgjson_find(const struct pgjson_columns *columns, const char *name)
{
    for (size_t i = 0; i < columns->n; i++) {
        if (strcmp(columns->columns[i].name, name) == 0)
            return (int)i;
    }
    return -1;
}

struct str pgjson_text(const struct pgjson_columns *columns, struct pgwire_row row, int column)
{
    struct pgwire_value value = pgwire_row_value(row, (size_t)column + columns->by_server);
    return value.len < 0 ? (struct str){NULL, 0} : (struct str){value.text, (size_t)value.len};
}

/* A row that PostgreSQL has written, or one of no columns. */
static void write_special(struct json_writer *writer, const struct pgjson_columns *columns,
                          struct pgwire_row row)
{
    struct pgwire_value value = columns->by_server ? pgwire_row_next(&row) : (struct pgwire_value){"{}", 2};
    if (value.len < 0)
        json_raw(writer, "null", 4);
    else
        json_raw(writer, value.text, (size_t)value.len);
}

bool pgjson_row(struct json_writer *writer, const struct pgjson_columns *columns, struct pgwire_row row)
{
    size_t begin = writer->len;
    bool good = true;
    if (columns->special) {
        write_special(writer, columns, row);
        return true;
    }
    for (size_t i = 0; i < columns->n; i++) {
        const struct column *column = &columns->columns[i];
        struct pgwire_value value = pgwire_row_next(&row);
        json_raw(writer, column->key.base, column->key.len);
        if (value.len < 0)
            json_raw(writer, "null", 4);
        else if (column->rule == PGTYPES_AS_TEXT)
            json_string(writer, value.text, (size_t)value.len);
        else if (column->rule == PGTYPES_AS_NUMBER)
            pgvalue_write_number(writer, value.text, (size_t)value.len);
        else if (!pgvalue_write(writer, column->type, value.text, (size_t)value.len))
            good = false;
    }
    json_char(writer, '}');
    if (!good)
        writer->len = begin;
    return good;
}

void pgjson_columns_free(struct pgjson_columns *columns)
{
    if (columns == NULL)
        return;
    for (size_t i = 0; i < columns->n; i++) {
        free(columns->columns[i].name);
        free((char *)columns->columns[i].key.base);
    }
    pgcatalogue_drop(columns->catalogue);
    free(columns);
}
