/*
 * wordpiece.c: fuzz target for the tokenizer: the first byte of an input is its options, the rest, where it
 * is UTF-8, a text.
 */
#include "inference/wordpiece.h"

#include "base/utf8.h"
#include "fuzz.h"
#include "inference/vocabulary.h"

static const char *const pieces[] = {"[UNK]", "[CLS]", "[SEP]", "a", "b",   "ab",  "abc",
                                     "##a",   "##b",   "##bc",  "e", "##e", ".",   "日",
                                     "本",    "ᄒ",    "##ᅡ",  "é", "##ं",  "##〮"};

enum { N_PIECES = sizeof(pieces) / sizeof(pieces[0]), UNKNOWN = 0, FIRST = 1, LAST = 2, ROOM = 64 };

static struct vocabulary *vocabulary_of_pieces(void)
{
    struct vocabulary *vocabulary = vocabulary_new();
    for (uint32_t i = 0; i < N_PIECES; i++) {
        bool goes_on = strncmp(pieces[i], "##", 2) == 0;
        FUZZ_CHECK(vocabulary_add(vocabulary, str_of(pieces[i] + (goes_on ? 2 : 0)), goes_on, i), "%u", i);
    }
    return vocabulary;
}

/* A text that is cut has the same tokens as the whole one, up to the last. */
static void check(const struct wordpiece *how, struct str text)
{
    size_t most = text.len + 2, all, all_of_cut;
    uint32_t *whole = mem_alloc(most * 3 * sizeof(*whole)), cut[ROOM];
    size_t n = wordpiece_encode(how, text, whole, most * 3, true, &all);
    FUZZ_CHECK(n == all, "%zu of %zu", n, all);
    FUZZ_CHECK(whole[0] == FIRST && whole[n - 1] == LAST, "%u, %u", whole[0], whole[n - 1]);
    for (size_t i = 0; i < n; i++)
        FUZZ_CHECK(whole[i] < N_PIECES, "%u", whole[i]);
    size_t n_cut = wordpiece_encode(how, text, cut, ROOM, false, &all_of_cut);
    FUZZ_CHECK(n_cut == (n < ROOM ? n : ROOM), "%zu", n_cut);
    FUZZ_CHECK((all_of_cut > ROOM) == (n > ROOM), "%zu and %zu", all_of_cut, n);
    FUZZ_CHECK(memcmp(cut, whole, (n_cut - 1) * sizeof(*cut)) == 0 && cut[n_cut - 1] == LAST, "other tokens");
    free(whole);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0 || !utf8_is_valid((struct str){(const char *)data + 1, size - 1}))
        return 0;
    struct vocabulary *vocabulary = vocabulary_of_pieces();
    const struct wordpiece_named named[] = {{STR("[UNK]"), UNKNOWN}, {STR("[SEP]"), LAST}};
    const struct wordpiece how = {.vocabulary = vocabulary,
                                  .lowercase = (data[0] & 1) != 0,
                                  .strip_accents = (data[0] & 2) != 0,
                                  .splits_ideographs = (data[0] & 4) != 0,
                                  .longest_word = (data[0] & 8) != 0 ? WORDPIECE_WORD : 5,
                                  .unknown = UNKNOWN,
                                  .first = FIRST,
                                  .last = LAST,
                                  .named = named,
                                  .n_named = 2};
    char *text = fuzz_copy(data + 1, size - 1);
    check(&how, (struct str){text, size - 1});
    free(text);
    vocabulary_free(vocabulary);
    return 0;
}
