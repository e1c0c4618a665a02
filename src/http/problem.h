/* problem.h: error answers as application/problem+json (RFC 9457). */
#ifndef HAYFORK_HTTP_PROBLEM_H
#define HAYFORK_HTTP_PROBLEM_H

#include "http/sink.h"

struct problem {
    int status;
    const char *detail;      /* one sentence for the client: no SQL, no rows' values, no server internals */
    const char *parameter;   /* the parameter at fault, or NULL */
    const char *constraint;  /* the table's constraint that was violated, or NULL */
    struct sink_field field; /* that tells what would be taken: Allow, Accept; without a name there is none */
    const struct sink_field *fields; /* the route's own header fields */
    size_t n_fields;
};

/*
 * Answers with the problem. A 503 gets Retry-After with a little jitter, so that clients who were turned
 * away together do not come back together (RFC 9110 section 10.2.3).
 */
void problem_send(struct sink *sink, const struct problem *problem);

/* The reason phrase for a status (RFC 9110 section 15), also a problem's title. */
const char *problem_reason(int status);

#endif
