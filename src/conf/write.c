/* write.c: values as they would stand in a conf file. */
#include "conf/write.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "conf/env.h"
#include "conf/headers.h"
#include "conf/table.h"

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

void conf_write_quoted(const char *text, FILE *out)
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

static void write_in_single_quotes(const char *text, FILE *out)
{
    putc('\'', out);
    for (; *text != '\0'; text++)
        fputs(*text == '\'' ? "''" : (char[]){*text, '\0'}, out);
    putc('\'', out);
}

/* A `|` block, below a key that is indented by indent. Its first line decides how far it is indented. */
static void write_block(const char *text, int indent, FILE *out)
{
    size_t len = strlen(text);
    fputc('|', out);
    if (strchr(" \t\n", text[0]) != NULL)
        fprintf(out, "%d", CONF_WRITE_STEP);
    if (text[len - 1] != '\n')
        fputc('-', out);
    else if (len > 1 && text[len - 2] == '\n')
        fputc('+', out);
    while (*text != '\0') {
        size_t line = strcspn(text, "\n");
        fprintf(out, "\n%*s%.*s", line == 0 ? 0 : indent + CONF_WRITE_STEP, "", (int)line, text);
        text += line;
        if (*text == '\n' && *++text == '\0')
            break;
    }
}

/* Writes text as a YAML scalar, verbatim text never without quotes, and ends the line. */
static void write_yaml(const char *text, bool verbatim, int indent, FILE *out)
{
    bool printable = is_printable(text), one_line = strchr(text, '\n') == NULL;
    if (!verbatim && is_plain(text))
        fputs(text, out);
    else if (printable && one_line && strpbrk(text, "\"\\") == NULL)
        fprintf(out, "\"%s\"", text);
    else if (printable && one_line)
        write_in_single_quotes(text, out);
    else if (printable && text[strspn(text, " \t\n")] != '\0')
        write_block(text, indent, out);
    else
        conf_write_quoted(text, out);
    putc('\n', out);
}

void conf_write_scalar(const char *text, int indent, FILE *out)
{
    char *escaped = strchr(text, '\n') == NULL ? conf_env_escape(text) : mem_strdup(text);
    write_yaml(escaped, false, indent, out);
    free(escaped);
}

void conf_write_text(const char *key, const char *text, int indent, FILE *out)
{
    fprintf(out, "%*s%s: ", indent, "", key);
    conf_write_scalar(text, indent, out);
}

void conf_write_own_text(const char *key, const char *text, bool verbatim, int indent, FILE *out)
{
    fprintf(out, "%*s%s: ", indent, "", key);
    write_yaml(text, verbatim, indent, out);
}

void conf_write_key(const char *key, int indent, FILE *out)
{
    const char *quote = is_plain(key) ? "" : "\"";
    fprintf(out, "%*s", indent, "");
    if (is_printable(key) && strpbrk(key, "\"\\") == NULL)
        fprintf(out, "%s%s%s", quote, key, quote);
    else
        conf_write_quoted(key, out);
    fputs(":", out);
}

void conf_write_headers(const char *key, const struct conf_header *headers, size_t n, int indent, FILE *out)
{
    if (n > 0)
        fprintf(out, "%*s%s:\n", indent, "", key);
    for (size_t i = 0; i < n; i++) {
        char *value = conf_headers_write(&headers[i]);
        conf_write_key(headers[i].name, indent + CONF_WRITE_STEP, out);
        putc(' ', out);
        conf_write_scalar(value, indent + CONF_WRITE_STEP, out);
        free(value);
    }
}

void conf_write_like(const char *key, const char *section, const char *name, const void *place, int indent,
                     FILE *out)
{
    char *text = conf_table_write(conf_table_find(section, name), place);
    conf_write_text(key, text, indent, out);
    free(text);
}

/* What may be given to a parameter, where there is more to say than its default. */
static void print_options(const struct params_spec *spec, int indent, FILE *out)
{
    putc('\n', out);
    if (spec->required)
        conf_write_text("required", "true", indent, out);
    if (spec->default_text != NULL)
        conf_write_text("default", spec->default_text, indent, out);
    if (spec->min != NULL)
        conf_write_text("min", spec->min, indent, out);
    if (spec->max != NULL)
        conf_write_text("max", spec->max, indent, out);
    if (spec->n_one_of > 0)
        fprintf(out, "%*sone_of:\n", indent, "");
    for (size_t i = 0; i < spec->n_one_of; i++) {
        fprintf(out, "%*s- ", indent + CONF_WRITE_STEP, "");
        conf_write_scalar(spec->one_of[i], indent + CONF_WRITE_STEP, out);
    }
}

void conf_write_params(const char *key, const struct conf_route *route, enum params_source source, int indent,
                       FILE *out)
{
    bool any = false;
    for (size_t i = 0; i < route->n_declared; i++) {
        const struct params_spec *spec = &route->declared[i].spec;
        if (spec->source != source)
            continue;
        if (!any)
            fprintf(out, "%*s%s:\n", indent, "", key);
        any = true;
        conf_write_key(spec->name, indent + CONF_WRITE_STEP, out);
        if (spec->required || spec->min != NULL || spec->max != NULL || spec->n_one_of > 0) {
            print_options(spec, indent + 2 * CONF_WRITE_STEP, out);
        } else if (spec->default_text == NULL) {
            fputs(" null\n", out);
        } else {
            putc(' ', out);
            conf_write_scalar(spec->default_text, indent + CONF_WRITE_STEP, out);
        }
    }
}
