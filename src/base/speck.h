/*
 * speck.h: numbers in an order that nobody can tell, none of them twice: the block cipher Speck64/128
 * (Beaulieu and others, "The Simon and Speck Families of Lightweight Block Ciphers", 2013).
 *
 * It is a permutation of all numbers of 64 bits: different ones stay different, so what counts up becomes ids
 * that tell neither how many there were nor which comes next.
 */
#ifndef HAYFORK_BASE_SPECK_H
#define HAYFORK_BASE_SPECK_H

#include <stdint.h>

enum { SPECK_KEY_WORDS = 4, SPECK_ROUNDS = 27 };

struct speck {
    uint32_t rounds[SPECK_ROUNDS]; /* the key of each */
};

/* Makes the keys of the rounds out of 128 bits, the least significant word first. */
void speck_init(struct speck *speck, const uint32_t key[SPECK_KEY_WORDS]);

/* The same with a key by getrandom(2), which nobody else has. */
void speck_init_random(struct speck *speck);

/* Where the number goes to. */
uint64_t speck_permute(const struct speck *speck, uint64_t number);

#endif
