/*
 * wordpiece.h: WordPiece, the tokenizer of the BERT family: a text becomes the numbers of its pieces, just as
 * the tokenizers library of Hugging Face has them (BertNormalizer, BertPreTokenizer, WordPiece).
 */
#ifndef HAYFORK_INFERENCE_WORDPIECE_H
#define HAYFORK_INFERENCE_WORDPIECE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum { WORDPIECE_WORD = 256 }; /* characters: longer words are never in pieces */

/* A token that texts may name, such as "[SEP]". */
struct wordpiece_named {
    struct str text;
    uint32_t id;
};

struct wordpiece {
    const struct vocabulary *vocabulary;
    bool lowercase, strip_accents;
    bool splits_ideographs;
    unsigned longest_word; /* in characters, to WORDPIECE_WORD; a longer one is unknown */
    uint32_t unknown;
    uint32_t first, last; /* stand before and after each text */
    const struct wordpiece_named *named;
    size_t n_named;
};

/*
 * The tokens of a text, which is UTF-8: writes as many as there is room for, which is 2 or more, into ids. A
 * longer text is cut, and has the last one still at its end. Returns how many there are; *all is how many the
 * whole text has, where counts_all says so, or else any number above room.
 */
size_t wordpiece_encode(const struct wordpiece *wordpiece, struct str text, uint32_t *ids, size_t room,
                        bool counts_all, size_t *all);

#endif
