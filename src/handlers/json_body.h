/* json_body.h: is a request's body one that can be read as JSON? */
#ifndef HAYFORK_HANDLERS_JSON_BODY_H
#define HAYFORK_HANDLERS_JSON_BODY_H

#include <stdbool.h>

#include "http/problem.h"
#include "http/request.h"

/*
 * Is it application/json, or a type that is JSON by its suffix (RFC 6839 section 3.1), without a content
 * coding (RFC 9110 section 8.4)? An empty one needs no type. If not, problem gets the answer, which is 415.
 */
bool json_body_is_taken(const struct request *request, struct problem *problem);

#endif
