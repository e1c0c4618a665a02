/* siphash.c: a hash of bytes under a secret key, SipHash-1-3. */
#include "base/siphash.h"

#include <endian.h>
#include <stdbool.h>
#include <sys/random.h>

enum { ROUNDS_LAST = 3 };

static inline uint64_t rotate(uint64_t word, int by)
{
    return word << by | word >> (64 - by);
}

static inline void mix(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32);
    v[2] += v[1];
    v[0] += v[3];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[2] = rotate(v[2], 32);
}

static inline void add_word(struct siphash *hash, uint64_t word)
{
    hash->v[3] ^= word;
    mix(hash->v);
    hash->v[0] ^= word;
}

const struct siphash_key *siphash_secret(void)
{
    static struct siphash_key secret;
    static bool is_made;
    while (!is_made)
        is_made = getrandom(&secret, sizeof(secret), 0) == sizeof(secret);
    return &secret;
}

void siphash_begin(struct siphash *hash, const struct siphash_key *key)
{
    hash->v[0] = key->words[0] ^ UINT64_C(0x736f6d6570736575);
    hash->v[1] = key->words[1] ^ UINT64_C(0x646f72616e646f6d);
    hash->v[2] = key->words[0] ^ UINT64_C(0x6c7967656e657261);
    hash->v[3] = key->words[1] ^ UINT64_C(0x7465646279746573);
    hash->tail = hash->len = 0;
}

static inline void add_byte(struct siphash *hash, char byte)
{
    hash->tail |= (uint64_t)(unsigned char)byte << hash->len % 8 * 8;
    if (++hash->len % 8 == 0) {
        add_word(hash, hash->tail);
        hash->tail = 0;
    }
}

void siphash_add(struct siphash *hash, struct str bytes)
{
    size_t i = 0;
    while (i < bytes.len && hash->len % 8 != 0)
        add_byte(hash, bytes.base[i++]);
    for (; bytes.len - i >= 8; i += 8) {
        uint64_t word;
        memcpy(&word, bytes.base + i, 8);
        add_word(hash, le64toh(word));
        hash->len += 8;
    }
    while (i < bytes.len)
        add_byte(hash, bytes.base[i++]);
}

uint64_t siphash_end(struct siphash *hash)
{
    add_word(hash, hash->tail | hash->len << 56);
    hash->v[2] ^= 0xff;
    for (int i = 0; i < ROUNDS_LAST; i++)
        mix(hash->v);
    return hash->v[0] ^ hash->v[1] ^ hash->v[2] ^ hash->v[3];
}

uint64_t siphash_of(const struct siphash_key *key, struct str text)
{
    struct siphash hash;
    siphash_begin(&hash, key);
    siphash_add(&hash, text);
    return siphash_end(&hash);
}
