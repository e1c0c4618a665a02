/* conditional.c: what conditional and range requests for a file are answered with. */
#include "http/conditional.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/mem.h"
#include "unit/tap.h"

#define MODIFIED "Tue, 03 Jun 2025 08:00:00 GMT"
#define BEFORE   "Tue, 03 Jun 2025 07:59:59 GMT"
#define AFTER    "Tue, 03 Jun 2025 08:00:01 GMT"

/* Fields as a client sends them, a line each, and what they lead to for a file of 1000 bytes with the tag
 * "a". */
struct row {
    const char *fields, *want;
};

static const struct row rows[] = {
    {"", "200 0+1000"},

    /* If-None-Match (RFC 9110 section 13.1.2) */
    {"if-none-match: \"a\"", "304"},
    {"if-none-match: W/\"a\"", "304"},
    {"if-none-match: *", "304"},
    {"if-none-match: \"b\", \"a\"", "304"},
    {"if-none-match: \"b\",W/\"a\",\"c\"", "304"},
    {"if-none-match: ,, \"a\" ,", "304"},
    {"if-none-match: \"x,\\\", \"a\"", "304"},
    {"if-none-match: \"b\"", "200 0+1000"},
    {"if-none-match: \"A\"", "200 0+1000"},
    {"if-none-match: a", "200 0+1000"},
    {"if-none-match: \"a", "200 0+1000"},
    {"if-none-match: \"", "200 0+1000"},
    {"if-none-match: W/", "200 0+1000"},
    {"if-none-match: ", "200 0+1000"},
    {"if-none-match: \"b, \"a\"", "200 0+1000"},
    {"if-none-match: \"b\"\nif-modified-since: " AFTER, "200 0+1000"},
    {"if-none-match: \"a\"\nif-modified-since: " BEFORE, "304"},

    /* If-Modified-Since (section 13.1.3) */
    {"if-modified-since: " MODIFIED, "304"},
    {"if-modified-since: " AFTER, "304"},
    {"if-modified-since: " BEFORE, "200 0+1000"},
    {"if-modified-since: Tuesday, 03-Jun-25 08:00:00 GMT", "304"},
    {"if-modified-since: Tue Jun  3 08:00:00 2025", "304"},
    {"if-modified-since: Tue Jun  3 07:59:59 2025", "200 0+1000"},
    {"if-modified-since: yesterday", "200 0+1000"},
    {"if-modified-since: ", "200 0+1000"},
    {"if-modified-since: " AFTER " ", "200 0+1000"},
    {"if-modified-since: " AFTER ", " AFTER, "200 0+1000"},
    {"if-modified-since: Tue, 99 Jun 2025 08:00:01 GMT", "200 0+1000"},

    /* If-Match, If-Unmodified-Since (sections 13.1.1, 13.1.4) */
    {"if-match: \"a\"", "200 0+1000"},
    {"if-match: *", "200 0+1000"},
    {"if-match: \"b\", \"a\"", "200 0+1000"},
    {"if-match: \"b\"", "412"},
    {"if-match: W/\"a\"", "412"},
    {"if-match: ", "412"},
    {"if-unmodified-since: " MODIFIED, "200 0+1000"},
    {"if-unmodified-since: " BEFORE, "412"},
    {"if-unmodified-since: nonsense", "200 0+1000"},
    {"if-match: \"a\"\nif-unmodified-since: " BEFORE, "200 0+1000"},
    {"if-match: \"a\"\nif-none-match: \"a\"", "304"},
    {"if-match: \"b\"\nif-none-match: \"a\"", "412"},

    /* Range (section 14.2) */
    {"range: bytes=0-0", "206 0+1"},
    {"range: bytes=0-999", "206 0+1000"},
    {"range: bytes=0-1000", "206 0+1000"},
    {"range: bytes=10-19", "206 10+10"},
    {"range: bytes=999-", "206 999+1"},
    {"range: bytes=500-", "206 500+500"},
    {"range: bytes=0-", "206 0+1000"},
    {"range: bytes=-1", "206 999+1"},
    {"range: bytes=-1000", "206 0+1000"},
    {"range: bytes=-1001", "206 0+1000"},
    {"range: BYTES=1-2", "206 1+2"},
    {"range: bytes=5-18446744073709551615", "206 5+995"},
    {"range: bytes=5-99999999999999999999999999", "206 5+995"},
    {"range: bytes=-99999999999999999999999999", "206 0+1000"},
    {"range: bytes=1000-", "416"},
    {"range: bytes=1000-2000", "416"},
    {"range: bytes=18446744073709551615-", "416"},
    {"range: bytes=99999999999999999999999999-", "416"},
    {"range: bytes=-0", "416"},
    {"range: bytes=2-1", "200 0+1000"},
    {"range: bytes=", "200 0+1000"},
    {"range: bytes=-", "200 0+1000"},
    {"range: bytes=a-b", "200 0+1000"},
    {"range: bytes=1", "200 0+1000"},
    {"range: bytes=1-2x", "200 0+1000"},
    {"range: bytes=+1-2", "200 0+1000"},
    {"range: bytes=0x1-2", "200 0+1000"},
    {"range: bytes =1-2", "200 0+1000"},
    {"range: bytes=1 -2", "200 0+1000"},
    {"range: lines=1-2", "200 0+1000"},
    {"range: 1-2", "200 0+1000"},
    {"range: bytes", "200 0+1000"},
    {"range: ", "200 0+1000"},
    {"range: bytes=0-1,5-6", "200 0+1000"},
    {"range: bytes=0-1, bytes=5-6", "200 0+1000"},

    /* If-Range (section 13.1.5), and the order of all */
    {"range: bytes=1-2\nif-range: \"a\"", "206 1+2"},
    {"range: bytes=1-2\nif-range: \"b\"", "200 0+1000"},
    {"range: bytes=1-2\nif-range: W/\"a\"", "200 0+1000"},
    {"range: bytes=1-2\nif-range: \"a\", \"b\"", "200 0+1000"},
    {"range: bytes=1-2\nif-range: *", "200 0+1000"},
    {"range: bytes=1-2\nif-range: ", "200 0+1000"},
    {"range: bytes=1-2\nif-range: " MODIFIED, "206 1+2"},
    {"range: bytes=1-2\nif-range: " AFTER, "200 0+1000"},
    {"range: bytes=1-2\nif-range: " BEFORE, "200 0+1000"},
    {"range: bytes=5000-\nif-range: \"b\"", "200 0+1000"},
    {"if-range: \"b\"", "200 0+1000"},
    {"range: bytes=1-2\nif-none-match: \"a\"", "304"},
    {"range: bytes=5000-\nif-match: \"b\"", "412"},
};

/* Copies a field's value, without a NUL after it, or leaves it missing. The caller frees the base. */
static struct str take(const char *fields, const char *name)
{
    char *label = mem_printf("%s: ", name);
    const char *at = fields;
    while (at != NULL && strncmp(at, label, strlen(label)) != 0) {
        at = strchr(at, '\n');
        at = at == NULL ? NULL : at + 1;
    }
    struct str value = {NULL, 0};
    if (at != NULL) {
        at += strlen(label);
        value.len = strcspn(at, "\n");
        value.base = memcpy(mem_alloc(value.len == 0 ? 1 : value.len), at, value.len);
    }
    free(label);
    return value;
}

static void check(const struct row *row, bool is_get, uint64_t size, time_t age)
{
    struct conditional_request request = {
        .is_get = is_get,
        .if_match = take(row->fields, "if-match"),
        .if_none_match = take(row->fields, "if-none-match"),
        .if_modified_since = take(row->fields, "if-modified-since"),
        .if_unmodified_since = take(row->fields, "if-unmodified-since"),
        .if_range = take(row->fields, "if-range"),
        .range = take(row->fields, "range"),
    };
    struct conditional_file file = {.etag = STR("\"a\""), .size = size};
    conditional_read_date(STR(MODIFIED), &file.modified);
    file.now = file.modified + age;
    uint64_t from, len;
    enum conditional_answer answer = conditional_decide(&request, &file, &from, &len);
    char *got = answer == CONDITIONAL_WHOLE || answer == CONDITIONAL_PART
                    ? mem_printf("%d %" PRIu64 "+%" PRIu64, (int)answer, from, len)
                    : mem_printf("%d", (int)answer);
    is_str(got, row->want, "%s of %d bytes: %s", is_get ? "GET" : "HEAD", (int)size, row->fields);
    free(got);
    struct str all[] = {request.if_match,          request.if_none_match,
                        request.if_modified_since, request.if_unmodified_since,
                        request.if_range,          request.range};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
        free((char *)all[i].base);
}

static void test_dates(void)
{
    static const struct {
        const char *text;
        long long want;
    } dates[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", 784111777},
        {"Sunday, 06-Nov-94 08:49:37 GMT", 784111777},
        {"Sun Nov  6 08:49:37 1994", 784111777},
        {"Thu, 01 Jan 1970 00:00:00 GMT", 0},
        {"Thu, 31 Dec 2099 23:59:59 GMT", 4102444799},
        {"Sun, 06 Nov 1994 08:49:37", -1},
        {"Sun, 06 Nov 1994 08:49:37 CET", -1},
        {"784111777", -1},
        {"Sun, 06 Nov 1994 08:49:37 GMT and more that is too long", -1},
    };
    for (size_t i = 0; i < sizeof(dates) / sizeof(dates[0]); i++) {
        time_t date = -1;
        bool good = conditional_read_date(str_of(dates[i].text), &date);
        is_int(good ? (long long)date : -1, dates[i].want, "%s", dates[i].text);
    }
}

int main(void)
{
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        check(&rows[i], true, 1000, 3600);

    /* Range is for GET alone (section 14.2). */
    check(&(struct row){"range: bytes=0-0", "200 0+1000"}, false, 1000, 3600);
    check(&(struct row){"range: bytes=5000-", "200 0+1000"}, false, 1000, 3600);
    check(&(struct row){"if-none-match: \"a\"", "304"}, false, 1000, 3600);

    /* Of an empty file there is no part. */
    check(&(struct row){"range: bytes=0-", "416"}, true, 0, 3600);
    check(&(struct row){"range: bytes=0-0", "416"}, true, 0, 3600);
    check(&(struct row){"range: bytes=-5", "200 0+0"}, true, 0, 3600);

    /* A file may have changed twice in the second that it was changed in (section 8.8.2.2). */
    check(&(struct row){"range: bytes=1-2\nif-range: " MODIFIED, "200 0+1000"}, true, 1000, 0);
    check(&(struct row){"range: bytes=1-2\nif-range: " MODIFIED, "200 0+1000"}, true, 1000, 1);
    check(&(struct row){"range: bytes=1-2\nif-range: " MODIFIED, "206 1+2"}, true, 1000, 2);
    check(&(struct row){"range: bytes=1-2\nif-range: \"a\"", "206 1+2"}, true, 1000, 0);
    test_dates();
    return done_testing();
}
