/*
 * characters.h: what BERT's tokenizer has to know of a character (Unicode Standard Annex 44; that of version
 * 8.0, which is what vocabularies were made with).
 */
#ifndef HAYFORK_INFERENCE_CHARACTERS_H
#define HAYFORK_INFERENCE_CHARACTERS_H

#include <stdint.h>

enum character {
    CHARACTER_OTHER,
    CHARACTER_CONTROL, /* dropped: control and format characters, those of private use, U+FFFD */
    CHARACTER_SPACE,
    CHARACTER_PUNCTUATION, /* a word of its own, as all ASCII characters are that are neither letter nor digit
                            */
    CHARACTER_IDEOGRAPH,   /* a word of its own, in Chinese and Japanese */
    CHARACTER_MARK,        /* an accent, nonspacing */
    CHARACTER_MARK_ALONE,  /* the same, and what comes before and after it is never put into another order */
};

enum character characters_class_of(uint32_t c);

enum { CHARACTERS_PARTS = 4 }; /* of one character at most */

/*
 * Writes what is left of a character once it is decomposed (NFD, UAX 15) and its accents are dropped. Returns
 * how many characters that is: none to CHARACTERS_PARTS.
 */
unsigned characters_strip(uint32_t c, uint32_t *parts);

/* The small letter of a capital one; any other character is its own. */
uint32_t characters_small_of(uint32_t c);

/*
 * The canonical combining class of what is no accent: characters in a row with others than 0 are sorted by
 * them (The Unicode Standard 3.11).
 */
unsigned characters_order_of(uint32_t c);

#endif
