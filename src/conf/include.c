/* include.c: routes with their defaults, of the conf and of the files that it includes. */
#include "conf/include.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "conf/env.h"
#include "conf/hint.h"
#include "conf/route.h"
#include "conf/table.h"
#include "base/mem.h"

/* A file that was read, however it was named. */
struct identity {
    dev_t device;
    ino_t inode;
};

struct including {
    struct conf *conf;
    struct identity *seen;
    size_t n_seen;
};

/* Notes that a file is being read. Returns false if it has been already. One that is not there counts as new.
 */
static bool see(struct including *including, const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return true;
    for (size_t i = 0; i < including->n_seen; i++) {
        if (including->seen[i].device == status.st_dev && including->seen[i].inode == status.st_ino)
            return false;
    }
    MEM_GROW(&including->seen, including->n_seen);
    including->seen[including->n_seen++] = (struct identity){status.st_dev, status.st_ino};
    return true;
}

static void read_routes(struct conf *conf, const struct conf_yaml *map)
{
    struct conf_route defaults = {0};
    const struct conf_yaml *value = conf_yaml_get(map, "defaults"), *routes = conf_yaml_get(map, "routes");
    if (value != NULL && conf_yaml_is_null(value))
        conf_files_error(conf->files, value->pos, "defaults has no value; remove the line");
    else if (value != NULL)
        conf_route_read_defaults(conf->files, value, &defaults);
    /* Routes that are nothing, because all are comments, are no mistake: not here. */
    if (routes != NULL && !conf_yaml_is_null(routes))
        conf_route_read(conf, routes, &defaults);
    conf_route_free(&defaults);
}

static void note_wrong_key(struct conf_files *files, const struct conf_yaml *key)
{
    static const char *const keys[] = {"defaults", "routes"};
    if (strcmp(key->value, "include") == 0) {
        conf_files_error(files, key->pos,
                         "an included file cannot include others: name them in the conf itself");
    } else if (conf_table_find("", key->value) != NULL || conf_table_has_section(key->value)) {
        conf_files_error(files, key->pos,
                         "%s belongs in the conf itself; an included file has only defaults and routes",
                         key->value);
    } else if (key->value[0] == '/' || strstr(key->value, " /") != NULL) {
        conf_files_error(files, key->pos, "a route belongs below \"routes\", indented");
    } else {
        const char *meaning = conf_route_has_key(key->value) ? NULL : conf_hint_synonym("", key->value);
        if (meaning == NULL)
            meaning = conf_hint_nearest(key->value, keys, 2);
        bool known = meaning != NULL && (strcmp(meaning, keys[0]) == 0 || strcmp(meaning, keys[1]) == 0);
        conf_hint_unknown(files, key->pos, "", key->value, known ? meaning : NULL, keys, 2);
    }
}

static void include_file(struct including *including, const char *path, struct conf_pos named_at)
{
    struct conf_files *files = including->conf->files;
    if (!conf_files_are_of_snapshot(files) && !see(including, path)) {
        conf_files_error(files, named_at, "%s would be read twice, as the conf itself or by another pattern",
                         path);
        return;
    }
    struct conf_yaml *root = conf_yaml_read_file(files, path, named_at);
    conf_env_expand(files, including->conf->env, root);
    for (size_t i = 0; i < root->n_items; i++) {
        const struct conf_yaml *key = root->items[i].key;
        if (strcmp(key->value, "defaults") != 0 && strcmp(key->value, "routes") != 0)
            note_wrong_key(files, key);
    }
    read_routes(including->conf, root);
    conf_yaml_free(root);
}

/* The folder of the file of that name, as a pattern that matches only itself, with pattern after it. */
static char *resolve_pattern(const char *file_name, const char *pattern)
{
    const char *slash = strrchr(file_name, '/');
    if (pattern[0] == '/' || slash == NULL)
        return mem_strdup(pattern);
    size_t folder = (size_t)(slash - file_name) + 1, len = 0;
    char *text = mem_alloc(2 * folder + strlen(pattern) + 1);
    for (size_t i = 0; i < folder; i++) {
        if (strchr("*?[\\", file_name[i]) != NULL)
            text[len++] = '\\';
        text[len++] = file_name[i];
    }
    strcpy(text + len, pattern);
    return text;
}

static void include_pattern(struct including *including, const struct conf_yaml *value)
{
    struct conf_files *files = including->conf->files;
    if (value->kind != CONF_YAML_SCALAR || value->value[0] == '\0' || conf_yaml_is_null(value)) {
        conf_files_error(files, value->pos,
                         "include takes a file's name, a pattern such as conf.d/*.conf, or a "
                         "list of these");
        return;
    }
    if (strpbrk(value->value, "*?[") == NULL) {
        char *path = conf_files_resolve(value->pos.file, value->value);
        include_file(including, path, value->pos);
        free(path);
        return;
    }
    char *pattern = resolve_pattern(value->pos.file, value->value);
    const char *const *names;
    size_t n;
    int error = conf_files_find(files, pattern, &names, &n);
    if (error != 0)
        conf_files_error(files, value->pos, "cannot look for %s: %s", value->value, strerror(error));
    for (size_t i = 0; error == 0 && i < n; i++)
        include_file(including, names[i], value->pos);
    free(pattern);
}

void conf_include_read(struct conf *conf, const char *path, const struct conf_yaml *root)
{
    struct including including = {.conf = conf};
    const struct conf_yaml *include = conf_yaml_get(root, "include");
    see(&including, path);
    read_routes(conf, root);
    if (include != NULL && include->kind == CONF_YAML_LIST) {
        for (size_t i = 0; i < include->n_items; i++)
            include_pattern(&including, include->items[i].value);
    } else if (include != NULL) {
        include_pattern(&including, include);
    }
    free(including.seen);
}
