/* params_check.h: what the text of a type may be. */
#ifndef HAYFORK_ROUTE_PARAMS_CHECK_H
#define HAYFORK_ROUTE_PARAMS_CHECK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

enum { PARAMS_CHECKED_MAX = 150000 }; /* bytes: PostgreSQL's longest numeric has 147,455 digits */

/* Does params_check look at texts of this type? */
bool params_check_knows(uint32_t type);

/*
 * Is text something that PostgreSQL's input function for this type takes (PostgreSQL 15, chapter 8)?
 * Returns NULL if so, else the end of the sentence "… must be a whole number between -2147483648 and
 * 2147483647" (a static string). Decided here, a little more strictly than PostgreSQL does, which also
 * takes blanks around all of these:
 *   int2, int4, int8  an optional sign and decimal digits, within bounds
 *   oid               the same, from 0 to 4294967295
 *   bool              t, true, y, yes, on, 1 and f, false, n, no, off, 0, the words also cut short as long
 *                     as they differ, in upper or lower case
 *   uuid              32 hexadecimal digits, a hyphen after any four of them, braces around it or not
 *   numeric, float4, float8  a decimal number with an optional exponent, NaN, or [+-]Infinity or inf in any
 *                     case; whether it is in range is left to the server
 *   json, jsonb       what json_read_check accepts: no \u0000 in strings either, which json would take
 * None of these, but for json, is longer than PARAMS_CHECKED_MAX. Any other type is left to the server
 * (NULL).
 */
const char *params_check(uint32_t type, struct str text);

#endif
