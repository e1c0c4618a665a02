/* percent.c, hex.h: percent-encoding, and the digits that it is made of. */
#include "base/percent.h"

#include "unit/tap.h"

static void test_digits(void)
{
    int n = 0;
    for (int c = -128; c < 128; c++) {
        const char *upper = c <= 0 ? NULL : strchr(HEX_UPPER, c),
                   *lower = c <= 0 ? NULL : strchr(HEX_LOWER, c);
        int want = upper != NULL ? (int)(upper - HEX_UPPER) : lower != NULL ? (int)(lower - HEX_LOWER) : -1;
        n += hex_value((char)c) == want;
    }
    is_int(n, 256, "digits of both cases, and no other byte, are digits");
    is_int(hex_byte("fF"), 255, "two of them");
    is_int(hex_byte("0g"), -1, "a bad second one");
    is_int(hex_byte("g"), -1, "a bad first one: no second one is read");
    is_int(hex_four("00e9"), 0xe9, "four of them");
    is_int(hex_four("D83D"), 0xd83d, "of either case");
    is_int(hex_four("12"), -1, "where a text ends too early, what is behind its end is not read");
}

/* All of it decoded, '!' for what is malformed. */
static const char *decoded(const char *text)
{
    static char out[64];
    size_t n = 0;
    for (size_t at = 0; at < strlen(text);) {
        int byte = percent_next(str_of(text), &at);
        out[n++] = byte < 0 ? '!' : (char)byte;
        at += byte < 0;
    }
    out[n] = '\0';
    return out;
}

static void test_decoding(void)
{
    is_str(decoded("a%20b%c3%A9"), "a b\xc3\xa9", "encoded bytes are decoded");
    is_str(decoded("%2541"), "%41", "once");
    is_str(decoded("+"), "+", "a '+' is a '+' here");
    is_str(decoded("%"), "!", "a percent sign at the end is told");
    is_str(decoded("%4"), "!4", "one with a single digit, too");
    is_str(decoded("%4x%x4"), "!4x!x4", "and one with what is no digit");
    is_str(decoded("\xff"), "\xff", "other bytes are what they are");
    is_int(percent_byte((struct str){"%411", 3}, 0), 'A', "a code at the end of a text");
    is_int(percent_byte((struct str){"%41", 2}, 0), -1, "a text that ends within a code");
}

static const char *encoded(char *(*encode)(char *out, struct str text), struct str text)
{
    static char out[1024];
    *encode(out, text) = '\0';
    return out;
}

static char *encode_for_query(char *out, struct str text)
{
    return percent_encode_only(out, text, "&=");
}

static void test_encoding(void)
{
    is_str(encoded(percent_encode, STR("azAZ09-._~")), "azAZ09-._~",
           "unreserved characters stand as they are");
    is_str(encoded(percent_encode, STR("a b/\xc3\xa9?\0")), "a%20b%2F%C3%A9%3F%00", "all others are encoded");
    is_str(encoded(encode_for_query, STR("a&b=c/d\0")), "a%26b%3Dc/d", "or only those that are named");
    char bytes[256], out[sizeof(bytes) * PERCENT_LEN + 1];
    for (size_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = (char)i;
    struct str code = {out, 0};
    code.len = (size_t)(percent_encode(out, (struct str){bytes, sizeof(bytes)}) - out);
    size_t at = 0, same = 0;
    for (size_t i = 0; i < sizeof(bytes) && at < code.len; i++)
        same += percent_next(code, &at) == (unsigned char)bytes[i];
    ok(same == sizeof(bytes) && at == code.len, "what was encoded is decoded to the same");
}

int main(void)
{
    test_digits();
    test_decoding();
    test_encoding();
    return done_testing();
}
