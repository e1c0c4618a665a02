/* env.c: variables of the environment in the conf's one-line values. */
#include "conf/env.h"

#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/utf8.h"

#define LETTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
#define BLANKS  " \t"

struct conf_env {
    struct variable {
        char *name;
        char *value;
    } * variables; /* of the file; of two with one name the later counts */
    size_t n;
};

/* How many bytes at text are a variable's name. */
static size_t name_length(const char *text)
{
    return strspn(text, LETTERS) == 0 ? 0 : strspn(text, LETTERS "0123456789");
}

/* The file */

/*
 * Reads a value of the file up to the end of its line: as it stands without the blanks around it, or in
 * quotes, where a backslash in double ones takes the character after it as it is. Returns NULL where a quote
 * stays open or something follows it. The caller frees the value.
 */
static char *file_value(const char *at, const char *end)
{
    while (end > at && strchr(BLANKS "\r", end[-1]) != NULL)
        end--;
    char quote = at < end ? *at : '\0';
    if (quote != '"' && quote != '\'')
        return mem_strndup(at, (size_t)(end - at));
    char *value = mem_alloc((size_t)(end - at)), *out = value;
    for (at++; at < end && *at != quote; at++) {
        if (*at == '\\' && quote == '"' && at + 1 < end)
            at++;
        *out++ = *at;
    }
    *out = '\0';
    if (at + 1 == end)
        return value;
    free(value);
    return NULL;
}

static void read_line(struct conf_env *env, struct conf_files *files, const struct conf_file *file,
                      const char *line, const char *end)
{
    const char *name = line + strspn(line, BLANKS), *sign = name + name_length(name);
    struct conf_pos pos = conf_files_at(file, (size_t)(name - file->text));
    if (name >= end || *name == '#' || *name == ';' || *name == '\r')
        return;
    if (sign == name || *sign != '=') {
        conf_files_error(files, pos, "a line of an env_file is NAME=VALUE, or a comment with a # before it");
        return;
    }
    const char *from = sign + 1 + strspn(sign + 1, BLANKS);
    char *value = file_value(from < end ? from : end, end);
    if (value == NULL) {
        conf_files_error(files, conf_files_at(file, (size_t)(from - file->text)),
                         "this quote has to be closed at the end of its line");
        return;
    }
    MEM_GROW(&env->variables, env->n);
    env->variables[env->n++] = (struct variable){mem_strndup(name, (size_t)(sign - name)), value};
}

static void read_file(struct conf_env *env, struct conf_files *files, const struct conf_yaml *named)
{
    if (named->kind != CONF_YAML_SCALAR || conf_yaml_is_null(named) || named->value[0] == '\0')
        return; /* the directive's own check says so */
    char *path = conf_files_resolve(named->pos.file, named->value);
    const struct conf_file *file = conf_files_read_secret(files, path, named->pos);
    for (size_t at = 0; file != NULL && at < file->len;) {
        const char *line = file->text + at, *end = memchr(line, '\n', file->len - at);
        if (end == NULL)
            end = file->text + file->len;
        read_line(env, files, file, line, end);
        at = (size_t)(end - file->text) + 1;
    }
    free(path);
}

/* The value of a variable; NULL where it is not set. */
static const char *look_up(const struct conf_env *env, const char *name)
{
    const char *value = getenv(name);
    for (size_t i = env->n; value == NULL && i-- > 0;) {
        if (strcmp(env->variables[i].name, name) == 0)
            value = env->variables[i].value;
    }
    return value;
}

/* Expansion */

struct expansion {
    struct conf_files *files;
    const struct conf_env *env;
    bool braces;    /* names in braces are read in these values later: a variable's own braces are doubled */
    bool free_text; /* a `$` without a brace is taken as it is */
};

/* Returns the value of a variable of that name, with its default if has_default, or NULL after noting a
 * mistake. */
static char *value_of(const struct expansion *expansion, struct conf_pos pos, const char *name,
                      const char *default_text)
{
    const char *value = look_up(expansion->env, name);
    if (value != NULL && !utf8_is_valid(str_of(value))) {
        conf_files_error(expansion->files, pos, "the variable %s contains a byte that is not UTF-8", name);
        return NULL;
    }
    if (value != NULL && (value[0] != '\0' || default_text == NULL))
        return mem_strdup(value);
    if (default_text == NULL)
        conf_files_error(expansion->files, pos,
                         "the variable %s is not set: set it in the environment of hayfork or in env_file, "
                         "or write ${%s:-default}",
                         name, name);
    return default_text == NULL ? NULL : mem_strdup(default_text);
}

/*
 * The variable that begins with the ${ at offset of the node's value. Sets where it ends. Returns its value,
 * which the caller frees, or NULL after noting a mistake.
 */
static char *variable_at(const struct expansion *expansion, const struct conf_yaml *node, size_t offset,
                         size_t *end)
{
    struct conf_pos pos = conf_files_place(expansion->files, node->pos, node->value, offset);
    const char *name = node->value + offset + 2, *after = name + name_length(name);
    const char *brace = strchr(after, '}');
    bool has_default = strncmp(after, ":-", 2) == 0;
    if (after == name || brace == NULL || (!has_default && brace != after)) {
        conf_files_error(
            expansion->files, pos,
            "this is not a variable: write ${NAME} or ${NAME:-default}, or $${ for a literal ${");
        return NULL;
    }
    *end = (size_t)(brace + 1 - node->value);
    char *text = mem_strndup(name, (size_t)(after - name));
    char *default_text = has_default ? mem_strndup(after + 2, (size_t)(brace - after - 2)) : NULL;
    char *value = value_of(expansion, pos, text, default_text);
    free(text);
    free(default_text);
    return value;
}

static char *append(char *text, const char *more, size_t len)
{
    char *longer = mem_printf("%s%.*s", text, (int)len, more);
    free(text);
    return longer;
}

static char *append_value(const struct expansion *expansion, char *text, const char *value)
{
    while (expansion->braces && value[strcspn(value, "{")] != '\0') {
        size_t len = strcspn(value, "{");
        text = append(append(text, value, len), "{{", 2);
        value += len + 1;
    }
    return append(text, value, strlen(value));
}

enum expanded { EXPANDED, EXPANDED_ALONE /* it was nothing but one variable */, EXPANDED_NOT };

/* Puts variables into a value. EXPANDED_NOT: a mistake was noted. */
static enum expanded expand_scalar(const struct expansion *expansion, struct conf_yaml *node)
{
    size_t at = 0, whole = strlen(node->value);
    bool alone = false;
    char *text = mem_strdup("");
    while (at < whole) {
        const char *dollar = strchr(node->value + at, '$');
        size_t plain = dollar == NULL ? whole - at : (size_t)(dollar - node->value) - at;
        text = append(text, node->value + at, plain);
        at += plain;
        if (strncmp(node->value + at, "$${", 3) == 0) {
            text = append(text, "${", 2);
            at += 3;
        } else if (strncmp(node->value + at, "${", 2) == 0) {
            size_t end;
            char *value = variable_at(expansion, node, at, &end);
            if (value == NULL) {
                free(text);
                return EXPANDED_NOT;
            }
            alone = at == 0 && end == whole;
            text = append_value(expansion, text, value);
            free(value);
            at = end;
        } else if (at < whole) {
            text = append(text, "$", 1);
            at++;
        }
    }
    free(node->value);
    node->value = text;
    node->style = CONF_YAML_QUOTED; /* a text, whatever it looks like now */
    node->expanded = true;
    conf_files_forget_columns(expansion->files, node->pos);
    return alone ? EXPANDED_ALONE : EXPANDED;
}

static struct conf_yaml *new_item(const struct conf_yaml *like, const char *word, size_t len)
{
    struct conf_yaml *item = mem_calloc(1, sizeof(*item));
    *item = (struct conf_yaml){
        .kind = CONF_YAML_SCALAR, .pos = like->pos, .style = CONF_YAML_QUOTED, .one_line = true};
    item->value = mem_strndup(word, len);
    return item;
}

/* Puts the words of the item at index in its place. Returns how many there are. */
static size_t split_item(struct conf_yaml *list, size_t index)
{
    struct conf_yaml *whole = list->items[index].value;
    struct conf_yaml_pair *items = list->items;
    size_t n = list->n_items, words = 0;
    list->items = NULL;
    list->n_items = 0;
    for (size_t i = 0; i < n; i++) {
        if (i != index) {
            MEM_GROW(&list->items, list->n_items);
            list->items[list->n_items++] = items[i];
            continue;
        }
        for (const char *at = whole->value; *(at += strspn(at, BLANKS)) != '\0';) {
            size_t len = strcspn(at, BLANKS);
            MEM_GROW(&list->items, list->n_items);
            list->items[list->n_items++] = (struct conf_yaml_pair){NULL, new_item(whole, at, len)};
            at += len;
            words++;
        }
    }
    conf_yaml_free(whole);
    free(items);
    return words;
}

static bool is_expanded(const struct conf_yaml *node)
{
    return node->kind == CONF_YAML_SCALAR && node->one_line && !node->expanded &&
           strstr(node->value, "${") != NULL;
}

/* Is a value below this key a text of its own, in which ${ means nothing or something else? */
static bool is_own_text(const struct conf_yaml *key)
{
    return strcmp(key->value, "sql") == 0 || strcmp(key->value, "json") == 0 ||
           strcmp(key->value, "text") == 0;
}

/* What has a mistake is taken out, so that nothing else is said of it. */
static void remove_item(struct conf_yaml *node, size_t index)
{
    conf_yaml_free(node->items[index].key);
    conf_yaml_free(node->items[index].value);
    memmove(&node->items[index], &node->items[index + 1], (--node->n_items - index) * sizeof(*node->items));
    node->incomplete = true;
}

/* Is a value below this key a text in which `$NAME` may be meant as it stands? */
static bool is_free_text(const struct conf_yaml *key)
{
    static const char *const free_texts[] = {"headers", "send", "query", "body", "server"};
    bool found = false;
    for (size_t i = 0; i < sizeof(free_texts) / sizeof(free_texts[0]); i++)
        found |= strcmp(key->value, free_texts[i]) == 0;
    return found;
}

/* Is a value a variable as shells have it, or a path that begins with one? */
static bool is_bare(const struct conf_yaml *value)
{
    const char *text = value->kind == CONF_YAML_SCALAR && value->one_line ? value->value : "";
    size_t len = text[0] == '$' ? name_length(text + 1) : 0;
    return len > 0 && (text[1 + len] == '\0' || text[1 + len] == '/');
}

static bool refuse_bare(const struct expansion *expansion, const struct conf_yaml *value)
{
    if (expansion->free_text || !is_bare(value))
        return false;
    const char *name = value->value + 1;
    conf_files_error(expansion->files, conf_files_place(expansion->files, value->pos, value->value, 0),
                     "a variable needs braces: write ${%.*s}%s", (int)name_length(name), name,
                     name + name_length(name));
    return true;
}

static bool refuse_key(struct conf_files *files, const struct conf_yaml *key)
{
    const char *found = strstr(key->value, "${");
    if (found == NULL || name_length(found + 2) == 0)
        return false;
    conf_files_error(files, conf_files_place(files, key->pos, key->value, (size_t)(found - key->value)),
                     "a variable can be in a value, but not in a key");
    return true;
}

static void expand(const struct expansion *expansion, struct conf_yaml *node);

/* Expands one value of a list or mapping. Returns the index of the next one. */
static size_t expand_item(const struct expansion *outer, struct conf_yaml *node, size_t i)
{
    struct conf_yaml *key = node->items[i].key, *value = node->items[i].value;
    struct expansion expansion = *outer;
    enum expanded expanded = EXPANDED;
    if (key != NULL && (strcmp(key->value, "headers") == 0 || strcmp(key->value, "send") == 0))
        expansion.braces = true;
    if (key != NULL && is_free_text(key))
        expansion.free_text = true;
    if (key != NULL && refuse_key(expansion.files, key))
        expanded = EXPANDED_NOT;
    else if (key != NULL && is_own_text(key))
        return i + 1;
    else if (refuse_bare(&expansion, value))
        expanded = EXPANDED_NOT;
    else if (is_expanded(value))
        expanded = expand_scalar(&expansion, value);
    else if (value->kind != CONF_YAML_SCALAR)
        expand(&expansion, value);
    if (expanded == EXPANDED_NOT) {
        remove_item(node, i);
        return i;
    }
    if (node->kind == CONF_YAML_LIST && expanded == EXPANDED_ALONE)
        return i + split_item(node, i);
    return i + 1;
}

static void expand(const struct expansion *expansion, struct conf_yaml *node)
{
    for (size_t i = 0; i < node->n_items;)
        i = expand_item(expansion, node, i);
}

void conf_env_expand(struct conf_files *files, const struct conf_env *env, struct conf_yaml *root)
{
    expand(&(struct expansion){.files = files, .env = env}, root);
}

struct conf_env *conf_env_new(struct conf_files *files, const struct conf_yaml *root)
{
    struct conf_env *env = mem_calloc(1, sizeof(*env));
    struct conf_yaml *named = conf_yaml_get(root, "env_file");
    if (named != NULL && is_expanded(named))
        expand_scalar(&(struct expansion){.files = files, .env = env},
                      named);             /* by the process's own, which is all that there is yet */
    if (named != NULL && !is_bare(named)) /* which is refused together with all others */
        read_file(env, files, named);
    return env;
}

void conf_env_free(struct conf_env *env)
{
    if (env == NULL)
        return;
    for (size_t i = 0; i < env->n; i++) {
        free(env->variables[i].name);
        free(env->variables[i].value);
    }
    free(env->variables);
    free(env);
}

char *conf_env_escape(const char *value)
{
    char *text = mem_alloc(strlen(value) * 2 + 1), *out = text;
    for (; *value != '\0'; value++) {
        if (strncmp(value, "${", 2) == 0)
            *out++ = '$';
        *out++ = *value;
    }
    *out = '\0';
    return text;
}
