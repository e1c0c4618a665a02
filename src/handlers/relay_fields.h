/* relay_fields.h: what becomes of each field of a message that a relay passes on (RFC 9110 section 7.6). */
#ifndef HAYFORK_HANDLERS_RELAY_FIELDS_H
#define HAYFORK_HANDLERS_RELAY_FIELDS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"
#include "http/http1_field.h"

/* By a field's name alone. */
enum relay_fate {
    RELAY_PASSES,
    RELAY_SERVER, /* passes, but for the cases that the name tells */
    RELAY_CONTENT_TYPE,
    RELAY_NEXT_HOP, /* is for us alone */
    RELAY_CONNECTION,
    RELAY_CONTENT_LENGTH,
    RELAY_REPLACED,    /* has another value in each request */
    RELAY_REQUEST_ID,  /* the same; and the upstream's is not passed on */
    RELAY_TRACE,       /* traceparent: the client's, or another one in its place, */
    RELAY_TRACE_STATE, /* and what belongs to the client's */
    RELAY_VIA,
    RELAY_MAX_FORWARDS,
    RELAY_FORWARDED, /* this one and those below it say where a request comes from */
    RELAY_FORWARDED_FOR,
    RELAY_FORWARDED_OTHER,
};

/* The fields that Connection names, which are for the next hop alone (RFC 9110 section 7.6.1). */
struct relay_hop {
    struct str *names;
    size_t n;
};

struct relay_fields {
    uint8_t *fates; /* enum relay_fate of each */
    uint32_t seen;  /* which of them there are, as bits */
    struct relay_hop hop;
};

/* Sorts n fields of a message. What is returned is in the arena, and its names are in bytes. */
struct relay_fields relay_fields_sort(const struct http1_field *fields, size_t n, const char *bytes,
                                      const struct arena *arena);

static inline bool relay_fields_has(const struct relay_fields *fields, enum relay_fate fate)
{
    return (fields->seen >> fate & 1) != 0;
}

/* Does Connection name this field? */
bool relay_hop_names(const struct relay_hop *hop, struct str name);

#endif
