/* json.c: JSON documents of the conf, sent as they were written or refused. */
#include "conf/json.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>

#include "base/hex.h"
#include "base/mem.h"

#define BLANKS " \t\r\n"

/*
 * json-c takes more than JSON and changes some of it. This walks over a text that json-c has accepted (so
 * its nesting is bounded) and finds the first such place.
 */
struct walk {
    const char *at;
    const char *problem; /* NULL while all is well */
    const char *problem_at;
};

static void walk_value(struct walk *walk);

static void fail(struct walk *walk, const char *at, const char *problem)
{
    if (walk->problem == NULL) {
        walk->problem = problem;
        walk->problem_at = at;
    }
}

static char skip_blanks(struct walk *walk)
{
    walk->at += strspn(walk->at, BLANKS);
    return *walk->at;
}

static bool is_surrogate(int code, int first)
{
    return code >= first && code < first + 0x400;
}

static void walk_escape(struct walk *walk, bool is_key)
{
    const char *at = walk->at;
    walk->at += at[1] == '\0' ? 1 : 2;
    if (at[1] != 'u')
        return;
    int code = hex_four(at + 2);
    if (code < 0) {
        fail(walk, at, "four hexadecimal digits must follow \\u");
        return;
    }
    walk->at += 4;
    if (code == 0 && is_key)
        fail(walk, at, "a key cannot contain a NUL character");
    if (is_surrogate(code, 0xDC00)) {
        fail(walk, at, "this is the second half of a surrogate pair without the first");
    } else if (is_surrogate(code, 0xD800)) {
        if (walk->at[0] == '\\' && walk->at[1] == 'u' && is_surrogate(hex_four(walk->at + 2), 0xDC00))
            walk->at += 6;
        else
            fail(walk, at, "this is the first half of a surrogate pair without the second");
    }
}

/* Walks over a string from its first quote on. Returns what stands between the quotes. */
static struct str walk_string(struct walk *walk, bool is_key)
{
    const char *start = ++walk->at;
    while (*walk->at != '"' && *walk->at != '\0') {
        if ((unsigned char)*walk->at < ' ')
            fail(walk, walk->at,
                 "a line break, tab or other control character in a string is written as an escape, "
                 "such as \\n or \\t");
        if (*walk->at == '\\')
            walk_escape(walk, is_key);
        else
            walk->at++;
    }
    struct str text = {start, (size_t)(walk->at - start)};
    walk->at += *walk->at == '"';
    if (is_key && memmem(text.base, text.len, "{now}", 5) != NULL)
        fail(walk, start, "{now} is filled in only in string values, not in keys");
    return text;
}

static size_t walk_digits(struct walk *walk)
{
    size_t n = strspn(walk->at, "0123456789");
    walk->at += n;
    return n;
}

static void walk_number(struct walk *walk)
{
    const char *start = walk->at;
    bool whole = true, sound;
    walk->at += *start == '-';
    const char *first = walk->at;
    size_t digits = walk_digits(walk);
    sound = digits > 0 && (*first != '0' || digits == 1);
    if (*walk->at == '.') {
        walk->at++;
        whole = false;
        sound = walk_digits(walk) > 0 && sound;
    }
    if (*walk->at == 'e' || *walk->at == 'E') {
        walk->at++;
        walk->at += *walk->at == '+' || *walk->at == '-';
        whole = false;
        sound = walk_digits(walk) > 0 && sound;
    }
    if (!sound) {
        fail(walk, start, "this is not a number as JSON writes it");
    } else if (whole) {
        errno = 0;
        if (*start == '-')
            (void)strtoimax(start, NULL, 10);
        else
            (void)strtoumax(start, NULL, 10);
        if (errno == ERANGE)
            fail(walk, start, "this whole number has more than 64 bits; write it as a string");
    }
}

/* Between the elements of a list or object that ends with end. */
static void skip_comma(struct walk *walk, char end)
{
    if (skip_blanks(walk) == ',')
        walk->at++;
    else if (*walk->at != end)
        fail(walk, walk->at, "elements are separated by `,`");
}

static void walk_array(struct walk *walk)
{
    walk->at++;
    while (walk->problem == NULL && skip_blanks(walk) != ']') {
        walk_value(walk);
        skip_comma(walk, ']');
    }
    walk->at++;
}

static void walk_object(struct walk *walk)
{
    struct json_object *seen = json_object_new_object();
    walk->at++;
    while (walk->problem == NULL && skip_blanks(walk) != '}') {
        const char *key_at = walk->at;
        if (*key_at != '"') {
            fail(walk, key_at, "JSON has its keys in double quotes");
            break;
        }
        struct str key = walk_string(walk, true);
        char *copy = mem_strndup(key.base, key.len);
        if (json_object_object_get_ex(seen, copy, NULL))
            fail(walk, key_at, "this key stands in the object for the second time");
        json_object_object_add(seen, copy, NULL);
        free(copy);
        if (skip_blanks(walk) == ':')
            walk->at++;
        else
            fail(walk, walk->at, "a `:` stands behind a key");
        walk_value(walk);
        skip_comma(walk, '}');
    }
    walk->at++;
    json_object_put(seen);
}

static void walk_word(struct walk *walk)
{
    static const char *const words[] = {"true", "false", "null"};
    for (size_t i = 0; i < 3; i++) {
        if (strncmp(walk->at, words[i], strlen(words[i])) == 0) {
            walk->at += strlen(words[i]);
            return;
        }
    }
    fail(walk, walk->at, "JSON has no such value: write null, or a string");
}

static void walk_value(struct walk *walk)
{
    char c = skip_blanks(walk);
    if (walk->problem != NULL)
        return; /* what follows need not be JSON */
    if (c == '{')
        walk_object(walk);
    else if (c == '[')
        walk_array(walk);
    else if (c == '"')
        walk_string(walk, false);
    else if (c == '-' || (c >= '0' && c <= '9'))
        walk_number(walk);
    else
        walk_word(walk);
}

/* What the writer may have meant where json-c gave up, or json-c's words. */
static const char *explain(const char *text, size_t at, enum json_tokener_error error)
{
    size_t before = at;
    while (before > 0 && strchr(BLANKS, text[before - 1]) != NULL)
        before--;
    if (text[strspn(text, BLANKS)] == '\0')
        return "there is no JSON here";
    if (text[at + strspn(text + at, BLANKS)] == '\0')
        return "the JSON ends here before it is complete";
    if ((text[at] == ']' || text[at] == '}') && before > 0 && text[before - 1] == ',')
        return "JSON has no comma after the last element; remove it";
    if (error == json_tokener_error_parse_object_key_name)
        return "JSON has its keys in double quotes";
    if (text[at] == '\'')
        return "JSON has its strings in double quotes";
    if (text[at] == '#' || (text[at] == '/' && (text[at + 1] == '/' || text[at + 1] == '*')))
        return "JSON has no comments";
    return json_tokener_error_desc(error);
}

char *conf_json_compact(struct conf_files *files, struct conf_pos start, const char *text)
{
    struct json_tokener *tokener = json_tokener_new();
    if (tokener == NULL)
        log_fatalx("out of memory");
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT);
    /* With the NUL, so that a number at the very end is known to be complete. */
    size_t len = strlen(text);
    struct json_object *document = json_tokener_parse_ex(tokener, text, (int)len + 1);
    enum json_tokener_error error = json_tokener_get_error(tokener);
    size_t end = json_tokener_get_parse_end(tokener);
    json_tokener_free(tokener);

    char *compact = NULL;
    struct walk walk = {.at = text};
    if (error != json_tokener_success) {
        if (error == json_tokener_error_parse_eof || end > len)
            end = len;
        while (end > 0 && text[end + strspn(text + end, BLANKS)] == '\0' &&
               strchr(BLANKS, text[end - 1]) != NULL)
            end--; /* what is missing is missing after the last thing written */
        walk.problem = explain(text, end, error);
        walk.problem_at = text + end;
    } else {
        walk_value(&walk);
        if (skip_blanks(&walk) != '\0')
            fail(&walk, walk.at, "the JSON ends before this");
    }
    if (walk.problem != NULL) {
        struct conf_pos pos = conf_files_place(files, start, text, (size_t)(walk.problem_at - text));
        conf_files_error(files, pos, "%s", walk.problem);
    } else {
        compact = mem_strdup(json_object_to_json_string_ext(document, JSON_C_TO_STRING_PLAIN |
                                                                          JSON_C_TO_STRING_NOSLASHESCAPE));
    }
    json_object_put(document);
    return compact;
}
