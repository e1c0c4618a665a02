/* synonyms.h: what other servers and other people call the keys of the conf. Private to conf/. */
#ifndef HAYFORK_CONF_SYNONYMS_H
#define HAYFORK_CONF_SYNONYMS_H

#include <stddef.h>

struct conf_synonym {
    const char *section; /* NULL is anywhere outside of routes, their parameters, lanes and upstreams */
    const char *word;    /* the case of letters and `-` for `_` do not matter */
    const char *meaning; /* the key's dotted name */
};

extern const struct conf_synonym conf_synonyms[];
extern const size_t conf_synonyms_rows;

#endif
