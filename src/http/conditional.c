/* conditional.c: what a conditional or range request for a file is answered with (RFC 9110 sections 13, 14).
 */
#include "http/conditional.h"

enum { LONGEST_DATE = 40, STEADY_SECONDS = 1 };

bool conditional_read_date(struct str text, time_t *date)
{
    static const char *const forms[] = {"%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT",
                                        "%a %b %e %H:%M:%S %Y"};
    char copy[LONGEST_DATE + 1] = "";
    if (text.len > LONGEST_DATE)
        return false;
    if (text.len > 0)
        memcpy(copy, text.base, text.len);
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct tm utc = {0};
        const char *end = strptime(copy, forms[i], &utc);
        if (end != NULL && end == copy + text.len) {
            *date = timegm(&utc);
            return true;
        }
    }
    return false;
}

/* Entity tags */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Takes the next tag off a list. Returns false at its end, or where no tag stands. */
static bool next_tag(struct str *list, struct str *tag, bool *weak)
{
    const char *at = list->base, *end = list->base + list->len;
    while (at < end && (is_blank(*at) || *at == ','))
        at++;
    *weak = end - at > 2 && at[0] == 'W' && at[1] == '/';
    if (*weak)
        at += 2;
    const char *close = end - at > 1 && *at == '"' ? memchr(at + 1, '"', (size_t)(end - at - 1)) : NULL;
    if (close == NULL)
        return false;
    *tag = (struct str){at, (size_t)(close + 1 - at)};
    *list = (struct str){close + 1, (size_t)(end - close - 1)};
    return true;
}

/* Is the file's tag in the list, or is the list "*"? Ours is strong: only theirs can be weak. */
static bool has_tag(struct str list, struct str etag, bool strongly)
{
    struct str tag;
    bool weak;
    if (str_equal(list, STR("*")))
        return true;
    while (next_tag(&list, &tag, &weak)) {
        if (str_equal(tag, etag) && !(strongly && weak))
            return true;
    }
    return false;
}

/*
 * Does If-Range name what is there? A date does only if it tells this state from any later one (RFC 9110
 * section 8.8.2.2): within the second of a change there may have been another.
 */
static bool is_same(struct str if_range, const struct conditional_file *file)
{
    time_t date;
    struct str tag, list = if_range;
    bool weak;
    if (next_tag(&list, &tag, &weak))
        return !weak && list.len == 0 && str_equal(tag, file->etag);
    return conditional_read_date(if_range, &date) && date == file->modified &&
           file->modified + STEADY_SECONDS < file->now;
}

/* Ranges */

/* Reads digits off the beginning of text; too large a number becomes the largest. False if there are none. */
static bool read_number(struct str *text, uint64_t *number)
{
    size_t i = 0;
    for (*number = 0; i < text->len && text->base[i] >= '0' && text->base[i] <= '9'; i++) {
        uint64_t digit = (uint64_t)(text->base[i] - '0');
        *number = *number > (UINT64_MAX - digit) / 10 ? UINT64_MAX : *number * 10 + digit;
    }
    *text = (struct str){text->base + i, text->len - i};
    return i > 0;
}

/* Decides what a single range, "bytes=…", takes of size bytes. What is not such a range takes all. */
static enum conditional_answer decide_range(struct str range, uint64_t size, uint64_t *from, uint64_t *len)
{
    static const char unit[] = "bytes=";
    uint64_t first, last = UINT64_MAX;
    if (range.len < sizeof(unit) - 1 || strncasecmp(range.base, unit, sizeof(unit) - 1) != 0)
        return CONDITIONAL_WHOLE;
    range = (struct str){range.base + sizeof(unit) - 1, range.len - (sizeof(unit) - 1)};
    bool has_first = read_number(&range, &first);
    if (range.len == 0 || range.base[0] != '-')
        return CONDITIONAL_WHOLE;
    range = (struct str){range.base + 1, range.len - 1};
    bool has_last = read_number(&range, &last);
    if (range.len > 0 || !(has_first || has_last) || (has_first && has_last && last < first))
        return CONDITIONAL_WHOLE;
    if (!has_first) { /* so many bytes at the end */
        if (last == 0)
            return CONDITIONAL_NO_SUCH_PART;
        if (size == 0)
            return CONDITIONAL_WHOLE; /* all of nothing: Content-Range cannot say that */
        *len = last < size ? last : size;
        *from = size - *len;
        return CONDITIONAL_PART;
    }
    if (first >= size)
        return CONDITIONAL_NO_SUCH_PART;
    *from = first;
    *len = (has_last && last < size ? last + 1 : size) - first;
    return CONDITIONAL_PART;
}

enum conditional_answer conditional_decide(const struct conditional_request *request,
                                           const struct conditional_file *file, uint64_t *from, uint64_t *len)
{
    time_t date;
    *from = 0;
    *len = file->size;
    if (request->if_match.base != NULL) {
        if (!has_tag(request->if_match, file->etag, true))
            return CONDITIONAL_FAILED;
    } else if (conditional_read_date(request->if_unmodified_since, &date) && file->modified > date) {
        return CONDITIONAL_FAILED;
    }
    if (request->if_none_match.base != NULL) {
        if (has_tag(request->if_none_match, file->etag, false))
            return CONDITIONAL_NOT_MODIFIED;
    } else if (conditional_read_date(request->if_modified_since, &date) && file->modified <= date) {
        return CONDITIONAL_NOT_MODIFIED;
    }
    if (!request->is_get || request->range.base == NULL ||
        (request->if_range.base != NULL && !is_same(request->if_range, file)))
        return CONDITIONAL_WHOLE;
    return decide_range(request->range, file->size, from, len);
}
