/*
 * folder.h: opens what is in a folder and nothing else, and says what a request's path asks for in one.
 */
#ifndef HAYFORK_HTTP_FOLDER_H
#define HAYFORK_HTTP_FOLDER_H

#include <stdbool.h>

#include "base/str.h"

/*
 * Opens a folder for folder_open_file (O_PATH). Returns a descriptor that the caller closes, or -1 with errno
 * set. What is later put in the folder's own place under its name is not seen through it.
 */
int folder_open(const char *path);

/*
 * Opens a file, or a folder, for reading; name is relative to the folder. Symbolic links are followed as long
 * as they stay within (openat2(2): RESOLVE_BENEATH). Never waits for another process, as a FIFO would have
 * it. Returns a descriptor that the caller closes, or -1 with errno set: EXDEV for what lies outside.
 */
int folder_open_file(int folder, const char *name);

/*
 * How folder_open_file opens, which is the same each time and at the same place in memory: a filter for
 * system calls sees the place alone (process/sandbox.c). It needs <linux/openat2.h>.
 */
struct open_how;
const struct open_how *folder_how(void);

enum folder_wish {
    FOLDER_FILE,     /* a file, or a folder whose '/' at the end is missing */
    FOLDER_INDEX,    /* a folder: the path is empty or ends in '/' */
    FOLDER_NOTHING,  /* what is never there, whatever the folder holds */
    FOLDER_MALFORMED /* a '%' without two hexadecimal digits */
};

/*
 * What the part of a request's path that lies in the folder asks for. raw is still percent-encoded, and
 * begins after a '/'. path gets it decoded, with a NUL at its end: raw.len + 1 bytes at most.
 *
 * Never there are an empty segment, one that begins with a dot (so "." and ".." never are),
 * and one that holds an encoded '/', a '\' or a control character.
 */
enum folder_wish folder_read_path(struct str raw, char *path);

/* Is this, which is not encoded, the path of a file that folder_read_path can ask for? */
bool folder_has_path(const char *path);

#endif
