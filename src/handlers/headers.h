/* headers.h: a route's own header fields, filled in for one answer. */
#ifndef HAYFORK_HANDLERS_HEADERS_H
#define HAYFORK_HANDLERS_HEADERS_H

#include "conf/conf.h"
#include "http/sink.h"

/* What a {name} stands for in this answer. Returns false for one that has no value: SQL NULL, or no row. */
typedef bool headers_lookup(void *arg, const char *name, struct str *value);

/* What a client is told about a value of its own that is refused, by the parameter's name. */
#define HEADERS_REFUSED "%s has a control character; the answer has a header with it, which cannot have one."

struct headers {
    struct sink_field *fields;
    size_t n;
    struct str content_type; /* of a Content-Type among them, which is not one of fields; else empty */
    const char *refused;     /* the name of a field whose value holds a control character, or NULL */
};

/*
 * Fills in a route's headers, in memory of the sink's request. A header with a {name} that has no value is
 * left out. In Location, what a {name} stands for is percent-encoded, but for what RFC 3986 section 2.3
 * calls unreserved. A value with CR, LF or another control character is never sent.
 */
struct headers headers_fill(const struct conf_route *route, struct sink *sink, headers_lookup *lookup,
                            void *arg);

/* The same for any n headers, in memory of the arena. */
struct headers headers_fill_in(const struct conf_header *headers, size_t n, const struct arena *arena,
                               headers_lookup *lookup, void *arg);

/*
 * The first {name} of these headers whose value makes a field that cannot be sent, or NULL. To be asked about
 * what comes from the client, before anything is done. Only values that lookup knows are looked at, and none
 * that is percent-encoded.
 */
const char *headers_find_refused(const struct conf_header *headers, size_t n, headers_lookup *lookup,
                                 void *arg);

/*
 * The head of an answer with a route's headers, filled in as by headers_fill. content_type is what counts
 * where they have none. Returns NULL, or the name of a field that was refused and is not in the head.
 */
const char *headers_head(struct sink_head *head, int status, struct str content_type,
                         const struct conf_route *route, struct sink *sink, headers_lookup *lookup,
                         void *arg);

#endif
