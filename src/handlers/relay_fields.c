/* relay_fields.c: what becomes of each field of a message that a relay passes on. */
#include "handlers/relay_fields.h"

enum { MOST_OF_A_LENGTH = 3 };

/* By the length of their names, which tells nearly all others away. */
static const struct {
    struct str name;
    enum relay_fate fate;
} known[][MOST_OF_A_LENGTH] = {
    [2] = {{{"te", 2}, RELAY_NEXT_HOP}},
    [3] = {{{"via", 3}, RELAY_VIA}},
    [4] = {{{"host", 4}, RELAY_REPLACED}},
    [6] = {{{"expect", 6}, RELAY_REPLACED}, {{"server", 6}, RELAY_SERVER}},
    [7] = {{{"trailer", 7}, RELAY_NEXT_HOP}, {{"upgrade", 7}, RELAY_NEXT_HOP}},
    [9] = {{{"forwarded", 9}, RELAY_FORWARDED}},
    [10] = {{{"connection", 10}, RELAY_CONNECTION},
            {{"keep-alive", 10}, RELAY_NEXT_HOP},
            {{"tracestate", 10}, RELAY_TRACE_STATE}},
    [11] = {{{"traceparent", 11}, RELAY_TRACE}},
    [12] = {{{"content-type", 12}, RELAY_CONTENT_TYPE},
            {{"max-forwards", 12}, RELAY_MAX_FORWARDS},
            {{"x-request-id", 12}, RELAY_REQUEST_ID}},
    [14] = {{{"content-length", 14}, RELAY_CONTENT_LENGTH}, {{"http2-settings", 14}, RELAY_NEXT_HOP}},
    [15] = {{{"x-forwarded-for", 15}, RELAY_FORWARDED_FOR}},
    [16] = {{{"x-forwarded-host", 16}, RELAY_FORWARDED_OTHER}, {{"proxy-connection", 16}, RELAY_NEXT_HOP}},
    [17] = {{{"transfer-encoding", 17}, RELAY_NEXT_HOP}, {{"x-forwarded-proto", 17}, RELAY_FORWARDED_OTHER}},
    [18] = {{{"proxy-authenticate", 18}, RELAY_NEXT_HOP}},
    [19] = {{{"proxy-authorization", 19}, RELAY_NEXT_HOP}},
    [25] = {{{"proxy-authentication-info", 25}, RELAY_NEXT_HOP}},
};

static enum relay_fate fate_of(struct str name)
{
    if (name.len >= sizeof(known) / sizeof(known[0]))
        return RELAY_PASSES;
    for (size_t i = 0; i < MOST_OF_A_LENGTH && known[name.len][i].name.len > 0; i++) {
        if (http1_same(known[name.len][i].name, name))
            return known[name.len][i].fate;
    }
    return RELAY_PASSES;
}

/* Does it name a field that could be passed on? */
static bool names_field(struct str item)
{
    return item.len > 0 && !http1_same(item, STR("keep-alive")) && !http1_same(item, STR("close"));
}

/* Adds what the value names, or only counts it where there are no names yet. */
static void add_named(struct relay_hop *hop, struct str value)
{
    while (value.len > 0) {
        struct str item = http1_next_item(&value);
        if (!names_field(item))
            continue;
        if (hop->names != NULL)
            hop->names[hop->n] = item;
        hop->n++;
    }
}

static void add_connections(struct relay_fields *sorted, const struct http1_field *fields, size_t n,
                            const char *bytes)
{
    sorted->hop.n = 0;
    for (size_t i = 0; i < n; i++) {
        if (sorted->fates[i] == RELAY_CONNECTION)
            add_named(&sorted->hop, http1_str(bytes, fields[i].value));
    }
}

struct relay_fields relay_fields_sort(const struct http1_field *fields, size_t n, const char *bytes,
                                      const struct arena *arena)
{
    struct relay_fields sorted = {.fates = arena_alloc(arena, n)};
    for (size_t i = 0; i < n; i++) {
        enum relay_fate fate = fate_of(http1_str(bytes, fields[i].name));
        sorted.fates[i] = (uint8_t)fate;
        sorted.seen |= UINT32_C(1) << fate;
    }
    if (!relay_fields_has(&sorted, RELAY_CONNECTION))
        return sorted;
    add_connections(&sorted, fields, n, bytes);
    if (sorted.hop.n > 0) {
        sorted.hop.names = arena_alloc(arena, sorted.hop.n * sizeof(*sorted.hop.names));
        add_connections(&sorted, fields, n, bytes);
    }
    return sorted;
}

bool relay_hop_names(const struct relay_hop *hop, struct str name)
{
    for (size_t i = 0; i < hop->n; i++) {
        if (http1_same(hop->names[i], name))
            return true;
    }
    return false;
}
