/*
 * hint.h: what someone may have meant by a word that the conf does not know. For conf/ and db/.
 *
 * By spelling, and by what other servers call the same thing.
 */
#ifndef HAYFORK_CONF_HINT_H
#define HAYFORK_CONF_HINT_H

#include <stdbool.h>
#include <stddef.h>

#include "conf/files.h"

/* The one of n words that is spelled nearly like word, or NULL if none is near. */
const char *conf_hint_nearest(const char *word, const char *const *words, size_t n);

/*
 * What an unknown key is called here, or NULL. section is "" for the top level, "route" inside of a route,
 * "parameter" in the mapping of a parameter, "lane" in that of a lane, else the section's name. The answer is
 * the key's dotted name: "limits.body", "route.sql", "routes".
 */
const char *conf_hint_synonym(const char *section, const char *key);

/* "error, warn, info or debug". The caller frees it. */
char *conf_hint_choice(const char *const *words, size_t n);

/*
 * Notes that section has no such key. meaning is what was meant (a dotted name as above), or NULL; then
 * the message lists the n keys there are.
 */
void conf_hint_unknown(struct conf_files *files, struct conf_pos pos, const char *section, const char *key,
                       const char *meaning, const char *const *keys, size_t n);

/* "; did you mean \"WORD\"?", or "" when word is NULL. The caller frees it. */
char *conf_hint_did_you_mean(const char *word);

#endif
