/* source.c: where the values of a log line come from: names with a dot, such as request.path. */
#include "conf/source.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/files.h"
#include "conf/hint.h"

static const struct {
    const char *name; /* one that ends in a dot is followed by a name of the conf's choice */
    const char *shown;
    enum conf_source_kind kind;
} sources[] = {
    {"client.address", "client.address", CONF_SOURCE_CLIENT_ADDRESS},
    {"client.scheme", "client.scheme", CONF_SOURCE_CLIENT_SCHEME},
    {"client.host", "client.host", CONF_SOURCE_CLIENT_HOST},
    {"request.id", "request.id", CONF_SOURCE_REQUEST_ID},
    {"request.method", "request.method", CONF_SOURCE_REQUEST_METHOD},
    {"request.path", "request.path", CONF_SOURCE_REQUEST_PATH},
    {"request.target", "request.target", CONF_SOURCE_REQUEST_TARGET},
    {"request.time", "request.time", CONF_SOURCE_REQUEST_TIME},
    {"request.route", "request.route", CONF_SOURCE_REQUEST_ROUTE},
    {"request.trace", "request.trace", CONF_SOURCE_REQUEST_TRACE},
    {"answer.status", "answer.status", CONF_SOURCE_ANSWER_STATUS},
    {"answer.bytes", "answer.bytes", CONF_SOURCE_ANSWER_BYTES},
    {"time.total", "time.total", CONF_SOURCE_TIME_TOTAL},
    {"time.queue", "time.queue", CONF_SOURCE_TIME_QUEUE},
    {"time.database", "time.database", CONF_SOURCE_TIME_DATABASE},
    {"upstream.server", "upstream.server", CONF_SOURCE_UPSTREAM_SERVER},
    {"header.", "header.FIELD", CONF_SOURCE_HEADER},
    {"cookie.", "cookie.NAME", CONF_SOURCE_COOKIE},
    {"query.", "query.NAME", CONF_SOURCE_QUERY},
};
enum { N_SOURCES = sizeof(sources) / sizeof(sources[0]) };

static char *say_unknown(struct str text)
{
    const char *names[N_SOURCES];
    for (size_t i = 0; i < N_SOURCES; i++)
        names[i] = sources[i].shown;
    char *given = mem_strndup(text.base, text.len), *choice = conf_hint_choice(names, N_SOURCES);
    char *meant = conf_hint_did_you_mean(conf_hint_nearest(given, names, N_SOURCES));
    char *message =
        mem_printf("\"%.*s\" is not a source of a log: that is %s%s", CONF_FILES_QUOTE(given), choice, meant);
    free(given);
    free(choice);
    free(meant);
    return message;
}

/* Fields are looked for in lower case. */
static char *name_of(struct str text, enum conf_source_kind kind)
{
    char *name = mem_strndup(text.base, text.len);
    for (char *at = name; kind == CONF_SOURCE_HEADER && *at != '\0'; at++) {
        if (*at >= 'A' && *at <= 'Z')
            *at = (char)(*at | 0x20);
    }
    return name;
}

char *conf_source_read(struct str text, struct conf_source *source)
{
    for (size_t i = 0; i < N_SOURCES; i++) {
        struct str name = str_of(sources[i].name);
        bool has_name = name.base[name.len - 1] == '.';
        if (text.len < name.len || memcmp(text.base, name.base, name.len) != 0 ||
            has_name != (text.len > name.len))
            continue;
        *source = (struct conf_source){.kind = sources[i].kind};
        if (has_name)
            source->text = name_of((struct str){text.base + name.len, text.len - name.len}, source->kind);
        return NULL;
    }
    return say_unknown(text);
}

static void add(struct conf_source **pieces, size_t *n, struct conf_source piece)
{
    MEM_GROW(pieces, *n);
    (*pieces)[(*n)++] = piece;
}

/* Reads the {source} at text. Returns what is wrong, or NULL and its length. */
static char *read_braces(const char *text, struct conf_source *source, size_t *len)
{
    const char *close = strchr(text, '}');
    if (close == NULL)
        return mem_strdup("this brace is not closed; `{{` is a literal brace");
    *len = (size_t)(close - text) + 1;
    return conf_source_read((struct str){text + 1, *len - 2}, source);
}

char *conf_source_read_text(const char *text, struct conf_source **pieces, size_t *n, size_t *at)
{
    for (*at = 0; text[*at] != '\0';) {
        const char *here = text + *at;
        struct conf_source piece = {.kind = CONF_SOURCE_TEXT};
        size_t len = strcspn(here, "{");
        char *problem = NULL;
        if (len > 0) {
            piece.text = mem_strndup(here, len);
        } else if (here[1] == '{') {
            piece.text = mem_strdup("{");
            len = 2;
        } else {
            problem = read_braces(here, &piece, &len);
        }
        if (problem != NULL)
            return problem;
        add(pieces, n, piece);
        *at += len;
    }
    return NULL;
}

void conf_source_free(struct conf_source *all, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free(all[i].text);
    free(all);
}
