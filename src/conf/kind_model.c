/* kind_model.c: routes with `classify` or `embed`: their keys. */
#include "base/mem.h"
#include "conf/kind.h"
#include "conf/models.h"
#include "conf/reading.h"
#include "conf/write.h"

static void read_name(struct conf_reading *reading, const char *key, const struct conf_yaml *value,
                      enum model_use use)
{
    if (!conf_reading_want_text(reading, key, value))
        return;
    reading->route->model_name = mem_strdup(value->value);
    reading->route->model_pos = value->pos;
    reading->route->use = use;
    reading->route->takes_body = true;
}

static void read_classify(struct conf_reading *reading, const char *key, const struct conf_yaml *value)
{
    read_name(reading, key, value, MODEL_CLASSIFIES);
}

static void read_embed(struct conf_reading *reading, const char *key, const struct conf_yaml *value)
{
    read_name(reading, key, value, MODEL_EMBEDS);
}

/* Texts come in a body. */
static void finish(struct conf_reading *reading)
{
    if (conf_reading_is_for(reading, "GET"))
        conf_files_error(reading->files, reading->handler_key->pos,
                         "%s takes texts in a body, which GET has not: make this route a POST",
                         reading->handler_key->value);
}

static void check(struct conf *conf, struct conf_route *route, const struct str *names, size_t n_names)
{
    (void)names;
    (void)n_names;
    if (route->model_name != NULL)
        conf_models_use(conf, route);
}

static void print(const struct conf *conf, const struct conf_route *route, int indent, FILE *out)
{
    (void)conf;
    conf_write_text(route->use == MODEL_EMBEDS ? "embed" : "classify", route->model_name, indent, out);
}

static const struct conf_key keys[] = {{"classify", read_classify}, {"embed", read_embed}};

const struct conf_kind conf_kind_model = {
    .keys = keys,
    .n_keys = sizeof(keys) / sizeof(keys[0]),
    .n_first = 2,
    .finish = finish,
    .check = check,
    .print = print,
};
