/* chacha.c: the cipher's published example, and what ids need of it. */
#include "base/chacha.h"

#include <string.h>

#include "base/hex.h"
#include "unit/tap.h"

static void text_of(struct chacha *chacha, char text[2 * CHACHA_BLOCK + 1])
{
    unsigned char block[CHACHA_BLOCK];
    chacha_next(chacha, block);
    for (size_t i = 0; i < CHACHA_BLOCK; i += HEX_BYTES)
        hex_write(block + i, text + 2 * i);
    text[2 * CHACHA_BLOCK] = '\0';
}

/* Test vectors for the stream cipher ChaCha (draft-strombergson-chacha-test-vectors-01), TC1, 256 bits, 8
 * rounds. */
static void test_example(void)
{
    unsigned char key[CHACHA_KEY_LEN] = {0};
    char text[2 * CHACHA_BLOCK + 1];
    struct chacha chacha;
    chacha_init(&chacha, key);
    text_of(&chacha, text);
    is_str(text,
           "3e00ef2f895f40d67f5bb8e81f09a5a12c840ec3ce9a7f3b181be188ef711a1e"
           "984ce172b9216f419f445367456d5619314a42a3da86b001387bfdb80e0cfe42",
           "the first block");
    text_of(&chacha, text);
    is_str(text,
           "d2aefa0deaa5c151bf0adb6c01f2a5adc0fd581259f9a2aadcf20f8fd566a26b"
           "5032ec38bbc5da98ee0c6f568b872a65a08abf251deb21bb4b56e5d8821e68aa",
           "and the second one");
}

static void test_keys(void)
{
    char one[2 * CHACHA_BLOCK + 1], other[2 * CHACHA_BLOCK + 1];
    struct chacha first, second;
    chacha_init_random(&first);
    chacha_init_random(&second);
    text_of(&first, one);
    text_of(&second, other);
    ok(strcmp(one, other) != 0, "two with random keys differ");
    text_of(&first, other);
    ok(strcmp(one, other) != 0, "so do the blocks of one");
}

int main(void)
{
    test_example();
    test_keys();
    return done_testing();
}
