/* secret.c: a connection string without its passwords, to be shown. */
#include "conf/secret.h"

#include <stdbool.h>
#include <string.h>

#include "base/mem.h"
#include "base/str.h"

#define BLANKS " \t\n\r\f\v"

static bool is_secret(const char *key, const char *end)
{
    struct str name = {key, (size_t)(end - key)};
    return str_equal(name, STR("password")) || str_equal(name, STR("sslpassword")) ||
           str_equal(name, STR("oauth_client_secret"));
}

static char *put(char *out, const char *from, const char *end)
{
    return mempcpy(out, from, (size_t)(end - from));
}

static char *put_stars(char *out)
{
    return mempcpy(out, "***", 3);
}

/* The end of a value, which is quoted or goes up to a blank; NULL where a quote stays open. */
static const char *end_of_value(const char *at)
{
    bool quoted = *at == '\'';
    at += quoted;
    while (*at != '\0' && (quoted ? *at != '\'' : strchr(BLANKS, *at) == NULL))
        at += at[0] == '\\' && at[1] != '\0' ? 2 : 1;
    return quoted && *at == '\0' ? NULL : at + quoted;
}

/* key=value key = 'value' …, where a word without a `=` may be half of a password that lacks its quotes. */
static char *hide_in_pairs(char *out, const char *at)
{
    bool hidden = false;
    while (*at != '\0') {
        const char *key = at + strspn(at, BLANKS), *key_end = key + strcspn(key, "=" BLANKS);
        const char *sign = key_end + strspn(key_end, BLANKS), *value = key_end, *end = key_end;
        bool secret = is_secret(key, key_end);
        if (*sign == '=') {
            value = sign + 1 + strspn(sign + 1, BLANKS);
            end = end_of_value(value);
        } else if (hidden) {
            break;
        }
        secret = secret || end == NULL;
        out = put(out, at, secret ? value : end);
        if (secret)
            out = put_stars(out);
        if (end == NULL)
            break;
        hidden = hidden || secret;
        at = end;
    }
    return out;
}

/* user:password@host/name?key=value&…. A '?' may stand in a password, and by mistake a '/' or an '@'. */
static char *hide_in_uri(char *out, const char *at)
{
    const char *user_end = at + strcspn(at, "@/"), *query = strchrnul(*user_end == '\0' ? at : user_end, '?');
    const char *host = memrchr(at, '@', (size_t)(query - at));
    const char *colon = host == NULL ? NULL : memchr(at, ':', (size_t)(host - at));
    if (colon != NULL) {
        out = put_stars(put(out, at, colon + 1));
        at = host;
    }
    while (*at != '\0') {
        const char *end = at + strcspn(at, "?&"), *sign = memchr(at, '=', (size_t)(end - at));
        if (sign != NULL && is_secret(at, sign))
            out = put_stars(put(out, at, sign + 1));
        else
            out = put(out, at, end);
        at = end + (*end != '\0');
        out = put(out, end, at);
    }
    return out;
}

char *conf_secret_hide(const char *connect)
{
    /* Each key that is hidden is longer than the stars that may be added. */
    char *shown = mem_alloc(2 * strlen(connect) + 8), *out = shown;
    size_t scheme = strncmp(connect, "postgresql://", 13) == 0 ? 13
                    : strncmp(connect, "postgres://", 11) == 0 ? 11
                                                               : 0;
    out = put(out, connect, connect + scheme);
    out = scheme > 0 ? hide_in_uri(out, connect + scheme) : hide_in_pairs(out, connect);
    *out = '\0';
    return shown;
}
