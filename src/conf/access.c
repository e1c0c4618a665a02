/* access.c: `access_log`, at the top level, in `defaults` and in a route. */
#include "conf/access.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/source.h"
#include "conf/table.h"
#include "conf/write.h"

enum {
    MOST_TEXT = 4096, /* bytes of a format */
    MOST_FIELDS = 64,
    MOST_NAME = 64, /* bytes of a member's */
};

static const char *const keys[] = {"to", "format", "fields", "sample"};
enum { N_KEYS = sizeof(keys) / sizeof(keys[0]) };

/* Reading */

static bool want_text(struct conf_files *files, const char *key, const struct conf_yaml *node)
{
    if (conf_yaml_is_null(node))
        conf_files_error(files, node->pos, "%s has no value", key);
    else if (node->kind != CONF_YAML_SCALAR)
        conf_files_error(files, node->pos, "%s takes a single value, not %s", key, conf_yaml_what(node));
    else if (node->value[0] == '\0')
        conf_files_error(files, node->pos, "%s is empty", key);
    else
        return true;
    return false;
}

static void read_to(struct conf_files *files, const char *key, const struct conf_yaml *node,
                    struct conf_access_log *log)
{
    static const char *const words[] = {"off", "stdout", "stderr"};
    bool is_word = false;
    if (!want_text(files, key, node))
        return;
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        is_word = is_word || strcmp(node->value, words[i]) == 0;
    free(log->to);
    log->to = is_word ? mem_strdup(node->value) : conf_files_resolve(node->pos.file, node->value);
}

/* A text must be one line, and have some source in it. */
static void read_text(struct conf_files *files, const struct conf_yaml *node, struct conf_access_log *log)
{
    size_t at = 0;
    char *problem = conf_source_read_text(node->value, &log->pieces, &log->n_pieces, &at);
    if (problem != NULL)
        conf_files_error(files, conf_files_place(files, node->pos, node->value, at), "%s", problem);
    else if (strchr(node->value, '{') == NULL)
        conf_files_error(files, node->pos,
                         "format takes combined, json, or a text with sources in braces, such as "
                         "\"{request.method} {request.target} {answer.status}\"; not \"%.*s\"",
                         CONF_FILES_QUOTE(node->value));
    else if (strpbrk(node->value, "\r\n") != NULL || strlen(node->value) > MOST_TEXT)
        conf_files_error(files, node->pos, "a format is one line of at most %d bytes", MOST_TEXT);
    free(problem);
}

static void read_format(struct conf_files *files, const struct conf_yaml *node, struct conf_access_log *log)
{
    if (!want_text(files, "format", node))
        return;
    log->format = strcmp(node->value, "combined") == 0 ? CONF_ACCESS_COMBINED
                  : strcmp(node->value, "json") == 0   ? CONF_ACCESS_JSON
                                                       : CONF_ACCESS_TEXT;
    log->text = mem_strdup(node->value);
    if (log->format == CONF_ACCESS_TEXT)
        read_text(files, node, log);
}

static void add_field(struct conf_access_log *log, const char *name, const char *text)
{
    struct conf_access_field field = {.name = mem_strdup(name), .text = mem_strdup(text)};
    if (strcmp(text, "off") != 0)
        free(conf_source_read(str_of(text), &field.source));
    MEM_GROW(&log->fields, log->n_fields);
    log->fields[log->n_fields++] = field;
}

static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-.";

static void read_fields(struct conf_files *files, const struct conf_yaml *node, struct conf_access_log *log)
{
    if (node->kind != CONF_YAML_MAP) {
        conf_files_error(files, node->pos,
                         "fields takes a mapping from names to sources, not %s: write `tenant: "
                         "header.X-Tenant` on the line below, indented",
                         conf_yaml_what(node));
        return;
    }
    if (node->n_items > MOST_FIELDS)
        conf_files_error(files, node->pos, "there can be %d fields", MOST_FIELDS);
    for (size_t i = 0; i < node->n_items && i < MOST_FIELDS; i++) {
        const struct conf_yaml *key = node->items[i].key, *value = node->items[i].value;
        struct conf_source source = {.kind = CONF_SOURCE_TEXT};
        if (strlen(key->value) > MOST_NAME || key->value[strspn(key->value, letters)] != '\0') {
            conf_files_error(files, key->pos, "a field's name is at most %d letters, digits and _-.",
                             MOST_NAME);
        } else if (want_text(files, key->value, value)) {
            char *problem =
                strcmp(value->value, "off") == 0 ? NULL : conf_source_read(str_of(value->value), &source);
            if (problem != NULL)
                conf_files_error(files, value->pos, "%s", problem);
            else
                add_field(log, key->value, value->value);
            free(problem);
            free(source.text);
        }
    }
}

/* A number from 0 to 1, with six digits behind the point at most, in millionths. */
static bool read_share(const char *text, unsigned *millionths)
{
    unsigned value = 0, digits = 0;
    if ((text[0] != '0' && text[0] != '1') || (text[1] != '\0' && text[1] != '.'))
        return false;
    value = (unsigned)(text[0] - '0');
    for (const char *at = text + 1 + (text[1] == '.'); *at != '\0'; at++) {
        if (*at < '0' || *at > '9' || ++digits > 6)
            return false;
        value = value * 10 + (unsigned)(*at - '0');
    }
    for (; digits < 6; digits++)
        value *= 10;
    *millionths = value;
    return value <= CONF_ACCESS_ALL && (text[1] == '\0' || text[2] != '\0');
}

static void read_sample(struct conf_files *files, const struct conf_yaml *node, struct conf_access_log *log)
{
    log->has_sample = true;
    if (want_text(files, "sample", node) && !read_share(node->value, &log->sample))
        conf_files_error(files, node->pos,
                         "sample takes a number from 0 to 1, such as 0.01 for one in a hundred, not \"%.*s\"",
                         CONF_FILES_QUOTE(node->value));
}

void conf_access_read(struct conf_files *files, const struct conf_yaml *node, struct conf_access_log *log)
{
    if (node->kind != CONF_YAML_MAP) {
        read_to(files, "access_log", node, log);
        return;
    }
    for (size_t i = 0; i < node->n_items; i++) {
        const struct conf_yaml *key = node->items[i].key, *value = node->items[i].value;
        if (strcmp(key->value, "to") == 0)
            read_to(files, "to", value, log);
        else if (strcmp(key->value, "format") == 0)
            read_format(files, value, log);
        else if (strcmp(key->value, "fields") == 0)
            read_fields(files, value, log);
        else if (strcmp(key->value, "sample") == 0)
            read_sample(files, value, log);
        else
            conf_table_unknown_key(files, key->pos, "access_log", key->value, keys, N_KEYS, false);
    }
}

/* What holds where */

static bool has_field(const struct conf_access_log *log, const char *name)
{
    for (size_t i = 0; i < log->n_fields; i++) {
        if (strcmp(log->fields[i].name, name) == 0)
            return true;
    }
    return false;
}

void conf_access_inherit(struct conf_access_log *log, const struct conf_access_log *from)
{
    size_t at = 0;
    if (log->to == NULL && from->to != NULL)
        log->to = mem_strdup(from->to);
    if (!log->has_sample && from->has_sample) {
        log->has_sample = true;
        log->sample = from->sample;
    }
    if (log->text == NULL && from->text != NULL) {
        log->text = mem_strdup(from->text);
        log->format = from->format;
        if (log->format == CONF_ACCESS_TEXT)
            free(conf_source_read_text(log->text, &log->pieces, &log->n_pieces, &at));
    }
    for (size_t i = 0; i < from->n_fields; i++) {
        if (!has_field(log, from->fields[i].name))
            add_field(log, from->fields[i].name, from->fields[i].text);
    }
}

void conf_access_complete(struct conf_access_log *log)
{
    struct conf_access_log built_in = {
        .to = (char *)"off",
        .format = CONF_ACCESS_COMBINED,
        .text = (char *)"combined",
        .has_sample = true,
        .sample = CONF_ACCESS_ALL,
    };
    conf_access_inherit(log, &built_in);
}

static void number_file(struct conf *conf, struct conf_access_log *log)
{
    log->file = CONF_ACCESS_NOWHERE;
    if (log->to == NULL || strcmp(log->to, "off") == 0)
        return;
    size_t i = 0;
    while (i < conf->n_access_files && strcmp(conf->access_files[i], log->to) != 0)
        i++;
    if (i == conf->n_access_files) {
        MEM_GROW(&conf->access_files, conf->n_access_files);
        conf->access_files[conf->n_access_files++] = log->to;
    }
    log->file = i;
}

void conf_access_number_files(struct conf *conf)
{
    number_file(conf, &conf->access_log);
    for (size_t i = 0; i < conf->n_routes; i++)
        number_file(conf, &conf->routes[i].access_log);
}

bool conf_access_is_same(const struct conf_access_log *a, const struct conf_access_log *b)
{
    bool same = strcmp(a->to, b->to) == 0 && strcmp(a->text, b->text) == 0 && a->sample == b->sample &&
                a->n_fields == b->n_fields;
    for (size_t i = 0; same && i < a->n_fields; i++)
        same = strcmp(a->fields[i].name, b->fields[i].name) == 0 &&
               strcmp(a->fields[i].text, b->fields[i].text) == 0;
    return same;
}

/* Writing */

static void print_sample(unsigned sample, int indent, FILE *out)
{
    char digits[8];
    size_t len = (size_t)snprintf(digits, sizeof(digits), "%06u", sample % CONF_ACCESS_ALL);
    while (len > 0 && digits[len - 1] == '0')
        len--;
    fprintf(out, "%*ssample: %u%s%.*s\n", indent, "", sample / CONF_ACCESS_ALL, len == 0 ? "" : ".", (int)len,
            digits);
}

void conf_access_print(const struct conf_access_log *log, int indent, FILE *out)
{
    fprintf(out, "%*saccess_log:\n", indent, "");
    indent += CONF_WRITE_STEP;
    conf_write_text("to", log->to, indent, out);
    conf_write_text("format", log->text, indent, out);
    print_sample(log->sample, indent, out);
    if (log->n_fields > 0)
        fprintf(out, "%*sfields:\n", indent, "");
    for (size_t i = 0; i < log->n_fields; i++) {
        conf_write_key(log->fields[i].name, indent + CONF_WRITE_STEP, out);
        putc(' ', out);
        conf_write_scalar(log->fields[i].text, indent + CONF_WRITE_STEP, out);
    }
}

void conf_access_free(struct conf_access_log *log)
{
    free(log->to);
    free(log->text);
    conf_source_free(log->pieces, log->n_pieces);
    for (size_t i = 0; i < log->n_fields; i++) {
        free(log->fields[i].name);
        free(log->fields[i].text);
        free(log->fields[i].source.text);
    }
    free(log->fields);
}
