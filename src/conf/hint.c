/* hint.c: what someone may have meant by a word that the conf does not know. */
#include "conf/hint.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "conf/synonyms.h"
#include "base/mem.h"

enum { LONGEST = 32 };

static size_t smallest(size_t a, size_t b, size_t c)
{
    size_t least = a < b ? a : b;
    return least < c ? least : c;
}

/* How many letters have to be put in, taken out, exchanged or swapped with the next to make b of a. */
static size_t distance(const char *a, const char *b)
{
    size_t rows[3][LONGEST + 1];
    size_t len_a = strlen(a), len_b = strlen(b);
    if (len_a > LONGEST || len_b > LONGEST)
        return LONGEST;
    for (size_t j = 0; j <= len_b; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= len_a; i++) {
        size_t *row = rows[i % 3], *above = rows[(i + 2) % 3], *second = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= len_b; j++) {
            int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
            row[j] = smallest(above[j] + 1, row[j - 1] + 1, above[j - 1] + (x != y));
            if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) &&
                y == tolower((unsigned char)a[i - 2]) && second[j - 2] + 1 < row[j])
                row[j] = second[j - 2] + 1;
        }
    }
    return rows[len_a % 3][len_b];
}

const char *conf_hint_nearest(const char *word, const char *const *words, size_t n)
{
    const char *best = NULL;
    size_t best_distance = 0;
    for (size_t i = 0; i < n; i++) {
        size_t length = strlen(words[i]), far = distance(word, words[i]);
        /* A third of the letters may be wrong: a guess that is far off helps nobody. */
        if (far <= (length + 2) / 3 && far < length && (best == NULL || far < best_distance)) {
            best = words[i];
            best_distance = far;
        }
    }
    return best;
}

static bool same_word(const char *a, const char *b)
{
    for (; *a != '\0' && *b != '\0'; a++, b++) {
        int x = *a == '-' ? '_' : tolower((unsigned char)*a);
        if (x != *b)
            return false;
    }
    return *a == *b;
}

/* Is a section not one of its kind, but one of many? */
static bool is_of_many(const char *section)
{
    static const char *const many[] = {"route", "parameter", "lane", "upstream"};
    bool found = false;
    for (size_t i = 0; i < sizeof(many) / sizeof(many[0]); i++)
        found |= strcmp(section, many[i]) == 0;
    return found;
}

const char *conf_hint_synonym(const char *section, const char *key)
{
    bool in_route = is_of_many(section);
    for (size_t i = 0; i < conf_synonyms_rows; i++) {
        const struct conf_synonym *row = &conf_synonyms[i];
        bool applies = row->section == NULL ? !in_route : strcmp(row->section, section) == 0;
        if (applies && same_word(key, row->word))
            return row->meaning;
    }
    return NULL;
}

char *conf_hint_choice(const char *const *words, size_t n)
{
    char *choice = mem_strdup(n == 0 ? "" : words[0]);
    for (size_t i = 1; i < n; i++) {
        char *longer = mem_printf("%s%s%s", choice, i + 1 == n ? " or " : ", ", words[i]);
        free(choice);
        choice = longer;
    }
    return choice;
}

char *conf_hint_did_you_mean(const char *word)
{
    return word == NULL ? mem_strdup("") : mem_printf("; did you mean \"%s\"?", word);
}

void conf_hint_unknown(struct conf_files *files, struct conf_pos pos, const char *section, const char *key,
                       const char *meaning, const char *const *keys, size_t n)
{
    bool in_route = is_of_many(section), on_top = section[0] == '\0';
    char *where = on_top ? mem_strdup("")
                         : mem_printf(" in %s%s",
                                      !in_route                     ? ""
                                      : strchr("aeiou", section[0]) ? "an "
                                                                    : "a ",
                                      section);
    size_t prefix = strlen(section);
    if (meaning == NULL) {
        char *choice = conf_hint_choice(keys, n);
        conf_files_error(files, pos, "unknown key \"%.*s\"%s; it can be %s", CONF_FILES_QUOTE(key), where,
                         choice);
        free(choice);
    } else if (!in_route && strncmp(meaning, "route.", 6) == 0) {
        conf_files_error(files, pos, "\"%s\" belongs in a route, below \"routes\"", meaning + 6);
    } else if (!on_top && strncmp(meaning, section, prefix) == 0 && meaning[prefix] == '.') {
        conf_files_error(files, pos, "unknown key \"%.*s\"%s; did you mean \"%s\"?", CONF_FILES_QUOTE(key),
                         where, meaning + prefix + 1);
    } else {
        bool top_level = !on_top && strchr(meaning, '.') == NULL;
        conf_files_error(files, pos, "unknown key \"%.*s\"%s; did you mean \"%s\"%s?", CONF_FILES_QUOTE(key),
                         where, meaning, top_level ? " at the top level" : "");
    }
    free(where);
}
