/*
 * siphash.h: a hash of bytes under a secret key, SipHash-1-3 (Aumasson and Bernstein, "SipHash: a fast
 * short-input PRF", 2012): who does not know the key cannot choose texts whose hashes meet. For tables of
 * what clients send.
 */
#ifndef HAYFORK_BASE_SIPHASH_H
#define HAYFORK_BASE_SIPHASH_H

#include <stdint.h>

#include "base/str.h"

struct siphash_key {
    uint64_t words[2];
};

/* The key of this process, made by getrandom(2) when it is first asked for. */
const struct siphash_key *siphash_secret(void);

/* A hash in the making: its bytes may come piece by piece. */
struct siphash {
    uint64_t v[4];
    uint64_t tail; /* the bytes that are no whole word yet */
    uint64_t len;
};

void siphash_begin(struct siphash *hash, const struct siphash_key *key);
void siphash_add(struct siphash *hash, struct str bytes);
uint64_t siphash_end(struct siphash *hash);

/* The hash of a text that is here as a whole. */
uint64_t siphash_of(const struct siphash_key *key, struct str text);

#endif
