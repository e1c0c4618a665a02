/* decimal.c: compares decimal numbers by the place of their first digit, then digit by digit. */
#include "base/decimal.h"

#include <stddef.h>

enum { MOST_EXPONENT_DIGITS = 9 };

/* The number sign * 0.d1d2d3… * 10^exponent, neither d1 nor the last digit a 0. Zero has sign 0, no digits.
 */
struct decimal {
    int sign;
    struct str digits; /* with the point, where it stands among them */
    long long exponent;
};

static struct str skip(struct str text, size_t n)
{
    return (struct str){text.base + n, text.len - n};
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Takes a sign off the beginning of text. Returns -1 for a '-', else 1. */
static int take_sign(struct str *text)
{
    if (text->len == 0 || (text->base[0] != '-' && text->base[0] != '+'))
        return 1;
    int sign = text->base[0] == '-' ? -1 : 1;
    *text = skip(*text, 1);
    return sign;
}

/* What follows the 'e'. */
static bool read_exponent(struct str text, long long *exponent)
{
    long long sign = take_sign(&text), value = 0;
    size_t n = 0;
    if (text.len == 0)
        return false;
    for (size_t i = 0; i < text.len; i++) {
        n += n > 0 || text.base[i] != '0' ? 1 : 0;
        if (!is_digit(text.base[i]) || n > MOST_EXPONENT_DIGITS)
            return false;
        value = value * 10 + (text.base[i] - '0');
    }
    *exponent = sign * value;
    return true;
}

static bool read_decimal(struct str text, struct decimal *number)
{
    long long exponent = 0;
    size_t whole = 0, len = 0, n_digits = 0;
    int sign = take_sign(&text);
    bool point = false;
    for (; len < text.len && (is_digit(text.base[len]) || (text.base[len] == '.' && !point)); len++) {
        point = point || text.base[len] == '.';
        whole += point ? 0 : 1;
        n_digits += text.base[len] == '.' ? 0 : 1;
    }
    struct str digits = {text.base, len}, rest = skip(text, len);
    if (n_digits == 0 || (rest.len > 0 && rest.base[0] != 'e' && rest.base[0] != 'E') ||
        (rest.len > 0 && !read_exponent(skip(rest, 1), &exponent)))
        return false;
    exponent += (long long)whole;
    for (; digits.len > 0 && (digits.base[0] == '0' || digits.base[0] == '.'); digits = skip(digits, 1))
        exponent -= digits.base[0] == '0' ? 1 : 0;
    while (digits.len > 0 && (digits.base[digits.len - 1] == '0' || digits.base[digits.len - 1] == '.'))
        digits.len--;
    *number = (struct decimal){digits.len == 0 ? 0 : sign, digits, exponent};
    return true;
}

/* The order of two numbers of the same sign, which does not matter here. */
static int compare_sizes(const struct decimal *a, const struct decimal *b)
{
    size_t i = 0, j = 0;
    if (a->exponent != b->exponent)
        return a->exponent < b->exponent ? -1 : 1;
    for (;; i++, j++) {
        i += i < a->digits.len && a->digits.base[i] == '.' ? 1 : 0;
        j += j < b->digits.len && b->digits.base[j] == '.' ? 1 : 0;
        if (i == a->digits.len || j == b->digits.len)
            return (i < a->digits.len) - (j < b->digits.len);
        if (a->digits.base[i] != b->digits.base[j])
            return a->digits.base[i] < b->digits.base[j] ? -1 : 1;
    }
}

bool decimal_compare(struct str a, struct str b, int *order)
{
    struct decimal left, right;
    if (!read_decimal(a, &left) || !read_decimal(b, &right))
        return false;
    if (left.sign != right.sign)
        *order = left.sign < right.sign ? -1 : 1;
    else
        *order = left.sign * (left.sign == 0 ? 0 : compare_sizes(&left, &right));
    return true;
}
