/*
 * conditional.h: what a conditional or range request for a file is answered with (RFC 9110 sections 13, 14).
 *
 * Pure: fields in, decision out.
 */
#ifndef HAYFORK_HTTP_CONDITIONAL_H
#define HAYFORK_HTTP_CONDITIONAL_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

#include "base/str.h"

/* The fields of a GET or HEAD request, each with base NULL where it is missing. */
struct conditional_request {
    bool is_get; /* Range counts only for GET */
    struct str if_match, if_none_match, if_modified_since, if_unmodified_since, if_range, range;
};

/* What is there. */
struct conditional_file {
    struct str etag; /* strong, with its quotes */
    time_t modified; /* as sent in Last-Modified, so never after now */
    time_t now;
    uint64_t size;
};

enum conditional_answer {
    CONDITIONAL_WHOLE = 200,
    CONDITIONAL_PART = 206,
    CONDITIONAL_NOT_MODIFIED = 304,
    CONDITIONAL_FAILED = 412,
    CONDITIONAL_NO_SUCH_PART = 416,
};

/*
 * Decides in the order of RFC 9110 section 13.2.2. *from and *len are the bytes to be sent for 200 and 206. A
 * field that cannot be understood is ignored, as is a Range that asks for several parts: sections 13.1.3 and
 * 14.2 leave that to the server, and the whole is then never wrong.
 */
enum conditional_answer conditional_decide(const struct conditional_request *request,
                                           const struct conditional_file *file, uint64_t *from,
                                           uint64_t *len);

/* Reads an HTTP-date in any of its three forms (RFC 9110 section 5.6.7). Returns false for what is not one.
 */
bool conditional_read_date(struct str text, time_t *date);

#endif
