/* secret.c: which part of a line of a conf may be a secret, where nothing is known of it. */
#include "conf/secret.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

static bool is_name_byte(char c)
{
    return isalnum((unsigned char)c) || c == '_' || c == '-' || c == '%' || c == '\\';
}

static bool contains(struct str text, const char *word)
{
    size_t len = strlen(word);
    for (size_t i = 0; i + len <= text.len; i++) {
        if (strncasecmp(text.base + i, word, len) == 0)
            return true;
    }
    return false;
}

/* The name that ends before the byte at index end. */
static struct str name_before(struct str line, size_t end)
{
    while (end > 0 && strchr(" \t\"'", line.base[end - 1]) != NULL)
        end--;
    size_t from = end;
    while (from > 0 && is_name_byte(line.base[from - 1]))
        from--;
    return (struct str){line.base + from, end - from};
}

static bool contains_any(struct str name, const char *const *words)
{
    while (*words != NULL && !contains(name, *words))
        words++;
    return *words != NULL;
}

/* Does it name a secret as an option of libpq? Escapes are not undone: what one stands for is not known. */
static bool is_secret_option(struct str name)
{
    static const char *const words[] = {"pass", "pwd", "secret", "scram", "token", "%", "\\", NULL};
    return contains_any(name, words) && !str_equal(name, STR("passfile"));
}

static bool ends_with(struct str text, const char *word)
{
    size_t len = strlen(word);
    return text.len >= len && strncasecmp(text.base + text.len - len, word, len) == 0;
}

/*
 * As a key of YAML or JSON, or the name of a field by which a relay shows who it is? Other keys only sound
 * alike, such as proxy_pass and server_tokens.
 */
static bool is_secret_key(struct str name)
{
    static const char *const words[] = {"password", "passwd",  "passphrase",    "secret", "api_key",
                                        "apikey",   "api-key", "authorization", NULL};
    return contains_any(name, words) || str_equal(name, STR("pass")) || str_equal(name, STR("pwd")) ||
           ends_with(name, "token") || (name.len == strlen("cookie") && ends_with(name, "cookie"));
}

/*
 * USER:PASSWORD@, with a scheme before it or without. After a scheme the password may have any byte but a
 * blank; else a quote or a second colon shows that it is something else.
 */
static void mark_urls(struct str line, char *mask)
{
    for (size_t at = 0, end; at < line.len; at = end + 1) {
        for (end = at; end < line.len && line.base[end] != ' ' && line.base[end] != '\t'; end++)
            continue;
        const char *word = line.base + at, *scheme = memmem(word, end - at, "://", 3);
        const char *user = scheme == NULL ? word : scheme + 3, *stop = line.base + end;
        const char *host = memrchr(user, '@', (size_t)(stop - user));
        const char *colon = host == NULL ? NULL : memchr(user, ':', (size_t)(host - user));
        if (colon == NULL)
            continue;
        struct str password = {colon + 1, (size_t)(host - colon - 1)};
        if (scheme != NULL || (!contains(password, "\"") && !contains(password, "'") &&
                               (password.len == 0 || password.base[0] != ':')))
            memset(mask + (colon + 1 - line.base), 1, password.len);
    }
}

/* What stands before a place in a line. */
struct place {
    size_t quotes[2]; /* " and ' */
    size_t braces;
};

static void go_past(struct place *place, char c)
{
    place->quotes[0] += c == '"';
    place->quotes[1] += c == '\'';
    place->braces += c == '{';
}

/* Where a YAML value ends that goes on at index from: at its quote, at a comma within braces, or with the
 * line. */
static size_t value_end(struct str line, const struct place *place, size_t from)
{
    const char *stops = place->quotes[0] % 2 == 1   ? "\""
                        : place->quotes[1] % 2 == 1 ? "'"
                        : place->braces > 0         ? ",}"
                                                    : "";
    while (from < line.len && strchr(stops, line.base[from]) == NULL)
        from += line.base[from] == '\\' || strncmp(line.base + from, "''", 2) == 0 ? 2 : 1;
    return from < line.len ? from : line.len;
}

/* password=…: as a value may have blanks, up to the end of the text that it is in. */
static void mark_pairs(struct str line, bool unread, char *mask)
{
    struct place place = {0};
    for (size_t i = 0; i < line.len; i++) {
        go_past(&place, line.base[i]);
        if (line.base[i] != '=' || !is_secret_option(name_before(line, i)))
            continue;
        size_t end = unread ? line.len : value_end(line, &place, i + 1);
        memset(mask + i + 1, 1, end - i - 1);
        while (i + 1 < end)
            go_past(&place, line.base[++i]);
    }
}

/* Is this what stands after the name of a parameter that is called like a secret, as `{ max: 10 }` or null
 * is? */
static bool is_plain_value(struct str value)
{
    static const char *const words[] = {"null", "~", "true", "false"};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        size_t len = strlen(words[i]);
        if (value.len >= len && strncmp(value.base, words[i], len) == 0 &&
            (value.len == len || !is_name_byte(value.base[len])))
            return true;
    }
    return value.len == 0 || strchr("{[#", value.base[0]) != NULL;
}

/* password: … */
static void mark_keys(struct str line, bool unread, char *mask)
{
    struct place place = {0};
    for (size_t i = 0; i + 1 < line.len; i++) {
        size_t from = i + 1;
        go_past(&place, line.base[i]);
        if (line.base[i] != ':' || line.base[from] != ' ' || !is_secret_key(name_before(line, i)))
            continue;
        while (from < line.len && line.base[from] == ' ')
            from++;
        if (is_plain_value((struct str){line.base + from, line.len - from}))
            continue;
        if (line.base[from] == '"' || line.base[from] == '\'')
            go_past(&place, line.base[from++]);
        size_t end = unread ? line.len : value_end(line, &place, from);
        memset(mask + from, 1, end - from);
        for (i = from - 1; i + 1 < end;)
            go_past(&place, line.base[++i]);
    }
}

void conf_secret_mark(struct str line, bool unread, char *mask)
{
    mark_urls(line, mask);
    mark_keys(line, unread, mask);
    if (unread || contains(line, "connect") || contains(line, "read:") || contains(line, "read="))
        mark_pairs(line, unread, mask);
}

char *conf_secret_hide(const char *value)
{
    size_t len = strlen(value);
    char *mask = mem_calloc(len + 1, 1), *shown = mem_strdup(value);
    conf_secret_mark(str_of(value), true, mask);
    for (size_t i = 0; i < len; i++) {
        if (mask[i])
            shown[i] = '*';
    }
    free(mask);
    return shown;
}
