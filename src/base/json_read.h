/*
 * json_read.h: a strict JSON reader (RFC 8259) for request bodies and documents of the conf. Nothing is
 * built: it walks the text and hands out slices, so that numbers keep their digits.
 *
 * Refused, beyond what the grammar refuses: invalid UTF-8, a byte order mark, escapes of lone surrogates and
 * of U+0000 (PostgreSQL has no such character), the same key twice in an object, however it is escaped (RFC
 * 8259 section 4 leaves its meaning open), nesting deeper than JSON_READ_MAX_DEPTH, more than JSON_KEYS_MAX
 * keys in an object and those around it.
 */
#ifndef HAYFORK_BASE_JSON_READ_H
#define HAYFORK_BASE_JSON_READ_H

#include <stdbool.h>
#include <stddef.h>

#include "base/json_keys.h"
#include "base/siphash.h"
#include "base/str.h"

enum { JSON_READ_MAX_DEPTH = 64 };

enum json_kind { JSON_NULL, JSON_TRUE, JSON_FALSE, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT };

/* A value inside a text that json_read_check has accepted. */
struct json_value {
    enum json_kind kind;
    bool has_escapes; /* of a string; only where a member is told of */
    struct str text;  /* as it stands, from its first byte to its last, quotes and brackets included */
};

/*
 * Checks a whole text. Returns NULL and fills in *root, or returns what is wrong (a static clause for the
 * client, such as "a ':' is missing here") and sets *error_at to the byte offset. Takes time in proportion to
 * the text's length, whatever the text is, and needs the heap only for objects with many keys.
 */
const char *json_read_check(struct str text, struct json_value *root, size_t *error_at);

/*
 * The same in steps, for a long text: nobody else need wait for all of it. The first group is filled in by
 * json_check_begin, member by the caller after that.
 */
struct json_check {
    struct str text;
    /* A member of the outermost object was read: its raw key, with its quotes, and its value. NULL: not told.
     */
    void (*member)(void *arg, struct str key, const struct json_value *value);
    void *arg;

    /* After the end: the value, or what is wrong and where. */
    struct json_value root;
    const char *error;
    size_t error_at;

    /* json_read.c's own */
    int step; /* enum step: what must come next */
    const char *at, *end, *stop;
    const char *token;  /* where a value that is not a container begins, or a key */
    const char *digits; /* where digits begin of which there must be one at least */
    bool is_key;        /* the string being read is one */
    bool has_escapes;
    bool is_hashed; /* and its hash is being made */
    struct siphash hash;
    struct str name; /* of the present member of the outermost object */
    unsigned depth;
    struct json_check_level {
        bool is_object;
        const char *begin;
        struct json_keys_level keys;
    } levels[JSON_READ_MAX_DEPTH];
    struct json_keys keys; /* of all open objects */
};

/*
 * text must stay until the end of the check. store has the memory for many keys, and frees it where the check
 * does not come to its end; NULL: they are on the heap.
 */
void json_check_begin(struct json_check *check, struct str text, struct store *store);

/* What is "wrong" where the store has no memory; told by its address. */
extern const char json_check_no_memory[];

/* Goes on over about so many bytes. Returns whether the end is reached. */
bool json_check_go_on(struct json_check *check, size_t bytes);

/* Frees what it holds, at its end or before. */
void json_check_end(struct json_check *check);

/* Steps through the members of an object, or the elements of an array, of an accepted text. */
struct json_iterator {
    const char *at, *end;
};

struct json_iterator json_members(struct json_value container);

/* The next element; name gets an object's raw key, with its quotes (NULL base in arrays). False at the end.
 */
bool json_next(struct json_iterator *iterator, struct str *name, struct json_value *value);

/*
 * The text that a string (with its quotes) stands for. Writes to out, which has room for text.len bytes, and
 * returns how many there are; the result is UTF-8 and has no terminator.
 */
size_t json_unescape(struct str text, char *out);

#endif
