/*
 * json.c: JSON documents of the conf, sent as they were written or refused.
 *
 * base/json_read.c says what is JSON and where it is not. json-c, which takes out the white space, sees only
 * what is, and is not asked for its strict mode: in json-c 0.18 this refuses every character that is not
 * ASCII.
 */
#include "conf/json.h"

#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <string.h>

#include "base/json_read.h"
#include "base/mem.h"

#define BLANKS " \t\r\n"

/* The byte after a string that begins here. */
static const char *end_of_string(const char *quote)
{
    const char *at = quote + 1;
    while (*at != '"')
        at += *at == '\\' ? 2 : 1;
    return at + 1;
}

static bool has_more_than_64_bits(const char *number)
{
    errno = 0;
    if (*number == '-')
        (void)strtoimax(number, NULL, 10);
    else
        (void)strtoumax(number, NULL, 10);
    return errno == ERANGE;
}

/* What must not be in a document of the conf although it is JSON: what json-c would change, and {now} in a
 * key. */
static const char *find_problem(const char *text, size_t *at)
{
    const char *p = text;
    while (*p != '\0') {
        size_t digits = strspn(p, "-0123456789"), number = strspn(p, "-+.0123456789eE");
        if (*p == '"') {
            const char *end = end_of_string(p);
            bool is_key = end[strspn(end, BLANKS)] == ':';
            *at = (size_t)(p - text) + 1;
            if (is_key && memmem(p, (size_t)(end - p), "{now}", 5) != NULL)
                return "{now} is filled in only in string values, not in keys";
            p = end;
        } else if (digits > 0) {
            *at = (size_t)(p - text);
            if (digits == number && has_more_than_64_bits(p))
                return "this whole number has more than 64 bits; write it as a string";
            p += number;
        } else {
            p++;
        }
    }
    return NULL;
}

/* What the writer may have meant where the text is not JSON, else the reader's own words. *at is where that
 * is. */
static const char *explain(const char *text, size_t *at, const char *problem)
{
    size_t before = *at;
    while (before > 0 && strchr(BLANKS, text[before - 1]) != NULL)
        before--;
    if (text[strspn(text, BLANKS)] == '\0')
        return "there is no JSON here";
    if (text[*at] == '\0') {
        *at = before; /* what is missing is missing after the last thing written */
        return "the JSON ends here before it is complete";
    }
    char c = text[*at];
    if ((c == ']' || c == '}') && before > 0 && text[before - 1] == ',')
        return "JSON has no comma after the last element; remove it";
    if (c == '#' || (c == '/' && (text[*at + 1] == '/' || text[*at + 1] == '*')))
        return "JSON has no comments";
    if (strcmp(problem, "a key in double quotes is missing here") == 0)
        return "JSON has its keys in double quotes";
    if (c == '\'')
        return "JSON has its strings in double quotes";
    if (strcmp(problem, "this is not a JSON value") == 0)
        return strchr("+.", c) != NULL ? "this is not a number as JSON writes it"
                                       : "JSON has no such value: write null, or a string";
    if (strcmp(problem, "a control character in a string must be escaped") == 0)
        return "a line break, tab or other control character in a string is written as an escape, such as "
               "\\n or \\t";
    if (strncmp(text + *at, "\\u0000", 6) == 0)
        return "a document of the conf cannot contain a NUL character";
    return problem;
}

/* Takes the white space out of a text that is JSON. */
static char *compact(const char *text)
{
    struct json_tokener *tokener = json_tokener_new_ex(JSON_READ_MAX_DEPTH + 1);
    if (tokener == NULL)
        log_fatalx("out of memory");
    /* With the NUL, so that a number at the very end is known to be complete. */
    struct json_object *document = json_tokener_parse_ex(tokener, text, (int)strlen(text) + 1);
    if (json_tokener_get_error(tokener) != json_tokener_success)
        log_fatalx("json-c does not take JSON: %s", json_tokener_error_desc(json_tokener_get_error(tokener)));
    json_tokener_free(tokener);
    char *compact = mem_strdup(
        json_object_to_json_string_ext(document, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(document);
    return compact;
}

char *conf_json_compact(struct conf_files *files, struct conf_pos start, const char *text)
{
    struct json_value root;
    size_t at = 0;
    const char *problem = json_read_check(str_of(text), &root, &at);
    problem = problem == NULL ? find_problem(text, &at) : explain(text, &at, problem);
    if (problem == NULL)
        return compact(text);
    conf_files_error(files, conf_files_place(files, start, text, at), "%s", problem);
    return NULL;
}
