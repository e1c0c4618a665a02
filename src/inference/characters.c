/* characters.c: looks characters up in the tables that characters.pl has made. */
#include "inference/characters.h"

#include <stdbool.h>

#include "inference/characters_data.h"

/* Hangul syllables are decomposed by arithmetic (The Unicode Standard 3.12). */
enum {
    SYLLABLES = 0xac00,
    LEADING = 0x1100,
    VOWELS = 0x1161,
    TRAILING = 0x11a7,
    N_VOWELS = 21,
    N_TRAILING = 28,
    N_SYLLABLES = 11172
};

/* The last entry that begins at c or before it, as the first of those in question; or NULL. */
#define FIND(entries, n, field, c)                                                                           \
    ({                                                                                                       \
        size_t low_ = 0, high_ = (n);                                                                        \
        uint32_t value_ = (c);                                                                               \
        while (low_ < high_) {                                                                               \
            size_t middle_ = (low_ + high_) / 2;                                                             \
            if ((entries)[middle_].field <= (value_))                                                        \
                low_ = middle_ + 1;                                                                          \
            else                                                                                             \
                high_ = middle_;                                                                             \
        }                                                                                                    \
        low_ == 0 ? NULL : &(entries)[low_ - 1];                                                             \
    })

enum character characters_class_of(uint32_t c)
{
    const struct characters_class *entry = FIND(characters_classes, characters_n_classes, first, c);
    return entry != NULL && c <= entry->last ? entry->class : CHARACTER_OTHER;
}

static unsigned strip_syllable(uint32_t c, uint32_t *parts)
{
    uint32_t trailing = c % N_TRAILING;
    parts[0] = LEADING + c / (N_VOWELS * N_TRAILING);
    parts[1] = VOWELS + c % (N_VOWELS * N_TRAILING) / N_TRAILING;
    parts[2] = TRAILING + trailing;
    return trailing == 0 ? 2 : 3;
}

unsigned characters_strip(uint32_t c, uint32_t *parts)
{
    if (c >= SYLLABLES && c < SYLLABLES + N_SYLLABLES)
        return strip_syllable(c - SYLLABLES, parts);
    const struct characters_decomposed *entry =
        FIND(characters_decomposed, characters_n_decomposed, first, c);
    if (entry != NULL && c <= entry->last) {
        for (unsigned i = 0; i < entry->n; i++)
            parts[i] = characters_parts[entry->at + entry->n * (c - entry->first) + i];
        return entry->n;
    }
    enum character class = characters_class_of(c);
    parts[0] = c;
    return class == CHARACTER_MARK || class == CHARACTER_MARK_ALONE ? 0 : 1;
}

uint32_t characters_small_of(uint32_t c)
{
    const struct characters_small *entry = FIND(characters_small, characters_n_small, first, c);
    bool has = entry != NULL && c <= entry->last && (c - entry->first) % entry->step == 0;
    return has ? c + (uint32_t)entry->far : c;
}

unsigned characters_order_of(uint32_t c)
{
    const struct characters_order *entry = FIND(characters_orders, characters_n_orders, c, c);
    return entry != NULL && entry->c == c ? entry->order : 0;
}
