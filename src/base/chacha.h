/*
 * chacha.h: bytes that nobody can tell, nor what comes next: the key stream of ChaCha (Bernstein, "ChaCha, a
 * variant of Salsa20", 2008; RFC 8439 has it with 20 rounds) with 8 rounds and a key of the process's own.
 */
#ifndef HAYFORK_BASE_CHACHA_H
#define HAYFORK_BASE_CHACHA_H

#include <stdint.h>

enum { CHACHA_KEY_LEN = 32, CHACHA_BLOCK = 64 /* bytes */ };

struct chacha {
    unsigned char key[CHACHA_KEY_LEN];
    uint64_t next; /* block */
};

/* The same with a key by getrandom(2), which nobody else has. */
void chacha_init(struct chacha *chacha, const unsigned char key[CHACHA_KEY_LEN]);
void chacha_init_random(struct chacha *chacha);

/* Writes the next block. */
void chacha_next(struct chacha *chacha, unsigned char out[CHACHA_BLOCK]);

#endif
