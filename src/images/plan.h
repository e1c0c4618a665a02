/*
 * plan.h: from the size of an original and what is wanted to what has to be done. Pure: numbers in, numbers
 * out; known before a pixel is decoded.
 */
#ifndef HAYFORK_IMAGES_PLAN_H
#define HAYFORK_IMAGES_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "images/params.h"

/* First the original becomes width x height, then a part of it is taken, then something is put around it. */
struct images_plan {
    uint32_t width, height;           /* that all of the original is made to */
    uint32_t left, top;               /* of the part, */
    uint32_t part_width, part_height; /* which is all where they are the same as above */
    bool chooses;                     /* where the part is decides the picture: left and top do not count */
    uint32_t out_width, out_height;   /* of the answer */
    uint32_t out_left, out_top;       /* where the part is in it */
};

/* width and height are those of the original as it is seen, once it is turned. They are not 0. */
void images_plan(struct images_plan *plan, const struct images_wish *wish, uint32_t width, uint32_t height);

#endif
