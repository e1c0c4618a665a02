/* hex.h: hexadecimal digits, read and written. */
#ifndef HAYFORK_BASE_HEX_H
#define HAYFORK_BASE_HEX_H

#include <string.h>

/* The digits that stand for 0 to 15. */
#define HEX_LOWER "0123456789abcdef"
#define HEX_UPPER "0123456789ABCDEF"

enum { HEX_BYTES = 16 };

typedef signed char hex_bytes __attribute__((vector_size(HEX_BYTES)));

static inline hex_bytes hex_digits(hex_bytes values)
{
    return values + '0' + ((values > 9) & ('a' - '0' - 10));
}

/* Writes the digits of so many bytes, in lower case. */
static inline void hex_write(const unsigned char in[HEX_BYTES], char out[2 * HEX_BYTES])
{
    hex_bytes all;
    memcpy(&all, in, sizeof(all));
    hex_bytes high = hex_digits((all >> 4) & 15), low = hex_digits(all & 15);
    hex_bytes pairs[] = {
        __builtin_shufflevector(high, low, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),
        __builtin_shufflevector(high, low, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31),
    };
    memcpy(out, pairs, sizeof(pairs));
}

/* What a digit of either case stands for, or -1. */
static inline int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    char letter = (char)(c | 0x20);
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

/* The byte that two digits stand for, or -1 unless both are digits. */
static inline int hex_byte(const char *digits)
{
    int high = hex_value(digits[0]), low = high < 0 ? -1 : hex_value(digits[1]);
    return low < 0 ? -1 : high << 4 | low;
}

/* The number that four digits stand for, or -1 unless all are digits; none after one that is not is read. */
static inline int hex_four(const char *digits)
{
    int high = hex_byte(digits), low = high < 0 ? -1 : hex_byte(digits + 2);
    return low < 0 ? -1 : high << 8 | low;
}

#endif
