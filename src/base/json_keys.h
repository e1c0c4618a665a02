/*
 * json_keys.h: the keys of the JSON objects that are open, to tell whether one of them is there already.
 *
 * A few keys are compared with each other; more go into a hash table under a secret key, so that nobody can
 * choose keys that meet there. Each key is hashed once, where it must be at all, and its number is bounded.
 */
#ifndef HAYFORK_BASE_JSON_KEYS_H
#define HAYFORK_BASE_JSON_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/siphash.h"
#include "base/store.h"
#include "base/str.h"

enum {
    JSON_KEYS_MAX = 1 << 17, /* of all objects that are open */
    JSON_KEYS_PLAIN = 64, /* bytes: longer ones are hashed as they are read, and so are those with escapes */
    JSON_KEYS_WITHOUT_HEAP = 32, /* so many need no memory of the heap */
};

struct json_key {
    struct str text; /* without its quotes */
    uint64_t hash;   /* of the text that it stands for; 0 where it is not hashed */
    uint32_t place;  /* in the table */
    bool has_escapes, is_hashed;
};

struct json_keys {
    struct store *store;   /* for the memory; NULL: the heap */
    struct json_key *keys; /* the innermost object's last */
    size_t n, capacity;
    uint32_t *table; /* twice the capacity of numbers of keys, from 1 on; 0 is free. NULL until needed */
    struct json_key first_keys[JSON_KEYS_WITHOUT_HEAP];
    uint32_t first_table[2 * JSON_KEYS_WITHOUT_HEAP];
};

/* One open object. */
struct json_keys_level {
    uint32_t first;  /* key */
    uint32_t number; /* of the level: different ones have different numbers */
    bool is_in_table;
};

/* store has the memory for many keys, and must stay until json_keys_end; NULL: the heap has it. */
void json_keys_begin(struct json_keys *keys, struct store *store);

/* Frees what it holds. */
void json_keys_end(struct json_keys *keys);

/* An object opens within those that are open. */
struct json_keys_level json_keys_open(const struct json_keys *keys, uint32_t number);

/* The innermost object ends: its keys are forgotten. */
void json_keys_close(struct json_keys *keys, const struct json_keys_level *level);

enum json_keys_result { JSON_KEYS_NEW, JSON_KEYS_REPEATED, JSON_KEYS_TOO_MANY, JSON_KEYS_NO_MEMORY };

/*
 * Adds a key to the innermost object. One that has escapes or is longer than JSON_KEYS_PLAIN must be hashed,
 * with siphash_secret.
 */
enum json_keys_result json_keys_add(struct json_keys *keys, struct json_keys_level *level,
                                    const struct json_key *key);

#endif
