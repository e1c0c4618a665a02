/* files.c: the files a conf was read from, and the mistakes found in them. */
#include "conf/files.h"

#include <errno.h>
#include <glob.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/pack.h"
#include "base/utf8.h"
#include "conf/secret.h"

struct mistake {
    struct conf_pos pos;
    size_t file;  /* index of pos.file */
    size_t order; /* of noting, so that sorting keeps it for equal places */
    bool is_warning;
    bool is_printed;
    char *message;
    char *help; /* lines to go below the source line, or NULL */
};

/* Lines, or columns of one, that hold a secret. */
struct hidden {
    const char *file;
    int line, column; /* of the first character */
    int end_column;   /* of the last one; 0: to the end of the line, and */
    int end_line;     /* with all lines up to this one */
};

struct conf_files {
    struct conf_file **files;
    size_t n_files;
    struct mistake *mistakes;
    size_t n_mistakes;
    size_t n_errors;          /* of them: the others are warnings */
    struct conf_pos *changed; /* where values begin that are not what the file says */
    size_t n_changed;
    struct hidden *hidden;
    size_t n_hidden;
    struct found *found; /* what patterns have found */
    size_t n_found;
    bool from_snapshot;  /* texts and finds are those of snapshot, and no file is opened */
    struct str snapshot; /* borrowed */
};

/* The names of the files that fit a pattern. */
struct found {
    char *pattern;
    char **names;
    size_t n_names;
};

/* A source line is shown up to this many characters; of a longer one, the part around the mistake. */
enum { SHOWN_CHARACTERS = 100, SHOWN_BEFORE = 60, QUOTED_BYTES = 60 };

struct conf_files *conf_files_new(void)
{
    return mem_calloc(1, sizeof(struct conf_files));
}

struct conf_files *conf_files_new_from(struct str snapshot)
{
    struct conf_files *files = conf_files_new();
    files->from_snapshot = true;
    files->snapshot = snapshot;
    return files;
}

bool conf_files_are_of_snapshot(const struct conf_files *files)
{
    return files->from_snapshot;
}

void conf_files_free(struct conf_files *files)
{
    for (size_t i = 0; i < files->n_files; i++) {
        free(files->files[i]->name);
        free(files->files[i]->text);
        free(files->files[i]);
    }
    for (size_t i = 0; i < files->n_mistakes; i++) {
        free(files->mistakes[i].message);
        free(files->mistakes[i].help);
    }
    free(files->files);
    free(files->mistakes);
    for (size_t i = 0; i < files->n_found; i++) {
        for (size_t j = 0; j < files->found[i].n_names; j++)
            free(files->found[i].names[j]);
        free(files->found[i].names);
        free(files->found[i].pattern);
    }
    free(files->found);
    free(files->changed);
    free(files->hidden);
    free(files);
}

static bool is_continuation(char c)
{
    return ((unsigned char)c & 0xC0) == 0x80;
}

/* Reads one character of UTF-8 into *code. Returns its length in bytes, or 0 if it is not one. */
static size_t decode(struct str text, uint32_t *code)
{
    size_t len = utf8_character(text);
    unsigned char lead = len == 0 ? 0 : (unsigned char)text.base[0];
    *code = len <= 1 ? lead : lead & (0x7Fu >> len);
    for (size_t i = 1; i < len; i++)
        *code = *code << 6 | ((unsigned char)text.base[i] & 0x3F);
    return len;
}

/* What is wrong with a character of a YAML file, or NULL. next is the byte after it, or 0. */
static const char *check_yaml_character(uint32_t code, char next)
{
    if (code == '\r' && next != '\n')
        return "a carriage return that ends no line; end lines with a line feed";
    if (code == 0x85 || code == 0x2028 || code == 0x2029)
        return "an invisible character that YAML takes for a line break (U+0085, U+2028 or U+2029); remove "
               "it, or write it as \"\\N\", \"\\L\" or \"\\P\" in double quotes";
    if (code == 0xFEFF)
        return "a byte order mark in the middle of the file; remove it";
    if ((code < ' ' && code != '\t' && code != '\n' && code != '\r') || (code >= 0x7F && code <= 0x9F) ||
        code == 0xFFFE || code == 0xFFFF)
        return "a control character; in double quotes it can be written as \"\\xNN\"";
    return NULL;
}

static bool check_text(struct conf_files *files, const struct conf_file *file)
{
    for (size_t at = 0, len; at < file->len; at += len) {
        uint32_t code = 0;
        struct conf_pos pos;
        len = decode((struct str){file->text + at, file->len - at}, &code);
        if (len == 0) {
            pos = conf_files_at(file, at);
            conf_files_error(files, pos, "byte 0x%02X is not UTF-8 here; save the file as UTF-8",
                             (unsigned char)file->text[at]);
            return false;
        }
        const char *problem = code == 0    ? "a NUL byte; this is not a text file"
                              : file->yaml ? check_yaml_character(code, file->text[at + len])
                                           : NULL;
        if (problem != NULL) {
            pos = conf_files_at(file, at);
            conf_files_error(files, pos, "%s", problem);
            return false;
        }
    }
    return true;
}

static struct conf_file *new_file(struct conf_files *files, const char *name, bool yaml)
{
    struct conf_file *file = mem_calloc(1, sizeof(*file));
    file->name = mem_strdup(name);
    file->text = mem_strdup("");
    file->yaml = yaml;
    MEM_GROW(&files->files, files->n_files);
    files->files[files->n_files++] = file;
    return file;
}

/* Reads all of a stream into file. Returns NULL, or what went wrong. */
static const char *read_text(FILE *in, struct conf_file *file)
{
    size_t room = 4096, got;
    file->text = mem_realloc(file->text, room + 1);
    while ((got = fread(file->text + file->len, 1, room - file->len, in)) > 0) {
        file->len += got;
        if (file->len > CONF_FILES_MAX_SIZE)
            return "it is larger than 16 MiB";
        if (file->len == room)
            file->text = mem_realloc(file->text, (room *= 2) + 1);
    }
    file->text[file->len] = '\0';
    if (ferror(in))
        return strerror(errno);
    if (file->len >= 2 && (memcmp(file->text, "\xFF\xFE", 2) == 0 || memcmp(file->text, "\xFE\xFF", 2) == 0))
        return "it is UTF-16; save it as UTF-8";
    if (file->len >= 3 && memcmp(file->text, "\xEF\xBB\xBF", 3) == 0) {
        file->len -= 3;
        memmove(file->text, file->text + 3, file->len + 1);
    }
    return NULL;
}

/*
 * A snapshot: how many files, then of each its name and its text; how many patterns, then of each the
 * pattern, how many names it found, and these.
 */
void conf_files_pack(const struct conf_files *files, struct pack *out)
{
    size_t n = 0;
    for (size_t i = 0; i < files->n_files; i++)
        n += !files->files[i]->added;
    pack_number(out, n);
    for (size_t i = 0; i < files->n_files; i++) {
        const struct conf_file *file = files->files[i];
        if (file->added)
            continue;
        pack_text(out, str_of(file->name));
        pack_text(out, (struct str){file->text, file->len});
    }
    pack_number(out, files->n_found);
    for (size_t i = 0; i < files->n_found; i++) {
        pack_text(out, str_of(files->found[i].pattern));
        pack_number(out, files->found[i].n_names);
        for (size_t j = 0; j < files->found[i].n_names; j++)
            pack_text(out, str_of(files->found[i].names[j]));
    }
}

/* Takes a file's text out of the snapshot. Returns NULL, or what went wrong. */
static const char *take_text(const struct conf_files *files, struct conf_file *file)
{
    struct unpack in = {files->snapshot, false};
    for (size_t n = unpack_count(&in, 2 * sizeof(uint64_t)); n > 0; n--) {
        struct str name = unpack_text(&in), text = unpack_text(&in);
        if (in.failed || !str_equal(name, str_of(file->name)))
            continue;
        free(file->text);
        file->text = mem_strndup(text.base, text.len);
        file->len = strlen(file->text);
        return NULL;
    }
    return "it is not in the snapshot of the conf";
}

/* Reads the file of that name into file, which is new. */
static const struct conf_file *read_file(struct conf_files *files, struct conf_file *file,
                                         struct conf_pos named_at)
{
    const char *name = file->name;
    FILE *in = files->from_snapshot ? NULL : fopen(name, "re");
    const char *problem = files->from_snapshot ? take_text(files, file)
                          : in == NULL         ? strerror(errno)
                                               : read_text(in, file);
    if (problem != NULL) {
        struct conf_pos whole = {file->name, 0, 0};
        conf_files_error(files, named_at.file == NULL ? whole : named_at, "cannot read %s: %s", name,
                         problem);
        file->len = 0;
        file->text[0] = '\0';
    }
    if (in != NULL)
        fclose(in);
    return problem == NULL && check_text(files, file) ? file : NULL;
}

const struct conf_file *conf_files_read(struct conf_files *files, const char *name, bool yaml,
                                        struct conf_pos named_at)
{
    return read_file(files, new_file(files, name, yaml), named_at);
}

const struct conf_file *conf_files_read_secret(struct conf_files *files, const char *name,
                                               struct conf_pos named_at)
{
    struct conf_file *file = new_file(files, name, false);
    file->secret = true;
    return read_file(files, file, named_at);
}

const struct conf_file *conf_files_add(struct conf_files *files, const char *name, char *text)
{
    struct conf_file *file = new_file(files, name, true);
    free(file->text);
    file->added = true;
    file->text = text;
    file->len = strlen(text);
    return check_text(files, file) ? file : NULL;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* What glob asks when it cannot read a folder: is that the end? A folder that is not there has no files. */
static int is_grave(const char *folder, int error)
{
    (void)folder;
    return error != ENOENT && error != ENOTDIR;
}

static void add_name(struct found *found, struct str name)
{
    MEM_GROW(&found->names, found->n_names);
    found->names[found->n_names++] = mem_strndup(name.base, name.len);
}

/* Takes what the pattern has found out of the snapshot. */
static void take_found(const struct conf_files *files, struct found *found)
{
    struct unpack in = {files->snapshot, false};
    for (size_t n = unpack_count(&in, 2 * sizeof(uint64_t)); n > 0; n--) {
        unpack_text(&in);
        unpack_text(&in);
    }
    for (size_t n = unpack_count(&in, 2 * sizeof(uint64_t)); n > 0; n--) {
        bool same = str_equal(unpack_text(&in), str_of(found->pattern));
        for (size_t names = unpack_count(&in, sizeof(uint64_t)); names > 0; names--) {
            struct str name = unpack_text(&in);
            if (same)
                add_name(found, name);
        }
        if (same)
            return;
    }
}

/* Returns 0, or an errno. */
static int look_for(struct found *found)
{
    glob_t got = {0};
    int result = glob(found->pattern, GLOB_NOSORT, is_grave, &got), error = errno;
    for (size_t i = 0; result == 0 && i < got.gl_pathc; i++)
        add_name(found, str_of(got.gl_pathv[i]));
    globfree(&got);
    return result == 0 || result == GLOB_NOMATCH ? 0 : error;
}

int conf_files_find(struct conf_files *files, const char *pattern, const char *const **names, size_t *n)
{
    MEM_GROW(&files->found, files->n_found);
    struct found *found = &files->found[files->n_found++];
    *found = (struct found){.pattern = mem_strdup(pattern)};
    int error = 0;
    if (files->from_snapshot)
        take_found(files, found);
    else
        error = look_for(found);
    /* Not in the order of a locale: the same conf has to mean the same everywhere. */
    if (found->n_names > 1)
        qsort(found->names, found->n_names, sizeof(*found->names), compare_names);
    *names = (const char *const *)found->names;
    *n = found->n_names;
    return error;
}

char *conf_files_resolve(const char *file_name, const char *name)
{
    const char *slash = strrchr(file_name, '/');
    if (name[0] == '/' || slash == NULL)
        return mem_strdup(name);
    return mem_printf("%.*s/%s", (int)(slash - file_name), file_name, name);
}

static size_t count_characters(const char *text, size_t len)
{
    size_t n = 0;
    for (size_t i = 0; i < len; i++)
        n += !is_continuation(text[i]);
    return n;
}

struct conf_pos conf_files_at(const struct conf_file *file, size_t offset)
{
    struct conf_pos pos = {file->name, 1, 0};
    size_t line_start = 0;
    if (offset > file->len)
        offset = file->len;
    for (size_t i = 0; i < offset; i++) {
        if (file->text[i] == '\n') {
            pos.line++;
            line_start = i + 1;
        }
    }
    pos.column = (int)count_characters(file->text + line_start, offset - line_start) + 1;
    return pos;
}

static const struct conf_file *find_file(const struct conf_files *files, const char *name, size_t *index)
{
    for (*index = 0; *index < files->n_files; (*index)++) {
        if (files->files[*index]->name == name)
            return files->files[*index];
    }
    return NULL;
}

static struct str line_of(const struct conf_file *file, int line)
{
    const char *at = file->text, *end = file->text + file->len;
    for (int i = 1; i < line && at != NULL; i++) {
        at = memchr(at, '\n', (size_t)(end - at));
        at = at == NULL ? NULL : at + 1;
    }
    if (at == NULL || line < 1)
        return STR("");
    const char *stop = memchr(at, '\n', (size_t)(end - at));
    size_t len = (size_t)((stop == NULL ? end : stop) - at);
    if (len > 0 && at[len - 1] == '\r')
        len--;
    return (struct str){at, len};
}

struct str conf_files_line(const struct conf_files *files, const char *file_name, int line)
{
    size_t index;
    const struct conf_file *file = find_file(files, file_name, &index);
    return file == NULL ? STR("") : line_of(file, line);
}

size_t conf_files_byte_of(struct str line, size_t character)
{
    size_t at = 0;
    for (; character > 0 && at < line.len; character--) {
        at++;
        while (at < line.len && is_continuation(line.base[at]))
            at++;
    }
    return at;
}

/*
 * How many bytes of source make one piece of a quoted value, and how many bytes that piece has in the
 * value (YAML 1.1, sections 5.6 and 9.1).
 */
static size_t quoted_piece(const char *source, char quote, size_t *value_len)
{
    *value_len = 1;
    if (quote == '\'')
        return source[0] == '\'' ? 2 : 1;
    if (source[0] != '\\')
        return 1;
    size_t digits = source[1] == 'x' ? 2 : source[1] == 'u' ? 4 : source[1] == 'U' ? 8 : 0;
    if (digits > 0) {
        char number[9] = "";
        strncpy(number, source + 2, digits);
        unsigned long code = strtoul(number, NULL, 16);
        *value_len = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    } else if (source[1] == 'N' || source[1] == '_') {
        *value_len = 2;
    } else if (source[1] == 'L' || source[1] == 'P') {
        *value_len = 3;
    }
    return 2 + digits;
}

/* Where byte offset of value stands on the line of its opening quote, which is at byte at of the line. */
static size_t place_in_quotes(struct str line, size_t at, size_t offset)
{
    char quote = line.base[at];
    size_t source = at + 1, value = 0, value_len;
    while (source < line.len) {
        size_t piece = quoted_piece(line.base + source, quote, &value_len);
        if (value + value_len > offset || (line.base[source] == quote && piece == 1 && quote == '"'))
            break;
        value += value_len;
        source += piece;
    }
    return source < line.len ? source : line.len;
}

/* In a `|` block every line of the value is the end of a source line: what stands before is indentation. */
static struct conf_pos place_in_block(const struct conf_file *file, struct conf_pos start, const char *value,
                                      size_t offset)
{
    const char *line_start = value;
    struct conf_pos pos = {start.file, start.line + 1, 1};
    for (const char *at = value; at < value + offset && *at != '\0'; at++) {
        if (*at == '\n') {
            line_start = at + 1;
            pos.line++;
        }
    }
    struct str line = line_of(file, pos.line);
    size_t len = strcspn(line_start, "\n");
    size_t into = (size_t)(value + offset - line_start);
    size_t indent = line.len > len ? line.len - len : 0;
    size_t bytes = indent + into < line.len ? indent + into : line.len;
    pos.column = (int)count_characters(line.base, bytes) + 1;
    return pos;
}

void conf_files_forget_columns(struct conf_files *files, struct conf_pos pos)
{
    MEM_GROW(&files->changed, files->n_changed);
    files->changed[files->n_changed++] = pos;
}

static bool is_changed(const struct conf_files *files, struct conf_pos start)
{
    for (size_t i = 0; i < files->n_changed; i++) {
        const struct conf_pos *pos = &files->changed[i];
        if (pos->file == start.file && pos->line == start.line && pos->column == start.column)
            return true;
    }
    return false;
}

struct conf_pos conf_files_place(const struct conf_files *files, struct conf_pos start, const char *value,
                                 size_t offset)
{
    size_t index;
    const struct conf_file *file = find_file(files, start.file, &index);
    if (file == NULL || start.line < 1 || is_changed(files, start))
        return start;
    if (!file->yaml)
        return conf_files_at(file, offset);

    struct str line = line_of(file, start.line);
    size_t at = conf_files_byte_of(line, (size_t)start.column - 1);
    if (at >= line.len || line.base[at] == '>')
        return start;
    if (line.base[at] == '|')
        return place_in_block(file, start, value, offset);
    size_t bytes = line.base[at] == '"' || line.base[at] == '\'' ? place_in_quotes(line, at, offset)
                   : at + offset < line.len                      ? at + offset
                                                                 : line.len;
    start.column = (int)count_characters(line.base, bytes) + 1;
    return start;
}

void conf_files_set_unread(struct conf_files *files, const char *file_name)
{
    size_t index;
    if (find_file(files, file_name, &index) != NULL)
        files->files[index]->unread = true;
}

static void hide(struct conf_files *files, struct hidden hidden)
{
    MEM_GROW(&files->hidden, files->n_hidden);
    files->hidden[files->n_hidden++] = hidden;
}

/* The bytes from and up to end of a value, which are on one line of it. */
static void hide_bytes(struct conf_files *files, struct conf_pos start, const char *value, size_t from,
                       size_t end)
{
    struct conf_pos first = conf_files_place(files, start, value, from);
    struct conf_pos behind = conf_files_place(files, start, value, end);
    bool same = behind.line == first.line && behind.column > first.column;
    hide(files,
         (struct hidden){first.file, first.line, first.column, same ? behind.column - 1 : 0, first.line});
}

void conf_files_hide(struct conf_files *files, struct conf_pos start, int end_line, const char *value,
                     const char *mask)
{
    struct str line = conf_files_line(files, start.file, start.line);
    size_t at = conf_files_byte_of(line, (size_t)start.column - 1);
    bool literal = at < line.len && line.base[at] == '|';
    bool whole = is_changed(files, start) || (!literal && end_line != start.line);
    for (size_t i = 0, end; value[i] != '\0'; i = end) {
        end = i + 1;
        if (!mask[i])
            continue;
        if (whole) {
            hide(files, (struct hidden){start.file, start.line, start.column, 0, end_line});
            return;
        }
        while (mask[end] && value[end] != '\0' && value[end] != '\n')
            end++;
        hide_bytes(files, start, value, i, end);
    }
}

/* message becomes the files'. */
static void note(struct conf_files *files, struct conf_pos pos, bool is_warning, char *message)
{
    struct mistake mistake = {
        .pos = pos, .order = files->n_mistakes, .is_warning = is_warning, .message = message};
    find_file(files, pos.file, &mistake.file);
    MEM_GROW(&files->mistakes, files->n_mistakes);
    files->mistakes[files->n_mistakes++] = mistake;
    files->n_errors += !is_warning;
}

void conf_files_error(struct conf_files *files, struct conf_pos pos, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    note(files, pos, false, mem_vprintf(format, args));
    va_end(args);
}

void conf_files_warn(struct conf_files *files, struct conf_pos pos, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    note(files, pos, true, mem_vprintf(format, args));
    va_end(args);
}

void conf_files_help(struct conf_files *files, const char *lines)
{
    struct mistake *last = &files->mistakes[files->n_mistakes - 1];
    free(last->help);
    last->help = mem_strdup(lines);
}

size_t conf_files_errors(const struct conf_files *files)
{
    return files->n_errors;
}

/* What a terminal would act on must not reach it: a conf may hold anything. */
static void print_clean(struct str text, FILE *out)
{
    for (size_t at = 0, len; at < text.len; at += len) {
        uint32_t code = 0;
        len = decode((struct str){text.base + at, text.len - at}, &code);
        bool clean = len > 0 && (code >= ' ' || code == '\t') && (code < 0x7F || code > 0x9F);
        if (len == 0)
            len = 1;
        if (clean)
            fwrite(text.base + at, 1, len, out);
        else
            putc('?', out);
    }
}

static void print_source(struct str line, int column, FILE *out)
{
    size_t caret = (size_t)column - 1;
    size_t first = 0, n = count_characters(line.base, line.len);
    if (n > SHOWN_CHARACTERS && caret > SHOWN_BEFORE)
        first = caret - SHOWN_BEFORE;
    size_t from = conf_files_byte_of(line, first), to = conf_files_byte_of(line, first + SHOWN_CHARACTERS);
    const char *before = first > 0 ? "... " : "";

    fprintf(out, "    %s", before);
    print_clean((struct str){line.base + from, to - from}, out);
    fprintf(out, "%s\n    %*s", to < line.len ? " ..." : "", (int)strlen(before), "");
    /* Tabs are repeated, so that the caret stands right however wide the terminal makes them. */
    size_t at = from;
    for (size_t i = first; i < caret; i++) {
        putc(at < line.len && line.base[at] == '\t' ? '\t' : ' ', out);
        at += conf_files_byte_of((struct str){line.base + at, line.len - at}, 1);
    }
    fputs("^\n", out);
}

/* Sets the byte of mask of each byte of the line that is hidden. */
static void mark_hidden(const struct conf_files *files, struct conf_pos pos, struct str line, char *mask)
{
    for (size_t i = 0; i < files->n_hidden; i++) {
        const struct hidden *hidden = &files->hidden[i];
        if (hidden->file != pos.file || pos.line < hidden->line || pos.line > hidden->end_line)
            continue;
        size_t from = pos.line > hidden->line ? 0 : conf_files_byte_of(line, (size_t)hidden->column - 1);
        size_t end =
            hidden->end_column == 0 ? line.len : conf_files_byte_of(line, (size_t)hidden->end_column);
        if (end > from)
            memset(mask + from, 1, end - from);
    }
}

/* The line as it may be shown: each character of a secret is a star. The caller frees its base. */
static struct str shown_line(const struct conf_files *files, const struct conf_file *file,
                             struct conf_pos pos)
{
    struct str line = file->secret ? STR("") : line_of(file, pos.line);
    char *mask = mem_calloc(line.len + 1, 1), *shown = mem_alloc(line.len + 1), *out = shown;
    mark_hidden(files, pos, line, mask);
    conf_secret_mark(line, file->unread, mask);
    for (size_t i = 0; i < line.len; i++) {
        if (!mask[i])
            *out++ = line.base[i];
        else if (!is_continuation(line.base[i]))
            *out++ = '*';
    }
    free(mask);
    return (struct str){shown, (size_t)(out - shown)};
}

static void print_help(const char *lines, FILE *out)
{
    while (*lines != '\0') {
        size_t len = strcspn(lines, "\n");
        fputs("    ", out);
        print_clean((struct str){lines, len}, out);
        putc('\n', out);
        lines += len + (lines[len] == '\n');
    }
}

static int compare_mistakes(const void *left, const void *right)
{
    const struct mistake *a = left, *b = right;
    if (a->file != b->file)
        return a->file < b->file ? -1 : 1;
    if (a->pos.line != b->pos.line)
        return a->pos.line < b->pos.line ? -1 : 1;
    if (a->pos.column != b->pos.column)
        return a->pos.column < b->pos.column ? -1 : 1;
    return a->order < b->order ? -1 : 1;
}

void conf_files_print(struct conf_files *files, FILE *out)
{
    if (files->n_mistakes > 1)
        qsort(files->mistakes, files->n_mistakes, sizeof(*files->mistakes), compare_mistakes);
    for (size_t i = 0; i < files->n_mistakes; i++) {
        struct mistake *mistake = &files->mistakes[i];
        if (mistake->is_printed)
            continue;
        mistake->is_printed = true;
        print_clean(str_of(mistake->pos.file), out);
        if (mistake->pos.line > 0)
            fprintf(out, ":%d:%d", mistake->pos.line, mistake->pos.column);
        fputs(mistake->is_warning ? ": warning: " : ": error: ", out);
        print_clean(str_of(mistake->message), out);
        putc('\n', out);
        size_t index;
        const struct conf_file *file = find_file(files, mistake->pos.file, &index);
        struct str line = file == NULL ? (struct str){NULL, 0} : shown_line(files, file, mistake->pos);
        if (line.len > 0)
            print_source(line, mistake->pos.column, out);
        free((char *)line.base);
        if (mistake->help != NULL)
            print_help(mistake->help, out);
    }
}

int conf_files_quote_len(const char *text)
{
    size_t len = strcspn(text, "\n");
    if (len > QUOTED_BYTES) {
        len = QUOTED_BYTES;
        while (len > 0 && is_continuation(text[len]))
            len--;
    }
    return (int)len;
}
