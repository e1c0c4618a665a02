/* kind_json.c: routes with `json`. */
#include "conf/json.h"
#include "conf/kind.h"
#include "conf/reading.h"
#include "conf/write.h"

static void read_json(struct conf_reading *reading, const char *key, const struct conf_yaml *value)
{
    if (conf_reading_want_verbatim(reading, key, value))
        reading->route->body = conf_json_compact(reading->files, value->pos, value->value);
}

static void read_json_file(struct conf_reading *reading, const char *key, const struct conf_yaml *value)
{
    const struct conf_file *file = conf_reading_file(reading, key, value);
    if (file != NULL)
        reading->route->body = conf_json_compact(reading->files, conf_files_at(file, 0), file->text);
}

static void print(const struct conf *conf, const struct conf_route *route, int indent, FILE *out)
{
    (void)conf;
    conf_write_own_text("json", route->body, true, indent, out);
}

static const struct conf_key keys[] = {{"json", read_json}, {"json_file", read_json_file}};

const struct conf_kind conf_kind_json = {.keys = keys, .n_keys = 2, .n_first = 2, .print = print};
