/* json_keys.c: is a key of a JSON object there already? */
#include "base/json_keys.h"

#include <stdlib.h>

#include "base/json_escape.h"
#include "base/mem.h"

enum {
    COMPARED_ONE_BY_ONE = 8, /* keys of an object; more go into the table */
    COMPARED_MOST =
        1024, /* bytes of keys with the same hash, to be sure; of longer ones the hash is trusted */
};

void json_keys_begin(struct json_keys *keys, struct store *store)
{
    keys->store = store;
    keys->keys = keys->first_keys;
    keys->n = 0;
    keys->capacity = JSON_KEYS_WITHOUT_HEAP;
    keys->table = NULL;
}

static void *resize(const struct json_keys *keys, void *old, size_t size)
{
    return keys->store == NULL ? mem_realloc(old, size) : store_resize(keys->store, old, size);
}

static void give_back(const struct json_keys *keys, void *memory)
{
    if (keys->store == NULL)
        free(memory);
    else
        store_free(keys->store, memory);
}

void json_keys_end(struct json_keys *keys)
{
    if (keys->keys != keys->first_keys)
        give_back(keys, keys->keys);
    if (keys->table != keys->first_table)
        give_back(keys, keys->table);
}

struct json_keys_level json_keys_open(const struct json_keys *keys, uint32_t number)
{
    return (struct json_keys_level){(uint32_t)keys->n, number, false};
}

/* Comparing */

/* The bytes of a key's text, one after the other. */
struct cursor {
    const char *at, *end;
    char bytes[4];
    size_t used, n;
};

static struct cursor cursor_of(const struct json_key *key)
{
    return (struct cursor){.at = key->text.base, .end = key->text.base + key->text.len};
}

/* The next byte, or -1 at the end. */
static int next_byte(struct cursor *cursor)
{
    if (cursor->used < cursor->n)
        return (unsigned char)cursor->bytes[cursor->used++];
    if (cursor->at == cursor->end)
        return -1;
    if (*cursor->at != '\\')
        return (unsigned char)*cursor->at++;
    cursor->n = json_escape_read(&cursor->at, cursor->bytes);
    cursor->used = 1;
    return (unsigned char)cursor->bytes[0];
}

static bool same_text(const struct json_key *a, const struct json_key *b)
{
    struct cursor left = cursor_of(a), right = cursor_of(b);
    int x, y;
    if (!a->has_escapes && !b->has_escapes)
        return str_equal(a->text, b->text);
    do {
        x = next_byte(&left);
        y = next_byte(&right);
    } while (x == y && x != -1);
    return x == y;
}

/* Equal keys of different objects have different hashes: they begin at different places of the table. */
static uint64_t hash_in(const struct json_keys_level *level, uint64_t hash)
{
    return hash + level->number * UINT64_C(0x9e3779b97f4a7c15);
}

static void hash_plain(struct json_key *key, const struct json_keys_level *level)
{
    if (!key->is_hashed)
        key->hash = hash_in(level, siphash_of(siphash_secret(), key->text));
    key->is_hashed = true;
}

static bool same_hashed(const struct json_key *a, const struct json_key *b)
{
    bool is_long = a->text.len > COMPARED_MOST || b->text.len > COMPARED_MOST;
    return a->hash == b->hash && (is_long || same_text(a, b));
}

static bool same(struct json_key *a, struct json_key *b, const struct json_keys_level *level)
{
    if (!a->is_hashed && !b->is_hashed)
        return str_equal(a->text, b->text);
    hash_plain(a, level);
    hash_plain(b, level);
    return same_hashed(a, b);
}

/*
 * The table: open addressing, at most half full. What was put in last is taken out first, so a place that
 * becomes free was free when the others found theirs.
 */

/* Where the key of that number belongs; *repeated says whether the object has the same key already. */
static size_t find_place(const struct json_keys *keys, size_t first, size_t number, bool *repeated)
{
    const struct json_key *key = &keys->keys[number];
    size_t mask = 2 * keys->capacity - 1, place = (size_t)(key->hash >> 32) & mask;
    *repeated = false;
    for (; keys->table[place] != 0 && !*repeated; place = (place + 1) & mask) {
        size_t other = keys->table[place] - 1;
        *repeated = other >= first && same_hashed(&keys->keys[other], key);
    }
    return place;
}

static void put_at(struct json_keys *keys, size_t number, size_t place)
{
    keys->table[place] = (uint32_t)number + 1;
    keys->keys[number].place = (uint32_t)place;
}

/* Puts the key of that number into the table. Returns false, and does not, where the object has it already.
 */
static bool put(struct json_keys *keys, const struct json_keys_level *level, size_t number)
{
    bool repeated;
    size_t place = find_place(keys, level->first, number, &repeated);
    if (!repeated)
        put_at(keys, number, place);
    return !repeated;
}

/* A table for as many keys as there is room for; NULL where there is no memory. */
static uint32_t *make_table(struct json_keys *keys)
{
    size_t size = 2 * keys->capacity * sizeof(*keys->table);
    uint32_t *table = keys->capacity == JSON_KEYS_WITHOUT_HEAP ? keys->first_table : resize(keys, NULL, size);
    return table == NULL ? NULL : memset(table, 0, size);
}

/* Makes room for twice as many keys. Those that are in the table go into the larger one in the same order. */
static bool grow(struct json_keys *keys)
{
    struct json_key *old = keys->keys == keys->first_keys ? NULL : keys->keys;
    uint32_t *table = keys->table;
    bool repeated;
    struct json_key *more = resize(keys, old, 2 * keys->capacity * sizeof(*more));
    if (more == NULL)
        return false;
    if (old == NULL)
        memcpy(more, keys->first_keys, sizeof(keys->first_keys));
    size_t table_size = 2 * keys->capacity;
    keys->keys = more;
    keys->capacity *= 2;
    if (table == NULL)
        return true;
    keys->table = make_table(keys);
    for (size_t i = 0; keys->table != NULL && i < keys->n; i++) {
        uint32_t place = keys->keys[i].place;
        if (place < table_size && table[place] == i + 1)
            put_at(keys, i, find_place(keys, keys->n, i, &repeated));
    }
    if (table != keys->first_table)
        give_back(keys, table);
    return keys->table != NULL;
}

/* The object has more keys than are compared one by one: all that it has so far go into the table. */
static bool enter_table(struct json_keys *keys, struct json_keys_level *level)
{
    if (keys->table == NULL)
        keys->table = make_table(keys);
    if (keys->table == NULL)
        return false;
    level->is_in_table = true;
    for (size_t i = level->first; i < keys->n; i++) {
        hash_plain(&keys->keys[i], level);
        put(keys, level, i);
    }
    return true;
}

enum json_keys_result json_keys_add(struct json_keys *keys, struct json_keys_level *level,
                                    const struct json_key *key)
{
    size_t number = keys->n;
    if (number == JSON_KEYS_MAX)
        return JSON_KEYS_TOO_MANY;
    if (number == keys->capacity && !grow(keys))
        return JSON_KEYS_NO_MEMORY;
    struct json_key *added = &keys->keys[number];
    *added = *key;
    added->place = 0;
    added->hash = hash_in(level, key->hash);
    if (!level->is_in_table && number - level->first >= COMPARED_ONE_BY_ONE && !enter_table(keys, level))
        return JSON_KEYS_NO_MEMORY;
    if (level->is_in_table) {
        hash_plain(added, level);
        if (!put(keys, level, number))
            return JSON_KEYS_REPEATED;
    } else {
        for (size_t i = level->first; i < number; i++) {
            if (same(&keys->keys[i], added, level))
                return JSON_KEYS_REPEATED;
        }
    }
    keys->n++;
    return JSON_KEYS_NEW;
}

void json_keys_close(struct json_keys *keys, const struct json_keys_level *level)
{
    if (level->is_in_table) {
        for (size_t i = keys->n; i-- > level->first;)
            keys->table[keys->keys[i].place] = 0;
    }
    keys->n = level->first;
}
