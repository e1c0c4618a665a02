/* images.c: `images` of a route, and what goes with it. */
#include "conf/images.h"

#include <stdlib.h>
#include <string.h>

#include "base/beside.h"
#include "base/mem.h"
#include "conf/kind.h"
#include "conf/table.h"
#include "conf/write.h"
#include "images/params.h"

/* Fields that the picture has, and not its original. */
static const char *const own_fields[] = {"Accept-Ranges", "Content-Range", "Content-Type", "ETag",
                                         "Last-Modified"};

/* A program that is not here now may be there where the conf is used, but not for long without anybody's
 * notice: who has the directive wants to know it before there is a request. */
static const char *check_program(const struct conf_files *files)
{
    char *program = conf_files_are_of_snapshot(files) ? NULL : beside_find("hayfork-images");
    bool is_there = program != NULL || conf_files_are_of_snapshot(files);
    free(program);
    return is_there ? NULL
                    : "images takes the program hayfork-images, which is not installed: it is built where "
                      "libvips is there (./configure --with-vips)";
}

/* One parameter of a preset, checked as one of a client's would be. */
static void read_preset_param(struct conf_files *files, struct conf_preset *preset,
                              const struct conf_yaml_pair *pair)
{
    struct images_wish wish = {0};
    const char *name = pair->key->value;
    if (!images_params_has(str_of(name))) {
        conf_files_error(files, pair->key->pos,
                         "\"%.*s\" is no parameter of images: hayfork.conf(5) has them",
                         CONF_FILES_QUOTE(name));
        return;
    }
    if (pair->value->kind != CONF_YAML_SCALAR) {
        conf_files_error(files, pair->value->pos, "%s takes a single value, not %s", name,
                         conf_yaml_what(pair->value));
        return;
    }
    const char *problem = images_params_set(&wish, str_of(name), str_of(pair->value->value));
    if (problem != NULL)
        conf_files_error(files, pair->value->pos, "%s %s", name, problem);
    MEM_GROW(&preset->params, preset->n);
    preset->params[preset->n++] =
        (struct conf_preset_param){mem_strdup(name), mem_strdup(pair->value->value)};
}

static void read_presets(struct conf_files *files, struct conf_route *route, const struct conf_yaml *value)
{
    if (value->kind != CONF_YAML_MAP || value->n_items == 0) {
        conf_files_error(
            files, value->pos,
            "presets takes names with their parameters, such as { small: { w: 64, h: 64, fit: crop } }");
        return;
    }
    for (size_t i = 0; i < value->n_items; i++) {
        const struct conf_yaml_pair *pair = &value->items[i];
        MEM_GROW(&route->presets, route->n_presets);
        struct conf_preset *preset = &route->presets[route->n_presets++];
        *preset = (struct conf_preset){.name = mem_strdup(pair->key->value)};
        if (pair->value->kind != CONF_YAML_MAP)
            conf_files_error(files, pair->value->pos,
                             "the preset %s takes parameters, such as { w: 64 }; not %s", pair->key->value,
                             conf_yaml_what(pair->value));
        for (size_t j = 0; pair->value->kind == CONF_YAML_MAP && j < pair->value->n_items; j++)
            read_preset_param(files, preset, &pair->value->items[j]);
    }
}

static void read_mapping(struct conf_reading *reading, const struct conf_yaml *map)
{
    static const char *const keys[] = {"presets"};
    reading->route->makes_images = true;
    for (size_t i = 0; i < map->n_items; i++) {
        const struct conf_yaml *key = map->items[i].key;
        if (strcmp(key->value, keys[0]) == 0)
            read_presets(reading->files, reading->route, map->items[i].value);
        else
            conf_table_unknown_key(reading->files, key->pos, "images", key->value, keys, 1, false);
    }
}

void conf_images_read(struct conf_reading *reading, const char *key, const struct conf_yaml *value)
{
    static const char *const words[] = {"on", "off"};
    if (value->kind == CONF_YAML_MAP)
        read_mapping(reading, value);
    else /* what is neither is a mistake, and no reason for others */
        reading->route->makes_images =
            conf_reading_word(reading, key, value, words, 2, "on, off, or a mapping with presets") != 1;
    const char *problem = reading->route->makes_images ? check_program(reading->files) : NULL;
    if (problem != NULL)
        conf_files_error(reading->files, value->pos, "%s", problem);
}

bool conf_images_bring(const struct conf_route *route, const char *key)
{
    return route->makes_images && (strcmp(key, "query") == 0 || strcmp(key, "unknown_query") == 0);
}

static void check_kind(struct conf_reading *reading, struct conf_pos pos)
{
    const struct conf_route *route = reading->route;
    if (!route->kind->has_originals)
        conf_files_error(
            reading->files, pos,
            "images goes with files, relay, and sql with `answer: value`; this route is answered "
            "with %s",
            conf_kind_name(route->kind));
    else if (route->kind->asks_database && route->answer != CONF_ANSWER_VALUE)
        conf_files_error(reading->files, pos, "the original of images is one value: write `answer: value`");
    else if (!conf_reading_is_for(reading, "GET"))
        conf_files_error(reading->files, pos, "images are there to be looked at: make this route a GET");
}

/* A default is what a client could have sent. */
static void check_default(struct conf_reading *reading, const struct conf_param *param)
{
    struct images_wish wish = {0};
    const struct params_spec *spec = &param->spec;
    if (spec->default_text == NULL || spec->source != PARAMS_QUERY || !images_params_has(str_of(spec->name)))
        return;
    const char *problem = images_params_set(&wish, str_of(spec->name), str_of(spec->default_text));
    if (problem != NULL)
        conf_files_error(reading->files, param->pos, "the default of %s %s", spec->name, problem);
}

/* What the client may say is the picture's, and what is left of it the statement's. */
static void check_query(struct conf_reading *reading)
{
    const struct conf_route *route = reading->route;
    for (size_t i = 0; i < route->n_declared; i++) {
        const struct params_spec *spec = &route->declared[i].spec;
        check_default(reading, &route->declared[i]);
        if (spec->source != PARAMS_QUERY || route->kind->asks_database ||
            images_params_has(str_of(spec->name)))
            continue;
        conf_files_error(reading->files, route->declared[i].pos,
                         "%s is no parameter of images, and a route with %s has no others", spec->name,
                         conf_kind_name(route->kind));
    }
}

bool conf_images_have_query(const struct conf_route *route)
{
    for (size_t i = 0; i < route->n_declared; i++) {
        const struct params_spec *spec = &route->declared[i].spec;
        if (spec->source == PARAMS_QUERY && images_params_has(str_of(spec->name)))
            return true;
    }
    return false;
}

bool conf_images_are_bounded(const struct conf_route *route)
{
    return route->n_presets > 0 || conf_images_have_query(route);
}

void conf_images_free(struct conf_route *route)
{
    for (size_t i = 0; i < route->n_presets; i++) {
        struct conf_preset *preset = &route->presets[i];
        for (size_t j = 0; j < preset->n; j++) {
            free(preset->params[j].name);
            free(preset->params[j].value);
        }
        free(preset->params);
        free(preset->name);
    }
    free(route->presets);
}

void conf_images_finish(struct conf_reading *reading)
{
    const struct conf_route *route = reading->route;
    struct conf_pos pos = conf_reading_key(reading, "images")->pos;
    check_kind(reading, pos);
    check_query(reading);
    for (size_t i = 0; i < route->n_headers; i++) {
        for (size_t j = 0; j < sizeof(own_fields) / sizeof(own_fields[0]); j++) {
            if (strcasecmp(route->headers[i].name, own_fields[j]) == 0)
                conf_files_error(reading->files, route->headers[i].pos,
                                 "%s comes from the picture that is made; remove it", own_fields[j]);
        }
    }
    if (!conf_images_are_bounded(route))
        conf_files_warn(reading->files, pos,
                        "anybody can have pictures made in all sizes: say by query which parameters a client "
                        "may send, and within which bounds, or give presets");
}

static void print_images(const struct conf_route *route, int indent, FILE *out)
{
    if (route->n_presets == 0) {
        conf_write_text("images", "on", indent, out);
        return;
    }
    fprintf(out, "%*simages:\n%*spresets:\n", indent, "", indent + CONF_WRITE_STEP, "");
    indent += 2 * CONF_WRITE_STEP;
    for (size_t i = 0; i < route->n_presets; i++) {
        conf_write_key(route->presets[i].name, indent, out);
        fputs(route->presets[i].n == 0 ? " {}\n" : "\n", out);
        for (size_t j = 0; j < route->presets[i].n; j++)
            conf_write_text(route->presets[i].params[j].name, route->presets[i].params[j].value,
                            indent + CONF_WRITE_STEP, out);
    }
}

void conf_images_print(const struct conf_route *route, int indent, FILE *out)
{
    if (!route->makes_images)
        return;
    print_images(route, indent, out);
    if (route->kind->asks_database)
        return; /* it has them anyway */
    conf_write_params("query", route, PARAMS_QUERY, indent, out);
    conf_write_text("unknown_query", route->ignore_unknown_query ? "ignore" : "refuse", indent, out);
}
