/* params_url.h: parameters out of the query, and how the bytes of a URL are decoded. */
#ifndef HAYFORK_ROUTE_PARAMS_URL_H
#define HAYFORK_ROUTE_PARAMS_URL_H

#include "route/params_gathering.h"

/* What is being decoded: the rules differ a little. */
enum params_part { PARAMS_PART_PATH, PARAMS_PART_REST, PARAMS_PART_QUERY };

/*
 * Undoes percent-encoding. Sets *text, in the arena where there was any. Returns NULL or the end of a
 * sentence about what is wrong.
 */
const char *params_url_decode(const struct params_gathering *all, struct str raw, enum params_part part,
                              struct str *text);

/* Fills in the values that come from the query. */
bool params_url_query(const struct params_gathering *all);

#endif
