/*
 * exchange.h: what workers and the helpers that run models say to each other. A job is texts for one model;
 * each of them gets a head, and numbers where it was answered.
 */
#ifndef HAYFORK_INFERENCE_EXCHANGE_H
#define HAYFORK_INFERENCE_EXCHANGE_H

#include <stdint.h>

/* The message. The texts are in the file that goes with it, as far as they are there when it is read. */
struct exchange_job {
    uint32_t model; /* its place among those of the conf */
};

/* Stands before each text. */
struct exchange_text {
    uint32_t len;  /* bytes */
    uint32_t cuts; /* is it cut where it is too long, or refused? */
};

/* Stands before each text's numbers, of which there are as many as the model's answers have. */
struct exchange_result {
    uint32_t tokens; /* of the text; of one that was cut more than the model takes */
    uint32_t is_answered;
};

enum { EXCHANGE_REASON = 512 };

/* The answer. */
struct exchange_answer {
    uint32_t n;                   /* texts with a result */
    uint32_t length;              /* tokens that a text may have */
    char reason[EXCHANGE_REASON]; /* why none has one, for the log; "" where all have */
};

#endif
