/* hex.h: hexadecimal digits, read and written. */
#ifndef HAYFORK_BASE_HEX_H
#define HAYFORK_BASE_HEX_H

/* The digits that stand for 0 to 15. */
#define HEX_LOWER "0123456789abcdef"
#define HEX_UPPER "0123456789ABCDEF"

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
