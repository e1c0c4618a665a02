/* folder.c: opens what is in a folder and nothing else, and says what a request's path asks for in one. */
#include "http/folder.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/percent.h"

enum { MOST_TRIES = 32 };

/* For reading, and beneath the folder. It lies in memory that cannot be written to: see folder_how. */
static const struct open_how how = {
    .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
    .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
};

const struct open_how *folder_how(void)
{
    return &how;
}

int folder_open(const char *path)
{
    return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

int folder_open_file(int folder, const char *name)
{
    long fd = -1;
    /* EAGAIN: something was renamed or mounted just while a ".." in a symbolic link was being followed */
    for (int i = 0; i < MOST_TRIES; i++) {
        fd = syscall(SYS_openat2, folder, name, &how, sizeof(how));
        if (fd >= 0 || (errno != EAGAIN && errno != EINTR))
            break;
    }
    return (int)fd;
}

/* Can a name have this byte? in_front: it is the name's first one. */
static bool is_shown(char c, bool in_front)
{
    unsigned char byte = (unsigned char)c;
    return byte >= ' ' && byte != 0x7f && c != '/' && c != '\\' && !(in_front && c == '.');
}

enum folder_wish folder_read_path(struct str raw, char *path)
{
    bool in_front = true, shown = true; /* at the beginning of a segment; all is well so far */
    for (size_t i = 0; i < raw.len;) {
        bool is_slash = raw.base[i] == '/';
        int c = percent_next(raw, &i);
        if (c < 0)
            return FOLDER_MALFORMED;
        shown = shown && (is_slash ? !in_front : is_shown((char)c, in_front));
        in_front = is_slash;
        *path++ = (char)c;
    }
    *path = '\0';
    return !shown ? FOLDER_NOTHING : in_front ? FOLDER_INDEX : FOLDER_FILE;
}

bool folder_has_path(const char *path)
{
    bool in_front = true;
    for (; *path != '\0'; path++) {
        if (*path == '/' ? in_front : !is_shown(*path, in_front))
            return false;
        in_front = *path == '/';
    }
    return !in_front;
}
