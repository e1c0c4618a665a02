/* relay_head.c: the head of the request that a relay sends on (RFC 9110 section 7.6). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "handlers/relay_private.h"
#include "handlers/headers.h"
#include "http/forwarded.h"
#include "base/percent.h"

enum { SPARE = 256 /* bytes for what is not counted below: names, blanks, numbers */ };

/* Which of the path's names this is, or n_names. */
static size_t find_name(const struct relay_call *call, const char *name)
{
    size_t i = 0;
    while (i < call->handler->n_names && !str_equal(call->handler->names[i], str_of(name)))
        i++;
    return i;
}

bool handler_relay_lookup(void *arg, const char *name, struct str *value)
{
    const struct relay_call *call = arg;
    size_t i = find_name(call, name);
    if (i == call->handler->n_names)
        return false;
    *value = call->decoded[i];
    return true;
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

static char *put_target(char *out, const struct relay_call *call)
{
    const struct conf_route *route = call->handler->route;
    bool in_query = false;
    if (route->n_target == 0)
        out = put(out, call->path);
    for (size_t i = 0; i < route->n_target; i++) {
        const struct conf_piece *piece = &route->target[i];
        if (!piece->is_name) {
            out = put(out, str_of(piece->text));
            in_query = in_query || strchr(piece->text, '?') != NULL;
        } else {
            out = put_capture(out, call->captures[find_name(call, piece->text)], in_query);
        }
    }
    if (call->query.base != NULL) {
        *out++ = in_query ? '&' : '?';
        out = put(out, call->query);
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
static char *put_list(char *out, const struct relay_call *call, struct str name, enum relay_fate fate,
                      bool (*is_valid)(struct str value), struct str item)
{
    const struct request_message *message = &call->message;
    const uint8_t *fates = call->fields.fates;
    bool any = false,
         has_client = relay_fields_has(&call->fields, fate) && !relay_hop_names(&call->fields.hop, name);
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
static struct str forwarded_item(struct sink *sink, const struct request_message *message)
{
    bool is_v6 = message->peer.len > 0 && memchr(message->peer.base, ':', message->peer.len) != NULL;
    char *item = arena_alloc(&sink->arena, message->peer.len + message->host.len + 64), *out = item;
    out = put(out, STR("for="));
    out = put(out, is_v6 ? STR("\"[") : STR(""));
    out = put(out, message->peer.len == 0 ? STR("unknown") : message->peer);
    out = put(out, is_v6 ? STR("]\"") : STR(""));
    if (message->host.len > 0)
        out = put(put(put(out, STR(";host=\"")), message->host), STR("\""));
    out = put(out, STR(";proto=http"));
    return (struct str){item, (size_t)(out - item)};
}

static char *put_forwarded(char *out, const struct relay_call *call)
{
    const struct request_message *message = &call->message;
    enum conf_forwarded how = call->handler->route->forwarded;
    if (how == CONF_FORWARDED_X || how == CONF_FORWARDED_BOTH) {
        out = put_list(out, call, STR("X-Forwarded-For"), RELAY_FORWARDED_FOR, forwarded_for_is_valid,
                       message->peer);
        out = put_field(out, STR("X-Forwarded-Proto"), STR("http"));
        if (message->host.len > 0)
            out = put_field(out, STR("X-Forwarded-Host"), message->host);
    }
    if (how == CONF_FORWARDED_STANDARD || how == CONF_FORWARDED_BOTH)
        out = put_list(out, call, STR("Forwarded"), RELAY_FORWARDED, forwarded_is_valid,
                       forwarded_item(call->sink, message));
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

static char *put_clients_fields(char *out, const struct relay_call *call)
{
    const struct conf_route *route = call->handler->route;
    const struct request_message *message = &call->message;
    for (size_t i = 0; i < message->n_fields; i++) {
        struct str name = name_at(message, i);
        if (name.len > 0 && memchr(name.base, '_', name.len) != NULL)
            continue; /* to CGI and its heirs it is the same as one with a hyphen, which may be ours */
        enum relay_fate fate = call->fields.fates[i];
        bool passes = fate < RELAY_NEXT_HOP || (fate == RELAY_MAX_FORWARDS && !call->counts_forwards) ||
                      (fate >= RELAY_FORWARDED && route->forwarded == CONF_FORWARDED_OFF);
        if (passes && !relay_hop_names(&call->fields.hop, name) && !is_set(route, name))
            out = put_field(out, name, value_at(message, i));
    }
    if (call->counts_forwards && !is_set(route, STR("max-forwards")))
        out += sprintf(out, "Max-Forwards: %" PRIu64 "\r\n", call->max_forwards - 1);
    return out;
}

/* Content-Length or Transfer-Encoding (RFC 9112 section 6); what usually has a body says that it has none. */
static char *put_framing(char *out, const struct relay_call *call, uint64_t length)
{
    static const struct str with_body[] = {{"POST", 4}, {"PUT", 3}, {"PATCH", 5}};
    bool says = length > 0;
    for (size_t i = 0; i < sizeof(with_body) / sizeof(with_body[0]); i++)
        says = says || str_equal(call->method, with_body[i]);
    if (length == BODY_LENGTH_UNKNOWN)
        return put(out, STR("Transfer-Encoding: chunked\r\n"));
    return says ? out + sprintf(out, "Content-Length: %llu\r\n", (unsigned long long)length) : out;
}

static size_t size_of_head(const struct relay_call *call, const struct headers *sent)
{
    const struct request_message *message = &call->message;
    const struct conf_route *route = call->handler->route;
    size_t size = SPARE + sent->content_type.len + call->method.len + call->path.len + call->query.len +
                  3 * message->host.len + 2 * message->peer.len;
    for (size_t i = 0; i < route->n_target; i++)
        size += strlen(route->target[i].text);
    for (size_t i = 0; i < call->handler->n_names; i++)
        size += 3 * call->captures[i].len * route->n_target;
    for (size_t i = 0; i < message->n_fields; i++)
        size += message->fields[i].name.len + message->fields[i].value.len + 4;
    for (size_t i = 0; i < sent->n; i++)
        size += sent->fields[i].name.len + sent->fields[i].value.len + 4;
    return size;
}

void handler_relay_write_head(struct relay_call *call, uint64_t length)
{
    const struct conf_route *route = call->handler->route;
    struct headers sent = headers_fill_in(route->send, route->n_send, call->sink, handler_relay_lookup, call);
    struct upstream_request *upstream = &call->upstream;
    struct str host = {NULL, 0};
    for (size_t i = 0; i < sent.n; i++) {
        if (http1_same(sent.fields[i].name, STR("host")))
            host = sent.fields[i].value;
    }
    char *head = arena_alloc(&call->sink->arena, size_of_head(call, &sent)), *out = head;
    out = put(put(out, call->method), STR(" "));
    out = put(put_target(out, call), STR(" HTTP/1.1\r\nHost: "));
    upstream->host_is_servers = host.len == 0;
    char *after = out;
    out = put(put(out, host), STR("\r\n"));
    out = put_framing(out, call, length);
    out = put_clients_fields(out, call);
    if (!is_set(route, STR("via")))
        out = put_list(out, call, STR("Via"), RELAY_VIA, forwarded_via_is_valid,
                       call->message.minor_version == 0 ? STR("1.0 " RELAY_NAME) : STR("1.1 " RELAY_NAME));
    out = put_forwarded(out, call);
    if (sent.content_type.len > 0)
        out = put_field(out, STR("Content-Type"), sent.content_type);
    for (size_t i = 0; i < sent.n; i++) {
        if (sent.fields[i].value.len > 0 && !http1_same(sent.fields[i].name, STR("host")))
            out = put_field(out, sent.fields[i].name, sent.fields[i].value);
    }
    out = put(out, STR("\r\n"));
    if (upstream->host_is_servers) {
        upstream->head = (struct str){head, (size_t)(after - head)};
        upstream->after_host = (struct str){after, (size_t)(out - after)};
    } else {
        upstream->head = (struct str){head, (size_t)(out - head)};
    }
}
