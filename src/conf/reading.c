/* reading.c: one route while it is being read: what its keys have in common. */
#include "conf/reading.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/table.h"

const struct conf_yaml *conf_reading_key(const struct conf_reading *reading, const char *name)
{
    for (size_t i = 0; reading->map != NULL && i < reading->map->n_items; i++) {
        if (strcmp(reading->map->items[i].key->value, name) == 0)
            return reading->map->items[i].key;
    }
    return NULL;
}

bool conf_reading_is_for(const struct conf_reading *reading, const char *method)
{
    return reading->route->method != NULL && strcmp(reading->route->method, method) == 0;
}

bool conf_reading_want_text(struct conf_reading *reading, const char *key, const struct conf_yaml *value)
{
    if (value->kind == CONF_YAML_SCALAR)
        return true;
    conf_files_error(reading->files, value->pos, "%s takes text, not %s", key, conf_yaml_what(value));
    return false;
}

bool conf_reading_want_verbatim(struct conf_reading *reading, const char *key, const struct conf_yaml *value)
{
    const char *problem = NULL, *why = "";
    struct conf_pos pos = value->pos;
    bool plain = value->kind == CONF_YAML_SCALAR && value->style == CONF_YAML_PLAIN;
    if (value->kind != CONF_YAML_SCALAR) {
        problem = "has to be text";
    } else if (plain && value->comment != 0) {
        pos.line = value->end_line;
        pos.column = value->comment;
        problem = "without quotes would end here: YAML takes ` #` and what follows for a comment";
    } else if (value->style == CONF_YAML_FOLDED) {
        problem = "cannot be a `>` block: YAML joins its lines";
    } else if (!value->one_line && (plain || value->style == CONF_YAML_QUOTED)) {
        problem = plain ? "without quotes has to stay on one line: YAML joins lines"
                        : "in quotes has to stay on one line: YAML joins lines";
    }
    if (problem == NULL)
        return true;
    if (value->kind == CONF_YAML_SCALAR && value->comment == 0 && strcmp(key, "sql") == 0)
        why = ", and a `--` comment would hide the rest";
    conf_files_error(
        reading->files, pos,
        "%s %s%s; write `%s: |` with the text below it, put it in quotes on one line, or name a file "
        "with %s_file",
        key, problem, why, key, key);
    return false;
}

const struct conf_file *conf_reading_file(struct conf_reading *reading, const char *key,
                                          const struct conf_yaml *value)
{
    if (!conf_reading_want_text(reading, key, value))
        return NULL;
    char *name = conf_files_resolve(value->pos.file, value->value);
    const struct conf_file *file = conf_files_read(reading->files, name, false, value->pos);
    free(name);
    return file;
}

size_t conf_reading_word(struct conf_reading *reading, const char *key, const struct conf_yaml *value,
                         const char *const *words, size_t n, const char *choice)
{
    if (!conf_reading_want_text(reading, key, value))
        return n;
    size_t i = 0;
    while (i < n && strcmp(value->value, words[i]) != 0)
        i++;
    if (i == n)
        conf_files_error(reading->files, value->pos, "%s takes %s, not \"%.*s\"", key, choice,
                         CONF_FILES_QUOTE(value->value));
    return i;
}

void conf_reading_like(struct conf_reading *reading, const char *section, const char *name, void *place,
                       const char *key, const struct conf_yaml *value)
{
    if (!conf_reading_want_text(reading, key, value))
        return;
    struct conf_directive row = *conf_table_find(section, name);
    row.name = key;
    char *problem = conf_table_read(&row, place, value->value);
    if (problem != NULL)
        conf_files_error(reading->files, value->pos, "%s", problem);
    free(problem);
}
