/* folder.h: `files`, `index` and `fallback`: routes that are answered with files. Private to conf*.c. */
#ifndef HAYFORK_CONF_FOLDER_H
#define HAYFORK_CONF_FOLDER_H

#include "conf/files.h"
#include "conf/yaml.h"

/* These read the value of a key into the route and note all mistakes. `files` looks at the folder. */
void conf_folder_read(struct conf_files *files, struct conf_route *route, const struct conf_yaml *value);
void conf_folder_read_index(struct conf_files *files, struct conf_route *route,
                            const struct conf_yaml *value);
void conf_folder_read_fallback(struct conf_files *files, struct conf_route *route,
                               const struct conf_yaml *value);

/*
 * When all keys of a route with `files` are read: checks what concerns several of them, and looks for the
 * fallback, whose key is fallback_key or NULL. key is that of `files`.
 */
void conf_folder_finish(struct conf_files *files, const struct conf_route *route, const struct conf_yaml *key,
                        const struct conf_yaml *fallback_key);

/* When the defaults are filled in: notes the headers that are not for the conf to set in such a route. */
void conf_folder_check_headers(struct conf_files *files, const struct conf_route *route);

#endif
