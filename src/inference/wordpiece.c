/* wordpiece.c: text to words, words to pieces. */
#include "inference/wordpiece.h"

#include "base/utf8.h"
#include "inference/characters.h"
#include "inference/vocabulary.h"

enum {
    CAPITAL_I_WITH_DOT = 0x130, /* its small form has two characters */
    DOT_ABOVE = 0x307
};

/* A text on its way. */
struct encoding {
    const struct wordpiece *how;
    uint32_t *ids; /* how long the text is does not change where they are: the last token comes after them */
    size_t n, room;
    size_t all;
    size_t n_word; /* characters of the word that has begun; those beyond how->longest_word are not kept */
    size_t run;    /* from here on they may be put into another order */
    uint32_t word[WORDPIECE_WORD];
};

static void add(struct encoding *encoding, uint32_t id)
{
    encoding->all++;
    if (encoding->n < encoding->room)
        encoding->ids[encoding->n++] = id;
}

static size_t write_utf8(uint32_t c, char *to)
{
    if (c < 0x80) {
        to[0] = (char)c;
        return 1;
    }
    size_t len = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = len - 1; i > 0; i--, c >>= 6)
        to[i] = (char)(0x80 | (c & 0x3f));
    to[0] = (char)(0xf00 >> len | c);
    return len;
}

static void end_word(struct encoding *encoding)
{
    const struct wordpiece *how = encoding->how;
    size_t n = encoding->n_word, len = 0, first_n = encoding->n, first_all = encoding->all;
    char text[4 * WORDPIECE_WORD];
    encoding->n_word = encoding->run = 0;
    if (n == 0)
        return;
    if (n > how->longest_word) {
        add(encoding, how->unknown);
        return;
    }
    for (size_t i = 0; i < n; i++)
        len += write_utf8(encoding->word[i], text + len);
    for (size_t at = 0; at < len;) {
        uint32_t id;
        size_t piece = vocabulary_longest(how->vocabulary, (struct str){text + at, len - at}, at > 0, &id);
        if (piece == 0) { /* of a word with an unknown part nothing is known */
            encoding->n = first_n;
            encoding->all = first_all;
            id = how->unknown;
            piece = len - at;
        }
        add(encoding, id);
        at += piece;
    }
}

/* A character after it was stripped, in its final form. */
static void add_letter(struct encoding *encoding, uint32_t c)
{
    if (encoding->n_word >= encoding->how->longest_word) {
        encoding->n_word++;
        return;
    }
    size_t at = encoding->n_word++;
    /* Only a text that is decomposed is put in order. */
    unsigned order = c < 0x300 || !encoding->how->strip_accents ? 0 : characters_order_of(c);
    if (order == 0)
        encoding->run = at + 1;
    for (; order != 0 && at > encoding->run && characters_order_of(encoding->word[at - 1]) > order; at--)
        encoding->word[at] = encoding->word[at - 1];
    encoding->word[at] = c;
}

static void add_stripped(struct encoding *encoding, uint32_t c)
{
    bool is_dotted = encoding->how->lowercase && c == CAPITAL_I_WITH_DOT;
    enum character class = characters_class_of(c);
    if (encoding->how->lowercase)
        c = is_dotted ? 'i' : characters_small_of(c);
    if (class == CHARACTER_PUNCTUATION)
        end_word(encoding);
    add_letter(encoding, c);
    if (class == CHARACTER_PUNCTUATION)
        end_word(encoding);
    if (is_dotted)
        add_letter(encoding, DOT_ABOVE);
}

static void add_character(struct encoding *encoding, uint32_t c)
{
    const struct wordpiece *how = encoding->how;
    enum character class = characters_class_of(c);
    if (class == CHARACTER_CONTROL)
        return;
    if (class == CHARACTER_SPACE) {
        end_word(encoding);
        return;
    }
    bool is_apart = class == CHARACTER_IDEOGRAPH && how->splits_ideographs;
    if (is_apart)
        end_word(encoding);
    if (how->strip_accents) {
        uint32_t parts[CHARACTERS_PARTS];
        unsigned n = characters_strip(c, parts);
        for (unsigned i = 0; i < n; i++)
            add_stripped(encoding, parts[i]);
        if (class == CHARACTER_MARK_ALONE)
            encoding->run = encoding->n_word;
    } else
        add_stripped(encoding, c);
    if (is_apart)
        end_word(encoding);
}

/* The longest of the named tokens that the text begins with, or NULL. */
static const struct wordpiece_named *named_at(const struct wordpiece *how, struct str text)
{
    const struct wordpiece_named *best = NULL;
    for (size_t i = 0; i < how->n_named; i++) {
        const struct wordpiece_named *named = &how->named[i];
        if (named->text.len <= text.len && memcmp(named->text.base, text.base, named->text.len) == 0 &&
            (best == NULL || named->text.len > best->text.len))
            best = named;
    }
    return best;
}

size_t wordpiece_encode(const struct wordpiece *how, struct str text, uint32_t *ids, size_t room,
                        bool counts_all, size_t *all)
{
    struct encoding encoding = {.how = how, .ids = ids, .room = room - 1};
    add(&encoding, how->first);
    while (text.len > 0 && (counts_all || encoding.all <= encoding.room)) {
        const struct wordpiece_named *named = named_at(how, text);
        size_t len = named != NULL ? named->text.len : utf8_character(text);
        if (named != NULL) {
            end_word(&encoding);
            add(&encoding, named->id);
        } else
            add_character(&encoding, utf8_code_point(text, len));
        text = (struct str){text.base + len, text.len - len};
    }
    end_word(&encoding);
    ids[encoding.n++] = how->last;
    *all = encoding.all + 1;
    return encoding.n;
}
