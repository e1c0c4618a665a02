/* params.c: what a URL says about the picture that is wanted. */
#include "images/params.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/hex.h"

enum { SIDE_MOST = 65535, BLUR_MOST = 2000, RATIO_MOST = 500, RATIO_LEAST = 10 };

typedef const char *set_function(struct images_wish *wish, struct str value);

struct word {
    const char *text;
    uint8_t means;
};

/* Returns -1 for what is not a whole number up to most. */
static long read_number(struct str text, long most)
{
    long value = 0;
    for (size_t i = 0; i < text.len; i++) {
        if (text.base[i] < '0' || text.base[i] > '9')
            return -1;
        value = value * 10 + (text.base[i] - '0');
        if (value > most)
            return -1;
    }
    return text.len == 0 ? -1 : value;
}

static bool find_word(struct str text, const struct word *words, uint8_t *means)
{
    for (; words->text != NULL; words++) {
        if (!str_equal(text, str_of(words->text)))
            continue;
        *means = words->means;
        return true;
    }
    return false;
}

/* The next of the words between commas. */
static struct str next_word(struct str *list)
{
    const char *comma = memchr(list->base, ',', list->len);
    struct str word = {list->base, comma == NULL ? list->len : (size_t)(comma - list->base)};
    size_t skipped = word.len + (comma != NULL);
    list->base += skipped;
    list->len -= skipped;
    return word;
}

static const char *set_side(uint32_t *side, struct str value)
{
    long number = read_number(value, SIDE_MOST);
    if (number < 1)
        return "must be a whole number from 1 to 65535";
    *side = (uint32_t)number;
    return NULL;
}

static const char *set_width(struct images_wish *wish, struct str value)
{
    return set_side(&wish->width, value);
}

static const char *set_height(struct images_wish *wish, struct str value)
{
    return set_side(&wish->height, value);
}

static const char *set_fit(struct images_wish *wish, struct str value)
{
    static const struct word words[] = {{"clip", IMAGES_CLIP},
                                        {"crop", IMAGES_CROP},
                                        {"max", IMAGES_MAX},
                                        {"min", IMAGES_MIN},
                                        {"scale", IMAGES_SCALE},
                                        {"fill", IMAGES_FILL},
                                        {NULL, 0}};
    return find_word(value, words, &wish->fit) ? NULL : "must be clip, crop, max, min, scale or fill";
}

static const char *set_crop(struct images_wish *wish, struct str value)
{
    static const char wrong[] =
        "must be center, entropy, attention, or one or two of top, bottom, left and right";
    static const struct word words[] = {{"center", 0},
                                        {"top", IMAGES_CROP_TOP},
                                        {"bottom", IMAGES_CROP_BOTTOM},
                                        {"left", IMAGES_CROP_LEFT},
                                        {"right", IMAGES_CROP_RIGHT},
                                        {"entropy", IMAGES_CROP_ENTROPY},
                                        {"attention", IMAGES_CROP_ATTENTION},
                                        {NULL, 0}};
    enum { DOWN = IMAGES_CROP_TOP | IMAGES_CROP_BOTTOM, ACROSS = IMAGES_CROP_LEFT | IMAGES_CROP_RIGHT };
    unsigned n = 0;
    wish->crop = 0;
    if (value.len == 0 || value.base[value.len - 1] == ',')
        return wrong;
    do {
        uint8_t means;
        if (!find_word(next_word(&value), words, &means))
            return wrong;
        wish->crop |= means;
        n++;
    } while (value.len > 0 && n < 2);
    bool alone = wish->crop >= IMAGES_CROP_ENTROPY;
    if (value.len > 0 || (alone && n > 1) || (wish->crop & DOWN) == DOWN || (wish->crop & ACROSS) == ACROSS)
        return wrong;
    return NULL;
}

static const char *set_blur(struct images_wish *wish, struct str value)
{
    long number = read_number(value, BLUR_MOST);
    if (number < 0)
        return "must be a whole number from 0 to 2000";
    wish->blur = (uint16_t)number;
    return NULL;
}

static const char *set_quality(struct images_wish *wish, struct str value)
{
    long number = read_number(value, 100);
    if (number < 1)
        return "must be a whole number from 1 to 100";
    wish->quality = (uint8_t)number;
    return NULL;
}

static const char *set_format(struct images_wish *wish, struct str value)
{
    static const struct word words[] = {
        {"jpg", IMAGES_JPEG}, {"png", IMAGES_PNG}, {"webp", IMAGES_WEBP}, {"avif", IMAGES_AVIF}, {NULL, 0}};
    return find_word(value, words, &wish->format) ? NULL : "must be jpg, png, webp or avif";
}

static const char *set_auto(struct images_wish *wish, struct str value)
{
    wish->is_auto = str_equal(value, STR("format"));
    return wish->is_auto ? NULL : "must be format";
}

/* One or two digits may follow a point. */
static const char *set_ratio(struct images_wish *wish, struct str value)
{
    static const char wrong[] = "must be a number from 0.1 to 5, with two digits after the point at most";
    const char *point = value.len == 0 ? NULL : memchr(value.base, '.', value.len);
    struct str whole = {value.base, point == NULL ? value.len : (size_t)(point - value.base)};
    struct str rest = {point == NULL ? "" : point + 1, point == NULL ? 0 : value.len - whole.len - 1};
    long ones = read_number(whole, RATIO_MOST / 100), parts = rest.len == 0 ? 0 : read_number(rest, 99);
    if (ones < 0 || parts < 0 || rest.len > 2 || (point != NULL && rest.len == 0))
        return wrong;
    long ratio = ones * 100 + (rest.len == 1 ? parts * 10 : parts);
    if (ratio < RATIO_LEAST || ratio > RATIO_MOST)
        return wrong;
    wish->ratio = ratio == 100 ? 0 : (uint16_t)ratio;
    return NULL;
}

static const char *set_flip(struct images_wish *wish, struct str value)
{
    static const struct word words[] = {{"h", IMAGES_FLIP_ACROSS},
                                        {"v", IMAGES_FLIP_DOWN},
                                        {"hv", IMAGES_FLIP_ACROSS | IMAGES_FLIP_DOWN},
                                        {NULL, 0}};
    return find_word(value, words, &wish->flip) ? NULL : "must be h, v or hv";
}

static const char *set_turn(struct images_wish *wish, struct str value)
{
    static const struct word words[] = {{"0", 0}, {"90", 1}, {"180", 2}, {"270", 3}, {NULL, 0}};
    return find_word(value, words, &wish->turns) ? NULL : "must be 0, 90, 180 or 270";
}

static bool read_nibbles(struct str text, uint32_t *value)
{
    *value = 0;
    for (size_t i = 0; i < text.len; i++) {
        int digit = hex_value(text.base[i]);
        if (digit < 0)
            return false;
        *value = *value << 4 | (uint32_t)digit;
    }
    return true;
}

/* "abc" is "aabbcc". */
static uint32_t double_nibbles(uint32_t value)
{
    uint32_t wide = 0;
    for (unsigned i = 0; i < 4; i++)
        wide |= (value >> (4 * i) & 15) * 17U << (8 * i);
    return wide;
}

static const char *set_background(struct images_wish *wish, struct str value)
{
    uint32_t number;
    if (!read_nibbles(value, &number) ||
        (value.len != 3 && value.len != 4 && value.len != 6 && value.len != 8))
        return "must be a colour of 3 or 6 hexadecimal digits, or 4 or 8, the first of which say how opaque "
               "it "
               "is";
    if (value.len <= 4)
        number = double_nibbles(value.len == 3 ? number | 0xf000 : number);
    wish->background = value.len == 6 ? number | 0xff000000 : number;
    wish->has_background = true;
    return NULL;
}

static const struct {
    const char *name;
    set_function *set;
} params[] = {
    {"w", set_width},   {"h", set_height},  {"fit", set_fit},   {"crop", set_crop},
    {"blur", set_blur}, {"q", set_quality}, {"fm", set_format}, {"auto", set_auto},
    {"dpr", set_ratio}, {"flip", set_flip}, {"rot", set_turn},  {"bg", set_background},
};
enum { N_PARAMS = sizeof(params) / sizeof(params[0]) };

int images_params_find(struct str name)
{
    for (int i = 0; i < N_PARAMS; i++) {
        if (str_equal(name, str_of(params[i].name)))
            return i;
    }
    return -1;
}

const char *images_params_set(struct images_wish *wish, struct str name, struct str value)
{
    return params[images_params_find(name)].set(wish, value);
}

static const char *const types[IMAGES_FORMATS] = {
    [IMAGES_JPEG] = "image/jpeg", [IMAGES_PNG] = "image/png",   [IMAGES_WEBP] = "image/webp",
    [IMAGES_GIF] = "image/gif",   [IMAGES_AVIF] = "image/avif",
};

struct str images_params_type(enum images_format format)
{
    return str_of(types[format]);
}

/* Is the weight that follows the type more than nothing (RFC 9110 section 12.4.2)? */
static bool is_wanted(struct str rest)
{
    while (rest.len > 0 && (rest.base[0] == ';' || rest.base[0] == ' ' || rest.base[0] == '\t')) {
        rest.base++;
        rest.len--;
    }
    if (rest.len < 3 || (rest.base[0] | 0x20) != 'q' || rest.base[1] != '=')
        return true;
    for (size_t i = 2; i < rest.len && (rest.base[i] == '0' || rest.base[i] == '.'); i++) {
        if (i + 1 == rest.len)
            return false;
    }
    return true;
}

uint8_t images_params_accepted(struct str accept)
{
    static const enum images_format choices[] = {IMAGES_WEBP, IMAGES_AVIF};
    uint8_t accepted = 0;
    while (accept.len > 0) {
        struct str item = next_word(&accept);
        while (item.len > 0 && (item.base[0] == ' ' || item.base[0] == '\t')) {
            item.base++;
            item.len--;
        }
        for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++) {
            size_t len = strlen(types[choices[i]]);
            if (item.len < len || strncasecmp(item.base, types[choices[i]], len) != 0)
                continue;
            struct str rest = {item.base + len, item.len - len};
            if ((rest.len == 0 || strchr("; \t", rest.base[0]) != NULL) && is_wanted(rest))
                accepted |= (uint8_t)(1U << choices[i]);
        }
    }
    return accepted;
}

size_t images_params_key(const struct images_wish *wish, char key[IMAGES_KEY_SIZE])
{
    int len =
        snprintf(key, IMAGES_KEY_SIZE, "%x.%x.%x%x.%x.%x.%x.%x.%x.%x.%x.%x.%x", wish->width, wish->height,
                 wish->has_background, wish->background, wish->ratio, wish->blur, wish->fit, wish->crop,
                 wish->format, wish->quality, wish->flip, wish->turns, wish->is_auto ? 1U + wish->takes : 0U);
    return (size_t)len;
}
