/* conf_print.c: the conf with every default filled in, as a conf file that loads to the same. */
#include <stdlib.h>
#include <string.h>

#include "conf.h"
#include "conf_table.h"

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
static void print_scalar(const char *text, bool verbatim, int indent, FILE *out)
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

static void print_text(const char *key, const char *text, bool verbatim, int indent, FILE *out)
{
    fprintf(out, "%*s%s: ", indent, "", key);
    print_scalar(text, verbatim, indent, out);
}

static void print_listen(const struct conf *conf, FILE *out)
{
    if (conf->n_listen == 1) {
        print_text("listen", conf->listen[0].address, false, 0, out);
        return;
    }
    fputs("listen:\n", out);
    for (size_t i = 0; i < conf->n_listen; i++) {
        fprintf(out, "%*s- ", STEP, "");
        print_scalar(conf->listen[i].address, false, STEP, out);
    }
}

static void print_query(const struct conf_route *route, int indent, FILE *out)
{
    fprintf(out, "%*squery:\n", indent, "");
    for (size_t i = 0; i < route->n_query; i++) {
        const struct conf_query *query = &route->query[i];
        const char *quote = is_plain(query->name) ? "" : "\"";
        fprintf(out, "%*s%s%s%s: ", indent + STEP, "", quote, query->name, quote);
        if (query->default_text == NULL)
            fputs("null\n", out);
        else
            print_scalar(query->default_text, false, indent + STEP, out);
    }
}

static void print_route(const struct conf_route *route, FILE *out)
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
        print_text("sql", route->sql, true, indent, out);
        print_text("answer", route->answer == CONF_ANSWER_ROW ? "row" : "rows", false, indent, out);
        if (route->n_query > 0)
            print_query(route, indent, out);
    } else {
        bool is_json = route->handler == CONF_HANDLER_JSON;
        print_text(is_json ? "json" : "text", route->body, is_json, indent, out);
    }
}

static void print_directive(const struct conf *conf, const struct conf_directive *row, FILE *out)
{
    int indent = row->section[0] == '\0' ? 0 : STEP;
    fprintf(out, "%*s# %s\n", indent, "", row->help);
    if (row->type == CONF_TYPE_LISTEN) {
        print_listen(conf, out);
    } else if (row->type == CONF_TYPE_ROUTES) {
        fputs("routes:\n", out);
        for (size_t i = 0; i < conf->n_routes; i++)
            print_route(&conf->routes[i], out);
    } else {
        char *text = conf_table_get(row, conf);
        print_text(row->name, text, false, indent, out);
        free(text);
    }
}

void conf_print(const struct conf *conf, FILE *out)
{
    const char *section = "";
    for (size_t i = 0; i < conf_table_rows; i++) {
        const struct conf_directive *row = &conf_table[i];
        if (i > 0 && (strcmp(row->section, section) != 0 || row->section[0] == '\0'))
            putc('\n', out);
        if (row->section[0] != '\0' && strcmp(row->section, section) != 0)
            fprintf(out, "%s:\n", row->section);
        section = row->section;
        print_directive(conf, row, out);
    }
}
