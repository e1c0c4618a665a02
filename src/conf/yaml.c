/* yaml.c: YAML text as a tree of nodes that know their place. */
#include "conf/yaml.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/mem.h"

struct reader {
    yaml_parser_t parser;
    yaml_event_t event; /* the current one */
    struct conf_files *files;
    struct conf_pos origin;
    size_t depth;
    bool failed; /* a syntax error: there are no more events */
};

static struct conf_yaml *read_node(struct reader *reader);

static struct conf_pos pos_of(const struct reader *reader, yaml_mark_t mark)
{
    struct conf_pos pos = reader->origin;
    pos.line += (int)mark.line;
    pos.column = (int)mark.column + (mark.line == 0 ? reader->origin.column : 1);
    return pos;
}

static bool names_an_ipv6_address(const char *bracket)
{
    size_t digits = strspn(bracket + 1, "0123456789abcdefABCDEF:.");
    return memchr(bracket + 1, ':', digits) != NULL && bracket[1 + digits] == ']';
}

/*
 * libyaml says what its grammar missed; what the writer meant is often plain to see. The mistake is at byte
 * at of line. Returns a message, or NULL if there is nothing better than libyaml's.
 */
static const char *explain_syntax_error(const char *problem, struct str line, size_t at)
{
    char here = at < line.len ? line.base[at] : '\0';
    char before = at > 0 ? line.base[at - 1] : '\0';
    if (strstr(problem, "tab character") != NULL || (strstr(problem, "any token") != NULL && here == '\t'))
        return "a tab cannot indent YAML; use spaces";
    if (strstr(problem, "cannot start any token") != NULL)
        return "a value that begins with this character needs quotes";
    if ((strstr(problem, "node content") != NULL && before == '[' &&
         names_an_ipv6_address(line.base + at - 1)) ||
        (strstr(problem, "expected key") != NULL && here == ':' && before == ']'))
        return "an IPv6 address needs quotes, or its brackets are taken for a list: write \"[::1]:8080\"";
    if (strstr(problem, "did not find expected ',' or") != NULL && here == '{' && before == '$')
        return "inside { } or [ ] a variable needs quotes: write \"${NAME}\"";
    if (strstr(problem, "',' or '}'") != NULL && here == '{' && before == '/')
        return "inside { } or [ ] a text with braces needs quotes: write \"GET /contacts/{id}\" or "
               "\"/contacts/{id}\"";
    if (strstr(problem, "mapping values are not allowed") != NULL)
        return "this `:` makes no sense here: the indentation fits no key above, or a value that contains `: "
               "` needs quotes";
    if (strstr(problem, "could not find expected ':'") != NULL)
        return "this is neither a key followed by a `:` nor part of the value above";
    if (strstr(problem, "did not find expected key") != NULL && (before == '}' || before == ']'))
        return "a value that begins with a bracket or a brace needs quotes, unless it is a list or a mapping";
    if (strstr(problem, "did not find expected key") != NULL)
        return "this fits no key above: check the indentation, and that nothing follows a closing quote";
    if (strstr(problem, "expected '-' indicator") != NULL)
        return "the list above goes on here: begin the line with `- `, or check the indentation";
    if (strstr(problem, "comment or line break") != NULL)
        return "the text of a block begins on the line below its `|`";
    if (strstr(problem, "alphabetic or numeric") != NULL)
        return "a value that begins with `*` or `&` needs quotes";
    if (strstr(problem, "unknown escape") != NULL)
        return "this is not an escape in double quotes; write \\\\ for a backslash, or use single quotes";
    if (strstr(problem, "invalid Unicode character escape") != NULL)
        return "this is not a character: YAML writes one beyond U+FFFF as itself or as \\UXXXXXXXX, not as a "
               "pair of \\u";
    return NULL;
}

/*
 * Where a `:` is one too many, the line above may have none: YAML took both lines for one key. Moves *pos to
 * that line if its indentation is the same.
 */
static bool blame_line_above(const struct reader *reader, struct conf_pos *pos)
{
    struct str line = conf_files_line(reader->files, pos->file, pos->line);
    struct str above = conf_files_line(reader->files, pos->file, pos->line - 1);
    size_t indent = 0;
    while (indent < line.len && line.base[indent] == ' ')
        indent++;
    if (above.len <= indent || memcmp(above.base, line.base, indent) != 0 ||
        memchr(above.base, ':', above.len) != NULL || strchr(" \t#-[{\"'", above.base[indent]) != NULL)
        return false;
    pos->line--;
    pos->column = (int)indent + 1;
    return true;
}

static void note_syntax_error(struct reader *reader)
{
    const yaml_parser_t *parser = &reader->parser;
    const char *problem = parser->problem == NULL ? "this cannot be read" : parser->problem;
    bool has_context = parser->context != NULL;
    struct conf_pos pos = pos_of(reader, parser->problem_mark);
    struct conf_pos opened = has_context ? pos_of(reader, parser->context_mark) : pos;
    struct str line = conf_files_line(reader->files, pos.file, pos.line);
    size_t at = conf_files_byte_of(line, (size_t)pos.column - 1);

    reader->failed = true;
    conf_files_set_unread(reader->files, pos.file);
    if (has_context && strstr(problem, "could not find expected ':'") != NULL)
        pos = opened;
    if (strstr(problem, "mapping values") != NULL && blame_line_above(reader, &pos))
        problem = "could not find expected ':'";
    if (has_context && strstr(problem, "end of stream") != NULL) {
        conf_files_error(reader->files, opened, "this quote is never closed");
        return;
    }
    const char *explained = explain_syntax_error(problem, line, at);
    if (explained != NULL) {
        conf_files_error(reader->files, pos, "%s", explained);
    } else if (has_context && strstr(problem, "did not find expected ',' or") != NULL) {
        if (line.len == 0)
            conf_files_error(reader->files, opened, "this bracket is never closed");
        else
            conf_files_error(reader->files, pos,
                             "`,` or the bracket that closes the one on line %d, column %d is missing",
                             opened.line, opened.column);
    } else {
        conf_files_error(reader->files, pos, "not YAML: %s%s%s", problem, has_context ? " " : "",
                         has_context ? parser->context : "");
    }
}

static bool next_event(struct reader *reader)
{
    if (reader->failed)
        return false;
    yaml_event_delete(&reader->event);
    if (yaml_parser_parse(&reader->parser, &reader->event))
        return true;
    memset(&reader->event, 0, sizeof(reader->event));
    if (reader->parser.error == YAML_MEMORY_ERROR)
        log_fatalx("out of memory");
    note_syntax_error(reader);
    return false;
}

static struct conf_yaml *new_node(struct reader *reader, enum conf_yaml_kind kind)
{
    struct conf_yaml *node = mem_calloc(1, sizeof(*node));
    node->kind = kind;
    node->pos = pos_of(reader, reader->event.start_mark);
    return node;
}

static void refuse_properties(struct reader *reader, const struct conf_yaml *node, const yaml_char_t *anchor,
                              const yaml_char_t *tag)
{
    if (anchor != NULL)
        conf_files_error(reader->files, node->pos,
                         "anchors (&%s) are not part of the conf; quote a value that begins with `&`",
                         (const char *)anchor);
    if (tag != NULL)
        conf_files_error(reader->files, node->pos,
                         "tags are not part of the conf; quote a value that begins with `!`");
}

/*
 * The column of a comment that follows at pos on its line, or 0. The parser drops comments and says nothing
 * of them; after a text without quotes the writer may have meant a part of that text.
 */
static int comment_after(const struct reader *reader, struct conf_pos pos)
{
    struct str line = conf_files_line(reader->files, pos.file, pos.line);
    size_t at = conf_files_byte_of(line, (size_t)pos.column - 1);
    int column = pos.column;
    while (at < line.len && (line.base[at] == ' ' || line.base[at] == '\t')) {
        at++;
        column++;
    }
    return at < line.len && line.base[at] == '#' ? column : 0;
}

static struct conf_yaml *read_scalar(struct reader *reader)
{
    const yaml_event_t *event = &reader->event;
    struct conf_yaml *node = new_node(reader, CONF_YAML_SCALAR);
    yaml_scalar_style_t style = event->data.scalar.style;
    node->style = style == YAML_PLAIN_SCALAR_STYLE     ? CONF_YAML_PLAIN
                  : style == YAML_LITERAL_SCALAR_STYLE ? CONF_YAML_LITERAL
                  : style == YAML_FOLDED_SCALAR_STYLE  ? CONF_YAML_FOLDED
                                                       : CONF_YAML_QUOTED;
    node->one_line = event->start_mark.line == event->end_mark.line;
    struct conf_pos end = pos_of(reader, event->end_mark);
    node->end_line = end.line;
    node->comment = node->style == CONF_YAML_PLAIN ? comment_after(reader, end) : 0;
    node->value = mem_strndup((const char *)event->data.scalar.value, event->data.scalar.length);
    refuse_properties(reader, node, event->data.scalar.anchor, event->data.scalar.tag);
    if (strlen(node->value) != event->data.scalar.length) {
        conf_files_error(reader->files, node->pos, "a text cannot contain a NUL character (\\0)");
        conf_yaml_free(node);
        return NULL;
    }
    return node;
}

/* Takes over key and value, either of which may be NULL. */
static void append(struct conf_yaml *node, struct conf_yaml *key, struct conf_yaml *value)
{
    MEM_GROW(&node->items, node->n_items);
    node->items[node->n_items++] = (struct conf_yaml_pair){key, value};
}

/* Checks a key and says whether its pair belongs in map. */
static bool accept_key(struct reader *reader, struct conf_yaml *map, const struct conf_yaml *key)
{
    if (key == NULL) {
        map->incomplete = true;
        return false;
    }
    if (key->kind != CONF_YAML_SCALAR || conf_yaml_is_null(key)) {
        conf_files_error(reader->files, key->pos, "a key has to be text, not %s%s", conf_yaml_what(key),
                         key->kind == CONF_YAML_MAP ? "; a value with braces needs quotes" : "");
        map->incomplete = true;
        return false;
    }
    if (key->style == CONF_YAML_PLAIN && strcmp(key->value, "<<") == 0) {
        conf_files_error(reader->files, key->pos,
                         "merge keys (<<) are not part of the conf; write the keys out");
        map->incomplete = true;
        return false;
    }
    for (size_t i = 0; i < map->n_items; i++) {
        const struct conf_yaml *first = map->items[i].key;
        if (strcmp(first->value, key->value) == 0) {
            conf_files_error(reader->files, key->pos,
                             "\"%.*s\" is here for the second time; the first is on line %d",
                             CONF_FILES_QUOTE(key->value), first->pos.line);
            return false;
        }
    }
    return true;
}

/* Leaves out what follows until the list or mapping that begins with the current event has ended. */
static void skip_collection(struct reader *reader)
{
    size_t open = 0;
    do {
        yaml_event_type_t type = reader->event.type;
        if (type == YAML_SEQUENCE_START_EVENT || type == YAML_MAPPING_START_EVENT)
            open++;
        else if (type == YAML_SEQUENCE_END_EVENT || type == YAML_MAPPING_END_EVENT)
            open--;
    } while (open > 0 && next_event(reader));
}

static void read_pair(struct reader *reader, struct conf_yaml *map)
{
    struct conf_yaml *key = read_node(reader);
    bool accepted = !reader->failed && accept_key(reader, map, key);
    struct conf_yaml *value = next_event(reader) ? read_node(reader) : NULL;
    if (value == NULL)
        map->incomplete = true;
    if (accepted && value != NULL) {
        append(map, key, value);
    } else {
        conf_yaml_free(key);
        conf_yaml_free(value);
    }
}

static struct conf_yaml *read_collection(struct reader *reader, enum conf_yaml_kind kind)
{
    struct conf_yaml *node = new_node(reader, kind);
    yaml_event_type_t end = kind == CONF_YAML_LIST ? YAML_SEQUENCE_END_EVENT : YAML_MAPPING_END_EVENT;
    if (kind == CONF_YAML_LIST)
        refuse_properties(reader, node, reader->event.data.sequence_start.anchor,
                          reader->event.data.sequence_start.tag);
    else
        refuse_properties(reader, node, reader->event.data.mapping_start.anchor,
                          reader->event.data.mapping_start.tag);
    if (reader->depth == CONF_YAML_MAX_DEPTH) {
        conf_files_error(reader->files, node->pos, "lists and mappings are nested more than %d deep here",
                         CONF_YAML_MAX_DEPTH);
        skip_collection(reader);
        conf_yaml_free(node);
        return NULL;
    }
    reader->depth++;
    while (next_event(reader) && reader->event.type != end) {
        if (kind == CONF_YAML_MAP) {
            read_pair(reader, node);
            continue;
        }
        struct conf_yaml *item = read_node(reader);
        if (item != NULL)
            append(node, NULL, item);
        else
            node->incomplete = true;
    }
    reader->depth--;
    return node;
}

/* Reads the node whose first event is the current one, up to its last event. Returns NULL where it is a
 * mistake. */
static struct conf_yaml *read_node(struct reader *reader)
{
    switch (reader->event.type) {
    case YAML_SCALAR_EVENT:
        return read_scalar(reader);
    case YAML_SEQUENCE_START_EVENT:
        return read_collection(reader, CONF_YAML_LIST);
    case YAML_MAPPING_START_EVENT:
        return read_collection(reader, CONF_YAML_MAP);
    case YAML_ALIAS_EVENT:
        conf_files_error(reader->files, pos_of(reader, reader->event.start_mark),
                         "aliases (*%s) are not part of the conf; quote a value that begins with `*`",
                         (const char *)reader->event.data.alias.anchor);
        return NULL;
    default:
        return NULL;
    }
}

struct conf_yaml *conf_yaml_read(struct conf_files *files, struct conf_pos origin, struct str text)
{
    struct reader reader = {.files = files, .origin = origin};
    struct conf_yaml *root = NULL;
    if (!yaml_parser_initialize(&reader.parser))
        log_fatalx("out of memory");
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text.base, text.len);

    while (next_event(&reader) && reader.event.type != YAML_STREAM_END_EVENT) {
        struct conf_pos here = pos_of(&reader, reader.event.start_mark);
        if (reader.event.type == YAML_DOCUMENT_START_EVENT) {
            if (root != NULL) {
                conf_files_error(files, here,
                                 "a second document begins here (---); a conf is a single document");
                break;
            }
            if (reader.event.data.document_start.tag_directives.start !=
                reader.event.data.document_start.tag_directives.end)
                conf_files_error(files, here, "tags are not part of the conf; remove the %%TAG line");
        } else if (reader.event.type != YAML_STREAM_START_EVENT &&
                   reader.event.type != YAML_DOCUMENT_END_EVENT) {
            root = read_node(&reader);
            if (root == NULL)
                break;
        }
    }
    yaml_event_delete(&reader.event);
    yaml_parser_delete(&reader.parser);
    if (reader.failed) {
        conf_yaml_free(root);
        root = NULL;
    }
    return root;
}

struct conf_yaml *conf_yaml_read_file(struct conf_files *files, const char *name, struct conf_pos named_at)
{
    const struct conf_file *file = conf_files_read(files, name, true, named_at);
    if (file == NULL)
        return conf_yaml_new_map((struct conf_pos){NULL, 0, 0});
    struct conf_yaml *root =
        conf_yaml_read(files, conf_files_at(file, 0), (struct str){file->text, file->len});
    if (root != NULL && root->kind != CONF_YAML_MAP && !conf_yaml_is_null(root))
        conf_files_error(files, root->pos,
                         "a conf is a mapping of directives, such as `listen: 8080`; this is %s",
                         conf_yaml_what(root));
    if (root == NULL || root->kind != CONF_YAML_MAP) {
        conf_yaml_free(root);
        root = conf_yaml_new_map((struct conf_pos){file->name, 0, 0});
    }
    return root;
}

struct conf_yaml *conf_yaml_new_map(struct conf_pos pos)
{
    struct conf_yaml *map = mem_calloc(1, sizeof(*map));
    map->kind = CONF_YAML_MAP;
    map->pos = pos;
    return map;
}

static struct conf_yaml_pair *find_pair(const struct conf_yaml *map, const char *key)
{
    for (size_t i = 0; i < map->n_items; i++) {
        if (strcmp(map->items[i].key->value, key) == 0)
            return &map->items[i];
    }
    return NULL;
}

void conf_yaml_put(struct conf_yaml *map, struct conf_yaml *key, struct conf_yaml *value)
{
    struct conf_yaml_pair *pair = find_pair(map, key->value);
    if (pair == NULL) {
        append(map, key, value);
        return;
    }
    conf_yaml_free(pair->key);
    conf_yaml_free(pair->value);
    *pair = (struct conf_yaml_pair){key, value};
}

struct conf_yaml *conf_yaml_get(const struct conf_yaml *map, const char *key)
{
    struct conf_yaml_pair *pair = find_pair(map, key);
    return pair == NULL ? NULL : pair->value;
}

bool conf_yaml_is_null(const struct conf_yaml *node)
{
    static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
    if (node->kind != CONF_YAML_SCALAR || node->style != CONF_YAML_PLAIN)
        return false;
    for (size_t i = 0; i < sizeof(nulls) / sizeof(nulls[0]); i++) {
        if (strcmp(node->value, nulls[i]) == 0)
            return true;
    }
    return false;
}

const char *conf_yaml_what(const struct conf_yaml *node)
{
    return node->kind == CONF_YAML_MAP    ? "a mapping"
           : node->kind == CONF_YAML_LIST ? "a list"
           : conf_yaml_is_null(node)      ? "nothing"
                                          : "text";
}

void conf_yaml_free(struct conf_yaml *node)
{
    if (node == NULL)
        return;
    for (size_t i = 0; i < node->n_items; i++) {
        conf_yaml_free(node->items[i].key);
        conf_yaml_free(node->items[i].value);
    }
    free(node->items);
    free(node->value);
    free(node);
}
