/* siphash.c: SipHash-1-3 of the bytes 0, 1, 2, … under the key 0, 1, … 15, at once and in pieces. */
#include "base/siphash.h"

#include "unit/tap.h"

enum { MOST = 64 };

static const struct siphash_key key = {{UINT64_C(0x0706050403020100), UINT64_C(0x0f0e0d0c0b0a0908)}};

static const struct {
    size_t len;
    uint64_t hash;
} published[] = {
    {0, UINT64_C(0xabac0158050fc4dc)},  {1, UINT64_C(0xc9f49bf37d57ca93)},
    {7, UINT64_C(0xd3927d989bb11140)},  {8, UINT64_C(0x369095118d299a8e)},
    {9, UINT64_C(0x25a48eb36c063de4)},  {15, UINT64_C(0xd320d86d2a519956)},
    {16, UINT64_C(0xcc4fdd1a7d908b66)}, {63, UINT64_C(0x9d199062b7bbb3a8)},
};

static void test_pieces(const char *bytes, size_t len)
{
    uint64_t want = siphash_of(&key, (struct str){bytes, len});
    bool same = true;
    for (size_t step = 1; step <= len; step++) {
        struct siphash hash;
        siphash_begin(&hash, &key);
        for (size_t at = 0; at < len; at += step)
            siphash_add(&hash, (struct str){bytes + at, len - at < step ? len - at : step});
        same = same && siphash_end(&hash) == want;
    }
    ok(same, "%zu bytes in pieces of any size", len);
}

int main(void)
{
    char bytes[MOST];
    for (size_t i = 0; i < MOST; i++)
        bytes[i] = (char)i;
    for (size_t i = 0; i < sizeof(published) / sizeof(published[0]); i++) {
        struct str text = {bytes, published[i].len};
        ok(siphash_of(&key, text) == published[i].hash, "%zu bytes", text.len);
        test_pieces(bytes, text.len);
    }
    const struct siphash_key *secret = siphash_secret();
    ok(secret->words[0] != 0 || secret->words[1] != 0, "a process has a key");
    ok(secret == siphash_secret() && siphash_of(secret, STR("a")) == siphash_of(siphash_secret(), STR("a")),
       "... and keeps it");
    return done_testing();
}
