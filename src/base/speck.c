/* speck.c: the block cipher Speck64/128. */
#include "base/speck.h"

#include <sys/random.h>

static inline uint32_t rotate_left(uint32_t word, int by)
{
    return word << by | word >> (32 - by);
}

static inline void mix(uint32_t *x, uint32_t *y, uint32_t key)
{
    *x = (rotate_left(*x, 32 - 8) + *y) ^ key;
    *y = rotate_left(*y, 3) ^ *x;
}

void speck_init(struct speck *speck, const uint32_t key[SPECK_KEY_WORDS])
{
    uint32_t others[SPECK_KEY_WORDS - 1] = {key[1], key[2], key[3]}, round_key = key[0];
    for (uint32_t i = 0; i < SPECK_ROUNDS; i++) {
        speck->rounds[i] = round_key;
        mix(&others[i % (SPECK_KEY_WORDS - 1)], &round_key, i);
    }
}

void speck_init_random(struct speck *speck)
{
    uint32_t key[SPECK_KEY_WORDS];
    while (getrandom(key, sizeof(key), 0) != sizeof(key))
        continue;
    speck_init(speck, key);
}

uint64_t speck_permute(const struct speck *speck, uint64_t number)
{
    uint32_t x = (uint32_t)(number >> 32), y = (uint32_t)number;
    for (int i = 0; i < SPECK_ROUNDS; i++)
        mix(&x, &y, speck->rounds[i]);
    return (uint64_t)x << 32 | y;
}
