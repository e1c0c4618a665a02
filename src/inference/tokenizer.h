/* tokenizer.h: the tokenizer that a model's folder describes, as Hugging Face's hub has these. */
#ifndef HAYFORK_INFERENCE_TOKENIZER_H
#define HAYFORK_INFERENCE_TOKENIZER_H

#include "inference/wordpiece.h"

struct tokenizer {
    struct wordpiece how;
    uint32_t n_ids; /* all numbers are below */
    uint32_t pad;   /* fills a batch's shorter texts */
    uint32_t
        length; /* tokens that a text may have, by tokenizer_config.json; UINT32_MAX if it does not say */
    struct vocabulary *vocabulary;
    struct wordpiece_named *named;
    size_t n_named;
};

/*
 * Reads tokenizer.json, or vocab.txt, and what tokenizer_config.json says beside them. Returns NULL, or what
 * is wrong, with the file's name, which the caller frees. tokenizer_free follows in both cases.
 */
char *tokenizer_read(struct tokenizer *tokenizer, const char *folder);

void tokenizer_free(struct tokenizer *tokenizer);

#endif
