/* scan.c: the scanner that finds :name parameters in SQL. */
#include "pg/scan.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/hex.h"
#include "base/mem.h"

struct scan {
    struct str source;
    size_t at;     /* the byte to look at next */
    size_t copied; /* so much of the source is in the text or replaced there */
    size_t text_len;
    unsigned brackets;         /* open '[' */
    bool began;                /* something other than blanks and comments was seen */
    bool ended;                /* a ';' was seen */
    size_t end;                /* where the statement ends: at the first ';' or with the source */
    struct sql_statement *out; /* NULL where the text was scanned before */
    const char *error;
    size_t error_at;
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

static bool is_newline(char c)
{
    return c == '\n' || c == '\r';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_name_start(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool is_name(char c)
{
    return is_name_start(c) || is_digit(c);
}

/* What an identifier of SQL may go on with: unlike the name of a parameter, a '$' too. */
static bool is_word(char c)
{
    return is_name(c) || c == '$';
}

/* The byte so far ahead, NUL after the end: there is none in the source. */
static char peek(const struct scan *scan, size_t ahead)
{
    return ahead < scan->source.len - scan->at ? scan->source.base[scan->at + ahead] : '\0';
}

static void fail(struct scan *scan, size_t at, const char *message)
{
    scan->error = message;
    scan->error_at = at;
}

static void skip_line_comment(struct scan *scan)
{
    while (peek(scan, 0) != '\0' && !is_newline(peek(scan, 0)))
        scan->at++;
}

static void skip_block_comment(struct scan *scan)
{
    size_t start = scan->at;
    unsigned depth = 0;
    do {
        if (peek(scan, 0) == '\0') {
            fail(scan, start, "this comment has no closing */ (comments nest: every /* needs its own)");
            return;
        }
        if (peek(scan, 0) == '/' && peek(scan, 1) == '*') {
            depth++;
            scan->at += 2;
        } else if (peek(scan, 0) == '*' && peek(scan, 1) == '/') {
            depth--;
            scan->at += 2;
        } else {
            scan->at++;
        }
    } while (depth > 0);
}

/*
 * Does the string that has just ended go on? It does if only blanks and -- comments with a line break
 * among them stand before the next quote. Matters for E'…': the next part has backslashes too.
 */
static bool string_goes_on(struct scan *scan)
{
    struct scan ahead = *scan;
    bool newline = false;
    for (;;) {
        if (is_blank(peek(&ahead, 0))) {
            newline = newline || is_newline(peek(&ahead, 0));
            ahead.at++;
        } else if (peek(&ahead, 0) == '-' && peek(&ahead, 1) == '-') {
            skip_line_comment(&ahead);
        } else {
            break;
        }
    }
    if (!newline || peek(&ahead, 0) != '\'')
        return false;
    scan->at = ahead.at;
    return true;
}

/* PostgreSQL reads no more of a name than so many bytes. */
static void keep_word(struct scan *scan, char *word)
{
    enum { NAME_MAX_BYTES = 63 };
    struct sql_statement *out = scan->out;
    if (strlen(word) > NAME_MAX_BYTES) {
        size_t len = NAME_MAX_BYTES;
        while (len > 0 && ((unsigned char)word[len] & 0xc0) == 0x80)
            len--; /* not within a character */
        word[len] = '\0';
    }
    MEM_GROW(&out->words, out->n_words);
    out->words[out->n_words++] = word;
}

/* A keyword, or a name without quotes: small letters are the same as capital ones. */
static void keep_plain_word(struct scan *scan, size_t from)
{
    char *word = mem_strndup(scan->source.base + from, scan->at - from);
    for (char *c = word; *c != '\0'; c++)
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
    keep_word(scan, word);
}

/* Goes on to the next word, quoted name or other piece, over blanks and comments. */
static void skip_gap(struct scan *scan)
{
    for (;;) {
        if (is_blank(peek(scan, 0)))
            scan->at++;
        else if (peek(scan, 0) == '-' && peek(scan, 1) == '-')
            skip_line_comment(scan);
        else if (peek(scan, 0) == '/' && peek(scan, 1) == '*')
            skip_block_comment(scan);
        else
            return;
    }
}

static bool is_at_word(const struct scan *scan, const char *word)
{
    size_t len = strlen(word);
    return scan->source.len - scan->at >= len && strncasecmp(scan->source.base + scan->at, word, len) == 0 &&
           !is_word(peek(scan, len));
}

/*
 * What escapes a character in the name that has just ended and began with a quote at from: in U&"…" a
 * backslash, or what UESCAPE says (PostgreSQL 15, section 4.1.1); NUL in other names.
 */
static char escape_of(const struct scan *scan, size_t from)
{
    const char *before = scan->source.base + from;
    if (from < 2 || before[-1] != '&' || (before[-2] | 0x20) != 'u' || (from > 2 && is_word(before[-3])))
        return '\0';
    struct scan ahead = *scan;
    skip_gap(&ahead);
    if (!is_at_word(&ahead, "UESCAPE"))
        return '\\';
    ahead.at += strlen("UESCAPE");
    skip_gap(&ahead);
    return peek(&ahead, 0) == '\'' ? peek(&ahead, 1) : '\\';
}

/* Writes as UTF-8 what an escape stands for: \XXXX, \+XXXXXX, or itself. Returns how many bytes of it were
 * read. */
static size_t put_escaped(const char *at, size_t len, char **out)
{
    size_t digits = len > 1 && at[1] == '+' ? 6 : 4, from = digits == 6 ? 2 : 1;
    uint32_t c = 0;
    for (size_t i = from; i < from + digits; i++) {
        int digit = i < len ? hex_value(at[i]) : -1;
        if (digit < 0) {
            *(*out)++ = at[0];
            return len > 1 && at[1] == at[0] ? 2 : 1;
        }
        c = c << 4 | (uint32_t)digit;
    }
    if (c >= 0x10000) {
        *(*out)++ = (char)(0xf0 | (c >> 18 & 7));
        *(*out)++ = (char)(0x80 | (c >> 12 & 0x3f));
    } else if (c >= 0x800) {
        *(*out)++ = (char)(0xe0 | c >> 12);
    }
    if (c >= 0x800)
        *(*out)++ = (char)(0x80 | (c >> 6 & 0x3f));
    else if (c >= 0x80)
        *(*out)++ = (char)(0xc0 | c >> 6);
    *(*out)++ = (char)(c >= 0x80 ? 0x80 | (c & 0x3f) : c);
    return from + digits;
}

/* A name in quotes, from its opening to its closing one. Two quotes within stand for one. */
static void keep_quoted_word(struct scan *scan, size_t from)
{
    const char *text = scan->source.base;
    char *word = mem_alloc(scan->at - from), *out = word, escape = escape_of(scan, from);
    for (size_t i = from + 1; i + 1 < scan->at;) {
        if (escape != '\0' && text[i] == escape) {
            i += put_escaped(text + i, scan->at - 1 - i, &out);
        } else {
            *out++ = text[i];
            i += text[i] == '"' ? 2 : 1;
        }
    }
    *out = '\0';
    keep_word(scan, word);
}

/* At an opening quote. */
static void skip_quoted(struct scan *scan, char quote, bool backslashes)
{
    size_t start = scan->at;
    do {
        scan->at++;
        while (peek(scan, 0) != quote) {
            if (backslashes && peek(scan, 0) == '\\' && peek(scan, 1) != '\0')
                scan->at++;
            if (peek(scan, 0) == '\0') {
                fail(scan, start,
                     quote == '"' ? "this quoted name has no closing \"" : "this string has no closing '");
                return;
            }
            scan->at++;
        }
        scan->at++;
    } while (peek(scan, 0) == quote || (backslashes && string_goes_on(scan)));
}

/* At a '$' that is not part of a word. Leaves a '$' that opens no quote to PostgreSQL's judgement. */
static void skip_dollar_quote(struct scan *scan)
{
    size_t tag_len = 1;
    if (is_name_start(peek(scan, tag_len))) {
        while (is_name(peek(scan, tag_len)))
            tag_len++;
    }
    if (peek(scan, tag_len++) != '$') {
        scan->at++;
        return;
    }
    const char *tag = scan->source.base + scan->at;
    const char *body = tag + tag_len;
    const char *close = memmem(body, (size_t)(scan->source.base + scan->source.len - body), tag, tag_len);
    if (close == NULL) {
        fail(scan, scan->at, "this dollar quote is not closed: the same $tag$ must follow");
        return;
    }
    scan->at += (size_t)(close - tag) + tag_len;
}

static void skip_word(struct scan *scan)
{
    size_t start = scan->at;
    while (is_word(peek(scan, 0)))
        scan->at++;
    if (scan->out != NULL)
        keep_plain_word(scan, start);
    bool is_e = scan->at - start == 1 && (scan->source.base[start] == 'e' || scan->source.base[start] == 'E');
    if (is_e && peek(scan, 0) == '\'')
        skip_quoted(scan, '\'', true);
}

/* Returns the number n of $n, or 0 if there are too many. */
static size_t param_number(struct scan *scan, struct str name)
{
    struct sql_statement *out = scan->out;
    for (size_t i = 0; i < out->n_params; i++) {
        if (str_equal(str_of(out->names[i]), name))
            return i + 1;
    }
    if (out->n_params == SQL_MAX_PARAMS)
        return 0;
    out->names[out->n_params] = mem_strndup(name.base, name.len);
    out->name_offsets[out->n_params] = scan->at;
    return ++out->n_params;
}

static void copy_up_to(struct scan *scan, size_t to)
{
    memcpy(scan->out->text + scan->text_len, scan->source.base + scan->copied, to - scan->copied);
    scan->text_len += to - scan->copied;
    scan->copied = to;
}

/* At the colon of a parameter. */
static void replace_param(struct scan *scan)
{
    struct sql_statement *out = scan->out;
    size_t len = 1;
    while (is_name(peek(scan, len)))
        len++;
    size_t number = param_number(scan, (struct str){scan->source.base + scan->at + 1, len - 1});
    if (number == 0) {
        _Static_assert(SQL_MAX_PARAMS == 64, "the message says so");
        fail(scan, scan->at, "too many parameters: a statement may have 64 different ones");
        return;
    }
    copy_up_to(scan, scan->at);
    size_t text_from = scan->text_len;
    /* `limit:n` must not become the identifier `limit$1`. */
    bool apart = text_from > 0 && is_word(out->text[text_from - 1]);
    scan->text_len += (size_t)sprintf(out->text + text_from, "%s$%zu", apart ? " " : "", number);
    MEM_GROW(&out->edits, out->n_edits);
    out->edits[out->n_edits++] = (struct sql_edit){
        .source_from = scan->at,
        .source_to = scan->at + len,
        .text_from = text_from,
        .text_to = scan->text_len,
    };
    scan->at += len;
    scan->copied = scan->at;
}

/* Does the byte before this one end a value, so that a colon here, inside brackets, makes a slice? */
static bool is_after_value(const struct scan *scan)
{
    char before = scan->at == 0 ? ' ' : scan->source.base[scan->at - 1];
    return is_word(before) || before == ')' || before == ']' || before == '\'' || before == '"';
}

static void scan_colon(struct scan *scan)
{
    if (peek(scan, 1) == ':')
        scan->at += 2;
    else if (!is_name_start(peek(scan, 1)) || (scan->brackets > 0 && is_after_value(scan)))
        scan->at++;
    else
        replace_param(scan);
}

/* A piece of the statement: anything but blanks, comments and ';'. */
static void scan_token(struct scan *scan)
{
    char c = peek(scan, 0);
    if (is_name_start(c)) {
        skip_word(scan);
    } else if (c == '\'') {
        skip_quoted(scan, c, false);
    } else if (c == '"') {
        size_t start = scan->at;
        skip_quoted(scan, c, false);
        if (scan->error == NULL)
            keep_quoted_word(scan, start);
    } else if (c == ':') {
        scan_colon(scan);
    } else if (c == '$' && is_digit(peek(scan, 1))) {
        fail(scan, scan->at, "write parameters as :name, not as $1");
    } else if (c == '$') {
        skip_dollar_quote(scan);
    } else {
        if (c == '[')
            scan->brackets++;
        else if (c == ']' && scan->brackets > 0)
            scan->brackets--;
        scan->at++;
    }
}

static void scan_next(struct scan *scan)
{
    char c = peek(scan, 0);
    if (is_blank(c)) {
        scan->at++;
    } else if (c == '-' && peek(scan, 1) == '-') {
        skip_line_comment(scan);
    } else if (c == '/' && peek(scan, 1) == '*') {
        skip_block_comment(scan);
    } else if (c == ';') {
        if (!scan->ended)
            scan->end = scan->at;
        scan->ended = true;
        scan->at++;
    } else if (scan->ended) {
        if (scan->began)
            fail(scan, scan->at, "a second statement begins here; a route has exactly one");
        else
            fail(scan, scan->end, "there is no SQL statement before this ';'");
    } else {
        scan->began = true;
        scan_token(scan);
    }
}

static int compare_words(const void *one, const void *other)
{
    return strcmp(*(char *const *)one, *(char *const *)other);
}

/* Puts the words in order, and leaves one of each. */
static void sort_words(struct sql_statement *out)
{
    size_t n = 0;
    qsort(out->words, out->n_words, sizeof(*out->words), compare_words);
    for (size_t i = 0; i < out->n_words; i++) {
        if (n > 0 && strcmp(out->words[n - 1], out->words[i]) == 0)
            free(out->words[i]);
        else
            out->words[n++] = out->words[i];
    }
    out->n_words = n;
}

const char *sql_scan(struct str source, struct sql_statement *out, size_t *error_at)
{
    *out = (struct sql_statement){0};
    struct scan scan = {.source = source, .end = source.len, .out = out};
    const char *nul = source.len == 0 ? NULL : memchr(source.base, '\0', source.len);
    if (nul != NULL) {
        *error_at = (size_t)(nul - source.base);
        return "there is a NUL byte in the SQL";
    }
    /* The most that a replacement grows is from `:a` to ` $64`. */
    out->text = mem_alloc(source.len * 2 + 1);
    while (scan.error == NULL && scan.at < source.len)
        scan_next(&scan);
    if (scan.error == NULL && !scan.began)
        fail(&scan, 0, "there is no SQL statement here");
    if (scan.error != NULL) {
        sql_free(out);
        *error_at = scan.error_at;
        return scan.error;
    }
    copy_up_to(&scan, scan.end);
    out->text[scan.text_len] = '\0';
    out->text = mem_realloc(out->text, scan.text_len + 1);
    if (out->n_words > 0)
        sort_words(out);
    return NULL;
}

size_t sql_source_offset(const struct sql_statement *statement, size_t text_offset)
{
    size_t source_to = 0, text_to = 0;
    for (size_t i = 0; i < statement->n_edits && statement->edits[i].text_from <= text_offset; i++) {
        if (text_offset < statement->edits[i].text_to)
            return statement->edits[i].source_from;
        source_to = statement->edits[i].source_to;
        text_to = statement->edits[i].text_to;
    }
    return source_to + (text_offset - text_to);
}

size_t sql_edit_number(const struct sql_statement *statement, const struct sql_edit *edit)
{
    const char *dollar = memchr(statement->text + edit->text_from, '$', edit->text_to - edit->text_from);
    return dollar == NULL ? 0 : strtoul(dollar + 1, NULL, 10);
}

char *sql_rename(const struct sql_statement *statement, const char *before, const char *after)
{
    char *sql = mem_strdup("");
    size_t from = 0;
    for (size_t i = 0; i < statement->n_edits; i++) {
        const struct sql_edit *edit = &statement->edits[i];
        char *longer = mem_printf("%s%.*s %s%zu%s", sql, (int)(edit->text_from - from),
                                  statement->text + from, before, sql_edit_number(statement, edit), after);
        free(sql);
        sql = longer;
        from = edit->text_to;
    }
    char *whole = mem_printf("%s%s", sql, statement->text + from);
    free(sql);
    return whole;
}

size_t sql_first_word(struct str source)
{
    size_t at = 0, depth = 0;
    while (at < source.len) {
        struct str rest = {source.base + at, source.len - at};
        bool is_pair = rest.len >= 2;
        if (is_pair && memcmp(rest.base, "/*", 2) == 0) {
            depth++;
            at += 2;
        } else if (depth > 0) {
            bool closes = is_pair && memcmp(rest.base, "*/", 2) == 0;
            depth -= closes;
            at += closes ? 2 : 1;
        } else if (is_pair && memcmp(rest.base, "--", 2) == 0) {
            while (at < source.len && source.base[at] != '\n' && source.base[at] != '\r')
                at++;
        } else if (memchr(" \t\r\n\f\v(", rest.base[0], 7) != NULL) {
            at++;
        } else {
            break;
        }
    }
    return at;
}

/* Where `:name` stands between from and to; to if it does not. */
static size_t find_name(struct str source, const char *name, size_t from, size_t to)
{
    size_t len = strlen(name);
    for (size_t at = from; at + 1 + len <= to; at++) {
        bool after_colon = at > 0 && source.base[at - 1] == ':';
        bool ends = at + 1 + len == source.len || !is_name(source.base[at + 1 + len]);
        if (source.base[at] == ':' && !after_colon && ends && memcmp(source.base + at + 1, name, len) == 0)
            return at;
    }
    return to;
}

size_t sql_find_quoted(struct str source, const char *name, size_t *from, size_t *to)
{
    struct scan scan = {.source = source};
    skip_gap(&scan);
    while (scan.error == NULL && scan.at < source.len) {
        char c = peek(&scan, 0);
        *from = scan.at;
        if (is_name_start(c))
            skip_word(&scan);
        else if (c == '\'' || c == '"')
            skip_quoted(&scan, c, false);
        else if (c == '$' && !is_digit(peek(&scan, 1)))
            skip_dollar_quote(&scan);
        else
            scan.at++;
        *to = scan.at;
        size_t at = *to - *from > 1 ? find_name(source, name, *from, *to) : *to;
        if (at < *to)
            return at;
        skip_gap(&scan);
    }
    return source.len;
}

bool sql_has_word(const struct sql_statement *statement, const char *word)
{
    return statement->n_words > 0 && bsearch(&word, statement->words, statement->n_words,
                                             sizeof(*statement->words), compare_words) != NULL;
}

/* Over one piece of a statement that has been scanned before. */
static void skip_piece(struct scan *scan)
{
    char c = peek(scan, 0);
    if (is_name_start(c))
        skip_word(scan);
    else if (c == '\'' || c == '"')
        skip_quoted(scan, c, false);
    else if (c == '$' && !is_digit(peek(scan, 1)))
        skip_dollar_quote(scan);
    else if (c != '\0')
        scan->at++;
    skip_gap(scan);
}

static bool take_word(struct scan *scan, const char *word)
{
    bool is_there = is_at_word(scan, word);
    if (is_there)
        skip_piece(scan);
    return is_there;
}

/* Over what is in brackets, if one is open here. */
static bool skip_brackets(struct scan *scan)
{
    size_t depth = 0;
    do {
        char c = peek(scan, 0);
        if (c == '\0' || (depth == 0 && c != '('))
            return false;
        depth += c == '(' ? 1 : 0;
        depth -= c == ')' ? 1 : 0;
        skip_piece(scan);
    } while (depth > 0);
    return true;
}

/* "name (columns) AS NOT MATERIALIZED (query)" */
static bool skip_with_query(struct scan *scan)
{
    skip_piece(scan);
    if (peek(scan, 0) == '(' && !skip_brackets(scan))
        return false;
    if (!take_word(scan, "AS"))
        return false;
    take_word(scan, "NOT");
    take_word(scan, "MATERIALIZED");
    return skip_brackets(scan) && !is_at_word(scan, "SEARCH") && !is_at_word(scan, "CYCLE");
}

/* Over "$1", and a cast of it. */
static bool take_parameter(struct scan *scan)
{
    if (peek(scan, 0) != '$' || !is_digit(peek(scan, 1)))
        return false;
    scan->at++;
    while (is_digit(peek(scan, 0)))
        scan->at++;
    skip_gap(scan);
    while (peek(scan, 0) == ':' && peek(scan, 1) == ':') {
        scan->at += 2;
        skip_gap(scan);
        skip_piece(scan);
    }
    return true;
}

/* Is a parameter all that stands at the beginning of this item of ORDER BY? */
static bool is_order(struct scan scan)
{
    return take_parameter(&scan) &&
           (strchr(",)", peek(&scan, 0)) != NULL || is_at_word(&scan, "ASC") || is_at_word(&scan, "DESC") ||
            is_at_word(&scan, "NULLS") || is_at_word(&scan, "LIMIT") || is_at_word(&scan, "OFFSET") ||
            is_at_word(&scan, "FETCH") || is_at_word(&scan, "FOR"));
}

/* Is a parameter all that is in the brackets that open here? Sets *at to its offset. */
static bool is_in_brackets(struct scan scan, size_t *at)
{
    if (peek(&scan, 0) != '(')
        return false;
    skip_piece(&scan);
    *at = scan.at;
    return take_parameter(&scan) && peek(&scan, 0) == ')';
}

enum sql_use sql_odd_use(const char *text, size_t from, size_t *at)
{
    enum { DEEPEST = 64 };
    bool orders[DEEPEST] = {false}; /* is this a list of ORDER BY, in so many open brackets? */
    bool begins = false, negated = false;
    size_t depth = 0;
    struct scan scan = {.source = str_of(text)};
    skip_gap(&scan);
    while (scan.at < scan.source.len && scan.error == NULL) {
        char c = peek(&scan, 0);
        *at = scan.at;
        if (begins && scan.at >= from && is_order(scan))
            return SQL_USE_ORDER;
        begins = c == ',' && depth < DEEPEST && orders[depth];
        if (take_word(&scan, "ORDER")) {
            begins = take_word(&scan, "BY");
            if (depth < DEEPEST)
                orders[depth] = begins;
        } else if (take_word(&scan, "IN")) {
            if (is_in_brackets(scan, at) && *at >= from)
                return negated ? SQL_USE_NOT_IN : SQL_USE_IN;
        } else if (take_word(&scan, "NOT")) {
            negated = true;
            continue;
        } else {
            depth = c == '(' ? depth + 1 : c == ')' && depth > 0 ? depth - 1 : depth;
            if (c == '(' && depth < DEEPEST)
                orders[depth] = false;
            skip_piece(&scan);
        }
        negated = false;
    }
    return SQL_USE_USUAL;
}

size_t sql_main_part(const char *text)
{
    struct scan scan = {.source = str_of(text)};
    skip_gap(&scan);
    if (!take_word(&scan, "WITH"))
        return 0;
    take_word(&scan, "RECURSIVE");
    while (skip_with_query(&scan)) {
        if (peek(&scan, 0) != ',')
            return scan.at;
        skip_piece(&scan);
    }
    return 0;
}

bool sql_is_write(const char *text)
{
    static const char *const writes[] = {"INSERT", "UPDATE", "DELETE", "MERGE"};
    struct scan scan = {.source = str_of(text)};
    skip_gap(&scan);
    for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++) {
        if (is_at_word(&scan, writes[i]))
            return true;
    }
    return false;
}

void sql_free(struct sql_statement *statement)
{
    for (size_t i = 0; i < statement->n_words; i++)
        free(statement->words[i]);
    free(statement->words);
    for (size_t i = 0; i < statement->n_params; i++)
        free(statement->names[i]);
    free(statement->edits);
    free(statement->text);
    *statement = (struct sql_statement){0};
}
