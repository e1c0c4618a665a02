/* headers.c: a route's own header fields, filled in for one answer. */
#include "handlers/headers.h"

#include <strings.h>

#include "base/percent.h"

static bool has_control_character(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        unsigned char c = (unsigned char)text.base[i];
        if ((c < 0x20 && c != '\t') || c == 0x7f)
            return true;
    }
    return false;
}

static bool is_constant(const struct conf_header *header)
{
    return header->n_pieces == 1 && !header->pieces[0].is_name;
}

/* Is what a {name} stands for percent-encoded in this field? Then no byte of it can do harm. */
static bool encodes(const struct conf_header *header)
{
    return strcasecmp(header->name, "Location") == 0;
}

const char *headers_find_refused(const struct conf_header *headers, size_t n, headers_lookup *lookup,
                                 void *arg)
{
    struct str value;
    for (size_t i = 0; i < n; i++) {
        const struct conf_header *header = &headers[i];
        for (size_t j = 0; j < header->n_pieces && !encodes(header); j++) {
            const struct conf_piece *piece = &header->pieces[j];
            if (piece->is_name && lookup(arg, piece->text, &value) && has_control_character(value))
                return piece->text;
        }
    }
    return NULL;
}

/* Puts the pieces together. Returns false if one of them has no value. */
static bool fill_one(const struct conf_header *header, const struct arena *arena, headers_lookup *lookup,
                     void *arg, struct str *value)
{
    bool encode = encodes(header);
    struct str *parts = arena_alloc(arena, (header->n_pieces + 1) * sizeof(*parts));
    size_t size = 0;
    for (size_t i = 0; i < header->n_pieces; i++) {
        const struct conf_piece *piece = &header->pieces[i];
        if (!piece->is_name)
            parts[i] = str_of(piece->text);
        else if (!lookup(arg, piece->text, &parts[i]))
            return false;
        size += parts[i].len * (encode ? PERCENT_LEN : 1);
    }
    char *out = arena_alloc(arena, size + 1), *end = out;
    for (size_t i = 0; i < header->n_pieces; i++) {
        if (encode && header->pieces[i].is_name)
            end = percent_encode(end, parts[i]);
        else if (parts[i].len > 0)
            end = mempcpy(end, parts[i].base, parts[i].len);
    }
    *value = (struct str){out, (size_t)(end - out)};
    return true;
}

struct headers headers_fill_in(const struct conf_header *from, size_t n, const struct arena *arena,
                               headers_lookup *lookup, void *arg)
{
    struct headers headers = {0};
    if (n == 0)
        return headers;
    headers.fields = arena_alloc(arena, n * sizeof(*headers.fields));
    for (size_t i = 0; i < n; i++) {
        const struct conf_header *header = &from[i];
        struct str value;
        if (is_constant(header)) {
            value = str_of(header->pieces[0].text); /* looked at when the conf was read */
        } else if (!fill_one(header, arena, lookup, arg, &value)) {
            continue;
        } else if (has_control_character(value)) {
            headers.refused = header->name;
            continue;
        }
        if (strcasecmp(header->name, "Content-Type") == 0)
            headers.content_type = value;
        else
            headers.fields[headers.n++] = (struct sink_field){str_of(header->name), value};
    }
    return headers;
}

struct headers headers_fill(const struct conf_route *route, struct sink *sink, headers_lookup *lookup,
                            void *arg)
{
    return headers_fill_in(route->headers, route->n_headers, &sink->arena, lookup, arg);
}

const char *headers_head(struct sink_head *head, int status, struct str content_type,
                         const struct conf_route *route, struct sink *sink, headers_lookup *lookup, void *arg)
{
    struct headers headers = headers_fill(route, sink, lookup, arg);
    *head = (struct sink_head){
        .status = status,
        .content_type = headers.content_type.len != 0 ? headers.content_type : content_type,
        .content_length = SINK_LENGTH_UNKNOWN,
        .fields = headers.fields,
        .n_fields = headers.n,
    };
    return headers.refused;
}
