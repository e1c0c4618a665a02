/* document.c: files of a model's folder, which another program has written. */
#include "inference/document.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/mem.h"

enum { MOST_BYTES = 64 << 20 }; /* of a file: those of the largest vocabularies have some 20 MB */

char *document_error(const struct document *document, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    char *what = mem_vprintf(format, args);
    va_end(args);
    char *error = mem_printf("%s: %s", document->path, what);
    free(what);
    return error;
}

/* Returns false with errno set. */
static bool read_all(struct document *document, int fd, size_t size)
{
    document->text = mem_alloc(size + 1);
    while (document->len < size) {
        ssize_t n = read(fd, document->text + document->len, size - document->len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        if (n == 0)
            break;
        document->len += (size_t)n;
    }
    document->text[document->len] = '\0';
    return true;
}

char *document_load(struct document *document, const char *folder, const char *name)
{
    struct stat about;
    document->path = mem_printf("%s/%s", folder, name);
    int fd = open(document->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return document_error(document, "%s", strerror(errno));
    char *error = NULL;
    if (fstat(fd, &about) != 0)
        error = document_error(document, "%s", strerror(errno));
    else if (!S_ISREG(about.st_mode))
        error = document_error(document, "this is not a file");
    else if (about.st_size > MOST_BYTES)
        error = document_error(document, "the file has more than %d MB", MOST_BYTES >> 20);
    else if (!read_all(document, fd, (size_t)about.st_size))
        error = document_error(document, "%s", strerror(errno));
    close(fd);
    return error;
}

static char *parse(struct document *document)
{
    size_t at;
    const char *why = json_read_check((struct str){document->text, document->len}, &document->root, &at);
    if (why != NULL) {
        unsigned line = 1;
        for (size_t i = 0; i < at; i++)
            line += document->text[i] == '\n';
        return document_error(document, "line %u: %s", line, why);
    }
    if (document->root.kind != JSON_OBJECT)
        return document_error(document, "this is not a JSON object");
    return NULL;
}

char *document_read(struct document *document, const char *folder, const char *name)
{
    char *error = document_load(document, folder, name);
    return error != NULL ? error : parse(document);
}

char *document_take(struct document *document, const char *path, struct str text)
{
    document->path = mem_strdup(path);
    document->text = mem_strndup(text.base, text.len);
    document->len = text.len;
    return parse(document);
}

void document_free(struct document *document)
{
    free(document->path);
    free(document->text);
    *document = (struct document){0};
}

bool document_is_there(const char *folder, const char *name)
{
    char *path = mem_printf("%s/%s", folder, name);
    bool is_there = access(path, F_OK) == 0;
    free(path);
    return is_there;
}

char *document_string(struct str quoted, size_t *len)
{
    char *text = mem_alloc(quoted.len + 1);
    *len = json_unescape(quoted, text);
    text[*len] = '\0';
    return text;
}

bool document_is(const struct json_value *value, const char *text)
{
    if (value->kind != JSON_STRING)
        return false;
    size_t len;
    char *mine = document_string(value->text, &len);
    bool is = str_equal((struct str){mine, len}, str_of(text));
    free(mine);
    return is;
}

bool document_find(const struct json_value *object, const char *key, struct json_value *member)
{
    if (object->kind != JSON_OBJECT)
        return false;
    struct json_iterator iterator = json_members(*object);
    struct str name;
    while (json_next(&iterator, &name, member)) {
        struct json_value as_string = {.kind = JSON_STRING, .text = name};
        if (document_is(&as_string, key))
            return member->kind != JSON_NULL;
    }
    return false;
}

char *document_text(const struct json_value *object, const char *key)
{
    struct json_value member;
    size_t len;
    if (!document_find(object, key, &member) || member.kind != JSON_STRING)
        return NULL;
    return document_string(member.text, &len);
}

bool document_bool(const struct json_value *object, const char *key, bool missing)
{
    struct json_value member;
    if (!document_find(object, key, &member) || (member.kind != JSON_TRUE && member.kind != JSON_FALSE))
        return missing;
    return member.kind == JSON_TRUE;
}

bool document_number(const struct json_value *value, uint32_t most, uint32_t *number)
{
    if (value->kind != JSON_NUMBER)
        return false;
    char *text = mem_strndup(value->text.base, value->text.len);
    double read = strtod(text, NULL);
    free(text);
    if (read < 0 || (read < most && read != (uint32_t)read))
        return false;
    *number = read < most ? (uint32_t)read : most;
    return true;
}
