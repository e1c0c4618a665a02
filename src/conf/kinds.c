/* kinds.c: the kinds of handlers that a route can have. */
#include "conf/kind.h"

#include "conf/reading.h"

const struct conf_kind *const conf_kinds[] = {
    &conf_kind_sql, &conf_kind_json, &conf_kind_text, &conf_kind_files, &conf_kind_relay, &conf_kind_model,
    NULL,
};

const char *conf_kind_name(const struct conf_kind *kind)
{
    return kind->keys[0].name;
}
