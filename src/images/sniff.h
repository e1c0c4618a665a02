/* sniff.h: which format a picture has, by its first bytes: names and media types say what they like. */
#ifndef HAYFORK_IMAGES_SNIFF_H
#define HAYFORK_IMAGES_SNIFF_H

#include "base/str.h"
#include "images/params.h"

enum { IMAGES_SNIFF_BYTES = 32 }; /* enough to tell */

/* Returns IMAGES_OTHER for all that is none of those that are taken. */
enum images_format images_sniff(struct str bytes);

#endif
