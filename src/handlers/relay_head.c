/* relay_head.c: the head of a request on its way to an upstream (RFC 9110 section 7.6). */
#include "handlers/relay_head.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/percent.h"
#include "handlers/headers.h"
#include "http/forwarded.h"

/* What Via says of us. */
#define NAME "hayfork"

enum {
    SPARE = 256, /* bytes for what is not counted below: names, blanks, numbers */
    MOST_FORWARDS = 1000000,
    MOST_ROUNDS = 8,
};

/* Names */

static bool any_has_name(const struct conf_header *headers, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < headers[i].n_pieces; j++) {
            if (headers[i].pieces[j].is_name)
                return true;
        }
    }
    return false;
}

void relay_names_init(struct relay_names *names, const struct conf_route *route)
{
    size_t error_at;
    route_check_pattern(str_of(route->path), names->at, &names->n, &error_at);
    names->are_in_headers =
        any_has_name(route->headers, route->n_headers) || any_has_name(route->send, route->n_send);
}

/* Which of them this is, or their number. */
static size_t find_name(const struct relay_names *names, const char *name)
{
    size_t i = 0;
    while (i < names->n && !str_equal(names->at[i], str_of(name)))
        i++;
    return i;
}

bool relay_head_find(void *arg, const char *name, struct str *value)
{
    const struct relay_head *head = arg;
    size_t i = find_name(head->names, name);
    if (i == head->names->n)
        return false;
    *value = head->decoded[i];
    return true;
}

/* For header fields. A '%' that begins no code stands for itself. */
static struct str decode(const struct arena *arena, struct str text)
{
    char *to = arena_alloc(arena, text.len + 1);
    struct str decoded = {to, 0};
    for (size_t i = 0; i < text.len;) {
        int c = percent_next(text, &i);
        to[decoded.len++] = (char)(c < 0 ? text.base[i++] : c);
    }
    return decoded;
}

/* Keeps what the path's names stand for. */
static void take_captures(struct relay_head *head, const struct str *captures)
{
    const struct relay_names *names = head->names;
    if (names->n == 0)
        return;
    head->captures = arena_alloc(head->arena, names->n * sizeof(*head->captures));
    memcpy(head->captures, captures, names->n * sizeof(*head->captures));
    if (!names->are_in_headers)
        return;
    head->decoded = arena_alloc(head->arena, names->n * sizeof(*head->decoded));
    for (size_t i = 0; i < names->n; i++)
        head->decoded[i] = decode(head->arena, captures[i]);
}

/* The name of a part of the path that cannot go into a header field that has it, or NULL. */
static const char *find_refused(struct relay_head *head)
{
    const struct conf_route *route = head->route;
    if (!head->names->are_in_headers)
        return NULL;
    const char *name = headers_find_refused(route->headers, route->n_headers, relay_head_find, head);
    return name != NULL ? name : headers_find_refused(route->send, route->n_send, relay_head_find, head);
}

/* Reading */

/*
 * Is a segment of the path "." or "..", whoever decodes it? Our routes compare the path as it stands, but
 * the upstream may resolve such segments, and so serve what no route lets out.
 */
static bool has_dot_segment(struct str path)
{
    size_t dots = 0;
    bool only_dots = true;
    for (size_t i = 0; i <= path.len; i++) {
        char c = i == path.len ? '/' : path.base[i];
        int byte = c == '%' ? percent_byte(path, i) : -1;
        if (byte == '.' || byte == '/' || byte == '\\') {
            c = (char)byte;
            i += PERCENT_LEN - 1;
        }
        if (c == '/' || c == '\\') {
            if (only_dots && (dots == 1 || dots == 2))
                return true;
            dots = 0;
            only_dots = true;
        } else if (c == '.') {
            dots++;
        } else if (c == ';' && only_dots && (dots == 1 || dots == 2)) {
            return true; /* some servers cut off what follows it */
        } else {
            only_dots = false;
        }
    }
    return false;
}

/*
 * Max-Forwards of OPTIONS (RFC 9110 section 7.6.2): how many may still pass the request on. Returns false
 * where that cannot be told.
 */
static bool read_max_forwards(struct relay_head *head)
{
    const struct request_message *message = &head->message;
    struct str value = {NULL, 0};
    unsigned n = 0;
    if (!relay_fields_has(&head->fields, RELAY_MAX_FORWARDS) || !str_equal(head->method, STR("OPTIONS")))
        return true;
    for (size_t i = 0; i < message->n_fields; i++) {
        if (head->fields.fates[i] == RELAY_MAX_FORWARDS) {
            value = http1_str(message->bytes, message->fields[i].value);
            n++;
        }
    }
    for (size_t i = 0; i < value.len; i++) {
        if (value.base[i] < '0' || value.base[i] > '9')
            return false;
        if (head->max_forwards < MOST_FORWARDS) /* there never are so many */
            head->max_forwards = head->max_forwards * 10 + (uint64_t)(value.base[i] - '0');
    }
    head->counts_forwards = true;
    return n == 1 && value.len > 0;
}

/*
 * Does the request come round in a circle (RFC 9110 section 7.6)? Each time it has passed here, Via has got
 * one item more: its second word is our name, unless `send` says something else.
 */
static bool is_circling(const struct relay_head *head)
{
    const struct request_message *message = &head->message;
    struct str name = STR(NAME);
    unsigned n = 0;
    if (!relay_fields_has(&head->fields, RELAY_VIA))
        return false;
    for (size_t i = 0; i < message->n_fields; i++) {
        if (head->fields.fates[i] != RELAY_VIA)
            continue;
        struct str via = http1_str(message->bytes, message->fields[i].value);
        while (via.len > 0) {
            struct str item = http1_next_item(&via);
            const char *blank = item.len == 0 ? NULL : memchr(item.base, ' ', item.len);
            struct str by = {blank, blank == NULL ? 0 : item.len - (size_t)(blank - item.base)};
            n += by.len == name.len + 1 && memcmp(by.base + 1, name.base, name.len) == 0;
        }
    }
    return n >= MOST_ROUNDS;
}

/* What is wrong with it, or a problem of status 0. */
static struct problem check(struct relay_head *head)
{
    const char *refused = find_refused(head);
    if (refused != NULL)
        return (struct problem){.status = 400,
                                .detail = arena_printf(head->arena, HEADERS_REFUSED, refused),
                                .parameter = refused};
    if (has_dot_segment(head->path))
        return (struct problem){.status = 400, .detail = "The path has a segment of dots."};
    if (is_circling(head))
        return (struct problem){.status = 508,
                                .detail = "This request has come round several times already."};
    if (!read_max_forwards(head))
        return (struct problem){.status = 400, .detail = "Max-Forwards must be one whole number."};
    return (struct problem){.status = 0};
}

/* Does the text lie in the head as it came? */
static bool is_of_message(struct str text, const struct request_message *message)
{
    for (size_t i = 0; i < message->n_fields; i++) {
        if (text.base == message->bytes + message->fields[i].value.at)
            return true;
    }
    return false;
}

struct problem relay_head_init(struct relay_head *head, const struct conf_route *route,
                               const struct relay_names *names, const struct request *request)
{
    const struct request_message *message = request->message;
    *head = (struct relay_head){
        .route = route,
        .names = names,
        .arena = &request->sink->arena,
        .message = *message,
        .method = request->method,
        .path = request->path,
        .query = request->query,
        .id = str_of(sink_request_id(request->sink)),
        .fields =
            relay_fields_sort(message->fields, message->n_fields, message->bytes, &request->sink->arena),
    };
    head->trace = request->sink->ops->trace(request->sink);
    head->trace_is_clients = is_of_message(head->trace, message);
    take_captures(head, request->captures);
    return check(head);
}

bool relay_head_ends_here(const struct relay_head *head)
{
    return head->counts_forwards && head->max_forwards == 0;
}

/* Writing */

static char *put(char *out, struct str text)
{
    return text.len == 0 ? out : mempcpy(out, text.base, text.len);
}

static char *put_field(char *out, struct str name, struct str value)
{
    out = put(put(out, name), STR(": "));
    return put(put(out, value), STR("\r\n"));
}

/* A part of the path as it came; in a query, what has a meaning only there is encoded. */
static char *put_capture(char *out, struct str text, bool in_query)
{
    return in_query ? percent_encode_only(out, text, "&=+;") : put(out, text);
}

static char *put_target(char *out, const struct relay_head *head)
{
    const struct conf_route *route = head->route;
    bool in_query = false;
    if (route->n_target == 0)
        out = put(out, head->path);
    for (size_t i = 0; i < route->n_target; i++) {
        const struct conf_piece *piece = &route->target[i];
        if (!piece->is_name) {
            out = put(out, str_of(piece->text));
            in_query = in_query || strchr(piece->text, '?') != NULL;
        } else {
            out = put_capture(out, head->captures[find_name(head->names, piece->text)], in_query);
        }
    }
    if (head->query.base != NULL) {
        *out++ = in_query ? '&' : '?';
        out = put(out, head->query);
    }
    return out;
}

static struct str name_at(const struct request_message *message, size_t i)
{
    return http1_str(message->bytes, message->fields[i].name);
}

static struct str value_at(const struct request_message *message, size_t i)
{
    return http1_str(message->bytes, message->fields[i].value);
}

/*
 * A list that the client may have begun, with one more item at its end, which may be empty. Where the
 * client's part is not well-formed, as with a quote that does not end, it would take our item into itself:
 * then ours is all.
 */
static char *put_list(char *out, const struct relay_head *head, struct str name, enum relay_fate fate,
                      bool (*is_valid)(struct str value), struct str item)
{
    const struct request_message *message = &head->message;
    const uint8_t *fates = head->fields.fates;
    bool any = false,
         has_client = relay_fields_has(&head->fields, fate) && !relay_hop_names(&head->fields.hop, name);
    for (size_t i = 0; has_client && i < message->n_fields; i++)
        has_client = fates[i] != fate || is_valid(value_at(message, i));
    for (size_t i = has_client ? 0 : message->n_fields; i <= message->n_fields; i++) {
        if (i < message->n_fields && fates[i] != fate)
            continue;
        struct str value = i < message->n_fields ? value_at(message, i) : item;
        if (value.len == 0)
            continue;
        out = any ? put(out, STR(", ")) : put(put(out, name), STR(": "));
        out = put(out, value);
        any = true;
    }
    return any ? put(out, STR("\r\n")) : out;
}

/* RFC 7239 section 4: an IPv6 address stands in brackets and quotes. */
static struct str forwarded_item(const struct arena *arena, const struct request_message *message)
{
    bool is_v6 = message->peer.len > 0 && memchr(message->peer.base, ':', message->peer.len) != NULL;
    char *item = arena_alloc(arena, message->peer.len + message->host.len + 64), *out = item;
    out = put(out, STR("for="));
    out = put(out, is_v6 ? STR("\"[") : STR(""));
    out = put(out, message->peer.len == 0 ? STR("unknown") : message->peer);
    out = put(out, is_v6 ? STR("]\"") : STR(""));
    if (message->host.len > 0)
        out = put(put(put(out, STR(";host=\"")), message->host), STR("\""));
    out = put(out, STR(";proto=http"));
    return (struct str){item, (size_t)(out - item)};
}

static char *put_forwarded(char *out, const struct relay_head *head)
{
    const struct request_message *message = &head->message;
    enum conf_forwarded how = head->route->forwarded;
    if (how == CONF_FORWARDED_X || how == CONF_FORWARDED_BOTH) {
        out = put_list(out, head, STR("X-Forwarded-For"), RELAY_FORWARDED_FOR, forwarded_for_is_valid,
                       message->peer);
        out = put_field(out, STR("X-Forwarded-Proto"), STR("http"));
        if (message->host.len > 0)
            out = put_field(out, STR("X-Forwarded-Host"), message->host);
    }
    if (how == CONF_FORWARDED_STANDARD || how == CONF_FORWARDED_BOTH)
        out = put_list(out, head, STR("Forwarded"), RELAY_FORWARDED, forwarded_is_valid,
                       forwarded_item(head->arena, message));
    return out;
}

/* Does `send` say something about this field? */
static bool is_set(const struct conf_route *route, struct str name)
{
    for (size_t i = 0; i < route->n_send; i++) {
        if (http1_same(str_of(route->send[i].name), name))
            return true;
    }
    return false;
}

static char *put_clients_fields(char *out, const struct relay_head *head)
{
    const struct conf_route *route = head->route;
    const struct request_message *message = &head->message;
    for (size_t i = 0; i < message->n_fields; i++) {
        struct str name = name_at(message, i);
        if (name.len > 0 && memchr(name.base, '_', name.len) != NULL)
            continue; /* to CGI and its heirs it is the same as one with a hyphen, which may be ours */
        enum relay_fate fate = head->fields.fates[i];
        bool passes = fate < RELAY_NEXT_HOP || (fate == RELAY_TRACE_STATE && head->trace_is_clients) ||
                      (fate == RELAY_MAX_FORWARDS && !head->counts_forwards) ||
                      (fate >= RELAY_FORWARDED && route->forwarded == CONF_FORWARDED_OFF);
        if (passes && !relay_hop_names(&head->fields.hop, name) && !is_set(route, name))
            out = put_field(out, name, value_at(message, i));
    }
    if (head->counts_forwards && !is_set(route, STR("max-forwards")))
        out += sprintf(out, "Max-Forwards: %" PRIu64 "\r\n", head->max_forwards - 1);
    return out;
}

/* Content-Length or Transfer-Encoding (RFC 9112 section 6); what usually has a body says that it has none. */
static char *put_framing(char *out, const struct relay_head *head, uint64_t length)
{
    static const struct str with_body[] = {{"POST", 4}, {"PUT", 3}, {"PATCH", 5}};
    bool says = length > 0;
    for (size_t i = 0; i < sizeof(with_body) / sizeof(with_body[0]); i++)
        says = says || str_equal(head->method, with_body[i]);
    if (length == BODY_LENGTH_UNKNOWN)
        return put(out, STR("Transfer-Encoding: chunked\r\n"));
    return says ? out + sprintf(out, "Content-Length: %llu\r\n", (unsigned long long)length) : out;
}

static size_t size_of_head(const struct relay_head *head, const struct headers *sent)
{
    const struct request_message *message = &head->message;
    const struct conf_route *route = head->route;
    size_t size = SPARE + head->id.len + head->trace.len + sent->content_type.len + head->method.len +
                  head->path.len + head->query.len + 3 * message->host.len + 2 * message->peer.len;
    for (size_t i = 0; i < route->n_target; i++)
        size += strlen(route->target[i].text);
    for (size_t i = 0; i < head->names->n; i++)
        size += 3 * head->captures[i].len * route->n_target;
    for (size_t i = 0; i < message->n_fields; i++)
        size += message->fields[i].name.len + message->fields[i].value.len + 4;
    for (size_t i = 0; i < sent->n; i++)
        size += sent->fields[i].name.len + sent->fields[i].value.len + 4;
    return size;
}

struct relay_head_text relay_head_write(struct relay_head *head, uint64_t length)
{
    const struct conf_route *route = head->route;
    struct headers sent = headers_fill_in(route->send, route->n_send, head->arena, relay_head_find, head);
    struct str host = {NULL, 0};
    for (size_t i = 0; i < sent.n; i++) {
        if (http1_same(sent.fields[i].name, STR("host")))
            host = sent.fields[i].value;
    }
    char *text = arena_alloc(head->arena, size_of_head(head, &sent)), *out = text;
    out = put(put(out, head->method), STR(" "));
    out = put(put_target(out, head), STR(" HTTP/1.1\r\nHost: "));
    char *after = out;
    out = put(put(out, host), STR("\r\n"));
    out = put_framing(out, head, length);
    out = put_clients_fields(out, head);
    if (!is_set(route, STR("via")))
        out = put_list(out, head, STR("Via"), RELAY_VIA, forwarded_via_is_valid,
                       head->message.minor_version == 0 ? STR("1.0 " NAME) : STR("1.1 " NAME));
    out = put_forwarded(out, head);
    if (!is_set(route, STR("x-request-id")))
        out = put_field(out, STR("X-Request-Id"), head->id);
    if (!is_set(route, STR("traceparent")))
        out = put_field(out, STR("traceparent"), head->trace);
    if (sent.content_type.len > 0)
        out = put_field(out, STR("Content-Type"), sent.content_type);
    for (size_t i = 0; i < sent.n; i++) {
        if (sent.fields[i].value.len > 0 && !http1_same(sent.fields[i].name, STR("host")))
            out = put_field(out, sent.fields[i].name, sent.fields[i].value);
    }
    out = put(out, STR("\r\n"));
    if (host.len > 0)
        return (struct relay_head_text){.text = {text, (size_t)(out - text)}};
    return (struct relay_head_text){.text = {text, (size_t)(after - text)},
                                    .after_host = {after, (size_t)(out - after)},
                                    .host_is_servers = true};
}
