/* images.h: `images` of a route, and what goes with it. Private to conf/. */
#ifndef HAYFORK_CONF_IMAGES_H
#define HAYFORK_CONF_IMAGES_H

#include "conf/reading.h"

/* The name in the query by which a client asks for a preset. */
#define IMAGES_PRESET "preset"

/* Reads the key. */
void conf_images_read(struct conf_reading *reading, const char *key, const struct conf_yaml *value);

/* May a route have this key because it makes pictures, whatever its kind? */
bool conf_images_bring(const struct conf_route *route, const char *key);

/* All keys of a route that makes pictures were read: notes what does not go together. */
void conf_images_finish(struct conf_reading *reading);

/* May a client send only some of the parameters of images, or only presets? */
bool conf_images_are_bounded(const struct conf_route *route);

/* Does `query` name some of them? */
bool conf_images_have_query(const struct conf_route *route);

void conf_images_free(struct conf_route *route);

/* Writes the keys that a route has because it makes pictures. */
void conf_images_print(const struct conf_route *route, int indent, FILE *out);

#endif
