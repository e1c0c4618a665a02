/* forwarded.c: lists to which one more item can be added, and those that would swallow it. */
#include "http/forwarded.h"

#include <stdlib.h>

#include "base/mem.h"
#include "unit/tap.h"

static const char *const forwarded_good[] = {
    "",
    "for=192.0.2.1",
    "for=192.0.2.60;proto=http;by=203.0.113.43",
    "For=\"[2001:db8:cafe::17]:4711\"",
    "for=192.0.2.43, for=198.51.100.17;by=203.0.113.60;proto=http;host=example.com",
    "for=a,for=b\t,\tfor=c",
    "for=_hidden, for=_SEVKISEK",
    "for=unknown;a=b;c=d;e=f",
    "for=\"\"",
    "for=\"a\\\"b\"",
    "for=\"a\\\\\", for=b",
    "for=\"a, b; c=d\"",
    "for=\"\xc3\xa9\"",
    ";",
    ";for=a;",
    ";;for=a;;by=b",
    ",,for=a,, ,",
    "for=a, for=a", /* twice, but in two elements */
    "a=1;b=1;c=1;d=1;e=1;f=1;g=1;h=1;i=1;j=1;k=1;l=1;m=1;n=1;o=1;p=1",
};

static const char *const forwarded_bad[] = {
    "for=\"192.0.2.1",
    "\"",
    "for=\"a\\\"",
    "for=\"a\\",
    "for=\"a\"b\"",
    "for=\"a\"\"b\"",
    "for=a\"b",
    "for",
    "for=",
    "=a",
    "for==a",
    "for =a",
    "for= a",
    "for=a ;by=b",
    "for=a; by=b",
    "for=a by=b",
    "for=[2001:db8::1]",
    "for=192.0.2.1:80",
    "for=a, \"",
    "192.0.2.1",
    "for=a;for=b",
    "for=a;by=c;FOR=b",
    "for=(a)",
    "for=a\\",
    "for=a;;;\"",
    "a=1;b=1;c=1;d=1;e=1;f=1;g=1;h=1;i=1;j=1;k=1;l=1;m=1;n=1;o=1;p=1;q=1",
};

static const char *const for_good[] = {
    "",
    "192.0.2.1",
    "192.0.2.1, 192.0.2.2,192.0.2.3",
    "2001:db8::1, [2001:db8::2]:4711, fe80::1%eth0",
    "unknown",
    "proxy-1.example.org, _hidden",
    ", 192.0.2.1,,",
};

static const char *const for_bad[] = {
    "\"192.0.2.1",
    "\"192.0.2.1\"",
    "192.0.2.1, \"",
    "192.0.2.1 192.0.2.2",
    "192.0.2.1 (a, b",
    "192.0.2.1; 192.0.2.2",
    "<script>",
    "192.0.2.1\\",
    "for=192.0.2.1",
    "192.0.2.1, 192.0.2.2 x",
    "192.0.2.1, caf\xc3\xa9",
    "{}",
};

static const char *const via_good[] = {
    "",
    "1.1 fred",
    "1.0 fred, 1.1 p.example.net",
    "1.1 vegur",
    "HTTP/1.1 proxy:8080",
    "1.1 [2001:db8::1]:80",
    "1.1 a (Apache/1.1)",
    "1.1 a (one (two) \\) three), 1.1 b",
    "1.1 a(close by)",
    "1.1\ta\t(b)\t,\t2 c",
    "1.1 a (\"), 1.1 b",
    ", 1.1 a,",
};

static const char *const via_bad[] = {
    "1.1",         "1.1 ",        "1.1 a (unfinished", "1.1 a (one (two)",
    "1.1 a (b\\)", "1.1 a (b) c", "1.1 a \"",          "1.1 \"a",
    "/1.1 a",      "HTTP/ a",     "1.1 a, 1.1 b (c,",  "1.1 a b",
    "1.1 a (b)(",  "1.1 a )(",    "(a) 1.1 b",         "1.1 a ((b)",
    "1.1 a (\\",   "1.1 a, (",
};

/* A copy of just its size, so that the sanitizers see a byte read too far. */
static bool is_valid(bool (*function)(struct str value), const char *text)
{
    size_t len = strlen(text);
    char *copy = memcpy(mem_alloc(len), text, len);
    bool valid = function((struct str){copy, len});
    free(copy);
    return valid;
}

static void check(const char *field, bool (*function)(struct str value), const char *const *texts, size_t n,
                  bool want)
{
    for (size_t i = 0; i < n; i++)
        ok(is_valid(function, texts[i]) == want, "%s: %s: %s", field, texts[i], want ? "good" : "refused");
}

#define CHECK(field, function, texts, want)                                                                  \
    check(field, function, texts, sizeof(texts) / sizeof(*(texts)), want)

int main(void)
{
    CHECK("Forwarded", forwarded_is_valid, forwarded_good, true);
    CHECK("Forwarded", forwarded_is_valid, forwarded_bad, false);
    CHECK("X-Forwarded-For", forwarded_for_is_valid, for_good, true);
    CHECK("X-Forwarded-For", forwarded_for_is_valid, for_bad, false);
    CHECK("Via", forwarded_via_is_valid, via_good, true);
    CHECK("Via", forwarded_via_is_valid, via_bad, false);
    return done_testing();
}
