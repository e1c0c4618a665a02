/* params.c: from the bytes of a URL to a statement's parameters. */
#include "params.h"

#include <string.h>
#include <strings.h>

#include "pgtypes.h"

/* What is being decoded: the rules differ a little. */
enum part { PART_PATH, PART_QUERY };

/* The value of a query parameter that the request has not given so far; told by its address. */
static const char not_given[] = "not given";

/* The arguments of params_gather that its parts share. */
struct gathering {
    const struct params_spec *specs;
    const uint32_t *types;
    size_t n;
    const struct params_arena *arena;
    const char **values;
    struct params_problem *problem;
};

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* The length of the UTF-8 sequence at p, of which left bytes may be read, or 0 (RFC 3629 section 4). */
static size_t utf8_sequence(const unsigned char *p, size_t left)
{
    if (p[0] < 0x80)
        return 1;
    size_t len = p[0] < 0xe0 ? 2 : p[0] < 0xf0 ? 3 : 4;
    if (p[0] < 0xc2 || p[0] > 0xf4 || left < len)
        return 0;
    /* The second byte rules out overlong forms, surrogates and what lies beyond U+10FFFF. */
    unsigned char low = p[0] == 0xe0 ? 0xa0 : p[0] == 0xf0 ? 0x90 : 0x80;
    unsigned char high = p[0] == 0xed ? 0x9f : p[0] == 0xf4 ? 0x8f : 0xbf;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    return len;
}

static bool is_utf8(struct str text)
{
    size_t step;
    for (size_t at = 0; at < text.len; at += step) {
        step = utf8_sequence((const unsigned char *)text.base + at, text.len - at);
        if (step == 0)
            return false;
    }
    return true;
}

/*
 * Decodes raw from the byte at on into out, where what is before it has been copied already. Sets *len.
 * Returns NULL or the end of a sentence about what is wrong.
 */
static const char *decode_rest(struct str raw, size_t at, enum part part, char *out, size_t *len)
{
    size_t n = at;
    for (; at < raw.len; at++) {
        char c = raw.base[at];
        if (c == '+' && part == PART_QUERY) {
            c = ' ';
        } else if (c == '%') {
            int high = raw.len - at > 2 ? hex_value(raw.base[at + 1]) : -1;
            int low = raw.len - at > 2 ? hex_value(raw.base[at + 2]) : -1;
            if (high < 0 || low < 0)
                return "has a '%' without two hexadecimal digits behind it ('%' itself is %25)";
            c = (char)(high << 4 | low);
            at += 2;
            if (c == '/' && part == PART_PATH)
                return "must not hold a '/' (%2F)";
        }
        if (c == '\0')
            return "must not hold a NUL byte (%00)";
        out[n++] = c;
    }
    *len = n;
    return is_utf8((struct str){out, n}) ? NULL : "must be UTF-8";
}

/*
 * Decodes raw into the arena and sets *text, which ends in a NUL that it does not count. Returns NULL or
 * the end of a sentence. What there is nothing to decode in, nearly all there is, is copied and no more.
 */
static inline const char *decode(struct str raw, enum part part, const struct params_arena *arena,
                                 struct str *text)
{
    char *out = arena->alloc(arena->arg, raw.len + 1);
    const char *error = NULL;
    size_t i = 0;
    for (; i < raw.len; i++) {
        char c = raw.base[i];
        if (c == '%' || (signed char)c <= 0 || (c == '+' && part == PART_QUERY))
            break;
        out[i] = c;
    }
    if (i < raw.len)
        error = decode_rest(raw, i, part, out, &i);
    out[i] = '\0';
    *text = (struct str){out, i};
    return error;
}

/* Fills *problem with "<parameter> <end>". Returns false, for the caller to do the same. */
static bool fail(const struct gathering *all, const char *parameter, const char *end)
{
    size_t name_len = strlen(parameter), end_len = strlen(end);
    char *detail = all->arena->alloc(all->arena->arg, name_len + end_len + 2);
    memcpy(detail, parameter, name_len);
    detail[name_len] = ' ';
    memcpy(detail + name_len + 1, end, end_len + 1);
    *all->problem = (struct params_problem){.parameter = parameter, .detail = detail};
    return false;
}

static bool takes_empty(uint32_t type)
{
    return type == PGTYPES_TEXT || type == PGTYPES_VARCHAR || type == PGTYPES_BPCHAR ||
           type == PGTYPES_CHAR || type == PGTYPES_NAME;
}

static bool gather_value(const struct gathering *all, size_t i, struct str raw)
{
    struct str value;
    if (all->values[i] != not_given)
        return fail(all, all->specs[i].name, "is given twice");
    const char *error = decode(raw, PART_QUERY, all->arena, &value);
    if (error == NULL && value.len == 0 && !takes_empty(all->types[i])) {
        all->values[i] = all->specs[i].default_text;
        return true;
    }
    if (error == NULL)
        error = params_check(all->types[i], value);
    if (error != NULL)
        return fail(all, all->specs[i].name, error);
    all->values[i] = value.base;
    return true;
}

/* One `name=value` of the query, or `name` alone. */
static bool gather_pair(const struct gathering *all, struct str pair)
{
    const char *equals = memchr(pair.base, '=', pair.len);
    size_t name_len = equals == NULL ? pair.len : (size_t)(equals - pair.base);
    size_t value_at = equals == NULL ? pair.len : name_len + 1;
    struct str name;
    const char *error = decode((struct str){pair.base, name_len}, PART_QUERY, all->arena, &name);
    if (error == NULL && name.len == 0)
        error = "is empty";
    if (error != NULL) {
        fail(all, "the name of a URL parameter", error);
        all->problem->parameter = NULL;
        return false;
    }
    for (size_t i = 0; i < all->n; i++) {
        if (all->specs[i].source == PARAMS_QUERY && str_equal(str_of(all->specs[i].name), name))
            return gather_value(all, i, (struct str){pair.base + value_at, pair.len - value_at});
    }
    return fail(all, name.base, "is not a URL parameter of this route");
}

/* All pairs of the query. Two '&' in a row, or one at either end, have nothing between them. */
static bool gather_query(const struct gathering *all, struct str query)
{
    const char *end = query.base + query.len;
    for (const char *at = query.base; at < end;) {
        const char *ampersand = memchr(at, '&', (size_t)(end - at));
        const char *stop = ampersand == NULL ? end : ampersand;
        if (stop > at && !gather_pair(all, (struct str){at, (size_t)(stop - at)}))
            return false;
        at = stop + 1;
    }
    return true;
}

/*
 * The commonest parameter by far, a few digits for an int4 or int8, needs neither decoding nor a look at
 * its bounds. Returns a copy, or NULL if raw is anything else.
 */
static inline char *copy_digits(struct str raw, uint32_t type, const struct params_arena *arena)
{
    enum { MOST_DIGITS = 9 };
    if ((type != PGTYPES_INT4 && type != PGTYPES_INT8) || raw.len == 0 || raw.len > MOST_DIGITS)
        return NULL;
    for (size_t i = 0; i < raw.len; i++) {
        if (raw.base[i] < '0' || raw.base[i] > '9')
            return NULL;
    }
    char *out = arena->alloc(arena->arg, MOST_DIGITS + 1);
    for (size_t i = 0; i < raw.len; i++)
        out[i] = raw.base[i];
    out[raw.len] = '\0';
    return out;
}

/* The parameter i, from the path. */
static bool gather_capture(const struct gathering *all, size_t i, struct str raw)
{
    struct str text;
    const char *error = decode(raw, PART_PATH, all->arena, &text);
    if (error == NULL)
        error = params_check(all->types[i], text);
    if (error != NULL)
        return fail(all, all->specs[i].name, error);
    all->values[i] = text.base;
    return true;
}

bool params_gather(const struct params_spec *specs, const uint32_t *types, size_t n,
                   const struct str *captures, struct str query, const struct params_arena *arena,
                   const char **values, struct params_problem *problem)
{
    const struct gathering all = {specs, types, n, arena, values, problem};
    bool defaults = false;
    for (size_t i = 0; i < n; i++) {
        if (specs[i].source == PARAMS_QUERY) {
            values[i] = not_given;
            defaults = true;
            continue;
        }
        struct str raw = captures[specs[i].capture];
        values[i] = copy_digits(raw, types[i], arena);
        if (values[i] == NULL && !gather_capture(&all, i, raw))
            return false;
    }
    if (query.len > 0 && !gather_query(&all, query))
        return false;
    for (size_t i = 0; defaults && i < n; i++) {
        if (values[i] == not_given)
            values[i] = specs[i].default_text;
    }
    return true;
}

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

const char *params_check(uint32_t type, struct str text)
{
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
    case PGTYPES_NUMERIC:
    case PGTYPES_FLOAT4:
    case PGTYPES_FLOAT8:
        return is_number(text) ? NULL : "must be a number";
    default:
        return NULL;
    }
}
