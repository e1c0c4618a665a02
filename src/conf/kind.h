/*
 * kind.h: the kinds of handlers that a route can have. Each is one row: its keys in the conf, how they are
 * read, checked and printed, and what it needs. handlers/make.c makes the handler.
 *
 * A kind is one file, conf/kind_NAME.c, and one line in conf/kinds.c.
 */
#ifndef HAYFORK_CONF_KIND_H
#define HAYFORK_CONF_KIND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

#include "base/str.h"
#include "conf/conf.h"

struct conf_files;
struct conf_key;
struct conf_reading;

struct conf_kind {
    const struct conf_key *keys; /* that go with no other kind. The first is the kind's name in messages */
    size_t n_keys;
    size_t n_first;       /* how many of them, from the first on, make a route one of this kind */
    bool asks_database;   /* it has a statement, and so a lane */
    bool fills_headers;   /* its headers may have names in braces */
    bool has_originals;   /* `images` goes with it */
    bool takes_options;   /* it may be for the method OPTIONS */
    unsigned descriptors; /* that a client may take besides its socket */

    /* All keys of the route were read without an unknown one: notes what does not go together. NULL: nothing.
     */
    void (*finish)(struct conf_reading *reading);
    /* Fills in what the route does not say itself, of what this kind alone has. NULL: nothing. */
    void (*complete)(const struct conf_reading *reading, const struct conf_route *defaults);
    /* The headers of defaults are there, too: notes what must not be. NULL: nothing. */
    void (*check_headers)(struct conf_files *files, const struct conf_route *route);
    /*
     * The whole conf is read: fills in what comes from elsewhere in it, and notes what is wrong. names are
     * those in the route's path; n_names is SIZE_MAX where that could not be read. NULL: nothing.
     */
    void (*check)(struct conf *conf, struct conf_route *route, const struct str *names, size_t n_names);
    /* Writes the keys of this kind as they would stand in a conf, indented so far. */
    void (*print)(const struct conf *conf, const struct conf_route *route, int indent, FILE *out);
};

extern const struct conf_kind conf_kind_sql, conf_kind_json, conf_kind_text, conf_kind_files, conf_kind_relay,
    conf_kind_model;

/* Of the routes that conf/admin.c makes, which no conf can have. */
extern const struct conf_kind conf_kind_admin;

/* All others, in the order in which messages name them; ends with NULL. */
extern const struct conf_kind *const conf_kinds[];

/* Its name in messages: "sql". */
const char *conf_kind_name(const struct conf_kind *kind);

#endif
