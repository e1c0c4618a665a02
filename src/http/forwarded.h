/*
 * forwarded.h: is what a client says of those before it a list to which one more item can be added?
 *
 * What does not end, such as a quote, would take what is added after it into itself. Each function looks at
 * one field's value, since a list over several fields could be joined otherwise than it was meant. Blanks are
 * those of lists (RFC 9110 section 5.6.1), whose items may be empty.
 */
#ifndef HAYFORK_HTTP_FORWARDED_H
#define HAYFORK_HTTP_FORWARDED_H

#include <stdbool.h>

#include "base/str.h"

enum { FORWARDED_MAX_PAIRS = 16 }; /* in one element */

/*
 * Forwarded, by RFC 7239 section 4: without blanks around ';' and '=', no parameter twice in an element. One
 * with more than FORWARDED_MAX_PAIRS is refused.
 */
bool forwarded_is_valid(struct str value);

/* X-Forwarded-For, which no standard defines: addresses, with ports and brackets perhaps, and names. */
bool forwarded_for_is_valid(struct str value);

/* Via, by RFC 9110 section 7.6.3: with comments, whose parentheses and escapes come to their ends. */
bool forwarded_via_is_valid(struct str value);

#endif
