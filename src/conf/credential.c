/* credential.c: secrets, which never stand in the conf. */
#include "conf/credential.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "conf/files.h"

static const char prefix[] = "credential:";

static bool is_credential(const char *name)
{
    return strncmp(name, prefix, strlen(prefix)) == 0;
}

/* Not a path: the name of a file in a folder that someone else names. */
static bool is_plain_name(const char *name)
{
    return name[0] != '\0' && name[0] != '.' && strchr(name, '/') == NULL;
}

char *conf_credential_name(const char *file_name, const char *text, char **problem)
{
    *problem = NULL;
    if (!is_credential(text))
        return text[0] == '\0' ? mem_strdup("") : conf_files_resolve(file_name, text);
    if (is_plain_name(text + strlen(prefix)))
        return mem_strdup(text);
    *problem =
        mem_strdup("after credential: stands the name that LoadCredential= gives it, which is no path");
    return NULL;
}

/* The path of a secret's file, to be freed; NULL after setting *problem. */
static char *path_of(const char *name, char **problem)
{
    const char *folder = getenv("CREDENTIALS_DIRECTORY");
    if (!is_credential(name))
        return mem_strdup(name);
    if (folder != NULL && folder[0] == '/')
        return mem_printf("%s/%s", folder, name + strlen(prefix));
    *problem =
        mem_printf("there is no %s: the service manager has passed no credentials (LoadCredential=)", name);
    return NULL;
}

/* Reads up to size bytes. Returns how many there are, or -1 with errno set: EFBIG where there are more. */
static ssize_t read_file(const char *path, char *text, size_t size)
{
    size_t len = 0;
    ssize_t got = 1;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -1;
    while (got > 0 && len < size) {
        got = read(fd, text + len, size - len);
        len += got > 0 ? (size_t)got : 0;
    }
    int error = got < 0 ? errno : EFBIG;
    close(fd);
    errno = error;
    return got < 0 || len == size ? -1 : (ssize_t)len;
}

char *conf_credential_open(const char *name, char **problem)
{
    char text[CONF_CREDENTIAL_MOST + 1];
    *problem = NULL;
    char *path = path_of(name, problem);
    if (path == NULL)
        return NULL;
    ssize_t len = read_file(path, text, sizeof(text));
    if (len < 0)
        *problem = mem_printf("cannot read %s: %s", path, strerror(errno));
    free(path);
    if (len < 0)
        return NULL;
    while (len > 0 && (text[len - 1] == '\n' || text[len - 1] == '\r'))
        len--;
    if (memchr(text, '\0', (size_t)len) != NULL || memchr(text, '\n', (size_t)len) != NULL)
        *problem = mem_printf("%s is not one line of text", name);
    else if (len == 0)
        *problem = mem_printf("%s is empty", name);
    char *secret = *problem == NULL ? mem_strndup(text, (size_t)len) : NULL;
    explicit_bzero(text, sizeof(text));
    return secret;
}
