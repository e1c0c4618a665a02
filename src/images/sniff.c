/* sniff.c: which format a picture has, by its first bytes. */
#include "images/sniff.h"

static bool has(struct str bytes, size_t at, struct str what)
{
    return bytes.len >= at + what.len && memcmp(bytes.base + at, what.base, what.len) == 0;
}

enum images_format images_sniff(struct str bytes)
{
    if (has(bytes, 0, STR("\xff\xd8\xff")))
        return IMAGES_JPEG;
    if (has(bytes, 0, STR("\x89PNG\r\n\x1a\n")))
        return IMAGES_PNG;
    if (has(bytes, 0, STR("RIFF")) && has(bytes, 8, STR("WEBP")))
        return IMAGES_WEBP;
    if (has(bytes, 0, STR("GIF87a")) || has(bytes, 0, STR("GIF89a")))
        return IMAGES_GIF;
    if (has(bytes, 4, STR("ftypavif")) || has(bytes, 4, STR("ftypavis")))
        return IMAGES_AVIF;
    return IMAGES_OTHER;
}
