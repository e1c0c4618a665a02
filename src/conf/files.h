/*
 * files.h: the files a conf was read from, and the mistakes found in them. For conf/ and for db/,
 * which adds what PostgreSQL finds.
 *
 * Mistakes are collected, so that they can be shown in the order of the files and not in the order in
 * which the rules happened to look.
 */
#ifndef HAYFORK_CONF_FILES_H
#define HAYFORK_CONF_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/pack.h"
#include "conf/conf.h"
#include "base/str.h"

enum { CONF_FILES_MAX_SIZE = 16 * 1024 * 1024 };

struct conf_file {
    char *name; /* as it appears in messages */
    char *text; /* NUL-terminated, without a byte order mark */
    size_t len;
    bool added;  /* its text did not come from a file */
    bool secret; /* its lines are not shown with the mistakes in them */
    bool unread; /* it is not YAML, so that nothing is known of what stands where */
    bool yaml;   /* false for the files that the conf names, whose text is taken as it is */
};

struct conf_files *conf_files_new(void);

/*
 * The same, of a snapshot that conf_files_pack has written: what is read are the texts of that time. The
 * snapshot's bytes must stay as long as files.
 */
struct conf_files *conf_files_new_from(struct str snapshot);

/* Is what they say of another time, so that the file system has no say in it? */
bool conf_files_are_of_snapshot(const struct conf_files *files);

/* Writes down all that was read: each file's name and text, and what each pattern has found. */
void conf_files_pack(const struct conf_files *files, struct pack *out);

void conf_files_free(struct conf_files *files);

/*
 * Reads a file and checks that it is UTF-8 without NUL bytes; in a YAML file also without what only YAML
 * takes for a line break. Returns the file, owned by files, or NULL after having noted a mistake. If the
 * file cannot be read, the mistake is noted at named_at; with named_at.file NULL, at the file as a whole.
 */
const struct conf_file *conf_files_read(struct conf_files *files, const char *name, bool yaml,
                                        struct conf_pos named_at);

/* The same for a file, not of YAML, that may hold passwords: no line of it is shown. */
const struct conf_file *conf_files_read_secret(struct conf_files *files, const char *name,
                                               struct conf_pos named_at);

/* Takes a text that is not in a file. name is copied, text becomes files'. Checked like conf_files_read. */
const struct conf_file *conf_files_add(struct conf_files *files, const char *name, char *text);

/*
 * Looks for files by a pattern (glob(7)). Sets their names, which are owned by files, in the order of their
 * bytes. Returns 0, also where there is none, or an errno.
 */
int conf_files_find(struct conf_files *files, const char *pattern, const char *const **names, size_t *n);

/* name, if it is absolute, else name in the folder of the file of that name. The caller frees it. */
char *conf_files_resolve(const char *file_name, const char *name);

/* Line and column of a byte offset in a file's text. */
struct conf_pos conf_files_at(const struct conf_file *file, size_t offset);

/*
 * Where a byte of a value stands in its file. start is the value's position: a block's `|`, an opening
 * quote, or the first character. For a value that is folded over several lines the answer is start.
 */
struct conf_pos conf_files_place(const struct conf_files *files, struct conf_pos start, const char *value,
                                 size_t offset);

/* The value that begins at pos is no longer what the file says: its mistakes are all at its beginning. */
void conf_files_forget_columns(struct conf_files *files, struct conf_pos pos);

/*
 * What mask marks in a value (a byte of it for each of the value's) is shown as stars with the mistakes on
 * its lines, or all of these lines from start on where the value is not what stands there. end_line is the
 * value's last line.
 */
void conf_files_hide(struct conf_files *files, struct conf_pos start, int end_line, const char *value,
                     const char *mask);

/* The file of that name could not be read as YAML. */
void conf_files_set_unread(struct conf_files *files, const char *file_name);

/* The text of a line, without its line end; empty if there is no such line. */
struct str conf_files_line(const struct conf_files *files, const char *file_name, int line);

/* Byte offset of a character (counted from 0) in a line of UTF-8, or the line's length. */
size_t conf_files_byte_of(struct str line, size_t character);

/* Notes a mistake. */
void conf_files_error(struct conf_files *files, struct conf_pos pos, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Notes what is taken as it is, but may not be meant. */
void conf_files_warn(struct conf_files *files, struct conf_pos pos, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Adds lines, parted by line feeds, that go below the source line of the mistake noted last. */
void conf_files_help(struct conf_files *files, const char *lines);

/* How many mistakes were noted so far. */
size_t conf_files_errors(const struct conf_files *files);

/*
 * Writes all mistakes and warnings that were not written before, by file (in the order of reading), line and
 * column, each with its source line.
 */
void conf_files_print(struct conf_files *files, FILE *out);

/* For "%.*s": how many bytes of text to quote in a message, and the text. */
#define CONF_FILES_QUOTE(text) conf_files_quote_len(text), (text)
int conf_files_quote_len(const char *text);

#endif
