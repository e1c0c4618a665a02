/*
 * table.h: the one table of directives, and values of their types as text. Private to conf/.
 *
 * A directive is one row. Reading it, its default, `hayfork -T` and the messages all come from the row.
 */
#ifndef HAYFORK_CONF_TABLE_H
#define HAYFORK_CONF_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "conf/conf.h"
#include "conf/files.h"

enum conf_type {
    CONF_TYPE_CONNECT,    /* a libpq conninfo or URI, which may hold a password; a string */
    CONF_TYPE_FIELD,      /* a string that can be a header field's value (RFC 9110 section 5.5), in ASCII */
    CONF_TYPE_NAME,       /* of a user or group, or a number; a string */
    CONF_TYPE_CREDENTIAL, /* what names a secret: see conf/credential.c; a string */
    CONF_TYPE_PATH,       /* one of words, or the path of a file; a string */
    CONF_TYPE_SIZE,       /* bytes: 512, 64K, 1M, 1G; a size_t */
    CONF_TYPE_TIME,       /* milliseconds: 500ms, 10s, 2m; an unsigned */
    CONF_TYPE_UNSIGNED,   /* a whole number, or the word that stands for 0 */
    CONF_TYPE_ENUM,       /* one of words; its index, in an unsigned */
    CONF_TYPE_LISTEN,
    CONF_TYPE_ADMIN, /* a listener, or off */
    CONF_TYPE_ACCESS_LOG,
    CONF_TYPE_LANES,
    CONF_TYPE_UPSTREAMS,
    CONF_TYPE_MODELS,
    CONF_TYPE_ENV_FILE, /* read before all others: see conf/env.c */
    CONF_TYPE_INCLUDE,
    CONF_TYPE_DEFAULTS,
    CONF_TYPE_ROUTES,
};

enum { CONF_TABLE_MAX_WORDS = 5 };

struct conf_directive {
    const char *section; /* "" for the top level */
    const char *name;
    enum conf_type type;
    size_t offset; /* in struct conf */
    unsigned long min, max;
    const char *words[CONF_TABLE_MAX_WORDS]; /* ends with NULL */
    const char *default_text;                /* as it would stand in a conf; NULL for none */
    const char *help;                        /* one line */
};

extern const struct conf_directive conf_table[];
extern const size_t conf_table_rows;

/* The row of a name in a section, or NULL. */
const struct conf_directive *conf_table_find(const char *section, const char *name);

/* Is there a section of this name? */
bool conf_table_has_section(const char *name);

/* The row that a single value is of which stands in place of the section, or NULL where it cannot be one. */
const struct conf_directive *conf_table_short_form(const char *section);

/* The key of a section that stands right in another one: "images" of "limits.images" in "limits", "limits" of
 * "limits" in "". NULL where it does not. */
const char *conf_table_inner(const char *outer, const char *section);

/* The dotted name of a directive or section with this name in any section, or NULL. The caller frees it. */
char *conf_table_anywhere(const char *name);

/*
 * Notes that section, which is one of many (a route, a lane), has no such key, and finds out what was meant:
 * by what others call it; with elsewhere, by what has this very name in another section; by spelling. If
 * nothing is near, the message lists the n keys there are.
 */
void conf_table_unknown_key(struct conf_files *files, struct conf_pos pos, const char *section,
                            const char *key, const char *const *keys, size_t n, bool elsewhere);

/* Is the row's value kept as a string, which belongs to the conf? */
bool conf_table_is_string(const struct conf_directive *row);

/* Is the row's value one text, as conf_table_set takes it? */
bool conf_table_is_scalar(const struct conf_directive *row);

/*
 * Reads text as a value of the row's type, which is scalar, into the row's place in conf; a string that
 * stands there is freed. Returns NULL, or a message for the user that the caller frees.
 */
char *conf_table_set(const struct conf_directive *row, struct conf *conf, const char *text);

/* The same, into a place of that type which need not be in a conf. */
char *conf_table_read(const struct conf_directive *row, void *place, const char *text);

/* The row's value as conf_table_set would read it. The caller frees it. */
char *conf_table_get(const struct conf_directive *row, const struct conf *conf);

/* The same, of a place which need not be in a conf. */
char *conf_table_write(const struct conf_directive *row, const void *place);

#endif
