/* kind_text.c: routes with `text`. */
#include "base/mem.h"
#include "conf/kind.h"
#include "conf/reading.h"
#include "conf/write.h"

static void read_text(struct conf_reading *reading, const char *key, const struct conf_yaml *value)
{
    if (conf_reading_want_text(reading, key, value))
        reading->route->body = mem_strdup(value->value);
}

static void print(const struct conf *conf, const struct conf_route *route, int indent, FILE *out)
{
    (void)conf;
    conf_write_own_text("text", route->body, false, indent, out);
}

static const struct conf_key keys[] = {{"text", read_text}};

const struct conf_kind conf_kind_text = {.keys = keys, .n_keys = 1, .n_first = 1, .print = print};
