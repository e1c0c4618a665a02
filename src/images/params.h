/*
 * params.h: what a URL says about the picture that is wanted. Names and meanings are imgix's, for the part of
 * them that is here.
 */
#ifndef HAYFORK_IMAGES_PARAMS_H
#define HAYFORK_IMAGES_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum images_fit {
    IMAGES_CLIP,  /* the whole picture within width and height */
    IMAGES_CROP,  /* all of width and height, without what is beyond */
    IMAGES_MAX,   /* as CLIP, never enlarged */
    IMAGES_MIN,   /* as CROP, never enlarged: smaller in the same proportions */
    IMAGES_SCALE, /* exactly width and height, whatever the proportions */
    IMAGES_FILL,  /* as CLIP, with the background around it up to width and height */
};

/* Which part of a picture stays; edges are bits, without any it is the middle. */
enum {
    IMAGES_CROP_TOP = 1,
    IMAGES_CROP_BOTTOM = 2,
    IMAGES_CROP_LEFT = 4,
    IMAGES_CROP_RIGHT = 8,
    IMAGES_CROP_ENTROPY = 16,   /* the part with the most in it */
    IMAGES_CROP_ATTENTION = 32, /* the part that is looked at: faces, strong colours */
};

enum images_format {
    IMAGES_OTHER,
    IMAGES_JPEG,
    IMAGES_PNG,
    IMAGES_WEBP,
    IMAGES_GIF,
    IMAGES_AVIF,
    IMAGES_FORMATS
};

enum { IMAGES_FLIP_ACROSS = 1, IMAGES_FLIP_DOWN = 2 };

/* It is sent to another process as it is: no pointers. All zero is the original, as far as it is shown. */
struct images_wish {
    uint32_t width, height; /* pixels, times ratio; 0: not said */
    uint32_t background;    /* 0xAARRGGBB, where it was said */
    uint16_t ratio;         /* of pixels to what width and height count, in hundredths; 0 is 1 */
    uint16_t blur;          /* three times the standard deviation, in pixels of the answer */
    uint8_t fit;            /* enum images_fit */
    uint8_t crop;           /* IMAGES_CROP_... */
    uint8_t format;         /* enum images_format; IMAGES_OTHER: the original's */
    uint8_t quality;        /* 1 to 100; 0: what suits the format */
    uint8_t flip;           /* IMAGES_FLIP_... */
    uint8_t turns;          /* quarter turns, clockwise */
    uint8_t has_background;
    uint8_t is_auto; /* the best format that the client takes */
    uint8_t takes;   /* which these are: bits of enum images_format */
};

/* The number of the parameter with this name, below 32, or -1 where there is none. */
int images_params_find(struct str name);

static inline bool images_params_has(struct str name)
{
    return images_params_find(name) >= 0;
}

/*
 * Sets what the parameter says, decoded. Returns NULL, or what is wrong, to follow the parameter's name:
 * "must be a whole number from 1 to 65535". The name must be one of those that there are.
 */
const char *images_params_set(struct images_wish *wish, struct str name, struct str value);

/* The formats that an Accept field names, as bits; "*" and "image/" with it name none. */
uint8_t images_params_accepted(struct str accept);

/* "image/jpeg" */
struct str images_params_type(enum images_format format);

/* All that decides what the picture is, as text for tags and keys. Returns its length. */
enum { IMAGES_KEY_SIZE = 128 };
size_t images_params_key(const struct images_wish *wish, char key[IMAGES_KEY_SIZE]);

#endif
