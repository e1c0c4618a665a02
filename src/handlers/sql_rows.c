/* sql_rows.c: the rows of a result, each read when it comes. */
#include "handlers/sql_rows.h"

#include <string.h>

enum {
    FIRST_TEXT_SIZE =
        960, /* bytes of the request's memory before the heap is asked; libh2o does that from 1,020 */
};

static struct str kept(const struct arena *arena, struct str text)
{
    return text.base == NULL ? text : (struct str){arena_copy(arena, text), text.len};
}

static void take_value(struct sql_rows *rows, const struct arena *arena, const struct pgjson_columns *columns,
                       struct pgwire_row row)
{
    if (pgjson_columns_count(columns) == 0)
        return; /* SELECT without a list has rows of nothing */
    struct pgwire_value value = pgwire_row_value(row, 0);
    rows->value_type = pgjson_type(columns, 0);
    if (value.len >= 0)
        rows->value = kept(arena, (struct str){value.text, (size_t)value.len});
}

/* Keeps what the headers want of the first row, which is gone when they are written. */
static void take_named(struct sql_rows *rows, const struct sql_route *route, const struct arena *arena,
                       const struct pgjson_columns *columns, struct pgwire_row row)
{
    if (route->n_names == 0)
        return;
    rows->named = arena_alloc(arena, route->n_names * sizeof(*rows->named));
    for (size_t i = 0; i < route->n_names; i++) {
        int column = pgjson_find(columns, route->names[i]);
        rows->named[i] = (struct str){NULL, 0};
        if (column >= 0)
            rows->named[i] = kept(arena, pgjson_text(columns, row, column));
    }
}

static void begin_text(struct sql_rows *rows, const struct arena *arena)
{
    if (rows->text.base == NULL)
        rows->text = json_writer_on(arena_alloc(arena, FIRST_TEXT_SIZE), FIRST_TEXT_SIZE);
}

bool sql_rows_add_first(struct sql_rows *rows, const struct sql_route *route, const struct arena *arena,
                        const struct pgjson_columns *columns, struct pgwire_row row)
{
    enum conf_answer answer = route->conf->answer;
    bool good = true;
    if (rows->n++ > 0)
        return true;
    take_named(rows, route, arena, columns, row);
    if (answer == CONF_ANSWER_VALUE) {
        take_value(rows, arena, columns, row);
    } else if (answer != CONF_ANSWER_NONE) {
        begin_text(rows, arena);
        if (answer == CONF_ANSWER_ROWS)
            json_char(&rows->text, '[');
        good = pgjson_row(&rows->text, columns, row);
    }
    if (!good)
        rows->n = 0;
    return good;
}

void sql_rows_end(struct sql_rows *rows, const struct arena *arena)
{
    if (rows->n == 0) {
        begin_text(rows, arena);
        json_char(&rows->text, '[');
    }
    json_char(&rows->text, ']');
}

void sql_rows_forget(struct sql_rows *rows)
{
    rows->n = 0;
    rows->named = NULL;
    rows->value = (struct str){NULL, 0};
    rows->text.len = 0;
}

bool sql_rows_find(const struct sql_rows *rows, const struct sql_route *route, const char *name,
                   struct str *value)
{
    *value = (struct str){NULL, 0};
    for (size_t i = 0; rows->named != NULL && i < route->n_names; i++) {
        if (strcmp(route->names[i], name) == 0)
            *value = rows->named[i];
    }
    return value->base != NULL;
}
