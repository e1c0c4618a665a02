/*
 * scan.h: finds the :name parameters of an SQL text and turns them into $1, $2, …
 *
 * The lexical rules are PostgreSQL's (PostgreSQL 15, chapter 4.1, with standard_conforming_strings on):
 * nothing is replaced inside strings, quoted identifiers, comments and dollar quotes.
 *
 * A parameter is a colon directly followed by a name as psql's variables have it: a letter, '_' or a byte
 * of a multi-byte character, then any number of these and digits. Upper and lower case differ. All other
 * colons stay as they are: `::` (a cast), `:=`, and one that is followed by anything but a name.
 *
 * Array slices: inside square brackets a colon that stands directly after a value (a word, a number, a
 * string, a quoted name, `)` or `]`) is the colon of a slice, whatever follows it.
 *     a[1:2]  a[1:n]  a[f(x):n]     slices; n is a column
 *     a[:n]                         one element, the number of which is the parameter n
 *     a[1 : :n]  a[:m : :n]         slices whose bounds are parameters
 * Where a colon means something else, as in json_object('a' : x), a blank after it says so.
 */
#ifndef HAYFORK_PG_SCAN_H
#define HAYFORK_PG_SCAN_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

enum { SQL_MAX_PARAMS = 64 };

/* A place where the text differs from the source. */
struct sql_edit {
    size_t source_from, source_to; /* byte offsets of the colon and of the end of the name */
    size_t text_from, text_to;     /* of what stands there instead: `$n`, or ` $n` after a word */
};

struct sql_statement {
    char *text;                          /* with $n for every :name; NUL-terminated, owned */
    size_t n_params;                     /* distinct names, in order of first use */
    char *names[SQL_MAX_PARAMS];         /* owned; names[0] is $1 */
    size_t name_offsets[SQL_MAX_PARAMS]; /* byte offset in the source of the colon of its first use */
    struct sql_edit *edits;              /* in order; owned */
    size_t n_edits;
    char **words; /* its keywords and names, each once, in order, as PostgreSQL reads them; owned */
    size_t n_words;
};

/*
 * Scans source. On success fills *out (free it with sql_free) and returns NULL. Otherwise leaves *out
 * empty, returns a message (a static string) that says what is wrong, and sets *error_at to the byte
 * offset in source: an unterminated string, quoted name, dollar quote or comment, more than SQL_MAX_PARAMS
 * names, a literal `$1` outside strings (the two ways of naming parameters do not mix), a NUL byte, more
 * than one statement (a `;` with something other than blanks, comments and `;` after it; the text ends
 * before a trailing `;`), no statement at all.
 */
const char *sql_scan(struct str source, struct sql_statement *out, size_t *error_at);

/*
 * Maps a byte offset in statement->text, such as PostgreSQL's error position once it has been turned from
 * characters into bytes, back to the byte offset in the source it came from. All of a `$n` comes from the
 * colon of its name.
 */
size_t sql_source_offset(const struct sql_statement *statement, size_t text_offset);

/* Which parameter an edit stands for, counted from 1. */
size_t sql_edit_number(const struct sql_statement *statement, const struct sql_edit *edit);

/*
 * The text with something else in the place of $1, $2, …: before, the number, and after. To be freed with
 * free().
 */
char *sql_rename(const struct sql_statement *statement, const char *before, const char *after);

/*
 * Where the first word of a statement that sql_scan has accepted begins: after blanks, comments and opening
 * brackets. source.len if there is none.
 */
size_t sql_first_word(struct str source);

/*
 * Where `:name` stands in a string, a dollar quote or a name in quotes of a source that sql_scan has
 * accepted: the offset of its colon; *from and *to are where what it stands in begins and ends. source.len if
 * nowhere.
 */
size_t sql_find_quoted(struct str source, const char *name, size_t *from, size_t *to);

/* Uses of a parameter that PostgreSQL takes and that hardly do what is meant. */
enum sql_use {
    SQL_USE_USUAL,
    SQL_USE_ORDER,  /* all that an item of ORDER BY has */
    SQL_USE_IN,     /* the only one in the brackets of IN */
    SQL_USE_NOT_IN, /* likewise, of NOT IN */
};

/*
 * Looks for such a use in a statement's text that begins at from or later. Sets *at to the offset of its `$`.
 * Returns SQL_USE_USUAL if there is none.
 */
enum sql_use sql_odd_use(const char *text, size_t from, size_t *at);

/* Is that keyword in the statement? word is in small letters. A name in quotes that reads so counts, too. */
bool sql_has_word(const struct sql_statement *statement, const char *word);

/*
 * Where in a statement's text what stands after its WITH list begins (PostgreSQL 15, section 7.8): a byte
 * offset. 0 if it has no such list, or one with SEARCH or CYCLE.
 */
size_t sql_main_part(const char *text);

/* Does the text, which has no WITH list, begin with INSERT, UPDATE, DELETE or MERGE? */
bool sql_is_write(const char *text);

/* Frees what sql_scan has put into *statement, not statement itself, and leaves it empty. */
void sql_free(struct sql_statement *statement);

#endif
