/* json_read.c: checks a JSON text in one pass without recursion, then steps through what it has accepted. */
#include "base/json_read.h"

#include <endian.h>

#include "base/json_escape.h"
#include "base/utf8.h"

/* What must come next. */
enum step {
    AT_VALUE,    /* a value */
    AT_ELEMENT,  /* the first element of an array, or its end */
    AT_MEMBER,   /* the first key of an object, or its end */
    AT_KEY,      /* a key */
    AT_COLON,    /* what follows a key */
    AT_NEXT,     /* after a value: what leads to the next one, or the end of what it is in */
    IN_STRING,   /* of which the opening quote was read */
    IN_WHOLE,    /* digits of a number */
    IN_FRACTION, /* those after its point */
    IN_EXPONENT, /* and those of its exponent */
    AFTER_ALL,   /* blanks after all of it */
    AT_END,
};

static void fail(struct json_check *check, const char *at, const char *error)
{
    check->at = at;
    check->error = error;
    check->error_at = (size_t)(at - check->text.base);
    check->step = AT_END;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static inline const char *skip_blanks(const char *at, const char *end)
{
    while (at < end && (unsigned char)*at <= ' ' && is_blank(*at))
        at++;
    return at;
}

static enum json_kind kind_of(char first)
{
    switch (first) {
    case 'n':
        return JSON_NULL;
    case 't':
        return JSON_TRUE;
    case 'f':
        return JSON_FALSE;
    case '"':
        return JSON_STRING;
    case '[':
        return JSON_ARRAY;
    case '{':
        return JSON_OBJECT;
    default:
        return JSON_NUMBER;
    }
}

/* Values and what they are in */

static struct json_value value_between(const char *begin, const char *end)
{
    return (struct json_value){.kind = kind_of(*begin), .text = {begin, (size_t)(end - begin)}};
}

static void tell_member(struct json_check *check, const char *begin)
{
    struct json_value value = value_between(begin, check->at);
    value.has_escapes = value.kind == JSON_STRING && check->has_escapes;
    check->member(check->arg, check->name, &value);
}

/* A value has been read, which began there and ends here. */
static inline void end_value(struct json_check *check, const char *begin)
{
    check->step = check->depth == 0 ? AFTER_ALL : AT_NEXT;
    if (check->depth == 0)
        check->root = value_between(begin, check->at);
    else if (check->depth == 1 && check->member != NULL && check->levels[0].is_object)
        tell_member(check, begin);
}

/* Goes into the object or array whose bracket is here. */
static void open_level(struct json_check *check)
{
    _Static_assert(JSON_READ_MAX_DEPTH == 64, "the message has the number");
    if (check->depth == JSON_READ_MAX_DEPTH) {
        fail(check, check->at, "it is nested more than 64 levels deep");
        return;
    }
    struct json_check_level *level = &check->levels[check->depth++];
    level->is_object = *check->at == '{';
    level->begin = check->at++;
    level->keys = json_keys_open(&check->keys, check->depth);
    check->step = level->is_object ? AT_MEMBER : AT_ELEMENT;
}

static void close_level(struct json_check *check)
{
    struct json_check_level *level = &check->levels[--check->depth];
    if (level->is_object)
        json_keys_close(&check->keys, &level->keys);
    check->at++;
    end_value(check, level->begin);
}

/* Strings */

static void begin_string(struct json_check *check, bool is_key)
{
    check->token = check->at++;
    check->is_key = is_key;
    check->has_escapes = check->is_hashed = false;
    check->step = IN_STRING;
}

/* From here on the key is hashed as it is read. */
static void begin_hash(struct json_check *check)
{
    siphash_begin(&check->hash, siphash_secret());
    siphash_add(&check->hash, (struct str){check->token + 1, (size_t)(check->at - check->token - 1)});
    check->is_hashed = true;
}

static void end_key(struct json_check *check)
{
    _Static_assert(JSON_KEYS_MAX == 131072, "the message has the number");
    struct json_check_level *level = &check->levels[check->depth - 1];
    struct json_key key = {
        .text = {check->token + 1, (size_t)(check->at - check->token - 1)},
        .hash = check->is_hashed ? siphash_end(&check->hash) : 0,
        .has_escapes = check->has_escapes,
        .is_hashed = check->is_hashed,
    };
    switch (json_keys_add(&check->keys, &level->keys, &key)) {
    case JSON_KEYS_NEW:
        check->at++;
        check->step = AT_COLON;
        if (check->depth == 1)
            check->name = (struct str){check->token, (size_t)(check->at - check->token)};
        break;
    case JSON_KEYS_REPEATED:
        fail(check, check->token, "this object has the same key already");
        break;
    case JSON_KEYS_TOO_MANY:
        fail(check, check->token, "an object and those around it have more than 131072 keys");
        break;
    case JSON_KEYS_NO_MEMORY:
        fail(check, check->token, json_check_no_memory);
        break;
    }
}

static void end_string(struct json_check *check)
{
    if (check->is_key) {
        end_key(check);
    } else {
        check->at++;
        end_value(check, check->token);
    }
}

/* Reads what begins with the backslash here. Returns false where it is not an escape. */
static bool read_escape(struct json_check *check)
{
    const char *at = check->at;
    size_t len;
    if (check->end - at < 2) {
        fail(check, check->end, "it ends too early");
        return false;
    }
    const char *error = json_escape_check(at, check->end, &len);
    if (error != NULL) {
        fail(check, at, error);
        return false;
    }
    if (check->is_key) {
        char bytes[4];
        if (!check->is_hashed)
            begin_hash(check);
        siphash_add(&check->hash, (struct str){bytes, json_escape_read(&at, bytes)});
    }
    check->has_escapes = true;
    check->at += len;
    return true;
}

/* Where the first byte is, from at on, that is a quote, a backslash, a control character or none of ASCII. */
static inline const char *skip_ascii(const char *at, const char *stop)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    for (; stop - at >= 8; at += 8) {
        uint64_t eight;
        memcpy(&eight, at, 8);
        eight = le64toh(eight);
        uint64_t quote = eight ^ ones * '"', slash = eight ^ ones * '\\';
        uint64_t found =
            ((quote - ones) & ~quote) | ((slash - ones) & ~slash) | ((eight - ones * ' ') & ~eight) | eight;
        if ((found & highs) != 0)
            return at + __builtin_ctzll(found & highs) / 8;
    }
    while (at < stop && (signed char)*at >= ' ' && *at != '"' && *at != '\\')
        at++;
    return at;
}

/* Reads characters that stand for themselves. Returns false at one that may not stand there. */
static bool read_plain(struct json_check *check)
{
    const char *from = check->at, *at = skip_ascii(from, check->stop);
    while (at < check->stop && *at != '"' && *at != '\\') {
        size_t len = utf8_character((struct str){at, (size_t)(check->end - at)});
        if ((unsigned char)*at < ' ' || len == 0) {
            fail(check, at,
                 len == 0 ? "this is not UTF-8" : "a control character in a string must be escaped");
            return false;
        }
        at += len;
        if (at < check->stop && (signed char)*at >= 0)
            at = skip_ascii(at, check->stop);
    }
    check->at = at;
    if (check->is_hashed)
        siphash_add(&check->hash, (struct str){from, (size_t)(at - from)});
    else if (check->is_key && at - check->token > JSON_KEYS_PLAIN)
        begin_hash(check);
    return true;
}

static void read_string(struct json_check *check)
{
    while (read_plain(check) && check->at < check->stop) {
        if (*check->at == '"') {
            end_string(check);
            return;
        }
        if (!read_escape(check))
            return;
    }
    if (check->error == NULL && check->at >= check->end)
        fail(check, check->token, "this string does not end");
}

/* Numbers */

static void expect_digits(struct json_check *check, enum step step)
{
    check->digits = check->at;
    check->step = step;
}

static void read_digits(struct json_check *check)
{
    const char *at = check->at, *end = check->end;
    while (at < check->stop && *at >= '0' && *at <= '9')
        at++;
    check->at = at;
    if (at == check->stop && at < end)
        return; /* there may be more of them */
    if (at == check->digits) {
        fail(check, at, "a digit is missing here");
    } else if (check->step == IN_WHOLE && *check->digits == '0' && at - check->digits > 1) {
        fail(check, check->digits, "a number must not begin with 0");
    } else if (check->step == IN_WHOLE && at < end && *at == '.') {
        check->at++;
        expect_digits(check, IN_FRACTION);
    } else if (check->step != IN_EXPONENT && at < end && (*at == 'e' || *at == 'E')) {
        check->at++;
        check->at += check->at < end && (*check->at == '+' || *check->at == '-');
        expect_digits(check, IN_EXPONENT);
    } else {
        end_value(check, check->token);
    }
}

/* Something that is not a value stands where one must stand. */
static void fail_value(struct json_check *check)
{
    bool missing = memchr(",:]}", *check->at, 4) != NULL;
    fail(check, check->at, missing ? "a value is missing here" : "this is not a JSON value");
}

static void read_word(struct json_check *check, struct str word)
{
    const char *begin = check->at;
    if ((size_t)(check->end - begin) < word.len || memcmp(begin, word.base, word.len) != 0) {
        fail_value(check);
    } else {
        check->at += word.len;
        end_value(check, begin);
    }
}

/* Reads a value, but of an array or object only its bracket. */
static void read_value(struct json_check *check)
{
    switch (*check->at) {
    case '{':
    case '[':
        open_level(check);
        break;
    case '"':
        begin_string(check, false);
        read_string(check);
        break;
    case 't':
        read_word(check, STR("true"));
        break;
    case 'f':
        read_word(check, STR("false"));
        break;
    case 'n':
        read_word(check, STR("null"));
        break;
    case '-':
    case '0' ... '9':
        check->token = check->at;
        check->at += *check->at == '-';
        expect_digits(check, IN_WHOLE);
        read_digits(check);
        break;
    default:
        fail_value(check);
    }
}

/* What stands between values */

static void read_key(struct json_check *check)
{
    if (*check->at != '"') {
        fail(check, check->at, "a key in double quotes is missing here");
        return;
    }
    begin_string(check, true);
    read_string(check);
}

/* Reads what must come next, if it is here: most often it is. */
static inline void read_at_once(struct json_check *check, enum step step, void (*read)(struct json_check *))
{
    check->step = step;
    check->at = skip_blanks(check->at, check->stop);
    if (check->at < check->stop)
        read(check);
}

static void read_colon(struct json_check *check)
{
    if (*check->at != ':') {
        fail(check, check->at, "a ':' is missing here");
        return;
    }
    check->at++;
    read_at_once(check, AT_VALUE, read_value);
}

static void read_next(struct json_check *check)
{
    bool is_object = check->levels[check->depth - 1].is_object;
    if (*check->at == ',') {
        check->at++;
        if (is_object)
            read_at_once(check, AT_KEY, read_key);
        else
            read_at_once(check, AT_VALUE, read_value);
    } else if (*check->at == (is_object ? '}' : ']')) {
        close_level(check);
    } else {
        fail(check, check->at, is_object ? "a ',' or '}' is missing here" : "a ',' or ']' is missing here");
    }
}

/* Reads what is here, with no blanks before it. */
static void read_here(struct json_check *check)
{
    switch ((enum step)check->step) {
    case AT_ELEMENT:
        if (*check->at == ']')
            close_level(check);
        else
            read_value(check);
        break;
    case AT_MEMBER:
        if (*check->at == '}')
            close_level(check);
        else
            read_key(check);
        break;
    case AT_KEY:
        read_key(check);
        break;
    case AT_COLON:
        read_colon(check);
        break;
    case AT_NEXT:
        read_next(check);
        break;
    case AFTER_ALL:
        fail(check, check->at, "there must be nothing after the value");
        break;
    default:
        read_value(check);
    }
}

/* Skips the blanks that may stand here, and reads on. */
static void read_on(struct json_check *check)
{
    check->at = skip_blanks(check->at, check->stop);
    if (check->at < check->stop)
        read_here(check);
    else if (check->at == check->end && check->step == AFTER_ALL)
        check->step = AT_END;
    else if (check->at == check->end)
        fail(check, check->end, "it ends too early");
}

const char json_check_no_memory[] = "there is no memory for its keys";

void json_check_begin(struct json_check *check, struct str text, struct store *store)
{
    if (text.len == 0)
        text = STR("");
    check->text = text;
    check->member = NULL;
    check->error = NULL;
    check->step = AT_VALUE;
    check->at = text.base;
    check->end = text.base + text.len;
    check->depth = 0;
    json_keys_begin(&check->keys, store);
    if (text.len >= 3 && memcmp(text.base, "\xef\xbb\xbf", 3) == 0)
        fail(check, text.base, "it must not begin with a byte order mark");
}

bool json_check_go_on(struct json_check *check, size_t bytes)
{
    check->stop = (size_t)(check->end - check->at) <= bytes ? check->end : check->at + bytes;
    while (check->step != AT_END && (check->at < check->stop || check->stop == check->end)) {
        if (check->step == IN_STRING)
            read_string(check);
        else if (check->step >= IN_WHOLE && check->step <= IN_EXPONENT)
            read_digits(check);
        else
            read_on(check);
    }
    return check->step == AT_END;
}

void json_check_end(struct json_check *check)
{
    json_keys_end(&check->keys);
}

const char *json_read_check(struct str text, struct json_value *root, size_t *error_at)
{
    struct json_check check; /* not cleared as a whole: most texts use little of it */
    json_check_begin(&check, text, NULL);
    json_check_go_on(&check, text.len);
    json_check_end(&check);
    if (check.error == NULL)
        *root = check.root;
    else
        *error_at = check.error_at;
    return check.error;
}

/* The end of the string whose opening quote is at p. */
static const char *skip_string(const char *p)
{
    for (p++; *p != '"'; p++)
        p += *p == '\\' ? 1 : 0;
    return p + 1;
}

/* The end of the value at p. */
static const char *skip_value(const char *p, const char *end)
{
    size_t depth = 0;
    if (*p == '"')
        return skip_string(p);
    if (*p != '{' && *p != '[') {
        while (p < end && !is_blank(*p) && *p != ',' && *p != ']' && *p != '}')
            p++;
        return p;
    }
    do {
        if (*p == '"') {
            p = skip_string(p);
            continue;
        }
        depth += *p == '{' || *p == '[' ? 1 : 0;
        depth -= *p == '}' || *p == ']' ? 1 : 0;
        p++;
    } while (depth > 0);
    return p;
}

struct json_iterator json_members(struct json_value container)
{
    return (struct json_iterator){container.text.base + 1, container.text.base + container.text.len - 1};
}

bool json_next(struct json_iterator *iterator, struct str *name, struct json_value *value)
{
    const char *p = skip_blanks(iterator->at, iterator->end);
    *name = (struct str){0};
    if (p == iterator->end)
        return false;
    if (*p == ',')
        p = skip_blanks(p + 1, iterator->end);
    const char *stop = skip_value(p, iterator->end);
    const char *behind = skip_blanks(stop, iterator->end);
    if (behind < iterator->end && *behind == ':') {
        *name = (struct str){p, (size_t)(stop - p)};
        p = skip_blanks(behind + 1, iterator->end);
        stop = skip_value(p, iterator->end);
    }
    *value = (struct json_value){.kind = kind_of(*p), .text = {p, (size_t)(stop - p)}};
    iterator->at = stop;
    return true;
}

size_t json_unescape(struct str text, char *out)
{
    const char *at = text.base + 1, *end = text.base + text.len - 1;
    size_t len = 0;
    while (at < end) {
        if (*at == '\\') {
            char bytes[4];
            size_t n = json_escape_read(&at, bytes);
            memcpy(out + len, bytes, n);
            len += n;
        } else {
            out[len++] = *at++;
        }
    }
    return len;
}
