/* chacha.c: the key stream of ChaCha with 8 rounds. */
#include "base/chacha.h"

#include <string.h>
#include <sys/random.h>

enum { DOUBLE_ROUNDS = 4 };

/* Four words of the state, on which the processor works at once. */
typedef uint32_t row __attribute__((vector_size(16)));

#define ROTATE(words, by) ((words) << (by) | (words) >> (32 - (by)))

void chacha_init(struct chacha *chacha, const unsigned char key[CHACHA_KEY_LEN])
{
    memcpy(chacha->key, key, CHACHA_KEY_LEN);
    chacha->next = 0;
}

void chacha_init_random(struct chacha *chacha)
{
    unsigned char key[CHACHA_KEY_LEN];
    while (getrandom(key, sizeof(key), 0) != sizeof(key))
        continue;
    chacha_init(chacha, key);
}

/* The quarter rounds of all four columns (RFC 8439 section 2.1). */
static inline void mix(row *a, row *b, row *c, row *d)
{
    *a += *b;
    *d ^= *a;
    *d = ROTATE(*d, 16);
    *c += *d;
    *b ^= *c;
    *b = ROTATE(*b, 12);
    *a += *b;
    *d ^= *a;
    *d = ROTATE(*d, 8);
    *c += *d;
    *b ^= *c;
    *b = ROTATE(*b, 7);
}

void chacha_next(struct chacha *chacha, unsigned char out[CHACHA_BLOCK])
{
    const row constant = {0x61707865, 0x3320646e, 0x79622d32, 0x6b206574}; /* "expand 32-byte k" */
    row keys[2], count = {(uint32_t)chacha->next, (uint32_t)(chacha->next >> 32), 0, 0};
    memcpy(keys, chacha->key, sizeof(keys));
    row a = constant, b = keys[0], c = keys[1], d = count;
    for (int i = 0; i < DOUBLE_ROUNDS; i++) {
        mix(&a, &b, &c, &d);
        b = __builtin_shufflevector(b, b, 1, 2, 3, 0); /* the diagonals become columns */
        c = __builtin_shufflevector(c, c, 2, 3, 0, 1);
        d = __builtin_shufflevector(d, d, 3, 0, 1, 2);
        mix(&a, &b, &c, &d);
        b = __builtin_shufflevector(b, b, 3, 0, 1, 2);
        c = __builtin_shufflevector(c, c, 2, 3, 0, 1);
        d = __builtin_shufflevector(d, d, 1, 2, 3, 0);
    }
    row rows[] = {a + constant, b + keys[0], c + keys[1], d + count};
    memcpy(out, rows, sizeof(rows));
    chacha->next++;
}
