/* program.c: how this program was started, so that it can be started again as it is on disk then. */
#include "process/program.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"
#include "process/cpus.h"

/* The file that a shell would run for this name; NULL where there is none. The caller frees it. */
static char *search_path(const char *name)
{
    const char *path = getenv("PATH");
    while (path != NULL && *path != '\0') {
        size_t len = strcspn(path, ":");
        char *file = mem_printf("%.*s/%s", (int)len, path, name);
        if (len > 0 && *path == '/' && access(file, X_OK) == 0)
            return file;
        free(file);
        path += len + (path[len] == ':');
    }
    return NULL;
}

/*
 * A symbolic link in the name is kept: whoever makes it point to another version means that one. Once a file
 * was replaced, /proc/self/exe does not tell its name any longer.
 */
static char *find_file(const char *name)
{
    char *here = NULL, *file = NULL, buffer[PATH_MAX];
    if (name != NULL && name[0] == '/') {
        file = mem_strdup(name);
    } else if (name != NULL && strchr(name, '/') != NULL) {
        here = getcwd(NULL, 0);
        file = here == NULL ? NULL : mem_printf("%s/%s", here, name);
    } else if (name != NULL) {
        file = search_path(name);
    }
    free(here);
    if (file != NULL && access(file, X_OK) == 0)
        return file;
    free(file);
    ssize_t len = readlink("/proc/self/exe", buffer, sizeof(buffer));
    return len > 0 ? mem_strndup(buffer, (size_t)len) : mem_strdup("/proc/self/exe");
}

void program_note(struct program *program, char **argv)
{
    size_t n = 0;
    while (argv[n] != NULL)
        n++;
    program->argv = mem_calloc(n + 1, sizeof(*program->argv));
    for (size_t i = 0; i < n; i++)
        program->argv[i] = mem_strdup(argv[i]);
    program->path = find_file(argv[0]);
}

void program_free(struct program *program)
{
    for (size_t i = 0; program->argv[i] != NULL; i++)
        free(program->argv[i]);
    free(program->argv);
    free(program->path);
}

struct program_file program_file(const struct program *program)
{
    struct stat status;
    if (stat(program->path, &status) != 0)
        return (struct program_file){0};
    return (struct program_file){status.st_dev, status.st_ino, status.st_size, status.st_ctim};
}

bool program_is_still(const struct program *program, const struct program_file *file)
{
    struct program_file now = program_file(program);
    return now.device == file->device && now.inode == file->inode && now.size == file->size &&
           now.changed.tv_sec == file->changed.tv_sec && now.changed.tv_nsec == file->changed.tv_nsec;
}

unsigned program_workers(const struct conf *conf)
{
    return conf->workers != 0 ? conf->workers : cpus_available();
}
