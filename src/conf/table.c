/* table.c: the one table of directives, and values of their types as text. */
#include "conf/table.h"

#include <ctype.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "conf/hint.h"
#include "http/http1.h"
#include "base/mem.h"

#define AT(member) offsetof(struct conf, member)

enum { SECOND = 1000, MINUTE = 60 * SECOND, HOUR = 60 * MINUTE };

/* The order is that of `hayfork -T`. */
const struct conf_directive conf_table[] = {
    /* clang-format off */
    {"", "listen", CONF_TYPE_LISTEN, AT(listen), 0, 0, {NULL}, "127.0.0.1:8080",
     "where to listen: ADDRESS:PORT, PORT, \"[IPV6]:PORT\" or unix:/PATH; a list of them, or NAME: ADDRESS"},
    {"", "admin", CONF_TYPE_ADMIN, AT(listen), 0, 0, {NULL}, "off",
     "where operators and monitoring ask, an address as in listen: /live, /ready, /metrics; off: nowhere"},
    {"", "workers", CONF_TYPE_UNSIGNED, AT(workers), 1, 512, {"auto"}, "auto",
     "worker processes; auto is one for each core that may be used"},
    {"", "user", CONF_TYPE_NAME, AT(user), 0, 0, {NULL}, "",
     "who the workers run as where root starts the server: a user's name or number; \"\" is whoever starts it"},
    {"", "group", CONF_TYPE_NAME, AT(group), 0, 0, {NULL}, "",
     "and their group, by name or number; \"\" is the user's"},
    {"", "core", CONF_TYPE_ENUM, AT(core), 0, 0, {"on", "off"}, "off",
     "on: a process that crashes leaves a core file, and its memory may be looked at; or off"},
    {"", "sandbox", CONF_TYPE_ENUM, AT(sandbox), 0, 0, {"on", "off"}, "on",
     "on: workers can make no system calls but those that they need, and write into no file; or off"},
    {"", "server", CONF_TYPE_FIELD, AT(server), 0, 0, {NULL}, "hayfork",
     "the value of the Server field in answers; \"\" leaves it out"},
    {"", "io_uring", CONF_TYPE_ENUM, AT(io_uring), 0, 0, {"on", "off"}, "on",
     "on: what a worker sends in a turn of its loop goes to the kernel in one call, where that lets it; or off"},
    {"", "busy_poll", CONF_TYPE_ENUM, AT(busy_poll), 0, 0, {"on", "off"}, "on",
     "on: a worker whose work comes in short intervals looks for more for 25 microseconds before it sleeps; or off"},

    {"log", "level", CONF_TYPE_ENUM, AT(log.level), 0, 0, {"error", "warn", "info", "debug"}, "info",
     "the least grave lines that are logged: error, warn, info or debug"},
    {"log", "to", CONF_TYPE_PATH, AT(log.to), 0, 0, {"stderr", "stdout"}, "stderr",
     "where the log goes: stderr, stdout or a file, which SIGUSR1 opens again"},
    {"log", "format", CONF_TYPE_ENUM, AT(log.format), 0, 0, {"plain", "json"}, "plain",
     "what a line is: plain text, or json, an object"},
    {"log", "slow", CONF_TYPE_TIME, AT(log.slow), 1, HOUR, {"off"}, "500ms",
     "a request whose answer takes so long to begin is logged; off: none"},

    {"", "access_log", CONF_TYPE_ACCESS_LOG, AT(access_log), 0, 0, {NULL}, NULL,
     "a line for each request: to (off, stdout, stderr or a file), format (combined, json or a text), fields, sample"},

    {"database", "connect", CONF_TYPE_CONNECT, AT(database.connect), 0, 0, {NULL}, "",
     "libpq conninfo or URI; what it leaves out comes from PG* variables and ~/.pgpass"},
    {"database", "read", CONF_TYPE_CONNECT, AT(database.read), 0, 0, {NULL}, "",
     "the same for lanes that only read, such as a replica; \"\" is connect"},
    {"database", "password_file", CONF_TYPE_CREDENTIAL, AT(database.password_file), 0, 0, {NULL}, "",
     "a file with the password for both, or credential:NAME for one that the service manager passes"},
    {"database", "connections", CONF_TYPE_UNSIGNED, AT(database.connections), 1, 100, {NULL}, "8",
     "connections that a lane may open in each worker; the first is always there, others as they are needed"},
    {"database", "queue", CONF_TYPE_UNSIGNED, AT(database.queue), 1, 1000000, {NULL}, "1024",
     "queries that may wait in each lane of each worker; one more is answered 503"},
    {"database", "spill", CONF_TYPE_TIME, AT(database.spill), 1, HOUR, {NULL}, "10ms",
     "when a query has run so long, what comes next takes another connection"},
    {"database", "max", CONF_TYPE_UNSIGNED, AT(database.max), 1, 100000, {NULL}, "90",
     "connections of all workers and lanes together; no more are opened"},
    {"database", "lanes", CONF_TYPE_LANES, AT(lanes), 0, 0, {NULL}, NULL,
     "read, write and others by name, each with from (read or write), connections, queue and deadline"},

    {"limits", "head", CONF_TYPE_SIZE, AT(limits.head), 1024, 1UL << 16, {NULL}, "16K",
     "largest request head, in bytes; a larger one is answered 431"},
    {"limits", "target", CONF_TYPE_SIZE, AT(limits.target), 64, 1UL << 16, {NULL}, "8K",
     "longest request target (path and query); a longer one is answered 414"},
    {"limits", "fields", CONF_TYPE_UNSIGNED, AT(limits.fields), 8, HTTP1_MAX_FIELDS, {NULL}, "100",
     "most fields in a request head; more are answered 431"},
    {"limits", "body", CONF_TYPE_SIZE, AT(limits.body), 0, 1UL << 40, {NULL}, "1M",
     "largest request body; a larger one is answered 413"},
    {"limits", "body_total", CONF_TYPE_SIZE, AT(limits.body_total), 1UL << 16, 1UL << 44, {"auto"}, "auto",
     "memory for all bodies in a worker; where it is used up, slow ones are given up, and more are answered 503"},
    {"limits", "head_time", CONF_TYPE_TIME, AT(limits.head_time), 100, HOUR, {NULL}, "10s",
     "time in which a request head has to arrive, from its first byte"},
    {"limits", "body_time", CONF_TYPE_TIME, AT(limits.body_time), 100, HOUR, {NULL}, "20s",
     "time in which a request body has to arrive; each body_rate bytes add a second"},
    {"limits", "body_rate", CONF_TYPE_SIZE, AT(limits.body_rate), 1, 1UL << 30, {NULL}, "1K",
     "bytes of a request body that have to come in a second, once body_time is over"},
    {"limits", "idle", CONF_TYPE_TIME, AT(limits.idle), 100, 24 * HOUR, {NULL}, "60s",
     "time that a connection may wait for its next request"},
    {"limits", "deadline", CONF_TYPE_TIME, AT(limits.deadline), 10, HOUR, {NULL}, "5s",
     "time to the first byte of the answer"},
    {"limits", "buffer", CONF_TYPE_SIZE, AT(limits.buffer), 1UL << 14, 1UL << 26, {NULL}, "256K",
     "rows up to this size go out whole, with a Content-Length; a larger answer is streamed"},
    {"limits", "spool", CONF_TYPE_SIZE, AT(limits.spool), 0, 1UL << 32, {NULL}, "64M",
     "memory of each worker for streamed answers that clients have not taken yet; without it, slow clients hold connections"},
    {"limits", "connect", CONF_TYPE_TIME, AT(limits.connect), 10, HOUR, {NULL}, "1s",
     "time to connect to an upstream, or to wait for one of its connections"},
    {"limits", "stall", CONF_TYPE_TIME, AT(limits.stall), 100, HOUR, {NULL}, "30s",
     "time in which a client has to take 16K of its answer, or is cut off"},
    {"limits", "answer_rate", CONF_TYPE_SIZE, AT(limits.answer_rate), 0, 1UL << 30, {NULL}, "16K",
     "bytes of its answer that a client has to take in a second while it holds a connection to the database or an upstream; 0 is any"},
    {"limits", "requests", CONF_TYPE_UNSIGNED, AT(limits.requests), 1, 1000000000, {"unlimited"}, "10000",
     "requests on one connection; the last one's answer closes it"},
    {"limits", "clients", CONF_TYPE_UNSIGNED, AT(limits.clients), 1, 1000000, {NULL}, "10000",
     "connections in each worker; one more waits"},
    {"limits", "drain", CONF_TYPE_TIME, AT(limits.drain), 0, HOUR, {NULL}, "30s",
     "time that the last requests get when the server stops"},
    {"limits", "drain_notice", CONF_TYPE_TIME, AT(limits.drain_notice), 0, HOUR, {NULL}, "0s",
     "time before that in which all goes on, and /ready tells load balancers to send nobody any more"},

    {"limits.images", "pixels_in", CONF_TYPE_SIZE, AT(images.pixels_in), 1024, 1UL << 30, {NULL}, "50M",
     "most pixels of an original that pictures are made of; one with more is answered 413"},
    {"limits.images", "pixels_out", CONF_TYPE_SIZE, AT(images.pixels_out), 1024, 1UL << 28, {NULL}, "16M",
     "most pixels of a picture that is made; more are answered 400"},
    {"limits.images", "bytes_in", CONF_TYPE_SIZE, AT(images.bytes_in), 1024, 1UL << 30, {NULL}, "32M",
     "largest original; a larger one is answered 413"},
    {"limits.images", "time", CONF_TYPE_TIME, AT(images.time), 10, HOUR, {NULL}, "5s",
     "time to make a picture, once a helper has begun; then it is killed and the answer is 504"},
    {"limits.images", "queue", CONF_TYPE_UNSIGNED, AT(images.queue), 1, 10000, {NULL}, "64",
     "pictures that may wait for a helper in each worker; one more is answered 503"},

    {"limits.inference", "time", CONF_TYPE_TIME, AT(inference.time), 10, HOUR, {NULL}, "30s",
     "time to run a model over texts, once a helper has begun; then it is killed and the answer is 504"},
    {"limits.inference", "queue", CONF_TYPE_UNSIGNED, AT(inference.queue), 1, 10000, {NULL}, "64",
     "jobs that may wait for a helper in each worker, each with the texts of one request or several; one more is answered 503"},

    {"inference", "library", CONF_TYPE_PATH, AT(inference.library), 0, 0, {NULL}, "",
     "where ONNX Runtime is, which runs the models"},
    {"inference", "device", CONF_TYPE_ENUM, AT(inference.device), 0, 0, {"cpu", "cuda"}, "cpu",
     "cpu, or cuda: a GPU, with a library that was built for it"},

    {"", "models", CONF_TYPE_MODELS, AT(models), 0, 0, {NULL}, NULL,
     "models that routes classify and embed texts with, by name"},

    {"helpers", "images", CONF_TYPE_UNSIGNED, AT(helpers.images), 1, 64, {"auto"}, "auto",
     "processes that make pictures, where a route has images; auto is one for each core that may be used"},
    {"helpers", "inference", CONF_TYPE_UNSIGNED, AT(helpers.inference), 1, 64, {"auto"}, "auto",
     "processes that run models, where a route has classify or embed; auto is one for each core that may be used"},

    {"", "forwarded", CONF_TYPE_ENUM, AT(forwarded), 0, 0, {"off", "x", "standard", "both"}, "x",
     "what relays tell of the client: x is X-Forwarded-For, -Proto and -Host, standard is Forwarded"},
    {"", "resolve", CONF_TYPE_TIME, AT(resolve), 100, 24 * HOUR, {NULL}, "10s",
     "time after which the names of upstream servers are looked up again"},
    {"", "upstreams", CONF_TYPE_UPSTREAMS, AT(upstreams), 0, 0, {NULL}, NULL,
     "servers that relays ask: NAME: a list of http://HOST:PORT and unix:/PATH"},

    {"", "env_file", CONF_TYPE_ENV_FILE, AT(routes), 0, 0, {NULL}, NULL,
     "a file of lines NAME=VALUE that ${NAME} stands for where the process's environment does not have it"},
    {"", "include", CONF_TYPE_INCLUDE, AT(routes), 0, 0, {NULL}, NULL,
     "files with more routes, each with its own defaults: a pattern such as conf.d/*.conf, or a list"},
    {"", "defaults", CONF_TYPE_DEFAULTS, AT(routes), 0, 0, {NULL}, NULL,
     "on, headers, deadline, access_log, server_timing, unknown_query and merge for those of this file's routes that do not say"},
    {"", "routes", CONF_TYPE_ROUTES, AT(routes), 0, 0, {NULL}, NULL,
     "what is answered: METHOD /path, and how"},
    /* clang-format on */
};
const size_t conf_table_rows = sizeof(conf_table) / sizeof(conf_table[0]);

struct unit {
    const char *name;
    unsigned long factor;
};
static const struct unit size_units[] = {
    {"", 1}, {"K", 1UL << 10}, {"M", 1UL << 20}, {"G", 1UL << 30}, {NULL, 0}};
static const struct unit time_units[] = {{"ms", 1}, {"s", SECOND}, {"m", MINUTE}, {NULL, 0}};

const struct conf_directive *conf_table_find(const char *section, const char *name)
{
    for (size_t i = 0; i < conf_table_rows; i++) {
        if (strcmp(conf_table[i].section, section) == 0 && strcmp(conf_table[i].name, name) == 0)
            return &conf_table[i];
    }
    return NULL;
}

const struct conf_directive *conf_table_short_form(const char *section)
{
    return strcmp(section, "log") == 0 ? conf_table_find("log", "level") : NULL;
}

bool conf_table_has_section(const char *name)
{
    for (size_t i = 0; i < conf_table_rows; i++) {
        if (name[0] != '\0' && strcmp(conf_table[i].section, name) == 0)
            return true;
    }
    return false;
}

const char *conf_table_inner(const char *outer, const char *section)
{
    size_t len = strlen(outer);
    const char *inner = section + len + (len > 0);
    if (strncmp(section, outer, len) != 0 || section[len] == '\0' || (len > 0 && section[len] != '.'))
        return NULL;
    return strchr(inner, '.') == NULL ? inner : NULL;
}

char *conf_table_anywhere(const char *name)
{
    if (conf_table_has_section(name))
        return mem_strdup(name);
    for (size_t i = 0; i < conf_table_rows; i++) {
        const struct conf_directive *row = &conf_table[i];
        if (strcmp(row->name, name) == 0)
            return mem_printf("%s%s%s", row->section, row->section[0] == '\0' ? "" : ".", row->name);
    }
    return NULL;
}

void conf_table_unknown_key(struct conf_files *files, struct conf_pos pos, const char *section,
                            const char *key, const char *const *keys, size_t n, bool elsewhere)
{
    const char *synonym = conf_hint_synonym(section, key), *near = conf_hint_nearest(key, keys, n);
    char *meaning = synonym != NULL ? mem_strdup(synonym) : elsewhere ? conf_table_anywhere(key) : NULL;
    if (meaning == NULL && near != NULL)
        meaning = mem_printf("%s.%s", section, near);
    conf_hint_unknown(files, pos, section, key, meaning, keys, n);
    free(meaning);
}

/* The largest unit that divides value without a rest. */
static char *print_with_unit(unsigned long value, const struct unit *units)
{
    const struct unit *best = units;
    for (const struct unit *unit = units; unit->name != NULL; unit++) {
        if (value != 0 && value % unit->factor == 0)
            best = unit;
    }
    return mem_printf("%lu%s", value / best->factor, best->name);
}

static char *print_number(enum conf_type type, unsigned long value)
{
    if (type == CONF_TYPE_SIZE)
        return print_with_unit(value, size_units);
    if (type == CONF_TYPE_TIME)
        return value == 0 ? mem_strdup("0s") : print_with_unit(value, time_units);
    return mem_printf("%lu", value);
}

static char *say_range(const struct conf_directive *row, const char *text)
{
    char *min = print_number(row->type, row->min), *max = print_number(row->type, row->max);
    char *message =
        mem_printf("%s takes %s%s%s from %s to %s, not \"%.*s\"", row->name,
                   row->words[0] != NULL ? row->words[0] : "", row->words[0] != NULL ? " or " : "",
                   row->type == CONF_TYPE_SIZE   ? "a size"
                   : row->type == CONF_TYPE_TIME ? "a time"
                                                 : "a whole number",
                   min, max, CONF_FILES_QUOTE(text));
    free(min);
    free(max);
    return message;
}

/* Reads the digits at *text, which then points to what follows them. A number beyond all limits is ULONG_MAX.
 */
static bool read_digits(const char **text, unsigned long *value)
{
    const char *at = *text;
    for (*value = 0; *at >= '0' && *at <= '9'; at++) {
        unsigned long digit = (unsigned long)(*at - '0');
        *value = *value > (ULONG_MAX - digit) / 10 ? ULONG_MAX : *value * 10 + digit;
    }
    bool any = at != *text;
    *text = at;
    return any;
}

static const struct unit *find_unit(const struct unit *units, const char *name)
{
    while (units->name != NULL && strcmp(units->name, name) != 0)
        units++;
    return units->name == NULL ? NULL : units;
}

/* The letter of a size unit as others write it: k, KB, KiB, with a blank before it. 0 if it is none. */
static char guess_size_unit(const char *unit)
{
    static const char *const endings[] = {"", "b", "ib"};
    unit += strspn(unit, " ");
    const char *letter = unit[0] == '\0' ? NULL : strchr("kKmMgG", unit[0]);
    for (size_t i = 0; letter != NULL && i < sizeof(endings) / sizeof(endings[0]); i++) {
        if (strcasecmp(unit + 1, endings[i]) == 0)
            return (char)toupper((unsigned char)*letter);
    }
    return 0;
}

static char *say_unit(const struct conf_directive *row, const char *text, int digits, const char *unit)
{
    char letter = row->type == CONF_TYPE_SIZE ? guess_size_unit(unit) : 0;
    if (letter != 0)
        return mem_printf(
            "%s takes bytes, or a number directly followed by K, M or G: write %.*s%c, not \"%.*s\"",
            row->name, digits, text, letter, CONF_FILES_QUOTE(text));
    if (row->type == CONF_TYPE_SIZE)
        return mem_printf(
            "%s takes bytes, or a number directly followed by K, M or G: write %.*sK, %.*sM or %.*sG, "
            "not \"%.*s\"",
            row->name, digits, text, digits, text, digits, text, CONF_FILES_QUOTE(text));
    if (unit[0] == '\0')
        return mem_printf(
            "%s needs a unit: write %.*ss for seconds, %.*sms for milliseconds or %.*sm for minutes",
            row->name, digits, text, digits, text, digits, text);
    return mem_printf("%s takes a whole number directly followed by ms, s or m, such as 500ms, 10s or 2m; "
                      "not \"%.*s\"",
                      row->name, CONF_FILES_QUOTE(text));
}

/* Is it the word that a number may be instead, such as auto? It is kept as 0. */
static bool is_word(const struct conf_directive *row, const char *text, unsigned long *value)
{
    *value = 0;
    return row->words[0] != NULL && strcmp(text, row->words[0]) == 0;
}

static char *read_quantity(const struct conf_directive *row, const char *text, unsigned long *value)
{
    const struct unit *units = row->type == CONF_TYPE_SIZE ? size_units : time_units;
    const char *behind = text;
    if (is_word(row, text, value))
        return NULL;
    if (!read_digits(&behind, value))
        return say_range(row, text);
    const struct unit *unit = find_unit(units, behind);
    if (unit == NULL && row->type == CONF_TYPE_TIME && *value == 0 && behind[0] == '\0')
        unit = units; /* nothing needs no unit */
    if (unit == NULL)
        return say_unit(row, text, behind - text > 18 ? 18 : (int)(behind - text), behind);
    *value = *value > ULONG_MAX / unit->factor ? ULONG_MAX : *value * unit->factor;
    return *value < row->min || *value > row->max ? say_range(row, text) : NULL;
}

static char *read_unsigned(const struct conf_directive *row, const char *text, unsigned long *value)
{
    const char *behind = text;
    if (is_word(row, text, value))
        return NULL;
    if (!read_digits(&behind, value) || *behind != '\0' || *value < row->min || *value > row->max)
        return say_range(row, text);
    return NULL;
}

static char *read_enum(const struct conf_directive *row, const char *text, unsigned long *value)
{
    size_t n = 0;
    for (; row->words[n] != NULL; n++) {
        if (strcmp(row->words[n], text) == 0) {
            *value = n;
            return NULL;
        }
    }
    char *choice = conf_hint_choice(row->words, n);
    char *meant = conf_hint_did_you_mean(conf_hint_nearest(text, row->words, n));
    char *message =
        mem_printf("%s takes %s, not \"%.*s\"%s", row->name, choice, CONF_FILES_QUOTE(text), meant);
    free(choice);
    free(meant);
    return message;
}

bool conf_table_is_scalar(const struct conf_directive *row)
{
    return row->type != CONF_TYPE_LISTEN && row->type != CONF_TYPE_ADMIN &&
           row->type != CONF_TYPE_ACCESS_LOG && row->type != CONF_TYPE_LANES &&
           row->type != CONF_TYPE_UPSTREAMS && row->type != CONF_TYPE_MODELS &&
           row->type != CONF_TYPE_ENV_FILE && row->type != CONF_TYPE_INCLUDE &&
           row->type != CONF_TYPE_DEFAULTS && row->type != CONF_TYPE_ROUTES;
}

char *conf_table_set(const struct conf_directive *row, struct conf *conf, const char *text)
{
    return conf_table_read(row, (char *)conf + row->offset, text);
}

bool conf_table_is_string(const struct conf_directive *row)
{
    return row->type == CONF_TYPE_CONNECT || row->type == CONF_TYPE_FIELD || row->type == CONF_TYPE_NAME ||
           row->type == CONF_TYPE_CREDENTIAL || row->type == CONF_TYPE_PATH;
}

static bool is_field_value(const char *text)
{
    size_t len = strlen(text);
    for (size_t i = 0; i < len; i++) {
        if (text[i] < ' ' || text[i] > '~')
            return false;
    }
    return len == 0 || (text[0] != ' ' && text[len - 1] != ' ');
}

char *conf_table_read(const struct conf_directive *row, void *place, const char *text)
{
    _Static_assert(sizeof(enum log_level) == sizeof(unsigned) && sizeof(enum log_format) == sizeof(unsigned),
                   "an enum is kept in the place of an unsigned");
    unsigned long value = 0;
    char *message = NULL;
    if (row->type == CONF_TYPE_FIELD && !is_field_value(text))
        return mem_printf("%s takes printable ASCII characters, without a space at either end", row->name);
    if (conf_table_is_string(row)) {
        char **string = place;
        free(*string);
        *string = mem_strdup(text);
        return NULL;
    }
    if (row->type == CONF_TYPE_UNSIGNED)
        message = read_unsigned(row, text, &value);
    else if (row->type == CONF_TYPE_ENUM)
        message = read_enum(row, text, &value);
    else
        message = read_quantity(row, text, &value);
    if (message == NULL && row->type == CONF_TYPE_SIZE)
        *(size_t *)place = value;
    else if (message == NULL)
        *(unsigned *)place = (unsigned)value;
    return message;
}

char *conf_table_get(const struct conf_directive *row, const struct conf *conf)
{
    return conf_table_write(row, (const char *)conf + row->offset);
}

char *conf_table_write(const struct conf_directive *row, const void *place)
{
    if (conf_table_is_string(row))
        return mem_strdup(*(char *const *)place);
    unsigned long value = row->type == CONF_TYPE_SIZE ? *(const size_t *)place : *(const unsigned *)place;
    if (row->type == CONF_TYPE_ENUM || (value == 0 && row->words[0] != NULL))
        return mem_strdup(row->words[value]);
    return print_number(row->type, value);
}
