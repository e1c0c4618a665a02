/* http1_field.c: what requests and answers have in common: field lines, lists in them, body lengths. */
#include "http/http1_field.h"

#include "http/http1_class.h"

bool http1_refuse(struct http1_head *head, int status, const char *detail)
{
    head->error = (struct http1_error){status, detail};
    return false;
}

struct str http1_next_item(struct str *list)
{
    const char *comma = memchr(list->base, ',', list->len);
    struct str item = {list->base, comma == NULL ? list->len : (size_t)(comma - list->base)};
    size_t taken = comma == NULL ? item.len : item.len + 1;
    *list = (struct str){list->base + taken, list->len - taken};
    while (item.len > 0 && (*item.base == ' ' || *item.base == '\t'))
        item = (struct str){item.base + 1, item.len - 1};
    while (item.len > 0 && (item.base[item.len - 1] == ' ' || item.base[item.len - 1] == '\t'))
        item.len--;
    return item;
}

/*
 * Connection (RFC 9112 section 9.3). Whoever passes on the other fields looks each of them up there: it names
 * no more than there can be. Returns false after refusing the head.
 */
static bool note_connection(struct http1_head *head, struct str value)
{
    while (value.len > 0) {
        struct str item = http1_next_item(&value);
        if (head->n_options++ == HTTP1_MAX_FIELDS)
            return http1_refuse(head, 431, "Connection has too many options.");
        if (http1_same(item, STR("close")))
            head->wants_close = true;
        else if (http1_same(item, STR("keep-alive")))
            head->wants_keep_alive = true;
    }
    return true;
}

/* Expect (RFC 9110 section 10.1.1), which HTTP/1.0 does not know. */
static void note_expect(struct http1_head *head, struct str value)
{
    if (head->minor_version == 0)
        return;
    while (value.len > 0) {
        struct str item = http1_next_item(&value);
        if (http1_same(item, STR("100-continue")))
            head->expects_continue = true;
        else if (item.len > 0)
            head->expects_else = true;
    }
}

static void note_once(uint8_t *count, struct http1_span *to, struct http1_span value)
{
    *count = *count == 0 ? 1 : 2;
    *to = value;
}

/*
 * Remembers a field that this parser needs. Its length tells nearly every other field away. Returns false
 * after refusing the head.
 */
static bool note_field(struct http1_head *head, const char *bytes, const struct http1_field *field)
{
    struct str name = http1_str(bytes, field->name);
    switch (name.len) {
    case 4:
        if (http1_same(name, STR("host")))
            note_once(&head->n_hosts, &head->host_value, field->value);
        break;
    case 6:
        if (http1_same(name, STR("expect")))
            note_expect(head, http1_str(bytes, field->value));
        break;
    case 10:
        if (http1_same(name, STR("connection")))
            return note_connection(head, http1_str(bytes, field->value));
        break;
    case 14:
        if (http1_same(name, STR("content-length")))
            note_once(&head->n_lengths, &head->length_value, field->value);
        break;
    case 17:
        if (http1_same(name, STR("transfer-encoding")))
            note_once(&head->n_codings, &head->coding_value, field->value);
        break;
    default:
        break;
    }
    return true;
}

/*
 * How many bytes from here on may stand in a field's value: eight at a time, as long as none of the eight
 * is below a blank or is DEL, and one at a time around a tab or the first that may not.
 */
static size_t value_span(const char *from, const char *end)
{
    const uint64_t ones = 0x0101010101010101u, highs = 0x8080808080808080u;
    const char *p = from;
    while (p < end) {
        uint64_t eight;
        while (end - p >= 8) {
            memcpy(&eight, p, 8);
            uint64_t del = eight ^ (ones * 0x7f);
            if ((((eight - ones * 0x20) & ~eight) | ((del - ones) & ~del)) & highs)
                break;
            p += 8;
        }
        const char *stop = end - p > 8 ? p + 8 : end;
        while (p < stop && is(*p, VALUE))
            p++;
        if (p < stop)
            break;
    }
    return (size_t)(p - from);
}

bool http1_read_field(struct http1_head *head, const char *bytes, const char *from, const char *end,
                      const struct http1_limits *limits)
{
    if (*from == ' ' || *from == '\t')
        return http1_refuse(head, 400, "A field is folded over several lines, or begins with a space.");
    const char *p = from + span_of(from, end, TOKEN);
    if (p == from || p == end || *p != ':')
        return http1_refuse(head, 400, "A field's name is not valid, or there is a space before its colon.");
    if (head->n_fields == limits->fields)
        return http1_refuse(head, 431, "There are too many fields.");
    struct http1_field *field = &head->fields[head->n_fields++];
    field->name = (struct http1_span){(uint32_t)(from - bytes), (uint32_t)(p - from)};
    for (p++; p < end && (*p == ' ' || *p == '\t'); p++)
        continue;
    const char *value = p;
    p += value_span(p, end);
    if (p < end)
        return http1_refuse(head, 400, "A field's value has a control character.");
    while (p > value && (p[-1] == ' ' || p[-1] == '\t'))
        p--;
    field->value = (struct http1_span){(uint32_t)(value - bytes), (uint32_t)(p - value)};
    return note_field(head, bytes, field);
}

bool http1_find(const struct http1_field *fields, size_t n, const char *bytes, struct str name,
                struct str *value)
{
    for (size_t i = 0; i < n; i++) {
        if (http1_same(http1_str(bytes, fields[i].name), name)) {
            *value = http1_str(bytes, fields[i].value);
            return true;
        }
    }
    return false;
}

bool http1_read_length(struct http1_head *head, struct str value)
{
    uint64_t length = 0;
    for (size_t i = 0; i < value.len; i++) {
        if (!is(value.base[i], DIGIT) || length > (INT64_MAX - 9) / 10)
            return http1_refuse(head, 400, "Content-Length must be one whole number in range.");
        length = length * 10 + (uint64_t)(value.base[i] - '0');
    }
    if (value.len == 0)
        return http1_refuse(head, 400, "Content-Length must be one whole number in range.");
    head->body = length == 0 ? HTTP1_BODY_NONE : HTTP1_BODY_LENGTH;
    head->content_length = length;
    return true;
}
