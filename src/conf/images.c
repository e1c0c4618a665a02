/* images.c: `images` of a route, and what goes with it. */
#include "conf/images.h"

#include <stdlib.h>
#include <string.h>

#include "base/beside.h"
#include "conf/kind.h"
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

void conf_images_read(struct conf_reading *reading, const char *key, const struct conf_yaml *value)
{
    static const char *const words[] = {"on", "off"};
    reading->route->makes_images = conf_reading_word(reading, key, value, words, 2, "on or off") == 0;
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

/* What the client may say is the picture's, and what is left of it the statement's. */
static void check_query(struct conf_reading *reading)
{
    const struct conf_route *route = reading->route;
    for (size_t i = 0; i < route->n_declared; i++) {
        const struct params_spec *spec = &route->declared[i].spec;
        if (spec->source != PARAMS_QUERY || route->kind->asks_database ||
            images_params_has(str_of(spec->name)))
            continue;
        conf_files_error(reading->files, route->declared[i].pos,
                         "%s is no parameter of images, and a route with %s has no others", spec->name,
                         conf_kind_name(route->kind));
    }
}

static bool is_bounded(const struct conf_route *route)
{
    for (size_t i = 0; i < route->n_declared; i++) {
        if (images_params_has(str_of(route->declared[i].spec.name)))
            return true;
    }
    return false;
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
    if (!is_bounded(route))
        conf_files_warn(reading->files, pos,
                        "anybody can have pictures made in all sizes: say by query which parameters a client "
                        "may send, and within which bounds");
}

void conf_images_print(const struct conf_route *route, int indent, FILE *out)
{
    if (!route->makes_images)
        return;
    conf_write_text("images", "on", indent, out);
    if (route->kind->asks_database)
        return; /* it has them anyway */
    conf_write_params("query", route, PARAMS_QUERY, indent, out);
    conf_write_text("unknown_query", route->ignore_unknown_query ? "ignore" : "refuse", indent, out);
}
