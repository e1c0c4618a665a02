/* params_check.c: which texts PostgreSQL takes for a type. */
#include "route/params_check.h"

#include <strings.h>

#include "base/hex.h"
#include "base/json_read.h"
#include "pg/pgtypes.h"

/* An optional sign and digits: a number from -below to above, neither more than 2^63. */
static bool is_whole_number(struct str text, uint64_t below, uint64_t above)
{
    const char *p = text.base, *end = text.base + text.len;
    uint64_t value = 0, most = above;
    if (p < end && (*p == '-' || *p == '+'))
        most = *p++ == '-' ? below : above;
    if (p == end)
        return false;
    for (; p < end; p++) {
        unsigned digit = (unsigned)*p - '0';
        if (digit > 9 || value > (UINT64_MAX - 9) / 10)
            return false;
        value = value * 10 + digit;
        if (value > most)
            return false;
    }
    return true;
}

/* Is text the beginning of word, at least so many letters of it, in any case? */
static bool begins_word(struct str text, struct str word, size_t least)
{
    return text.len >= least && text.len <= word.len && strncasecmp(text.base, word.base, text.len) == 0;
}

static bool is_bool(struct str text)
{
    return begins_word(text, STR("true"), 1) || begins_word(text, STR("false"), 1) ||
           begins_word(text, STR("yes"), 1) || begins_word(text, STR("no"), 1) ||
           begins_word(text, STR("on"), 2) || begins_word(text, STR("off"), 2) || str_equal(text, STR("1")) ||
           str_equal(text, STR("0"));
}

static bool is_uuid(struct str text)
{
    if (text.len >= 2 && text.base[0] == '{' && text.base[text.len - 1] == '}') {
        text.base++;
        text.len -= 2;
    }
    size_t digits = 0;
    for (size_t i = 0; i < text.len; i++) {
        bool hyphen =
            text.base[i] == '-' && digits % 4 == 0 && digits > 0 && digits < 32 && text.base[i - 1] != '-';
        if (!hyphen && hex_value(text.base[i]) < 0)
            return false;
        digits += hyphen ? 0 : 1;
    }
    return digits == 32;
}

/* How many decimal digits stand at the beginning of text. */
static size_t count_digits(struct str text)
{
    size_t n = 0;
    while (n < text.len && text.base[n] >= '0' && text.base[n] <= '9')
        n++;
    return n;
}

static struct str skip(struct str text, size_t n)
{
    return (struct str){text.base + n, text.len - n};
}

static struct str skip_sign(struct str text)
{
    return skip(text, text.len > 0 && (text.base[0] == '+' || text.base[0] == '-') ? 1 : 0);
}

static bool is_number(struct str text)
{
    if (begins_word(text, STR("nan"), 3))
        return true;
    text = skip_sign(text);
    if (begins_word(text, STR("infinity"), 8) || begins_word(text, STR("inf"), 3))
        return true;
    size_t whole = count_digits(text), fraction = 0;
    text = skip(text, whole);
    if (text.len > 0 && text.base[0] == '.') {
        fraction = count_digits(skip(text, 1));
        text = skip(text, fraction + 1);
    }
    if (whole + fraction == 0)
        return false;
    if (text.len > 0 && (text.base[0] == 'e' || text.base[0] == 'E')) {
        text = skip_sign(skip(text, 1));
        size_t exponent = count_digits(text);
        return exponent > 0 && exponent == text.len;
    }
    return text.len == 0;
}

static bool is_json(struct str text)
{
    struct json_value root;
    size_t error_at;
    return json_read_check(text, &root, &error_at) == NULL;
}

bool params_check_knows(uint32_t type)
{
    switch (type) {
    case PGTYPES_INT2:
    case PGTYPES_INT4:
    case PGTYPES_INT8:
    case PGTYPES_OID:
    case PGTYPES_BOOL:
    case PGTYPES_UUID:
    case PGTYPES_JSON:
    case PGTYPES_JSONB:
    case PGTYPES_NUMERIC:
    case PGTYPES_FLOAT4:
    case PGTYPES_FLOAT8:
        return true;
    default:
        return false;
    }
}

const char *params_check(uint32_t type, struct str text)
{
    if (text.len > PARAMS_CHECKED_MAX && type != PGTYPES_JSON && type != PGTYPES_JSONB)
        text.len = 0; /* which is of none of the types, either */
    switch (type) {
    case PGTYPES_INT4:
        return is_whole_number(text, (uint64_t)INT32_MAX + 1, INT32_MAX)
                   ? NULL
                   : "must be a whole number between -2147483648 and 2147483647";
    case PGTYPES_INT8:
        return is_whole_number(text, (uint64_t)INT64_MAX + 1, INT64_MAX)
                   ? NULL
                   : "must be a whole number between -9223372036854775808 and 9223372036854775807";
    case PGTYPES_INT2:
        return is_whole_number(text, (uint64_t)INT16_MAX + 1, INT16_MAX)
                   ? NULL
                   : "must be a whole number between -32768 and 32767";
    case PGTYPES_OID:
        return is_whole_number(text, 0, UINT32_MAX) ? NULL
                                                    : "must be a whole number between 0 and 4294967295";
    case PGTYPES_BOOL:
        return is_bool(text) ? NULL : "must be true or false";
    case PGTYPES_UUID:
        return is_uuid(text) ? NULL : "must be a UUID such as 123e4567-e89b-12d3-a456-426614174000";
    case PGTYPES_JSON:
    case PGTYPES_JSONB:
        return is_json(text) ? NULL : "must be JSON";
    case PGTYPES_NUMERIC:
    case PGTYPES_FLOAT4:
    case PGTYPES_FLOAT8:
        return is_number(text) ? NULL : "must be a number";
    default:
        return NULL;
    }
}
