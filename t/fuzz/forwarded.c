/*
 * forwarded.c: fuzz target for the lists that proxies add themselves to: where the client's part is accepted,
 * what is added after it is the last item of the whole, however carefully or carelessly the list is split.
 */
#include "http/forwarded.h"

#include "fuzz.h"

/* What a reader of lists takes for more than single bytes. */
enum reads { COMMAS = 0, QUOTES = 1, COMMENTS = 2 };

/* Where the last item begins. */
static size_t last_item(struct str list, unsigned reads)
{
    size_t begin = 0, depth = 0;
    bool quoted = false;
    for (size_t i = 0; i < list.len; i++) {
        char c = list.base[i];
        if (c == '\\' && (quoted || depth > 0))
            i++;
        else if (c == '"' && (reads & QUOTES) != 0)
            quoted = !quoted;
        else if (c == '(' && (reads & COMMENTS) != 0)
            depth++;
        else if (c == ')' && depth > 0)
            depth--;
        else if (c == ',' && !quoted && depth == 0)
            begin = i + 1;
    }
    return begin;
}

static void check(struct str value, bool (*is_valid)(struct str value), struct str item, unsigned reads)
{
    struct fuzz_bytes list = {0};
    if (!is_valid(value))
        return;
    fuzz_append(&list, value.base, value.len);
    fuzz_append(&list, ", ", 2);
    fuzz_append(&list, item.base, item.len);
    FUZZ_CHECK(is_valid(fuzz_str(&list)), "the whole is refused");
    FUZZ_CHECK(last_item(fuzz_str(&list), reads) == value.len + 1, "the item is not the last one");
    free(list.base);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *copy = fuzz_copy(data, size);
    struct str value = {copy, size};
    for (size_t i = 0; i < size; i++) {
        if ((copy[i] >= 0 && copy[i] < ' ' && copy[i] != '\t') || copy[i] == 0x7f)
            copy[i] = ' '; /* these never get into a field's value */
    }
    check(value, forwarded_is_valid, STR("for=\"[::1]\";host=\"a,b\";proto=http"), QUOTES);
    check(value, forwarded_for_is_valid, STR("192.0.2.1"), COMMAS);
    check(value, forwarded_for_is_valid, STR("192.0.2.1"), QUOTES | COMMENTS);
    check(value, forwarded_via_is_valid, STR("1.1 hayfork"), COMMENTS);
    free(copy);
    return 0;
}
