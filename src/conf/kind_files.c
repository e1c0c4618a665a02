/* kind_files.c: routes with `files`: `index` and `fallback` go with it. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "conf/kind.h"
#include "conf/reading.h"
#include "conf/write.h"
#include "http/folder.h"

/* Fields that say which file this is and which part of it (RFC 9110 sections 8.8 and 14). */
static const char *const own_fields[] = {"Accept-Ranges", "Content-Range", "ETag", "Last-Modified"};

/* A path without the "./" that it begins with. */
static const char *skip_here(const char *path)
{
    while (path[0] == '.' && path[1] == '/')
        path += 1 + strspn(path + 1, "/");
    return path;
}

/* The path from the root, without "/" and "/." at its end: it has to mean the same in every process. */
static char *make_absolute(const char *path)
{
    path = skip_here(path);
    char *here = path[0] == '/' ? NULL : getcwd(NULL, 0);
    char *absolute = here == NULL ? mem_strdup(path) : mem_printf("%s/%s", here, path);
    free(here);
    size_t len = strlen(absolute);
    while (len > 1 && (absolute[len - 1] == '/' || (absolute[len - 1] == '.' && absolute[len - 2] == '/')))
        absolute[--len] = '\0';
    return absolute;
}

/* Can files be served from this folder? Returns NULL, or why not. */
static const char *check_folder(const char *path)
{
    int folder = folder_open(path), inside = folder < 0 ? -1 : folder_open_file(folder, ".");
    int error = inside < 0 ? errno : 0;
    if (inside >= 0)
        close(inside);
    if (folder >= 0)
        close(folder);
    if (error == ENOSYS)
        return "this kernel cannot keep the server within a folder: that takes openat2, of Linux 5.6";
    return error == 0 ? NULL : strerror(error);
}

static void read_files(struct conf_reading *reading, const char *key, const struct conf_yaml *value)
{
    struct conf_files *files = reading->files;
    struct conf_route *route = reading->route;
    if (!conf_reading_want_text(reading, key, value))
        return;
    if (value->value[0] == '\0') {
        conf_files_error(files, value->pos, "files takes the name of a folder");
        return;
    }
    char *path = conf_files_resolve(value->pos.file, skip_here(value->value));
    route->folder = make_absolute(path);
    const char *problem = conf_files_are_of_snapshot(files) ? NULL : check_folder(route->folder);
    if (problem != NULL)
        conf_files_error(files, value->pos, "cannot serve files from %s: %s", path, problem);
    free(path);
}

static void read_index(struct conf_reading *reading, const char *key, const struct conf_yaml *value)
{
    if (!conf_reading_want_text(reading, key, value))
        return;
    if (folder_has_path(value->value) && strchr(value->value, '/') == NULL)
        reading->route->index = mem_strdup(value->value);
    else
        conf_files_error(reading->files, value->pos,
                         "index takes the name of a file, such as index.html, that each folder may have; not "
                         "\"%.*s\"",
                         CONF_FILES_QUOTE(value->value));
}

static void read_fallback(struct conf_reading *reading, const char *key, const struct conf_yaml *value)
{
    if (!conf_reading_want_text(reading, key, value))
        return;
    if (folder_has_path(value->value))
        reading->route->fallback = mem_strdup(value->value);
    else
        conf_files_error(reading->files, value->pos,
                         "fallback takes the path of a file within the folder, such as index.html; not "
                         "\"%.*s\"%s",
                         CONF_FILES_QUOTE(value->value),
                         value->value[0] == '/' ? ": it begins without `/`" : "");
}

/* Is the fallback a file that can be read? */
static void check_fallback(struct conf_files *files, const struct conf_route *route, struct conf_pos pos)
{
    struct stat status = {0};
    if (conf_files_are_of_snapshot(files))
        return;
    int folder = folder_open(route->folder);
    int file = folder < 0 ? -1 : folder_open_file(folder, route->fallback);
    const char *problem = file < 0 || fstat(file, &status) != 0 ? strerror(errno)
                          : S_ISREG(status.st_mode)             ? NULL
                                                                : "it is not a file";
    if (folder >= 0 && problem != NULL)
        conf_files_error(files, pos, "cannot read %s in the folder of files: %s", route->fallback, problem);
    if (file >= 0)
        close(file);
    if (folder >= 0)
        close(folder);
}

static void check_headers(struct conf_files *files, const struct conf_route *route)
{
    for (size_t i = 0; i < route->n_headers; i++) {
        for (size_t j = 0; j < sizeof(own_fields) / sizeof(own_fields[0]); j++) {
            if (strcasecmp(route->headers[i].name, own_fields[j]) == 0)
                conf_files_error(files, route->headers[i].pos,
                                 "%s comes from the file that is sent; remove it", own_fields[j]);
        }
    }
}

/* The path has to end in {name...}. */
static void check_path(struct conf_files *files, const struct conf_route *route, struct conf_pos pos)
{
    static const char *const end = "...}";
    const char *path = route->path;
    size_t len = strlen(path);
    if (len >= strlen(end) && strcmp(path + len - strlen(end), end) == 0)
        return;
    bool has_name = len > 0 && path[len - 1] == '}';
    conf_files_error(files, pos, "which file it is has to come from the path: write \"%s %.*s%s\"",
                     route->method, (int)(has_name ? len - 1 : len), path,
                     has_name                          ? end
                     : len > 0 && path[len - 1] == '/' ? "{path...}"
                                                       : "/{path...}");
}

static void finish(struct conf_reading *reading)
{
    const struct conf_route *route = reading->route;
    struct conf_pos pos = reading->handler_key->pos;
    if (route->method != NULL && strcmp(route->method, "GET") != 0)
        conf_files_error(reading->files, pos,
                         "files are there to be read: make this route a GET, which answers HEAD "
                         "as well");
    if (route->path != NULL)
        check_path(reading->files, route, pos);
    if (route->folder != NULL && route->fallback != NULL)
        check_fallback(reading->files, route, conf_reading_key(reading, "fallback")->pos);
}

static void complete(const struct conf_reading *reading, const struct conf_route *defaults)
{
    (void)defaults;
    if (reading->route->index == NULL)
        reading->route->index = mem_strdup("index.html");
}

static void print(const struct conf *conf, const struct conf_route *route, int indent, FILE *out)
{
    (void)conf;
    conf_write_text("files", route->folder, indent, out);
    conf_write_text("index", route->index, indent, out);
    if (route->fallback != NULL)
        conf_write_text("fallback", route->fallback, indent, out);
}

static const struct conf_key keys[] = {
    {"files", read_files},
    {"index", read_index},
    {"fallback", read_fallback},
};

const struct conf_kind conf_kind_files = {
    .keys = keys,
    .n_keys = sizeof(keys) / sizeof(keys[0]),
    .has_originals = true,
    .n_first = 1,
    .descriptors = 1, /* the file that is being sent */
    .finish = finish,
    .complete = complete,
    .check_headers = check_headers,
    .print = print,
};
