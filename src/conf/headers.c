/* headers.c: `headers`: the header fields of a route's answers. */
#include "conf/headers.h"

#include <stdlib.h>
#include <string.h>

#include "conf/params.h"
#include "base/mem.h"

/* Fields that say how an answer is sent, and so are not a route's to set (RFC 9110 sections 6 to 8). */
static const char *const own_fields[] = {"Connection", "Content-Length",    "Date",
                                         "Keep-Alive", "Proxy-Connection",  "TE",
                                         "Trailer",    "Transfer-Encoding", "Upgrade"};

/* RFC 9110 section 5.6.2 */
static bool is_token(const char *text)
{
    static const char characters[] = "!#$%&'*+-.^_`|~0123456789"
                                     "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    size_t len = strspn(text, characters);
    return len > 0 && text[len] == '\0';
}

static const struct conf_header *find(const struct conf_header *headers, size_t n, const char *name)
{
    for (size_t i = 0; i < n; i++) {
        if (strcasecmp(headers[i].name, name) == 0)
            return &headers[i];
    }
    return NULL;
}

static bool check_name(struct conf_files *files, const struct conf_yaml *key,
                       const struct conf_header *headers, size_t n, bool is_answer)
{
    const char *name = key->value;
    const struct conf_header *first = find(headers, n, name);
    if (strchr(name, ':') != NULL && key->style == CONF_YAML_PLAIN) {
        conf_files_error(files, key->pos, "a space is missing after the `:`: write `%.*s: %s`",
                         (int)strcspn(name, ":"), name, strchr(name, ':') + 1);
        return false;
    }
    if (!is_token(name)) {
        conf_files_error(files, key->pos,
                         "\"%.*s\" cannot be a header's name: that is letters, digits and `-`, such as "
                         "Cache-Control",
                         CONF_FILES_QUOTE(name));
        return false;
    }
    if (is_answer && strcasecmp(name, "X-Request-Id") == 0) {
        conf_files_error(files, key->pos, "%s is in all answers, with the request's id: remove it", name);
        return false;
    }
    if (is_answer && strcasecmp(name, "Server") == 0) {
        conf_files_error(files, key->pos, "%s is the same in all answers: `server` at the top level sets it",
                         name);
        return false;
    }
    for (size_t i = 0; i < sizeof(own_fields) / sizeof(own_fields[0]); i++) {
        if (strcasecmp(name, own_fields[i]) == 0 && (is_answer || strcasecmp(name, "Date") != 0)) {
            conf_files_error(files, key->pos, "%s is not for the conf to set: the server does; remove it",
                             name);
            return false;
        }
    }
    if (first != NULL)
        conf_files_error(files, key->pos,
                         "%s is here for the second time (upper and lower case are the same); the first "
                         "is on line %d",
                         name, first->pos.line);
    return first == NULL;
}

static bool check_kind(struct conf_files *files, const char *name, const struct conf_yaml *value)
{
    if (conf_yaml_is_null(value)) {
        conf_files_error(files, value->pos, "%s has no value; write \"\" for an empty one", name);
    } else if (value->kind == CONF_YAML_MAP && value->n_items == 1 &&
               conf_yaml_is_null(value->items[0].value)) {
        const char *inside = value->items[0].key->value;
        conf_files_error(files, value->pos,
                         "without quotes YAML takes these braces for a mapping: write \"{%.*s}\"",
                         CONF_FILES_QUOTE(inside));
    } else if (value->kind != CONF_YAML_SCALAR) {
        conf_files_error(files, value->pos,
                         "%s takes text, not %s; a value that begins with a bracket or a brace needs quotes",
                         name, conf_yaml_what(value));
    } else {
        return true;
    }
    return false;
}

/* What is wrong with a byte of a value, or NULL. */
static const char *check_byte(char c)
{
    unsigned char byte = (unsigned char)c;
    if (byte == '\n' || byte == '\r')
        return "a header's value is one line; this line break cannot be sent";
    if ((byte < ' ' && byte != '\t') || byte == 0x7F)
        return "a header's value cannot contain control characters";
    return byte >= 0x80 ? "a header's value is ASCII; write other characters as %XX where that is understood"
                        : NULL;
}

static void add_piece(struct conf_header *header, bool is_name, const char *text, size_t len)
{
    struct conf_piece *last = header->n_pieces == 0 ? NULL : &header->pieces[header->n_pieces - 1];
    if (!is_name && last != NULL && !last->is_name) {
        char *longer = mem_printf("%s%.*s", last->text, (int)len, text);
        free(last->text);
        last->text = longer;
        return;
    }
    MEM_GROW(&header->pieces, header->n_pieces);
    header->pieces[header->n_pieces++] = (struct conf_piece){is_name, mem_strndup(text, len)};
}

/* Reads the {name} at text. Returns what is wrong, or NULL and its length. */
static const char *read_name(struct conf_header *header, const char *text, size_t *len)
{
    const char *close = strchr(text, '}');
    if (close == NULL)
        return "this brace is not closed; `{{` is a literal brace";
    struct str name = {text + 1, (size_t)(close - text - 1)};
    if (!conf_params_is_name(name))
        return "between braces is the name of a column or parameter, such as {id}; `{{` is a literal brace";
    add_piece(header, true, name.base, name.len);
    *len = name.len + 2;
    return NULL;
}

const char *conf_headers_read_pieces(struct conf_header *header, const char *value, size_t *at)
{
    for (*at = 0; value[*at] != '\0';) {
        const char *here = value + *at, *problem = NULL;
        size_t len = strcspn(here, "{");
        for (size_t i = 0; i < len && problem == NULL; i++) {
            problem = check_byte(here[i]);
            if (problem != NULL)
                *at += i;
        }
        if (problem == NULL && len > 0) {
            add_piece(header, false, here, len);
        } else if (problem == NULL && here[1] == '{') {
            add_piece(header, false, here, 1);
            len = 2;
        } else if (problem == NULL) {
            problem = read_name(header, here, &len);
        }
        if (problem != NULL)
            return problem;
        *at += len;
    }
    return NULL;
}

static void free_parts(struct conf_header *header)
{
    for (size_t i = 0; i < header->n_pieces; i++)
        free(header->pieces[i].text);
    free(header->pieces);
    free(header->name);
}

static struct conf_header *add(struct conf_header **headers, size_t *n, struct conf_header header)
{
    MEM_GROW(headers, *n);
    (*headers)[*n] = header;
    return &(*headers)[(*n)++];
}

void conf_headers_read(struct conf_files *files, const char *word, const struct conf_yaml *value,
                       struct conf_header **headers, size_t *n)
{
    bool is_answer = strcmp(word, "headers") == 0;
    if (value->kind != CONF_YAML_MAP) {
        conf_files_error(files, value->pos,
                         "%s takes a mapping from names to values, not %s: write `Cache-Control: "
                         "no-store` on the line below, indented, without `-`",
                         word, conf_yaml_what(value));
        return;
    }
    for (size_t i = 0; i < value->n_items; i++) {
        const struct conf_yaml *key = value->items[i].key, *text = value->items[i].value;
        if (!check_name(files, key, *headers, *n, is_answer))
            continue;
        struct conf_header *header =
            add(headers, n, (struct conf_header){.pos = key->pos, .name = mem_strdup(key->value)});
        size_t at = 0;
        const char *problem =
            check_kind(files, header->name, text) ? conf_headers_read_pieces(header, text->value, &at) : NULL;
        if (problem != NULL)
            conf_files_error(files, conf_files_place(files, text->pos, text->value, at), "%s", problem);
    }
}

void conf_headers_inherit(struct conf_header **headers, size_t *n, const struct conf_header *from,
                          size_t n_from)
{
    for (size_t i = 0; i < n_from; i++) {
        if (find(*headers, *n, from[i].name) != NULL)
            continue;
        struct conf_header *copy =
            add(headers, n, (struct conf_header){.pos = from[i].pos, .name = mem_strdup(from[i].name)});
        for (size_t j = 0; j < from[i].n_pieces; j++) {
            const struct conf_piece *piece = &from[i].pieces[j];
            add_piece(copy, piece->is_name, piece->text, strlen(piece->text));
        }
    }
}

const char *conf_headers_first_name(const struct conf_header *header)
{
    for (size_t i = 0; i < header->n_pieces; i++) {
        if (header->pieces[i].is_name)
            return header->pieces[i].text;
    }
    return NULL;
}

char *conf_headers_write(const struct conf_header *header)
{
    char *text = mem_strdup("");
    for (size_t i = 0; i < header->n_pieces; i++) {
        const struct conf_piece *piece = &header->pieces[i];
        char *longer = NULL;
        if (piece->is_name) {
            longer = mem_printf("%s{%s}", text, piece->text);
        } else {
            longer = mem_strdup(text);
            for (const char *at = piece->text; *at != '\0';) {
                size_t len = strcspn(at, "{");
                char *next = mem_printf("%s%.*s%s", longer, (int)len, at, at[len] == '{' ? "{{" : "");
                free(longer);
                longer = next;
                at += len + (at[len] == '{');
            }
        }
        free(text);
        text = longer;
    }
    return text;
}

void conf_headers_free(struct conf_header *headers, size_t n)
{
    for (size_t i = 0; i < n; i++)
        free_parts(&headers[i]);
    free(headers);
}
