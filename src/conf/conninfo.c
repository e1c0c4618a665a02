/* conninfo.c: libpq's connection strings: what is wrong with one, and which parts of it are secret. */
#include "conf/conninfo.h"

#include <ctype.h>
#include <libpq-fe.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/percent.h"
#include "base/str.h"
#include "conf/hint.h"

#define BLANKS " \t\n\r\f\v"

enum { MOST_OPTIONS = 100 };

/* Options */

/* All that libpq knows, by asking it: none is set, and dispchar is "*" for a password. */
static PQconninfoOption *new_options(void)
{
    return PQconninfoParse("", NULL);
}

static bool is_named(const PQconninfoOption *option, const char *name)
{
    return strcmp(option->keyword, name) == 0;
}

/* Is it an option of libpq? Sets whether libpq takes its value for a password. */
static bool is_option(const char *name, bool *password)
{
    PQconninfoOption *options = new_options();
    bool found = false;
    for (PQconninfoOption *option = options; option != NULL && option->keyword != NULL; option++) {
        if (is_named(option, name)) {
            found = true;
            *password = strcmp(option->dispchar, "*") == 0;
        }
    }
    PQconninfoFree(options);
    return found;
}

static bool is_among(const char *name, const char *const *words)
{
    while (*words != NULL && strcmp(*words, name) != 0)
        words++;
    return *words != NULL;
}

/* Secrets that libpq does not mark, of versions up to 18; and what sounds like one, where it is not an
 * option. */
static bool is_secret(const char *name)
{
    static const char *const secrets[] = {"scram_client_key", "scram_server_key", "oauth_client_secret",
                                          NULL};
    static const char *const sounds[] = {"pass", "pwd", "secret", "token", "key", "credential", NULL};
    bool password = false;
    if (is_option(name, &password))
        return password || is_among(name, secrets);
    for (const char *const *sound = sounds; *sound != NULL; sound++) {
        if (strcasestr(name, *sound) != NULL)
            return true;
    }
    return false;
}

static bool is_known(const char *name)
{
    bool ignored;
    return is_option(name, &ignored);
}

/* The name of an option as it stands in a URI. The caller frees it. */
static char *decode_name(const char *from, const char *end)
{
    struct str text = {from, (size_t)(end - from)};
    char *name = mem_alloc(text.len + 1), *out = name;
    for (size_t at = 0; at < text.len;) {
        int byte = percent_next(text, &at);
        *out++ = byte > 0 ? (char)byte : byte == 0 ? '?' : text.base[at++];
    }
    *out = '\0';
    return name;
}

static bool is_accepted(const char *text)
{
    PQconninfoOption *options = PQconninfoParse(text, NULL);
    PQconninfoFree(options);
    return options != NULL;
}

/* What follows the "://" of a URI, whether its scheme is libpq's or another one; NULL for what is none. */
static const char *after_scheme(const char *text)
{
    const char *sign = strstr(text, "://");
    return sign != NULL && sign < text + strcspn(text, "=" BLANKS) ? sign + 3 : NULL;
}

/*
 * Where a URI, also one without its scheme or with half of it, has its user; NULL for what is none. Such a
 * one may hold a password, so it is not to be taken for a name.
 */
static const char *begins_as_uri(const char *text)
{
    const char *after = after_scheme(text);
    if (after != NULL)
        return after;
    const char *first = text + strspn(text, BLANKS), *sign = first + strcspn(first, "@/:=" BLANKS);
    bool is_one =
        *sign == '@' || *sign == '/' || (*sign == ':' && sign[1] != '\0' && strchr(BLANKS, sign[1]) == NULL);
    return is_one ? first : NULL;
}

static bool is_uri(const char *text)
{
    return strncmp(text, "postgresql://", 13) == 0 || strncmp(text, "postgres://", 11) == 0;
}

/* key=value key = 'value' … */

struct pair {
    char *key; /* owned; empty at the end of the text */
    const char *key_at;
    const char *value; /* without a quote before it; NULL: there is no `=` */
    const char *end;   /* NULL: a quote that is never closed */
};

/* Reads the pair at *at, which then stands after it. Returns false, with nothing to free, at the end. */
static bool read_pair(const char **at, struct pair *pair)
{
    const char *key = *at + strspn(*at, BLANKS), *key_end = key + strcspn(key, "=" BLANKS);
    const char *sign = key_end + strspn(key_end, BLANKS);
    if (*key == '\0')
        return false;
    *pair = (struct pair){.key = mem_strndup(key, (size_t)(key_end - key)), .key_at = key, .end = key_end};
    *at = key_end;
    if (*sign != '=')
        return true;
    const char *end = sign + 1 + strspn(sign + 1, BLANKS);
    bool quoted = *end == '\'';
    pair->value = end += quoted;
    while (*end != '\0' && (quoted ? *end != '\'' : strchr(BLANKS, *end) == NULL))
        end += end[0] == '\\' && end[1] != '\0' ? 2 : 1;
    pair->end = quoted && *end == '\0' ? NULL : end;
    *at = end + (quoted && *end == '\'');
    return true;
}

static void mark(const char *text, char *mask, const char *from, const char *end)
{
    memset(mask + (from - text), 1, (size_t)(end - from));
}

/* A database's name that is a connection string itself. libpq takes it for a name; someone meant another
 * thing. */
static bool is_nested(const struct pair *pair)
{
    size_t len = (size_t)(pair->end - pair->value);
    return strcmp(pair->key, "dbname") == 0 &&
           (memchr(pair->value, '=', len) != NULL || memmem(pair->value, len, "://", 3) != NULL);
}

/* After a password that lacks its quotes, its next word may look like an option, or be a word without a `=`.
 */
static void mark_pairs(const char *text, char *mask)
{
    const char *at = text, *all_end = text + strlen(text);
    bool hidden = false;
    struct pair pair;
    while (read_pair(&at, &pair)) {
        bool doubt = hidden && (pair.value == NULL || !is_known(pair.key));
        if (doubt)
            mark(text, mask, pair.key_at, all_end);
        else if (pair.value != NULL && pair.end == NULL)
            mark(text, mask, pair.value, all_end);
        else if (pair.value != NULL && (is_secret(pair.key) || is_nested(&pair)))
            mark(text, mask, pair.value, pair.end);
        hidden = hidden || (pair.value != NULL && is_secret(pair.key));
        free(pair.key);
    }
}

/*
 * user:password@host/name?key=value&…. A '?' may stand in a password, and by mistake a '/' or an '@'. Where
 * libpq does not take the whole, the password may have anything in it.
 */
static void mark_uri(const char *text, const char *at, char *mask)
{
    const char *user_end = at + strcspn(at, "@/"), *all_end = at + strlen(at);
    const char *query = is_accepted(text) ? strchrnul(*user_end == '\0' ? at : user_end, '?') : all_end;
    const char *host = memrchr(at, '@', (size_t)(query - at));
    const char *colon = host == NULL ? NULL : memchr(at, ':', (size_t)(host - at));
    if (colon != NULL) {
        mark(text, mask, colon + 1, host);
        at = host;
    }
    while (*at != '\0') {
        const char *end = at + strcspn(at, "?&"), *sign = memchr(at, '=', (size_t)(end - at));
        char *name = decode_name(at, sign == NULL ? at : sign);
        if (sign != NULL && is_secret(name))
            mark(text, mask, sign + 1, end);
        free(name);
        at = end + (*end != '\0');
    }
}

void conf_conninfo_mark(const char *text, char *mask)
{
    const char *uri = begins_as_uri(text);
    if (uri != NULL)
        mark_uri(text, uri, mask);
    else
        mark_pairs(text, mask);
}

char *conf_conninfo_hide(const char *text)
{
    size_t len = strlen(text);
    char *mask = mem_calloc(len + 1, 1);
    char *shown = mem_alloc(3 * len + 1), *out = shown;
    conf_conninfo_mark(text, mask);
    for (size_t i = 0; i < len; i++) {
        if (!mask[i])
            *out++ = text[i];
        else if (i == 0 || !mask[i - 1])
            out = mempcpy(out, "***", 3);
    }
    *out = '\0';
    free(mask);
    return shown;
}

/* What is wrong */

struct check {
    const char *text;
    const char *at; /* where it is wrong */
    bool late;      /* libpq looks at it only when it connects */
    size_t n_hosts; /* in a list of them; 0 is not known */
    size_t n_ports;
    const char *ports;
};

/*
 * An option that libpq does not have. After a password (hidden) it may be a part of that: it is not quoted,
 * and advice is how to write such a value.
 */
static char *say_unknown(const char *name, bool hidden, const char *advice)
{
    const char *names[MOST_OPTIONS];
    size_t n = 0;
    if (hidden)
        return mem_printf("this is not an option of libpq; %s", advice);
    PQconninfoOption *options = new_options();
    for (PQconninfoOption *option = options; option != NULL && option->keyword != NULL; option++) {
        if (n < MOST_OPTIONS)
            names[n++] = option->keyword;
    }
    char *meant = conf_hint_did_you_mean(conf_hint_nearest(name, names, n));
    char *problem = mem_printf("libpq has no option \"%.*s\"%s", CONF_FILES_QUOTE(name), meant);
    free(meant);
    PQconninfoFree(options);
    return problem;
}

/* A text without any `=`. */
static char *say_plain(const char *shop)
{
    if (shop[strcspn(shop, BLANKS "'\\")] != '\0')
        return mem_strdup("this is not a connection string: a database of this name is dbname='NAME'");
    return mem_printf("\"%.*s\" is not a connection string: write dbname=%.*s", CONF_FILES_QUOTE(shop),
                      CONF_FILES_QUOTE(shop));
}

/* Is it a port, or a list of ports, of which each may be left out? What is escaped in it is left to libpq. */
static bool is_ports(const char *at, const char *end)
{
    while (at <= end) {
        const char *comma = memchr(at, ',', (size_t)(end - at)), *stop = comma == NULL ? end : comma;
        const char *next = stop + 1;
        unsigned long port = 0;
        while (at < stop && strchr(BLANKS, *at) != NULL)
            at++;
        while (at < stop && strchr(BLANKS, stop[-1]) != NULL)
            stop--;
        bool empty = at == stop;
        for (; at < stop && isdigit((unsigned char)*at) && port <= 65535; at++)
            port = port * 10 + (unsigned long)(*at - '0');
        if (at < stop && (*at == '\\' || *at == '%'))
            return true;
        if (at < stop || (!empty && (port == 0 || port > 65535)))
            return false;
        at = next;
    }
    return true;
}

/* How many values are in a list; 0 for an empty one, and for one with escapes, which is left to libpq. */
static size_t count_listed(struct str list)
{
    size_t n = list.len > 0;
    for (size_t i = 0; i < list.len; i++) {
        if (list.base[i] == '\\' || list.base[i] == '%')
            return 0;
        n += list.base[i] == ',';
    }
    return n;
}

static void note_lists(struct check *check, const char *name, struct str value)
{
    size_t n = count_listed(value);
    if (strcmp(name, "port") == 0) {
        check->n_ports = n;
        check->ports = value.base;
    } else if (n > 0 && (strcmp(name, "host") == 0 || strcmp(name, "hostaddr") == 0)) {
        check->n_hosts = n;
    }
}

/* One port is for all hosts. */
static char *check_ports(struct check *check)
{
    if (check->n_hosts == 0 || check->n_ports <= 1 || check->n_ports == check->n_hosts)
        return NULL;
    check->at = check->ports;
    check->late = true;
    return mem_printf("%zu ports do not fit %zu host%s: give one for each, or one for all", check->n_ports,
                      check->n_hosts, check->n_hosts == 1 ? "" : "s");
}

static char *say_port(struct check *check, const char *at, const char *advice)
{
    check->at = at;
    check->late = true;
    return mem_printf("a port is a number from 1 to 65535%s", advice);
}

/* Options that take one of some words, in any version up to 18, or a number. */
static const struct choice {
    const char *name;
    const char *words[8]; /* ends with NULL; none: a whole number */
} choices[] = {
    {"sslmode", {"disable", "allow", "prefer", "require", "verify-ca", "verify-full"}},
    {"sslcertmode", {"disable", "allow", "require"}},
    {"sslnegotiation", {"postgres", "direct"}},
    {"ssl_min_protocol_version", {"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"}},
    {"ssl_max_protocol_version", {"TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"}},
    {"channel_binding", {"disable", "prefer", "require"}},
    {"gssencmode", {"disable", "prefer", "require"}},
    {"target_session_attrs", {"any", "read-write", "read-only", "primary", "standby", "prefer-standby"}},
    {"load_balance_hosts", {"disable", "random"}},
    {"connect_timeout", {NULL}},
    {"keepalives", {NULL}},
    {"keepalives_idle", {NULL}},
    {"keepalives_interval", {NULL}},
    {"keepalives_count", {NULL}},
    {"tcp_user_timeout", {NULL}},
};

static const struct choice *choice_of(const char *name)
{
    for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
        if (strcmp(choices[i].name, name) == 0)
            return &choices[i];
    }
    return NULL;
}

static bool fits(const struct choice *choice, struct str value)
{
    size_t sign = value.len > 0 && value.base[0] == '-', digits = sign;
    for (const char *const *word = choice->words; *word != NULL; word++) {
        if (strlen(*word) == value.len && strncasecmp(*word, value.base, value.len) == 0)
            return true;
    }
    while (digits < value.len && isdigit((unsigned char)value.base[digits]))
        digits++;
    return choice->words[0] == NULL && digits == value.len && digits > sign;
}

/*
 * What is wrong with the value of an option; NULL for nothing. What is left empty, or has an escape in it, is
 * left to libpq.
 */
static char *check_value(struct check *check, const char *name, const char *value, const char *end)
{
    const struct choice *choice = choice_of(name);
    struct str text = {value, (size_t)(end - value)};
    note_lists(check, name, text);
    if (strcmp(name, "port") == 0)
        return is_ports(value, end) ? NULL : say_port(check, value, "");
    if (choice == NULL || text.len == 0 || memchr(value, '\\', text.len) != NULL ||
        memchr(value, '%', text.len) != NULL || fits(choice, text))
        return NULL;
    check->at = value;
    check->late = true;
    if (choice->words[0] == NULL)
        return mem_printf("%s takes a whole number", name);
    size_t n = 0;
    while (choice->words[n] != NULL)
        n++;
    char *words = conf_hint_choice(choice->words, n), *problem = mem_printf("%s takes %s", name, words);
    free(words);
    return problem;
}

static char *check_pairs(struct check *check)
{
    const char *next = check->text;
    char *problem = NULL;
    bool hidden = false;
    struct pair pair;
    if (strchr(check->text, '=') == NULL) {
        check->at += strspn(check->text, BLANKS);
        return *check->at == '\0' ? NULL : say_plain(check->at);
    }
    while (problem == NULL && read_pair(&next, &pair)) {
        check->at = pair.key_at;
        if (pair.value == NULL)
            problem = mem_strdup("this word has no `=`: options are written KEY=VALUE, and a value with "
                                 "spaces needs single quotes");
        else if (!is_known(pair.key))
            problem = say_unknown(pair.key, hidden, "a value with spaces needs single quotes");
        else if (pair.end == NULL)
            problem = mem_strdup("the quote of this value is never closed; in a value a quote is \\'");
        else
            problem = check_value(check, pair.key, pair.value, pair.end);
        hidden = hidden || is_secret(pair.key);
        free(pair.key);
    }
    return problem;
}

/* The parameters of a URI, after its '?'. */
static char *check_parameters(struct check *check, const char *next)
{
    char *problem = NULL;
    bool hidden = false;
    while (problem == NULL && *next != '\0') {
        const char *end = next + strcspn(next, "&"), *sign = memchr(next, '=', (size_t)(end - next));
        const char *second = sign == NULL ? NULL : memchr(sign + 1, '=', (size_t)(end - sign - 1));
        char *name = decode_name(next, sign == NULL ? end : sign);
        check->at = second != NULL ? second : next;
        if (sign == NULL)
            problem = mem_strdup("this parameter has no `=`: it is written KEY=VALUE");
        else if (second != NULL)
            problem = mem_strdup("there is one `=` too many; in a value it is written %3D");
        else if (!is_known(name) && strcmp(name, "ssl") != 0)
            problem = say_unknown(name, hidden, "in a URI a & in a value is written %26");
        else
            problem = check_value(check, name, sign + 1, end);
        hidden = hidden || is_secret(name);
        free(name);
        next = end + (*end != '\0');
    }
    return problem;
}

/* [ADDRESS]. *next then stands after it. Returns NULL, or what is wrong at *next. */
static const char *check_brackets(const char **next)
{
    const char *address = *next + 1, *end = address + strcspn(address, "]");
    if (*end == '\0')
        return "this bracket is never closed";
    if (end == address)
        return "there is no address in these brackets";
    *next = end + 1;
    if (**next == '\0' || strchr(":/?,", **next) != NULL)
        return NULL;
    return "after an address in brackets comes `:` and a port, `/` and a database, or `,` and another host";
}

/* host:port,host:port, of which each may be left out. *next then stands after them. */
static char *check_hosts(struct check *check, const char **next)
{
    for (;; ++*next) {
        const char *problem = NULL;
        if (**next == '[')
            problem = check_brackets(next);
        else
            *next += strcspn(*next, ":/?,");
        check->at = *next;
        if (problem != NULL)
            return mem_strdup(problem);
        if (**next == ':') {
            const char *port = *next + 1;
            *next = port + strcspn(port, "/?,");
            if (!is_ports(port, *next))
                return say_port(check, port, "; in a password : is written %3A, / %2F and @ %40");
        }
        if (**next != ',')
            return NULL;
    }
}

/* Has the first host an @ in it? At its beginning it names an abstract Unix socket. */
static bool has_at(const char *host)
{
    const char *end = host + strcspn(host, ":/?,");
    return end > host && memchr(host, '%', (size_t)(end - host)) == NULL &&
           memchr(host + 1, '@', (size_t)(end - host - 1)) != NULL;
}

/* In the order of libpq's conninfo_uri_parse_options (fe-connect.c). */
static char *check_uri(struct check *check)
{
    const char *next = after_scheme(check->text), *user_end = next + strcspn(next, "@/");
    for (const char *percent = next; (percent = strchr(percent, '%')) != NULL; percent++) {
        int byte = percent_byte(str_of(percent), 0);
        check->at = percent;
        if (byte < 0)
            return mem_strdup("after % come two hexadecimal digits; a % itself is written %25");
        if (byte == 0)
            return mem_strdup("a connection string cannot contain a NUL character (%00)");
    }
    if (*user_end == '@')
        next = user_end + 1;
    if (*user_end == '@' && has_at(next)) {
        check->at = user_end;
        check->late = true;
        return mem_strdup("only one @ stands before the host; in a password @ is written %40");
    }
    char *problem = check_hosts(check, &next);
    if (problem != NULL)
        return problem;
    next += strcspn(next, "?");
    return *next == '\0' ? NULL : check_parameters(check, next + 1);
}

/* Options as others call them. */
static const char *option_named(const char *name)
{
    static const struct {
        const char *name, *option;
    } others[] = {{"name", "dbname"},   {"database", "dbname"}, {"db", "dbname"},
                  {"username", "user"}, {"pass", "password"},   {"hostname", "host"}};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (strcmp(name, others[i].name) == 0)
            return others[i].option;
    }
    return is_known(name) ? name : NULL;
}

bool conf_conninfo_has_option(const char *name)
{
    return option_named(name) != NULL;
}

char *conf_conninfo_pair(const char *name, const char *value, bool *secret)
{
    const char *option = option_named(name);
    if (is_secret(option)) {
        *secret = true;
        return NULL;
    }
    if (value[0] != '\0' && value[strcspn(value, BLANKS "'\\")] == '\0')
        return mem_printf("%s=%s", option, value);
    char *text = mem_alloc(2 * strlen(value) + 1), *out = text;
    for (; *value != '\0'; value++) {
        if (*value == '\'' || *value == '\\')
            *out++ = '\\';
        *out++ = *value;
    }
    *out = '\0';
    char *pair = mem_printf("%s='%s'", option, text);
    free(text);
    return pair;
}

char *conf_conninfo_check(const char *text, size_t *at)
{
    struct check check = {.text = text, .at = text};
    bool accepted = is_accepted(text);
    char *problem = NULL;
    if (is_uri(text))
        problem = check_uri(&check);
    else if (begins_as_uri(text) != NULL)
        problem = mem_strdup("the URI of a database begins with postgresql:// or postgres://");
    else
        problem = check_pairs(&check);
    if (problem == NULL)
        problem = check_ports(&check);
    if (accepted && !check.late) { /* its word counts: a later libpq may take more */
        free(problem);
        return NULL;
    }
    *at = (size_t)(check.at - text);
    if (problem == NULL) {
        *at = 0;
        problem = mem_strdup("libpq cannot read this connection string");
    }
    return problem;
}
