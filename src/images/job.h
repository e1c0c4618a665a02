/* job.h: what a worker asks a helper that makes pictures, and what that answers. */
#ifndef HAYFORK_IMAGES_JOB_H
#define HAYFORK_IMAGES_JOB_H

#include <stdint.h>

#include "images/params.h"

enum {
    IMAGES_PARAMETER_SIZE = 8,
    IMAGES_DETAIL_SIZE = 120,
    IMAGES_REASON_SIZE = 256,
};

/* Goes with two descriptors: the original, sealed, and where the picture is to be written. */
struct images_job {
    struct images_wish wish;
    uint8_t format;                 /* enum images_format, by its first bytes */
    uint64_t size;                  /* bytes of the original */
    uint64_t pixels_in, pixels_out; /* bounds */
};

struct images_result {
    uint32_t status; /* as HTTP has it: 200, else why there is none */
    uint8_t format;  /* enum images_format */
    uint64_t size;   /* bytes that were written */
    uint32_t width, height;
    char parameter[IMAGES_PARAMETER_SIZE]; /* at fault; "" for none */
    char detail[IMAGES_DETAIL_SIZE];       /* for the client */
    char reason[IMAGES_REASON_SIZE];       /* for the log; "" where there is no more to say */
};

#endif
