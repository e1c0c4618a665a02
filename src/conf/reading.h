/* reading.h: one route while it is being read. Private to conf/. */
#ifndef HAYFORK_CONF_READING_H
#define HAYFORK_CONF_READING_H

#include "conf/conf.h"
#include "conf/files.h"
#include "conf/yaml.h"

struct conf_reading {
    const struct conf *conf;
    struct conf_files *files;
    struct conf_route *route;
    const struct conf_yaml *map;         /* the route's keys; NULL where it has none */
    const struct conf_yaml *handler_key; /* the one that says how it is answered; NULL while there is none */
    bool unknown_key;                    /* something may be missing only because its name is misspelled */
};

/* Reads the value of a key, which is never nothing, into the route and notes all mistakes. */
typedef void conf_reading_read(struct conf_reading *reading, const char *key, const struct conf_yaml *value);

struct conf_key {
    const char *name;
    conf_reading_read *read;
};

/* The key of that name, if the route has it, else NULL. */
const struct conf_yaml *conf_reading_key(const struct conf_reading *reading, const char *name);

/* Is the route for this method? */
bool conf_reading_is_for(const struct conf_reading *reading, const char *method);

/* Is the value text? If not, that is noted. */
bool conf_reading_want_text(struct conf_reading *reading, const char *key, const struct conf_yaml *value);

/* SQL and JSON have to arrive as they were written: YAML changes text in every other style. */
bool conf_reading_want_verbatim(struct conf_reading *reading, const char *key, const struct conf_yaml *value);

/* The file that the value names, or NULL after noting a mistake. */
const struct conf_file *conf_reading_file(struct conf_reading *reading, const char *key,
                                          const struct conf_yaml *value);

/*
 * Reads one of n words. Returns its index, or n after noting a mistake; choice is how that names the words.
 */
size_t conf_reading_word(struct conf_reading *reading, const char *key, const struct conf_yaml *value,
                         const char *const *words, size_t n, const char *choice);

/* Reads a value of the same type as a directive's into a place of that type. */
void conf_reading_like(struct conf_reading *reading, const char *section, const char *name, void *place,
                       const char *key, const struct conf_yaml *value);

#endif
