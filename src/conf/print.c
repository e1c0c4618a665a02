/* print.c: the conf with every default filled in, as a conf file that loads to the same but for
 * passwords. */
#include <stdlib.h>
#include <string.h>

#include "conf/conf.h"
#include "conf/conninfo.h"
#include "conf/env.h"
#include "conf/headers.h"
#include "conf/relay.h"
#include "conf/table.h"
#include "base/mem.h"

enum { STEP = 2 }; /* blanks of indentation for each level */

/* The code point of a character that YAML wants as an escape, with its length, or 0. The text is UTF-8. */
static unsigned special_character(const char *text, size_t *len)
{
    static const struct {
        const char *bytes;
        unsigned code;
    } specials[] = {{"\xE2\x80\xA8", 0x2028},
                    {"\xE2\x80\xA9", 0x2029},
                    {"\xEF\xBB\xBF", 0xFEFF},
                    {"\xEF\xBF\xBE", 0xFFFE},
                    {"\xEF\xBF\xBF", 0xFFFF}};
    unsigned char first = (unsigned char)text[0];
    *len = 1;
    if ((first < ' ' && first != '\t') || first == 0x7F)
        return first;
    if (first == 0xC2 && (unsigned char)text[1] < 0xA0) {
        *len = 2;
        return (unsigned char)text[1];
    }
    for (size_t i = 0; i < sizeof(specials) / sizeof(specials[0]); i++) {
        if (strncmp(text, specials[i].bytes, 3) == 0) {
            *len = 3;
            return specials[i].code;
        }
    }
    return 0;
}

static bool is_plain(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    size_t len = strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:=-");
    return len > 0 && text[len] == '\0' && strchr(letters, text[0]) != NULL && text[len - 1] != ':' &&
           strcasecmp(text, "null") != 0;
}

static bool is_printable(const char *text)
{
    for (size_t len; *text != '\0'; text += len) {
        if (special_character(text, &len) != 0 && *text != '\n')
            return false;
    }
    return true;
}

static void print_escaped(const char *text, FILE *out)
{
    putc('"', out);
    for (size_t len; *text != '\0'; text += len) {
        unsigned code = special_character(text, &len);
        if (*text == '\n')
            fputs("\\n", out);
        else if (*text == '"' || *text == '\\')
            fprintf(out, "\\%c", *text);
        else if (code != 0)
            fprintf(out, "\\u%04X", code);
        else
            putc(*text, out);
    }
    putc('"', out);
}

static void print_in_single_quotes(const char *text, FILE *out)
{
    putc('\'', out);
    for (; *text != '\0'; text++)
        fputs(*text == '\'' ? "''" : (char[]){*text, '\0'}, out);
    putc('\'', out);
}

/* A `|` block, below a key that is indented by indent. Its first line decides how far it is indented. */
static void print_block(const char *text, int indent, FILE *out)
{
    size_t len = strlen(text);
    fputc('|', out);
    if (strchr(" \t\n", text[0]) != NULL)
        fprintf(out, "%d", STEP);
    if (text[len - 1] != '\n')
        fputc('-', out);
    else if (len > 1 && text[len - 2] == '\n')
        fputc('+', out);
    while (*text != '\0') {
        size_t line = strcspn(text, "\n");
        fprintf(out, "\n%*s%.*s", line == 0 ? 0 : indent + STEP, "", (int)line, text);
        text += line;
        if (*text == '\n' && *++text == '\0')
            break;
    }
}

/* Writes text as a YAML scalar, verbatim text never without quotes, and ends the line. */
static void print_yaml(const char *text, bool verbatim, int indent, FILE *out)
{
    bool printable = is_printable(text), one_line = strchr(text, '\n') == NULL;
    if (!verbatim && is_plain(text))
        fputs(text, out);
    else if (printable && one_line && strpbrk(text, "\"\\") == NULL)
        fprintf(out, "\"%s\"", text);
    else if (printable && one_line)
        print_in_single_quotes(text, out);
    else if (printable && text[strspn(text, " \t\n")] != '\0')
        print_block(text, indent, out);
    else
        print_escaped(text, out);
    putc('\n', out);
}

/* The same for a value in which variables may stand: a ${ of its own is kept from being one. */
static void print_scalar(const char *text, int indent, FILE *out)
{
    char *escaped = strchr(text, '\n') == NULL ? conf_env_escape(text) : mem_strdup(text);
    print_yaml(escaped, false, indent, out);
    free(escaped);
}

static void print_text(const char *key, const char *text, int indent, FILE *out)
{
    fprintf(out, "%*s%s: ", indent, "", key);
    print_scalar(text, indent, out);
}

/* Of sql, json and text, in which no variables stand. */
static void print_own_text(const char *key, const char *text, bool verbatim, int indent, FILE *out)
{
    fprintf(out, "%*s%s: ", indent, "", key);
    print_yaml(text, verbatim, indent, out);
}

static void print_listen(const struct conf *conf, FILE *out)
{
    if (conf->n_listen == 1 && conf->listen[0].name == NULL) {
        print_text("listen", conf->listen[0].address, 0, out);
        return;
    }
    fputs("listen:\n", out);
    for (size_t i = 0; i < conf->n_listen; i++) {
        const struct conf_listen *listen = &conf->listen[i];
        const char *name = listen->name;
        bool is_address = listen->mode == NULL && listen->owner == NULL && listen->group == NULL;
        fprintf(out, "%*s%s%s", STEP, "", name == NULL ? "-" : name, name == NULL ? "" : ":");
        if (is_address) {
            putc(' ', out);
            print_scalar(listen->address, STEP, out);
            continue;
        }
        putc('\n', out);
        print_text("address", listen->address, 2 * STEP, out);
        if (listen->mode != NULL)
            print_text("mode", listen->mode, 2 * STEP, out);
        if (listen->owner != NULL)
            print_text("owner", listen->owner, 2 * STEP, out);
        if (listen->group != NULL)
            print_text("group", listen->group, 2 * STEP, out);
    }
}

static void print_key(const char *key, int indent, FILE *out)
{
    const char *quote = is_plain(key) ? "" : "\"";
    fprintf(out, "%*s", indent, "");
    if (is_printable(key) && strpbrk(key, "\"\\") == NULL)
        fprintf(out, "%s%s%s", quote, key, quote);
    else
        print_escaped(key, out);
    fputs(":", out);
}

/* What may be given to a parameter, where there is more to say than its default. */
static void print_options(const struct params_spec *spec, int indent, FILE *out)
{
    putc('\n', out);
    if (spec->required)
        print_text("required", "true", indent, out);
    if (spec->default_text != NULL)
        print_text("default", spec->default_text, indent, out);
    if (spec->min != NULL)
        print_text("min", spec->min, indent, out);
    if (spec->max != NULL)
        print_text("max", spec->max, indent, out);
    if (spec->n_one_of > 0)
        fprintf(out, "%*sone_of:\n", indent, "");
    for (size_t i = 0; i < spec->n_one_of; i++) {
        fprintf(out, "%*s- ", indent + STEP, "");
        print_scalar(spec->one_of[i], indent + STEP, out);
    }
}

/* The parameters of one source, below its key, if there are any. */
static void print_params(const char *key, const struct conf_route *route, enum params_source source,
                         int indent, FILE *out)
{
    bool any = false;
    for (size_t i = 0; i < route->n_declared; i++) {
        const struct params_spec *spec = &route->declared[i].spec;
        if (spec->source != source)
            continue;
        if (!any)
            fprintf(out, "%*s%s:\n", indent, "", key);
        any = true;
        print_key(spec->name, indent + STEP, out);
        if (spec->required || spec->min != NULL || spec->max != NULL || spec->n_one_of > 0) {
            print_options(spec, indent + 2 * STEP, out);
        } else if (spec->default_text == NULL) {
            fputs(" null\n", out);
        } else {
            putc(' ', out);
            print_scalar(spec->default_text, indent + STEP, out);
        }
    }
}

static void print_sql_route(const struct conf_route *route, const char *lane, int indent, FILE *out)
{
    static const char *const answers[] = {[CONF_ANSWER_ROW] = "row",
                                          [CONF_ANSWER_ROWS] = "rows",
                                          [CONF_ANSWER_NONE] = "none",
                                          [CONF_ANSWER_VALUE] = "value"};
    print_own_text("sql", route->sql, true, indent, out);
    print_params("query", route, PARAMS_QUERY, indent, out);
    print_text("unknown_query", route->ignore_unknown_query ? "ignore" : "refuse", indent, out);
    print_params("body", route, PARAMS_BODY, indent, out);
    for (size_t i = 0; i < route->n_declared; i++) {
        if (route->declared[i].spec.source == PARAMS_BODY_AS)
            print_text("body_as", route->declared[i].spec.name, indent, out);
    }
    print_text("answer", answers[route->answer], indent, out);
    fprintf(out, "%*sstatus: %d\n", indent, "", route->status);
    if (route->answer != CONF_ANSWER_ROWS)
        fprintf(out, "%*sno_row: %d\n", indent, "", route->no_row);
    print_text("lane", lane, indent, out);
    if (route->answer == CONF_ANSWER_ROW)
        print_text("merge", route->merge_off ? "off" : "on", indent, out);
}

static void print_on(const struct conf_route *route, int indent, FILE *out)
{
    if (route->n_on == 1)
        print_text("on", route->on[0].name, indent, out);
    else if (route->n_on > 1)
        fprintf(out, "%*son:\n", indent, "");
    for (size_t i = 0; route->n_on > 1 && i < route->n_on; i++)
        fprintf(out, "%*s- %s\n", indent + STEP, "", route->on[i].name);
}

static void print_files(const struct conf_route *route, int indent, FILE *out)
{
    print_text("files", route->folder, indent, out);
    print_text("index", route->index, indent, out);
    if (route->fallback != NULL)
        print_text("fallback", route->fallback, indent, out);
}

static void print_headers(const char *word, const struct conf_header *headers, size_t n, int indent,
                          FILE *out)
{
    if (n > 0)
        fprintf(out, "%*s%s:\n", indent, "", word);
    for (size_t i = 0; i < n; i++) {
        char *value = conf_headers_write(&headers[i]);
        print_key(headers[i].name, indent + STEP, out);
        putc(' ', out);
        print_scalar(value, indent + STEP, out);
        free(value);
    }
}

static void print_like(const char *key, const char *section, const char *name, const void *place, int indent,
                       FILE *out)
{
    char *text = conf_table_write(conf_table_find(section, name), place);
    print_text(key, text, indent, out);
    free(text);
}

static void print_relay_route(const struct conf_route *route, int indent, FILE *out)
{
    print_text("relay", route->relay, indent, out);
    print_headers("send", route->send, route->n_send, indent, out);
    print_like("forwarded", "", "forwarded", &route->forwarded, indent, out);
    print_like("connect_deadline", "limits", "connect", &route->connect_deadline, indent, out);
}

static void print_route(const struct conf *conf, const struct conf_route *route, FILE *out)
{
    static const char harmless[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 /_.{}~%-";
    int indent = 2 * STEP;
    fprintf(out, "%*s", STEP, "");
    if (route->label[strspn(route->label, harmless)] == '\0')
        fputs(route->label, out);
    else
        print_escaped(route->label, out);
    fputs(":\n", out);
    if (route->handler == CONF_HANDLER_SQL) {
        print_sql_route(route, conf->lanes[route->lane].name, indent, out);
    } else if (route->handler == CONF_HANDLER_FILES) {
        print_files(route, indent, out);
    } else if (route->handler == CONF_HANDLER_RELAY) {
        print_relay_route(route, indent, out);
    } else {
        bool is_json = route->handler == CONF_HANDLER_JSON;
        print_own_text(is_json ? "json" : "text", route->body, is_json, indent, out);
    }
    print_on(route, indent, out);
    print_like("deadline", "limits", "deadline", &route->deadline, indent, out);
    print_headers("headers", route->headers, route->n_headers, indent, out);
}

/* Those that have names: they are the first ones. The others are part of their routes. */
static bool has_upstreams(const struct conf *conf)
{
    return conf->n_upstreams > 0 && !conf->upstreams[0].implied;
}

static void print_upstreams(const struct conf *conf, FILE *out)
{
    fputs("upstreams:\n", out);
    for (size_t i = 0; i < conf->n_upstreams && !conf->upstreams[i].implied; i++) {
        const struct conf_upstream *upstream = &conf->upstreams[i];
        print_key(upstream->name, STEP, out);
        fprintf(out, "\n%*sservers:\n", 2 * STEP, "");
        for (size_t j = 0; j < upstream->n_servers; j++) {
            fprintf(out, "%*s- ", 3 * STEP, "");
            print_scalar(upstream->servers[j].address, 3 * STEP, out);
        }
        for (size_t j = 0; j < conf_relay_n_options; j++) {
            const struct conf_directive *row = &conf_relay_options[j];
            char *text = conf_table_write(row, (const char *)upstream + row->offset);
            print_text(row->name, text, 2 * STEP, out);
            free(text);
        }
    }
}

static void print_lanes(const struct conf *conf, int indent, FILE *out)
{
    const struct conf_directive *row = conf_table_find("limits", "deadline");
    fprintf(out, "%*slanes:\n", indent, "");
    indent += STEP;
    for (size_t i = 0; i < conf->n_lanes; i++) {
        const struct conf_lane *lane = &conf->lanes[i];
        char *deadline = conf_table_write(row, &lane->deadline);
        print_key(lane->name, indent, out);
        putc('\n', out);
        if (i > CONF_LANE_WRITE)
            print_text("from", lane->read_only ? "read" : "write", indent + STEP, out);
        fprintf(out, "%*sconnections: %u\n", indent + STEP, "", lane->connections);
        fprintf(out, "%*squeue: %u\n", indent + STEP, "", lane->queue);
        print_text("deadline", deadline, indent + STEP, out);
        free(deadline);
    }
}

/* How many PostgreSQL connections there can be, as a comment. */
static void print_budget(const struct conf *conf, unsigned workers, int indent, FILE *out)
{
    size_t total = conf_connections(conf, workers), n_used = 0;
    for (size_t i = 0; i < conf->n_lanes; i++)
        n_used += conf->lanes[i].used;
    fprintf(out, "%*s# PostgreSQL connections: ", indent, "");
    if (n_used == 0) {
        fputs("none, as no route has SQL\n", out);
        return;
    }
    fprintf(out, "%u worker%s%s x ", workers, workers == 1 ? "" : "s",
            conf->workers == 0 ? " (auto, on this machine)" : "");
    const char *before = n_used > 1 ? "(" : "";
    for (size_t i = 0; i < conf->n_lanes; i++) {
        if (!conf->lanes[i].used)
            continue;
        fprintf(out, "%s%s %u", before, conf->lanes[i].name, conf->lanes[i].connections);
        before = " + ";
    }
    fprintf(out, "%s = %zu at most, %zu always open", n_used > 1 ? ")" : "", total, workers * n_used);
    if (total > conf->database.max)
        fprintf(out, "; database.max caps it at %u", conf->database.max);
    putc('\n', out);
}

static void print_directive(const struct conf *conf, const struct conf_directive *row, unsigned workers,
                            FILE *out)
{
    int indent = row->section[0] == '\0' ? 0 : STEP;
    fprintf(out, "%*s# %s\n", indent, "", row->help);
    if (row->type == CONF_TYPE_LISTEN) {
        print_listen(conf, out);
    } else if (row->type == CONF_TYPE_LANES) {
        print_budget(conf, workers, indent, out);
        print_lanes(conf, indent, out);
    } else if (row->type == CONF_TYPE_UPSTREAMS) {
        print_upstreams(conf, out);
    } else if (row->type == CONF_TYPE_ROUTES) {
        fputs("routes:\n", out);
        for (size_t i = 0; i < conf->n_routes; i++)
            print_route(conf, &conf->routes[i], out);
    } else {
        char *text = conf_table_get(row, conf);
        char *shown = row->type == CONF_TYPE_CONNECT ? conf_conninfo_hide(text) : mem_strdup(text);
        print_text(row->name, shown, indent, out);
        free(shown);
        free(text);
    }
}

void conf_print(const struct conf *conf, unsigned workers, FILE *out)
{
    const char *section = "";
    for (size_t i = 0; i < conf_table_rows; i++) {
        const struct conf_directive *row = &conf_table[i];
        if (row->type == CONF_TYPE_ENV_FILE || row->type == CONF_TYPE_INCLUDE ||
            row->type == CONF_TYPE_DEFAULTS)
            continue; /* they have become part of the others */
        if (row->type == CONF_TYPE_UPSTREAMS && !has_upstreams(conf))
            continue;
        if (i > 0 && (strcmp(row->section, section) != 0 || row->section[0] == '\0'))
            putc('\n', out);
        if (row->section[0] != '\0' && strcmp(row->section, section) != 0)
            fprintf(out, "%s:\n", row->section);
        section = row->section;
        print_directive(conf, row, workers, out);
    }
}
