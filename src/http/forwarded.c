/* forwarded.c: the lists that proxies add themselves to. */
#include "http/forwarded.h"

#include "http/http1_class.h"
#include "http/http1_field.h"

/* What is left of a value. */
struct rest {
    const char *at, *end;
};

static bool next_is(const struct rest *rest, char c)
{
    return rest->at < rest->end && *rest->at == c;
}

static bool skip(struct rest *rest, char c)
{
    bool is_there = next_is(rest, c);
    rest->at += is_there;
    return is_there;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Returns whether there were any. */
static bool skip_blanks(struct rest *rest)
{
    const char *from = rest->at;
    while (rest->at < rest->end && is_blank(*rest->at))
        rest->at++;
    return rest->at > from;
}

/* Takes as many bytes of the class as there are; *text is what they were. Returns whether there were any. */
static bool take(struct rest *rest, int class, struct str *text)
{
    *text = (struct str){rest->at, span_of(rest->at, rest->end, class)};
    rest->at += text->len;
    return text->len > 0;
}

/* A quoted-string (RFC 9110 section 5.6.4) whose opening quote is the next byte. False if it does not end. */
static bool skip_quoted(struct rest *rest)
{
    for (rest->at++; rest->at < rest->end && *rest->at != '"'; rest->at++)
        rest->at += *rest->at == '\\' && rest->end - rest->at > 1;
    return skip(rest, '"');
}

/* A comment (RFC 9110 section 5.6.5) whose opening parenthesis is the next byte. False if it does not end. */
static bool skip_comment(struct rest *rest)
{
    size_t depth = 0;
    for (; rest->at < rest->end; rest->at++) {
        if (*rest->at == '\\' && rest->end - rest->at > 1)
            rest->at++;
        else if (*rest->at == '(')
            depth++;
        else if (*rest->at == ')' && --depth == 0)
            return skip(rest, ')');
    }
    return false;
}

/* Does every item of a list satisfy the function, which takes all of it but the blanks around it? */
static bool each_item(struct str value, bool (*take_item)(struct rest *rest))
{
    struct rest rest = {value.base, value.base + value.len};
    do {
        skip_blanks(&rest);
        if (rest.at < rest.end && *rest.at != ',' && !take_item(&rest))
            return false;
        skip_blanks(&rest);
    } while (skip(&rest, ','));
    return rest.at == rest.end;
}

/* Forwarded */

static bool is_among(const struct str *names, size_t n, struct str name)
{
    for (size_t i = 0; i < n; i++) {
        if (http1_same(names[i], name))
            return true;
    }
    return false;
}

static bool take_element(struct rest *rest)
{
    struct str names[FORWARDED_MAX_PAIRS], token;
    size_t n = 0;
    do {
        if (rest->at == rest->end || *rest->at == ';' || *rest->at == ',' || is_blank(*rest->at))
            continue; /* a pair may be missing */
        if (n == FORWARDED_MAX_PAIRS || !take(rest, TOKEN, &names[n]) || is_among(names, n, names[n]) ||
            !skip(rest, '='))
            return false;
        n++;
        if (next_is(rest, '"') ? !skip_quoted(rest) : !take(rest, TOKEN, &token))
            return false;
    } while (skip(rest, ';'));
    return true;
}

bool forwarded_is_valid(struct str value)
{
    return each_item(value, take_element);
}

/* X-Forwarded-For */

static bool take_node(struct rest *rest)
{
    const char *from = rest->at;
    while (rest->at < rest->end && (is(*rest->at, TOKEN) || memchr(":[]", *rest->at, 3) != NULL))
        rest->at++;
    return rest->at > from;
}

bool forwarded_for_is_valid(struct str value)
{
    return each_item(value, take_node);
}

/* Via */

/* received-protocol RWS received-by [ RWS comment ] */
static bool take_hop(struct rest *rest)
{
    struct str token;
    if (!take(rest, TOKEN, &token) || (skip(rest, '/') && !take(rest, TOKEN, &token)))
        return false;
    if (!skip_blanks(rest) || !take_node(rest))
        return false;
    skip_blanks(rest);
    return !next_is(rest, '(') || skip_comment(rest);
}

bool forwarded_via_is_valid(struct str value)
{
    return each_item(value, take_hop);
}
