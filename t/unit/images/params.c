/* params.c: what a URL says about a picture, what a client takes, and what a picture begins with. */
#include "images/params.h"

#include "images/sniff.h"
#include "unit/tap.h"

static const char *set(struct images_wish *wish, const char *name, const char *value)
{
    return images_params_set(wish, str_of(name), str_of(value));
}

static bool takes(const char *name, const char *value)
{
    struct images_wish wish = {0};
    return set(&wish, name, value) == NULL;
}

static void test_values(void)
{
    struct images_wish wish = {0};
    set(&wish, "bg", "fa0");
    is_int(wish.background, 0xffffaa00, "three digits");
    set(&wish, "bg", "8fa0");
    is_int(wish.background, 0x88ffaa00, "four");
    set(&wish, "bg", "102030");
    is_int(wish.background, 0xff102030, "six");
    set(&wish, "bg", "7f102030");
    is_int(wish.background, 0x7f102030, "eight");
    set(&wish, "dpr", "1.5");
    is_int(wish.ratio, 150, "a ratio");
    set(&wish, "dpr", "0.75");
    is_int(wish.ratio, 75, "of two digits");
    set(&wish, "dpr", "1");
    is_int(wish.ratio, 0, "of one, which is none");
    set(&wish, "crop", "top,left");
    is_int(wish.crop, IMAGES_CROP_TOP | IMAGES_CROP_LEFT, "a corner");
    set(&wish, "crop", "center");
    is_int(wish.crop, 0, "the middle");
}

static void test_what_is_refused(void)
{
    static const char *const bad[][2] = {
        {"w", ""},
        {"w", "0"},
        {"w", "+1"},
        {"w", "1e3"},
        {"w", "65536"},
        {"w", " 1"},
        {"h", "99999999999999999999"},
        {"dpr", ""},
        {"dpr", "."},
        {"dpr", "1."},
        {"dpr", ".5"},
        {"dpr", "1.234"},
        {"dpr", "0.05"},
        {"dpr", "5.01"},
        {"crop", ""},
        {"crop", "top,"},
        {"crop", ",top"},
        {"crop", "top,bottom"},
        {"crop", "left,right"},
        {"crop", "entropy,attention"},
        {"crop", "top,left,top"},
        {"bg", ""},
        {"bg", "12"},
        {"bg", "12345"},
        {"bg", "1234567"},
        {"bg", "#fff"},
        {"bg", "ggg"},
        {"bg", "123456789"},
        {"fm", "JPG"},
        {"q", "101"},
        {"blur", "2001"},
        {"rot", "-90"},
        {"flip", "vh"},
        {"auto", "format,compress"},
        {"fit", "Crop"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        ok(!takes(bad[i][0], bad[i][1]), "%s=%s", bad[i][0], bad[i][1]);
    ok(images_params_has(STR("w")), "there is a w");
    ok(!images_params_has(STR("W")) && !images_params_has(STR("")) && !images_params_has(STR("wh")),
       "and no other");
}

static void test_keys(void)
{
    char all[64][IMAGES_KEY_SIZE];
    static const char *const wishes[][2] = {
        {"w", "1"},    {"h", "1"},         {"fit", "crop"}, {"crop", "top"}, {"blur", "1"}, {"q", "1"},
        {"fm", "jpg"}, {"auto", "format"}, {"dpr", "2"},    {"flip", "h"},   {"rot", "90"}, {"bg", "000"},
    };
    enum { N = sizeof(wishes) / sizeof(wishes[0]) };
    unsigned same = 0;
    for (size_t i = 0; i < N; i++) {
        struct images_wish wish = {0};
        set(&wish, wishes[i][0], wishes[i][1]);
        ok(images_params_key(&wish, all[i]) < IMAGES_KEY_SIZE, "the key of %s=%s", wishes[i][0],
           wishes[i][1]);
        for (size_t j = 0; j < i; j++)
            same += strcmp(all[i], all[j]) == 0;
    }
    is_int(same, 0, "each of them has another key");
    struct images_wish most = {UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT16_MAX, UINT16_MAX, 255, 255,
                               255,        255,        255,        255,        255,        255, 255};
    ok(images_params_key(&most, all[0]) < IMAGES_KEY_SIZE, "the longest key has room");
}

static void test_accept(void)
{
    const int webp = 1 << IMAGES_WEBP, avif = 1 << IMAGES_AVIF;
    is_int(images_params_accepted(STR("image/avif,image/webp,*/*")), webp | avif, "both");
    is_int(images_params_accepted(STR("image/webp ; q=0.5 , image/avif;q=0")), webp,
           "one that is not wanted");
    is_int(images_params_accepted(STR("image/webp;q=0.000")), 0, "not at all");
    is_int(images_params_accepted(STR("image/webpx, ximage/webp")), 0, "others");
    is_int(images_params_accepted(STR("*/*, image/*")), 0, "whoever names none");
    is_int(images_params_accepted((struct str){NULL, 0}), 0, "no field");
    is_int(images_params_accepted(STR(",,")), 0, "nothing in it");
}

static void test_first_bytes(void)
{
    is_int(images_sniff(STR("\xff\xd8\xff\xe0")), IMAGES_JPEG, "JPEG");
    is_int(images_sniff(STR("\x89PNG\r\n\x1a\n")), IMAGES_PNG, "PNG");
    is_int(images_sniff(STR("RIFF....WEBP")), IMAGES_WEBP, "WebP");
    is_int(images_sniff(STR("GIF89a")), IMAGES_GIF, "GIF");
    is_int(images_sniff(STR("....ftypavif")), IMAGES_AVIF, "AVIF");
    is_int(images_sniff(STR("RIFF....WAVE")), IMAGES_OTHER, "a sound");
    is_int(images_sniff(STR("<svg>")), IMAGES_OTHER, "SVG");
    is_int(images_sniff(STR("\xff\xd8")), IMAGES_OTHER, "too little");
    is_int(images_sniff((struct str){NULL, 0}), IMAGES_OTHER, "nothing");
}

int main(void)
{
    test_values();
    test_what_is_refused();
    test_keys();
    test_accept();
    test_first_bytes();
    return done_testing();
}
