/*
 * wordpiece.c: texts in tokens. What is wanted was read off Hugging Face's tokenizers 0.23 with the same
 * pieces: BertNormalizer, BertPreTokenizer, WordPiece.
 */
#include "inference/wordpiece.h"

#include <stdlib.h>

#include "base/mem.h"
#include "inference/vocabulary.h"
#include "unit/tap.h"

/* clang-format off */
static const char *const pieces[] = {
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "a",
    "b",
    "c",
    "d",
    "e",
    "f",
    "g",
    "h",
    "i",
    "j",
    "k",
    "l",
    "m",
    "n",
    "o",
    "p",
    "q",
    "r",
    "s",
    "t",
    "u",
    "v",
    "w",
    "x",
    "y",
    "z",
    "0",
    "1",
    "2",
    "3",
    "4",
    "5",
    "6",
    "7",
    "8",
    "9",
    ".",
    ",",
    "!",
    "\077",
    "-",
    "'",
    "\"",
    "#",
    "=",
    ";",
    "`",
    "##a",
    "##b",
    "##c",
    "##d",
    "##e",
    "##f",
    "##g",
    "##h",
    "##i",
    "##j",
    "##k",
    "##l",
    "##m",
    "##n",
    "##o",
    "##p",
    "##q",
    "##r",
    "##s",
    "##t",
    "##u",
    "##v",
    "##w",
    "##x",
    "##y",
    "##z",
    "##0",
    "##1",
    "##2",
    "##3",
    "##4",
    "##5",
    "##6",
    "##7",
    "##8",
    "##9",
    "hello",
    "world",
    "##ing",
    "un",
    "##aff",
    "##able",
    "stra\303\237e",
    "##\303\237e",
    "\303\251",
    "##\303\251",
    "\320\265",
    "##\320\265",
    "\320\271",
    "##\320\271",
    "\320\270",
    "##\320\270",
    "\316\261",
    "##\317\202",
    "##\317\203",
    "\346\227\245",
    "\346\234\254",
    "\350\252\236",
    "\341\204\222",
    "##\341\205\241",
    "##\341\206\253",
    "\340\244\250",
    "##\340\244\256",
    "##\340\244\276",
    "\340\270\201",
    "\330\247",
    "##\331\204",
    "\303\237",
    "##\303\237",
    "\346\235\261",
    "##\343\200\256",
    "\350\261\210",
    "\346\233\264",
    "i\314\207",
    "##i\314\207",
    "##\314\207",
};

static const struct {
    const char *text;
    bool lowercase, strip_accents, splits_ideographs;
    const char *ids;
} cases[] = {
    {"", true, true, true, "2 3"},
    {"hello world", true, true, true, "2 88 89 3"},
    {"HELLO  World!", true, true, true, "2 88 89 43 3"},
    {"unaffable", true, true, true, "2 91 92 93 3"},
    {"Unaffing", true, true, true, "2 91 92 90 3"},
    {"hello[SEP]world", true, true, true, "2 88 3 89 3"},
    {"[MASK]", true, true, true, "2 4 3"},
    {"[mask]", true, true, true, "2 1 17 52 70 62 1 3"},
    {"xy\342\200\213z\357\273\277", true, true, true, "2 28 76 77 3"},
    {"a\011b\012c\015d\013e\014f\302\205g", true, true, true, "2 5 6 7 8 56 57 58 3"},
    {"a\302\240b\342\200\203c\343\200\200d\342\200\250e", true, true, true, "2 5 6 7 8 9 3"},
    {"Stra\303\237e STRASSE", true, true, true, "2 94 23 71 69 52 70 70 56 3"},
    {"\303\211\303\251 e\314\201 E\314\201", true, true, true, "2 9 56 9 9 3"},
    {"\314\201", true, true, true, "2 3"},
    {"a\314\201\314\202\314\203b", true, true, true, "2 5 53 3"},
    {"\320\201\320\271 \320\271\320\231", true, true, true, "2 98 103 102 103 3"},
    {"\316\221\316\243 \316\261\317\202", true, true, true, "2 104 106 104 105 3"},
    {"\346\227\245\346\234\254\350\252\236", true, true, true, "2 107 108 109 3"},
    {"a\346\227\245b\346\234\254", true, true, true, "2 5 107 6 108 3"},
    {"\355\225\234\352\265\255", true, true, true, "2 1 3"},
    {"\355\225\230\341\206\253", true, true, true, "2 110 111 112 3"},
    {"\340\244\250\340\244\256\340\244\276", true, true, true, "2 113 114 115 3"},
    {"\340\270\201", true, true, true, "2 116 3"},
    {"\330\247\331\204", true, true, true, "2 117 118 3"},
    {"\346\235\261\357\244\200\346\233\264", true, true, true, "2 121 123 124 3"},
    {"can't \"do\" #it = no;", true, true, true, "2 7 52 65 46 24 47 8 66 47 48 13 71 49 18 66 50 3"},
    {"a\342\211\240b \341\277\257", true, true, true, "2 5 49 6 51 3"},
    {"\302\277que\343\200\202", true, true, true, "2 1 21 72 56 1 3"},
    {"don\342\200\231t\342\200\246", true, true, true, "2 8 66 65 1 24 1 3"},
    {"\312\274a", true, true, true, "2 1 3"},
    {"\304\260i", true, true, true, "2 13 60 3"},
    {"a\343\200\256\360\235\205\245\314\201\343\200\257", true, true, true, "2 1 3"},
    {"a\360\235\205\245\343\200\256", true, true, true, "2 1 3"},
    {"a\340\244\200\360\235\205\245\340\244\203\343\200\256", true, true, true, "2 1 3"},
    {"\360\237\230\200 a", true, true, true, "2 1 5 3"},
    {"\356\200\200a", true, true, true, "2 5 3"},
    {"\357\277\275a", true, true, true, "2 5 3"},
    {"\364\217\277\275", true, true, true, "2 3"},
    {"\341\231\255a", true, true, true, "2 1 5 3"},
    {"\360\221\207\211a", true, true, true, "2 1 5 3"},
    {"\352\246\275a", true, true, true, "2 1 3"},
    {"\341\242\205a", true, true, true, "2 1 3"},
    {"a\342\271\222b", true, true, true, "2 1 3"},
    {"\315\270", true, true, true, "2 1 3"},
    {"\357\275\201\357\275\202", true, true, true, "2 1 3"},
    {"\342\221\240", true, true, true, "2 1 3"},
    {"a_b^c", true, true, true, "2 5 1 6 1 7 3"},
    {"##ing #", true, true, true, "2 48 48 13 65 58 48 3"},
    {"\357\274\221\357\274\222", true, true, true, "2 1 3"},
    {"", false, false, true, "2 3"},
    {"hello world", false, false, true, "2 88 89 3"},
    {"HELLO  World!", false, false, true, "2 1 1 43 3"},
    {"unaffable", false, false, true, "2 91 92 93 3"},
    {"Unaffing", false, false, true, "2 1 3"},
    {"hello[SEP]world", false, false, true, "2 88 3 89 3"},
    {"[MASK]", false, false, true, "2 4 3"},
    {"[mask]", false, false, true, "2 1 17 52 70 62 1 3"},
    {"xy\342\200\213z\357\273\277", false, false, true, "2 28 76 77 3"},
    {"a\011b\012c\015d\013e\014f\302\205g", false, false, true, "2 5 6 7 8 56 57 58 3"},
    {"a\302\240b\342\200\203c\343\200\200d\342\200\250e", false, false, true, "2 5 6 7 8 9 3"},
    {"Stra\303\237e STRASSE", false, false, true, "2 1 1 3"},
    {"\303\211\303\251 e\314\201 E\314\201", false, false, true, "2 1 1 1 3"},
    {"\314\201", false, false, true, "2 1 3"},
    {"a\314\201\314\202\314\203b", false, false, true, "2 1 3"},
    {"\320\201\320\271 \320\271\320\231", false, false, true, "2 1 1 3"},
    {"\316\221\316\243 \316\261\317\202", false, false, true, "2 1 104 105 3"},
    {"\346\227\245\346\234\254\350\252\236", false, false, true, "2 107 108 109 3"},
    {"a\346\227\245b\346\234\254", false, false, true, "2 5 107 6 108 3"},
    {"\355\225\234\352\265\255", false, false, true, "2 1 3"},
    {"\355\225\230\341\206\253", false, false, true, "2 1 3"},
    {"\340\244\250\340\244\256\340\244\276", false, false, true, "2 113 114 115 3"},
    {"\340\270\201", false, false, true, "2 116 3"},
    {"\330\247\331\204", false, false, true, "2 117 118 3"},
    {"\346\235\261\357\244\200\346\233\264", false, false, true, "2 121 1 124 3"},
    {"can't \"do\" #it = no;", false, false, true, "2 7 52 65 46 24 47 8 66 47 48 13 71 49 18 66 50 3"},
    {"a\342\211\240b \341\277\257", false, false, true, "2 1 1 3"},
    {"\302\277que\343\200\202", false, false, true, "2 1 21 72 56 1 3"},
    {"don\342\200\231t\342\200\246", false, false, true, "2 8 66 65 1 24 1 3"},
    {"\312\274a", false, false, true, "2 1 3"},
    {"\304\260i", false, false, true, "2 1 3"},
    {"a\343\200\256\360\235\205\245\314\201\343\200\257", false, false, true, "2 1 3"},
    {"a\360\235\205\245\343\200\256", false, false, true, "2 1 3"},
    {"a\340\244\200\360\235\205\245\340\244\203\343\200\256", false, false, true, "2 1 3"},
    {"\360\237\230\200 a", false, false, true, "2 1 5 3"},
    {"\356\200\200a", false, false, true, "2 5 3"},
    {"\357\277\275a", false, false, true, "2 5 3"},
    {"\364\217\277\275", false, false, true, "2 3"},
    {"\341\231\255a", false, false, true, "2 1 5 3"},
    {"\360\221\207\211a", false, false, true, "2 1 5 3"},
    {"\352\246\275a", false, false, true, "2 1 3"},
    {"\341\242\205a", false, false, true, "2 1 3"},
    {"a\342\271\222b", false, false, true, "2 1 3"},
    {"\315\270", false, false, true, "2 1 3"},
    {"\357\275\201\357\275\202", false, false, true, "2 1 3"},
    {"\342\221\240", false, false, true, "2 1 3"},
    {"a_b^c", false, false, true, "2 5 1 6 1 7 3"},
    {"##ing #", false, false, true, "2 48 48 13 65 58 48 3"},
    {"\357\274\221\357\274\222", false, false, true, "2 1 3"},
    {"", true, false, false, "2 3"},
    {"hello world", true, false, false, "2 88 89 3"},
    {"HELLO  World!", true, false, false, "2 88 89 43 3"},
    {"unaffable", true, false, false, "2 91 92 93 3"},
    {"Unaffing", true, false, false, "2 91 92 90 3"},
    {"hello[SEP]world", true, false, false, "2 88 3 89 3"},
    {"[MASK]", true, false, false, "2 4 3"},
    {"[mask]", true, false, false, "2 1 17 52 70 62 1 3"},
    {"xy\342\200\213z\357\273\277", true, false, false, "2 28 76 77 3"},
    {"a\011b\012c\015d\013e\014f\302\205g", true, false, false, "2 5 6 7 8 56 57 58 3"},
    {"a\302\240b\342\200\203c\343\200\200d\342\200\250e", true, false, false, "2 5 6 7 8 9 3"},
    {"Stra\303\237e STRASSE", true, false, false, "2 94 23 71 69 52 70 70 56 3"},
    {"\303\211\303\251 e\314\201 E\314\201", true, false, false, "2 96 97 1 1 3"},
    {"\314\201", true, false, false, "2 1 3"},
    {"a\314\201\314\202\314\203b", true, false, false, "2 1 3"},
    {"\320\201\320\271 \320\271\320\231", true, false, false, "2 1 100 101 3"},
    {"\316\221\316\243 \316\261\317\202", true, false, false, "2 104 106 104 105 3"},
    {"\346\227\245\346\234\254\350\252\236", true, false, false, "2 1 3"},
    {"a\346\227\245b\346\234\254", true, false, false, "2 1 3"},
    {"\355\225\234\352\265\255", true, false, false, "2 1 3"},
    {"\355\225\230\341\206\253", true, false, false, "2 1 3"},
    {"\340\244\250\340\244\256\340\244\276", true, false, false, "2 113 114 115 3"},
    {"\340\270\201", true, false, false, "2 116 3"},
    {"\330\247\331\204", true, false, false, "2 117 118 3"},
    {"\346\235\261\357\244\200\346\233\264", true, false, false, "2 1 3"},
    {"can't \"do\" #it = no;", true, false, false, "2 7 52 65 46 24 47 8 66 47 48 13 71 49 18 66 50 3"},
    {"a\342\211\240b \341\277\257", true, false, false, "2 1 1 3"},
    {"\302\277que\343\200\202", true, false, false, "2 1 21 72 56 1 3"},
    {"don\342\200\231t\342\200\246", true, false, false, "2 8 66 65 1 24 1 3"},
    {"\312\274a", true, false, false, "2 1 3"},
    {"\304\260i", true, false, false, "2 125 60 3"},
    {"a\343\200\256\360\235\205\245\314\201\343\200\257", true, false, false, "2 1 3"},
    {"a\360\235\205\245\343\200\256", true, false, false, "2 1 3"},
    {"a\340\244\200\360\235\205\245\340\244\203\343\200\256", true, false, false, "2 1 3"},
    {"\360\237\230\200 a", true, false, false, "2 1 5 3"},
    {"\356\200\200a", true, false, false, "2 5 3"},
    {"\357\277\275a", true, false, false, "2 5 3"},
    {"\364\217\277\275", true, false, false, "2 3"},
    {"\341\231\255a", true, false, false, "2 1 5 3"},
    {"\360\221\207\211a", true, false, false, "2 1 5 3"},
    {"\352\246\275a", true, false, false, "2 1 3"},
    {"\341\242\205a", true, false, false, "2 1 3"},
    {"a\342\271\222b", true, false, false, "2 1 3"},
    {"\315\270", true, false, false, "2 1 3"},
    {"\357\275\201\357\275\202", true, false, false, "2 1 3"},
    {"\342\221\240", true, false, false, "2 1 3"},
    {"a_b^c", true, false, false, "2 5 1 6 1 7 3"},
    {"##ing #", true, false, false, "2 48 48 13 65 58 48 3"},
    {"\357\274\221\357\274\222", true, false, false, "2 1 3"},
};
/* clang-format on */

enum { ROOM = 600 };

static struct wordpiece_named named[5];

static struct vocabulary *make_vocabulary(void)
{
    struct vocabulary *vocabulary = vocabulary_new();
    for (size_t i = 0; i < sizeof(pieces) / sizeof(pieces[0]); i++) {
        bool goes_on = strncmp(pieces[i], "##", 2) == 0;
        vocabulary_add(vocabulary, str_of(pieces[i] + (goes_on ? 2 : 0)), goes_on, (uint32_t)i);
    }
    for (uint32_t i = 0; i < 5; i++)
        named[i] = (struct wordpiece_named){str_of(pieces[i]), i};
    return vocabulary;
}

static struct wordpiece how_of(const struct vocabulary *vocabulary)
{
    return (struct wordpiece){.vocabulary = vocabulary,
                              .lowercase = true,
                              .strip_accents = true,
                              .splits_ideographs = true,
                              .longest_word = 100,
                              .unknown = 1,
                              .first = 2,
                              .last = 3,
                              .named = named,
                              .n_named = 5};
}

/* The tokens of a text, as a text. */
static const char *tokens(const struct wordpiece *how, const char *text, size_t room, size_t *all)
{
    static char out[8 * ROOM];
    uint32_t ids[ROOM];
    size_t n = wordpiece_encode(how, str_of(text), ids, room, true, all), len = 0;
    for (size_t i = 0; i < n; i++)
        len += (size_t)sprintf(out + len, "%s%u", i == 0 ? "" : " ", ids[i]);
    return out;
}

static void test_cases(const struct vocabulary *vocabulary)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct wordpiece how = how_of(vocabulary);
        how.lowercase = cases[i].lowercase;
        how.strip_accents = cases[i].strip_accents;
        how.splits_ideographs = cases[i].splits_ideographs;
        size_t all;
        is_str(tokens(&how, cases[i].text, ROOM, &all), cases[i].ids, "%s", cases[i].text);
    }
}

static void test_long_words(const struct vocabulary *vocabulary)
{
    struct wordpiece how = how_of(vocabulary);
    char text[1024];
    size_t all;
    memset(text, 'a', sizeof(text));
    text[100] = '\0';
    tokens(&how, text, ROOM, &all);
    is_int((int)all, 102, "a word of 100 characters is in pieces");
    text[100] = 'a';
    text[101] = '\0';
    is_str(tokens(&how, text, ROOM, &all), "2 1 3", "one of 101 is unknown");
    text[101] = 'a';
    text[1023] = '\0';
    is_str(tokens(&how, text, ROOM, &all), "2 1 3", "as is one of a thousand");
    for (size_t i = 0; i < 200; i += 2)
        memcpy(text + i, "\303\251", 2);
    text[200] = '\0';
    tokens(&how, text, ROOM, &all);
    is_int((int)all, 102, "they are counted as characters, not as bytes");
}

static void test_cuts(const struct vocabulary *vocabulary)
{
    struct wordpiece how = how_of(vocabulary);
    const char *text = "hello unaffable world";
    size_t all;
    char whole[64];
    snprintf(whole, sizeof(whole), "%s", tokens(&how, text, ROOM, &all));
    is_int((int)all, 7, "all tokens are counted");
    is_str(tokens(&how, text, 7, &all), whole, "a text that just fits is whole");
    size_t n = strlen(tokens(&how, text, 6, &all));
    is_int((int)all, 7, "of one that does not, too");
    ok(strncmp(tokens(&how, text, 6, &all), whole, n - 2) == 0, "its beginning stays");
    is_str(tokens(&how, text, 6, &all) + n - 2, " 3", "and its last token");
    is_str(tokens(&how, text, 2, &all), "2 3", "no room but for first and last");
    char *hostile = mem_alloc(2000001);
    for (size_t i = 0; i < 2000000; i += 2)
        memcpy(hostile + i, "a ", 2);
    hostile[2000000] = '\0';
    uint32_t ids[16];
    is_int((int)wordpiece_encode(&how, str_of(hostile), ids, 16, false, &all), 16, "a very long one");
    ok(all > 16, "is known to be too long, without being counted");
    free(hostile);
}

int main(void)
{
    struct vocabulary *vocabulary = make_vocabulary();
    test_cases(vocabulary);
    test_long_words(vocabulary);
    test_cuts(vocabulary);
    vocabulary_free(vocabulary);
    return done_testing();
}
