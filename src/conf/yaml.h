/*
 * yaml.h: YAML text as a tree of nodes that know their place. Private to conf/.
 *
 * The conf's YAML is a subset in which a text means what it seems to mean: no anchors, aliases, tags, merge
 * keys or second documents, no key twice, keys are text. Whether a scalar was quoted is kept, because YAML
 * cuts and joins lines of unquoted text.
 */
#ifndef HAYFORK_CONF_YAML_H
#define HAYFORK_CONF_YAML_H

#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"
#include "conf/files.h"

enum { CONF_YAML_MAX_DEPTH = 16 };

enum conf_yaml_kind { CONF_YAML_SCALAR, CONF_YAML_LIST, CONF_YAML_MAP };
enum conf_yaml_style { CONF_YAML_PLAIN, CONF_YAML_QUOTED, CONF_YAML_LITERAL, CONF_YAML_FOLDED };

struct conf_yaml {
    enum conf_yaml_kind kind;
    struct conf_pos pos; /* of the first character; for a block, of its `|` or `>` */
    bool incomplete;     /* a list or mapping without the parts whose mistakes were noted already */

    /* CONF_YAML_SCALAR */
    enum conf_yaml_style style;
    bool one_line; /* begins and ends on the same line */
    int end_line;  /* but for a block: on which it ends */
    int comment;   /* column of a comment after a plain one on the line where it ends; 0: there is none */
    bool expanded; /* variables were put in: what they stood for is not looked at again */
    char *value;

    /* CONF_YAML_LIST has values only, CONF_YAML_MAP also keys, which are scalars */
    struct conf_yaml_pair {
        struct conf_yaml *key, *value;
    } * items;
    size_t n_items;
};

/*
 * Reads YAML text. origin is where text begins. Notes all mistakes. Returns the tree, to be freed with
 * conf_yaml_free, or NULL if there is none: a syntax error (noted), or an empty document (not noted).
 */
struct conf_yaml *conf_yaml_read(struct conf_files *files, struct conf_pos origin, struct str text);

/*
 * Reads a file that has to be a mapping (see conf_files_read for named_at). Notes all mistakes. Returns a
 * mapping, to be freed with conf_yaml_free; it is empty where the file has none.
 */
struct conf_yaml *conf_yaml_read_file(struct conf_files *files, const char *name, struct conf_pos named_at);

/* An empty mapping. */
struct conf_yaml *conf_yaml_new_map(struct conf_pos pos);

/* Sets a key of a mapping, in place of a value that is there. Key and value become the mapping's. */
void conf_yaml_put(struct conf_yaml *map, struct conf_yaml *key, struct conf_yaml *value);

/* The value of a key of a mapping, or NULL. */
struct conf_yaml *conf_yaml_get(const struct conf_yaml *map, const char *key);

/* A scalar that is written as nothing, `~` or `null`, without quotes. */
bool conf_yaml_is_null(const struct conf_yaml *node);

/* "a mapping", "a list", "text" or "nothing", for messages. */
const char *conf_yaml_what(const struct conf_yaml *node);

/* Takes NULL, too. */
void conf_yaml_free(struct conf_yaml *node);

#endif
