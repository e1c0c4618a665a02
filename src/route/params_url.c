/* params_url.c: parameters out of the query, and how the bytes of a URL are decoded. */
#include "route/params_url.h"

#include "base/percent.h"
#include "base/utf8.h"
#include "pg/pgtypes.h"
#include "route/params_array.h"
#include "route/params_value.h"

/*
 * Decodes raw from the byte at on into out, where what is before it has been copied already. Sets *len.
 * Returns NULL or the end of a sentence about what is wrong.
 */
static const char *decode_rest(struct str raw, size_t at, enum params_part part, char *out, size_t *len)
{
    size_t n = at;
    while (at < raw.len) {
        bool is_blank = raw.base[at] == '+' && part == PARAMS_PART_QUERY;
        int c = percent_next(raw, &at);
        if (c < 0)
            return "has a '%' without two hexadecimal digits after it ('%' itself is %25)";
        if (c == '/' && part == PARAMS_PART_PATH)
            return "must not contain a '/' (%2F)";
        if (c == '\0')
            return "must not contain a NUL byte (%00)";
        out[n++] = (char)(is_blank ? ' ' : c);
    }
    *len = n;
    return utf8_is_valid((struct str){out, n}) ? NULL : "must be UTF-8";
}

const char *params_url_decode(const struct params_gathering *all, struct str raw, enum params_part part,
                              struct str *text)
{
    size_t i = 0;
    for (; i < raw.len; i++) {
        char c = raw.base[i];
        if (c == '%' || (signed char)c <= 0 || (c == '+' && part == PARAMS_PART_QUERY))
            break;
    }
    *text = raw; /* there is nothing to decode in nearly all there is */
    if (i == raw.len)
        return NULL;
    char *out = arena_alloc(all->arena, raw.len);
    memcpy(out, raw.base, i);
    text->base = out;
    return decode_rest(raw, i, part, out, &text->len);
}

/* A text that was given for a parameter that may be an array. */
struct given {
    struct str text;
    struct given *next;
};

/* All that was given for one parameter, in the order of the query. */
struct given_list {
    struct given *first, *last;
    size_t n, len; /* how many, and the length of all texts */
};

/* The query in the making. */
struct query {
    const struct params_gathering *all;
    struct given_list *lists; /* for each parameter; NULL until one is needed */
};

static void keep(struct query *query, size_t i, struct str text)
{
    const struct params_gathering *all = query->all;
    if (query->lists == NULL) {
        query->lists = arena_alloc(all->arena, all->n * sizeof(*query->lists));
        memset(query->lists, 0, all->n * sizeof(*query->lists));
    }
    struct given_list *list = &query->lists[i];
    struct given *given = arena_alloc(all->arena, sizeof(*given));
    *given = (struct given){.text = text};
    if (list->n++ == 0)
        list->first = given;
    else
        list->last->next = given;
    list->last = given;
    list->len += text.len;
}

static bool takes_empty(uint32_t type)
{
    return type == PGTYPES_TEXT || type == PGTYPES_VARCHAR || type == PGTYPES_BPCHAR ||
           type == PGTYPES_CHAR || type == PGTYPES_NAME;
}

static bool set_value(const struct params_gathering *all, size_t i, struct str text)
{
    if (text.len == 0 && !takes_empty(all->types[i].type)) {
        all->values[i] = (struct str){params_given_empty, 0};
        return true;
    }
    all->values[i] = text;
    return params_value_check(all, i, all->types[i].type, text, 0);
}

static bool set_array(const struct params_gathering *all, size_t i, const struct given_list *list)
{
    uint32_t element = all->types[i].element;
    if (list->n == 1 && list->len == 0 && !takes_empty(element)) {
        all->values[i] = (struct str){params_given_empty, 0};
        return true;
    }
    struct params_array array;
    size_t n = 0;
    if (!params_array_begin(&array, all, i, list->len + 3 * list->n))
        return false;
    for (const struct given *given = list->first; given != NULL; given = given->next) {
        if (!params_value_check(all, i, element, given->text, list->n == 1 ? 0 : ++n))
            return false;
        if (!params_array_add(&array, given->text))
            return false;
    }
    all->values[i] = params_array_end(&array);
    return true;
}

static bool take_value(struct query *query, size_t i, struct str raw)
{
    const struct params_gathering *all = query->all;
    const char *name = all->specs[i].name;
    bool may_repeat = all->types[i].element != 0;
    struct str text;
    if (all->values[i].base != params_not_given && !may_repeat)
        return params_fail_of_type(all, name, "%s is given twice", name);
    const char *error = params_url_decode(all, raw, PARAMS_PART_QUERY, &text);
    if (error != NULL)
        return params_fail(all, name, "%s %s", name, error);
    if (!may_repeat)
        return set_value(all, i, text);
    keep(query, i, text);
    return true;
}

/* One `name=value`, or `name` alone. */
static bool take_pair(struct query *query, struct str pair)
{
    const struct params_gathering *all = query->all;
    const char *equals = memchr(pair.base, '=', pair.len);
    size_t name_len = equals == NULL ? pair.len : (size_t)(equals - pair.base);
    size_t value_at = equals == NULL ? pair.len : name_len + 1;
    struct str name;
    const char *error = params_url_decode(all, (struct str){pair.base, name_len}, PARAMS_PART_QUERY, &name);
    if (error == NULL && name.len == 0)
        error = "is empty";
    if (error != NULL)
        return params_fail(all, NULL, "the name of a URL parameter %s", error);
    for (size_t i = 0; i < all->n; i++) {
        if (all->specs[i].source == PARAMS_QUERY && str_equal(str_of(all->specs[i].name), name))
            return take_value(query, i, (struct str){pair.base + value_at, pair.len - value_at});
    }
    return all->request->ignore_unknown_query ||
           params_fail_unknown(all, name, "is not a URL parameter of this route");
}

/* Two '&' in a row, or one at either end, have nothing between them. */
bool params_url_query(const struct params_gathering *all)
{
    struct query query = {.all = all};
    const char *end = all->request->query.base + all->request->query.len;
    for (const char *at = all->request->query.base; at < end;) {
        const char *ampersand = memchr(at, '&', (size_t)(end - at));
        const char *stop = ampersand == NULL ? end : ampersand;
        if (stop > at && !take_pair(&query, (struct str){at, (size_t)(stop - at)}))
            return false;
        at = stop + 1;
    }
    for (size_t i = 0; query.lists != NULL && i < all->n; i++) {
        if (query.lists[i].n > 0 && !set_array(all, i, &query.lists[i]))
            return false;
    }
    return true;
}
