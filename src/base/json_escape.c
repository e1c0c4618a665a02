/* json_escape.c: escapes in JSON strings, checked and undone. */
#include "base/json_escape.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "base/hex.h"

static const char letters[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";

enum { LETTERS = sizeof(letters) - 1, UNIT = 6 /* the length of \uXXXX */ };

static bool is_high_surrogate(int unit)
{
    return unit >= 0xd800 && unit <= 0xdbff;
}

static bool is_low_surrogate(int unit)
{
    return unit >= 0xdc00 && unit <= 0xdfff;
}

const char *json_escape_check(const char *at, const char *end, size_t *len)
{
    if (at[1] != 'u') {
        *len = 2;
        return memchr(letters, at[1], LETTERS) == NULL ? "this is not an escape" : NULL;
    }
    int unit = end - at < UNIT ? -1 : hex_four(at + 2);
    if (unit < 0)
        return "\\u must be followed by four hexadecimal digits";
    if (unit == 0)
        return "PostgreSQL has no character \\u0000";
    bool is_pair = is_high_surrogate(unit) && end - at >= 2 * UNIT && at[UNIT] == '\\' &&
                   at[UNIT + 1] == 'u' && is_low_surrogate(hex_four(at + UNIT + 2));
    *len = is_pair ? 2 * UNIT : UNIT;
    return (is_high_surrogate(unit) || is_low_surrogate(unit)) && !is_pair
               ? "this is half of a surrogate pair, without its other half"
               : NULL;
}

static size_t write_utf8(uint32_t c, char out[4])
{
    if (c < 0x80) {
        out[0] = (char)c;
        return 1;
    }
    size_t len = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const unsigned char first[] = {0, 0, 0xc0, 0xe0, 0xf0};
    for (size_t i = len; i-- > 1; c >>= 6)
        out[i] = (char)(0x80 | (c & 0x3f));
    out[0] = (char)(first[len] | c);
    return len;
}

size_t json_escape_read(const char **at, char out[4])
{
    const char *p = *at;
    if (p[1] != 'u') {
        out[0] = meant[(const char *)memchr(letters, p[1], LETTERS) - letters];
        *at = p + 2;
        return 1;
    }
    uint32_t c = (uint32_t)hex_four(p + 2);
    *at = p + UNIT;
    if (is_high_surrogate((int)c)) {
        c = 0x10000 + ((c - 0xd800) << 10) + ((uint32_t)hex_four(p + UNIT + 2) - 0xdc00);
        *at = p + 2 * UNIT;
    }
    return write_utf8(c, out);
}
