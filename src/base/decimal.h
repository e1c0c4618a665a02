/* decimal.h: compares decimal numbers of any length without rounding them. */
#ifndef HAYFORK_BASE_DECIMAL_H
#define HAYFORK_BASE_DECIMAL_H

#include <stdbool.h>

#include "base/str.h"

/*
 * Is a less than b, equal to it or greater? Sets *order to less than, equal to or greater than 0. Both are an
 * optional sign and digits, with a point among, before or after them, and an optional exponent of up to
 * nine digits, not counting leading zeros. Returns false if either is anything else.
 */
bool decimal_compare(struct str a, struct str b, int *order);

#endif
