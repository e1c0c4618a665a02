/* setting.c: settings that hold for the transaction of a query. */
#include "db/setting.h"

#include <stdio.h>
#include <string.h>

enum { WITH_TIMEOUT = DB_SETTINGS_MOST + 1 };

bool db_settings_are_equal(const struct db_settings *one, const struct db_settings *other)
{
    if (one->n != other->n)
        return false;
    for (size_t i = 0; i < one->n; i++) {
        const struct db_setting *a = &one->all[i], *b = &other->all[i];
        if (strcmp(a->name, b->name) != 0 || strcmp(a->value, b->value) != 0)
            return false;
    }
    return true;
}

void db_settings_write(struct pgwire_writer *out, struct db_settings settings, bool unbounded)
{
    static const char call[] = ", pg_catalog.set_config($00, $00, true)";
    struct str values[2 * WITH_TIMEOUT];
    char sql[sizeof("SELECT") + WITH_TIMEOUT * sizeof(call)];
    size_t n = 0, len = (size_t)snprintf(sql, sizeof(sql), "SELECT");
    for (size_t i = 0; i < settings.n; i++) {
        values[n++] = str_of(settings.all[i].name);
        values[n++] = str_of(settings.all[i].value);
    }
    if (unbounded) {
        values[n++] = str_of("statement_timeout");
        values[n++] = str_of("0");
    }
    for (size_t i = 0; i < n; i += 2)
        len += (size_t)snprintf(sql + len, sizeof(sql) - len, "%s pg_catalog.set_config($%zu, $%zu, true)",
                                i == 0 ? "" : ",", i + 1, i + 2);
    pgwire_parse(out, "", sql, NULL, 0);
    pgwire_execute(out, "", values, n, NULL);
}
