/* percent.c: writes percent-encoding (RFC 3986 section 2.1). */
#include "base/percent.h"

#include <stdbool.h>

static char *encode_byte(char *out, unsigned char c)
{
    *out++ = '%';
    *out++ = HEX_UPPER[c >> 4];
    *out++ = HEX_UPPER[c & 15];
    return out;
}

static bool is_unreserved(unsigned char c)
{
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

char *percent_encode(char *out, struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.base[i];
        if (is_unreserved(c))
            *out++ = (char)c;
        else
            out = encode_byte(out, c);
    }
    return out;
}

char *percent_encode_only(char *out, struct str text, const char *these)
{
    size_t n = strlen(these);
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.base[i];
        if (memchr(these, c, n) == NULL)
            *out++ = (char)c;
        else
            out = encode_byte(out, c);
    }
    return out;
}
