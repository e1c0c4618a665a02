/* route.c: which route answers a request, and which paths a conf may name. */
#include "route/route.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "unit/tap.h"

/* Routes of the tests are texts such as "GET /contacts/{id}", which is also what route_match hands back. */
static void *add(struct route_table *table, const char *route)
{
    const char *blank = strchr(route, ' ');
    char *method = mem_strndup(route, (size_t)(blank - route));
    void *there = route_add(table, method, blank + 1, (void *)(uintptr_t)route);
    free(method);
    return there;
}

static struct route_table *table_of(const char *const *routes)
{
    struct route_table *table = route_table_new();
    for (; *routes != NULL; routes++)
        add(table, *routes);
    return table;
}

/*
 * The answer as a text: the route and its captures ("GET /a/{x}: 1"), "404", or "405" or "501" with Allow.
 * The path is matched in memory of its own size, so that the sanitizers see a byte read after it.
 */
static char *answer(const struct route_table *table, const char *request)
{
    const char *blank = strchr(request, ' ');
    struct str method = {request, (size_t)(blank - request)}, path = {NULL, strlen(blank + 1)};
    char *exact = mem_alloc(path.len);
    memcpy(exact, blank + 1, path.len);
    path.base = exact;
    struct route_match match;
    char *text = NULL;
    switch (route_match(table, method, path, &match)) {
    case ROUTE_FOUND:
        text = mem_strdup(match.route);
        for (size_t i = 0; i < match.n_captures; i++) {
            struct str capture = match.captures[i];
            char *longer = mem_printf("%s%s%.*s", text, i == 0 ? ": " : ", ", (int)capture.len, capture.base);
            free(text);
            text = longer;
        }
        break;
    case ROUTE_NO_PATH:
        text = mem_strdup("404");
        break;
    case ROUTE_NO_METHOD:
        text = mem_printf("405 %s", match.allow);
        break;
    case ROUTE_UNKNOWN_METHOD:
        text = mem_printf("501 %s", match.allow);
        break;
    }
    free(exact);
    return text;
}

static void answers(const struct route_table *table, const char *request, const char *want)
{
    char *got = answer(table, request);
    is_str(got, want, "%s", request);
    free(got);
}

static void test_contacts(void)
{
    static const char *const routes[] = {
        "GET /", "GET /contacts", "GET /contacts/{id}", "GET /v1/avatar", NULL,
    };
    struct route_table *table = table_of(routes);
    answers(table, "GET /", "GET /");
    answers(table, "GET /contacts", "GET /contacts");
    answers(table, "GET /contacts/1", "GET /contacts/{id}: 1");
    answers(table, "GET /contacts/%31%2f", "GET /contacts/{id}: %31%2f");
    answers(table, "GET /v1/avatar", "GET /v1/avatar");
    answers(table, "HEAD /contacts/1", "GET /contacts/{id}: 1");

    answers(table, "GET /v1", "404");
    answers(table, "GET /v1/", "404");
    answers(table, "GET /contact", "404");
    answers(table, "GET /contactss", "404");
    answers(table, "GET /CONTACTS", "404");
    answers(table, "GET /contact%73", "404");
    answers(table, "GET /contacts/", "404");
    answers(table, "GET /contacts/1/", "404");
    answers(table, "GET /contacts/1/2", "404");
    answers(table, "GET //contacts/1", "404");
    answers(table, "GET /contacts//1", "404");
    answers(table, "GET //", "404");
    answers(table, "GET /./contacts", "404");
    answers(table, "GET /v1/../contacts", "404");
    answers(table, "GET contacts", "404");
    answers(table, "GET ", "404");

    answers(table, "POST /contacts", "405 GET, HEAD, OPTIONS");
    answers(table, "OPTIONS /contacts/1", "405 GET, HEAD, OPTIONS");
    answers(table, "get /contacts", "501 GET, HEAD, OPTIONS");
    answers(table, "GE /contacts", "501 GET, HEAD, OPTIONS");
    answers(table, "GETS /contacts", "501 GET, HEAD, OPTIONS");
    answers(table, "ANY /contacts", "501 GET, HEAD, OPTIONS");
    answers(table, "DELETE /contact", "404");
    route_table_free(table);
}

static void test_precedence(void)
{
    static const char *const routes[] = {
        /* As far from their precedence as can be: the order of the conf does not count. */
        "GET /{rest...}", "GET /a/{rest...}", "GET /a/{x}/c/{rest...}", "GET /{x}/b/d", "GET /a/{x}/c",
        "GET /{x}/{y}",   "GET /{x}",         "GET /a/b/{y}",           "GET /a/b/c",   NULL,
    };
    struct route_table *table = table_of(routes);
    answers(table, "GET /a/b/c", "GET /a/b/c");
    answers(table, "GET /a/b/x", "GET /a/b/{y}: x");
    answers(table, "GET /a/x/c", "GET /a/{x}/c: x");
    answers(table, "GET /a", "GET /{x}: a");
    answers(table, "GET /x/y", "GET /{x}/{y}: x, y");
    answers(table, "GET /x/b/d", "GET /{x}/b/d: x");

    /* The nearer choice leads nowhere, so the search steps back and forgets what it had captured. */
    answers(table, "GET /a/b", "GET /a/{rest...}: b");
    answers(table, "GET /a/b/c/d", "GET /a/{x}/c/{rest...}: b, d");
    answers(table, "GET /a/b/d", "GET /a/b/{y}: d");
    answers(table, "GET /a/x/y", "GET /a/{rest...}: x/y");
    answers(table, "GET /x/b/e", "GET /{rest...}: x/b/e");
    answers(table, "GET /x/y/z", "GET /{rest...}: x/y/z");
    route_table_free(table);
}

static void test_rest(void)
{
    static const char *const routes[] = {"GET /files/{rest...}", "GET /{user}/files/{rest...}", NULL};
    struct route_table *table = table_of(routes);
    answers(table, "GET /files/a", "GET /files/{rest...}: a");
    answers(table, "GET /files/a/b//c/", "GET /files/{rest...}: a/b//c/");
    answers(table, "GET /files//", "GET /files/{rest...}: /");
    answers(table, "GET /files/", "GET /files/{rest...}: ");
    answers(table, "GET /files", "404");
    answers(table, "GET /joe/files/a/b", "GET /{user}/files/{rest...}: joe, a/b");
    answers(table, "GET //files/a", "404");
    answers(table, "PUT /files/a", "405 GET, HEAD, OPTIONS");
    route_table_free(table);
}

static void test_literal_segments(void)
{
    static const char *const routes[] = {"GET /a/", "GET /b//c", "GET /%7Ejoe", "GET /.well-known/x", NULL};
    struct route_table *table = table_of(routes);
    answers(table, "GET /a/", "GET /a/");
    answers(table, "GET /a", "404");
    answers(table, "GET /b//c", "GET /b//c");
    answers(table, "GET /b/c", "404");
    answers(table, "GET /%7Ejoe", "GET /%7Ejoe");
    answers(table, "GET /~joe", "404");
    answers(table, "GET /.well-known/x", "GET /.well-known/x");
    route_table_free(table);
}

static void test_methods(void)
{
    static const char *const routes[] = {
        "DELETE /a", "REPORT /a", "OPTIONS /o", "PATCH /a", "LINK /a", "PUT /a",  "HEAD /h", "POST /o",
        "POST /a",   "GET /a",    "ANY /any",   "PUT /any", "GET /h",  "HEAD /i", NULL,
    };
    struct route_table *table = table_of(routes);
    answers(table, "TRACE /a", "501 GET, HEAD, POST, PUT, PATCH, DELETE, REPORT, LINK, OPTIONS");
    answers(table, "LINK /a", "LINK /a");
    answers(table, "LINK /h", "405 GET, HEAD, OPTIONS"); /* another path has it */
    answers(table, "PROPFIND /h", "501 GET, HEAD, OPTIONS");
    answers(table, "link /h", "501 GET, HEAD, OPTIONS");
    answers(table, "PROPFIND /nowhere", "404");
    answers(table, "DELETE /a", "DELETE /a");

    answers(table, "HEAD /h", "HEAD /h");
    answers(table, "GET /h", "GET /h");
    answers(table, "PUT /h", "405 GET, HEAD, OPTIONS");
    answers(table, "HEAD /i", "HEAD /i");
    answers(table, "GET /i", "405 HEAD, OPTIONS");

    answers(table, "OPTIONS /o", "OPTIONS /o");
    answers(table, "HEAD /o", "405 POST, OPTIONS");

    answers(table, "PUT /any", "PUT /any");
    answers(table, "GET /any", "ANY /any");
    answers(table, "HEAD /any", "ANY /any");
    answers(table, "OPTIONS /any", "ANY /any");
    answers(table, "BREW /any", "ANY /any");
    route_table_free(table);
}

/* OPTIONS * asks about all of them (RFC 9110 section 9.3.7). */
static void test_asterisk(void)
{
    static const char *const some[] = {"LINK /a", "GET /b/{x}", "OPTIONS /c", NULL};
    static const char *const any[] = {"PUT /a", "ANY /b/{x...}", "LINK /a", NULL};
    struct route_table *table = route_table_new();
    answers(table, "OPTIONS *", "405 OPTIONS");
    route_table_free(table);
    table = table_of(some);
    answers(table, "OPTIONS *", "405 GET, HEAD, LINK, OPTIONS");
    route_table_free(table);
    table = table_of(any);
    answers(table, "OPTIONS *", "405 GET, HEAD, POST, PUT, PATCH, DELETE, LINK, OPTIONS");
    route_table_free(table);
}

/* The path decides first: a closer one with other methods is not passed over for a wider one. */
static void test_path_before_method(void)
{
    static const char *const routes[] = {"GET /a/new", "DELETE /a/{x}", "ANY /{rest...}", NULL};
    struct route_table *table = table_of(routes);
    answers(table, "DELETE /a/1", "DELETE /a/{x}: 1");
    answers(table, "DELETE /a/new", "405 GET, HEAD, OPTIONS");
    answers(table, "GET /a/1", "405 DELETE, OPTIONS");
    answers(table, "GET /b", "ANY /{rest...}: b");
    route_table_free(table);
}

/* ANY is for the methods that have no route of their own, on this very path. */
static void test_any(void)
{
    static const char *const routes[] = {
        "ANY /a/{x}",       "GET /a/{x}",       "POST /a/{x}",          "ANY /a/b",  "DELETE /a/b",
        "ANY /r/{rest...}", "GET /r/{rest...}", "GET /r/{x}/{rest...}", "ANY /only", NULL,
    };
    struct route_table *table = table_of(routes);
    answers(table, "GET /a/1", "GET /a/{x}: 1");
    answers(table, "HEAD /a/1", "GET /a/{x}: 1");
    answers(table, "POST /a/1", "POST /a/{x}: 1");
    answers(table, "PUT /a/1", "ANY /a/{x}: 1");
    answers(table, "OPTIONS /a/1", "ANY /a/{x}: 1");
    answers(table, "GET /a/b", "ANY /a/b");
    answers(table, "HEAD /a/b", "ANY /a/b");
    answers(table, "DELETE /a/b", "DELETE /a/b");
    answers(table, "PUT /r/", "ANY /r/{rest...}: ");
    answers(table, "GET /r/", "GET /r/{rest...}: ");
    answers(table, "GET /r/1", "GET /r/{rest...}: 1");
    answers(table, "GET /r/1/2", "GET /r/{x}/{rest...}: 1, 2");
    answers(table, "PUT /r/1/2", "405 GET, HEAD, OPTIONS");
    answers(table, "PUT /r", "404");
    answers(table, "HEAD /only", "ANY /only");
    route_table_free(table);
}

/* A listener has a table of its own: one route can be in several, with other neighbours in each. */
static void test_tables(void)
{
    struct route_table *one = route_table_new(), *two = route_table_new();
    is_str(add(one, "GET /both"), NULL, "a route in one table");
    is_str(add(two, "GET /both"), NULL, "and in another");
    is_str(add(two, "POST /both"), NULL, "another method in that one alone");
    is_str(add(one, "GET /{x}"), NULL, "a shape");
    is_str(add(two, "GET /{y}"), NULL, "the same shape in another table");
    answers(one, "POST /both", "405 GET, HEAD, OPTIONS");
    answers(two, "POST /both", "POST /both");
    answers(two, "PUT /both", "405 GET, HEAD, POST, OPTIONS");
    answers(one, "GET /1", "GET /{x}: 1");
    answers(two, "GET /1", "GET /{y}: 1");
    route_table_free(one);
    answers(two, "GET /both", "GET /both");
    route_table_free(two);
}

static void test_same_shape(void)
{
    struct route_table *table = route_table_new();
    is_str(add(table, "GET /a/{x}"), NULL, "a route");
    is_str(add(table, "POST /a/{x}"), NULL, "another method");
    is_str(add(table, "ANY /a/{x}"), NULL, "any method");
    is_str(add(table, "GET /a/x"), NULL, "a literal in the same place");
    is_str(add(table, "GET /a/{x...}"), NULL, "a rest in the same place");
    is_str(add(table, "GET /a/{x}/"), NULL, "a slash more");
    is_str(add(table, "GET /a/{y}"), "GET /a/{x}", "the same shape with another name");
    is_str(add(table, "ANY /a/{y}"), "ANY /a/{x}", "any method twice");
    is_str(add(table, "GET /a/x"), "GET /a/x", "the same literal");
    is_str(add(table, "GET /a/{all...}"), "GET /a/{x...}", "the same rest");
    answers(table, "GET /a/1", "GET /a/{x}: 1");
    route_table_free(table);
}

static void test_empty_table(void)
{
    struct route_table *table = route_table_new();
    answers(table, "GET /", "404");
    answers(table, "GET /a/b", "404");
    struct route_match match;
    ok(route_match(table, STR("GET"), (struct str){NULL, 0}, &match) == ROUTE_NO_PATH, "no path at all");
    route_table_free(table);
    route_table_free(NULL);
}

/* These segments have the same FNV-1a hash, which is what route.c keeps its literals by. */
static void test_same_hash(void)
{
    static const char *const one[] = {"GET /item-0549599", NULL}, *const both[] = {"GET /item-0549599",
                                                                                   "GET /item-0712382", NULL};
    struct route_table *table = table_of(one);
    answers(table, "GET /item-0712382", "404");
    route_table_free(table);
    table = table_of(both);
    answers(table, "GET /item-0549599", "GET /item-0549599");
    answers(table, "GET /item-0712382", "GET /item-0712382");
    route_table_free(table);
}

/* A thousand routes on one level and a thousand a level below, each found, and none that is not there. */
static void test_thousand(void)
{
    enum { N = 1000 };
    struct route_table *table = route_table_new();
    static char routes[2 * N][40];
    char request[40];
    int added = 0, found = 0, not_found = 0;
    for (int i = 0; i < N; i++) {
        snprintf(routes[i], sizeof(routes[i]), "GET /table-%d/{id}", i);
        snprintf(routes[N + i], sizeof(routes[i]), "GET /api/%x", i * 7919);
        added += add(table, routes[i]) == NULL && add(table, routes[N + i]) == NULL;
    }
    is_int(added, N, "each is added");
    for (int i = 0; i < N; i++) {
        char *one, *two, *none, *want = mem_printf("%s: %d", routes[i], i);
        snprintf(request, sizeof(request), "GET /table-%d/%d", i, i);
        one = answer(table, request);
        two = answer(table, routes[N + i]);
        snprintf(request, sizeof(request), "GET /table-%d/%d", N + i, i);
        none = answer(table, request);
        found += strcmp(one, want) == 0 && strcmp(two, routes[N + i]) == 0;
        not_found += strcmp(none, "404") == 0;
        free(one);
        free(two);
        free(none);
        free(want);
    }
    is_int(found, N, "each is found");
    is_int(not_found, N, "none that is not there");
    route_table_free(table);
}

static void test_captures(void)
{
    struct route_table *table = route_table_new();
    is_str(add(table, "GET /{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}/{j}/{k}/{l}/{m}/{n}/{o}/{p...}"), NULL,
           "a path with 16 parameters");
    answers(table, "GET /1/2/3/4/5/6/7/8/9/10/11/12/13/14/15/16/17",
            "GET /{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}/{j}/{k}/{l}/{m}/{n}/{o}/{p...}: "
            "1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16/17");
    route_table_free(table);
}

/* Names in order, or the message with the error where the '^' stands, which is cut out for the check. */
static const struct {
    const char *pattern, *names, *message;
} patterns[] = {
    {"/", "", NULL},
    {"/contacts/{id}", "id", NULL},
    {"/{a}/b/{_C9}/{rest...}", "a _C9 rest", NULL},
    {"/a//b/", "", NULL},
    {"/a/../.", "", NULL},
    {"/a%20b/~:@!$&'()*+,;=-._", "", NULL},
    {"^", NULL, "a path has to begin with '/'"},
    {"^contacts", NULL, "a path has to begin with '/'"},
    {"^{rest...}", NULL, "a path has to begin with '/'"},
    {"/^{id", NULL, "this '{' has no '}' in its path segment"},
    {"/^{id/b}", NULL, "this '{' has no '}' in its path segment"},
    {"/a^{id}", NULL, "braces enclose a whole path segment, as in /contacts/{id}"},
    {"/id^}", NULL, "braces enclose a whole path segment, as in /contacts/{id}"},
    {"/{id}^.json", NULL, "a parameter takes a whole path segment: nothing may follow its '}'"},
    {"/{id}^{no}", NULL, "a parameter takes a whole path segment: nothing may follow its '}'"},
    {"/^{}", NULL, "this parameter has no name: write {name}"},
    {"/^{...}", NULL, "this parameter has no name: write {name}"},
    {"/{^1a}", NULL,
     "a parameter's name is made of letters, digits and '_', and does not begin with a digit"},
    {"/{a^-b}", NULL,
     "a parameter's name is made of letters, digits and '_', and does not begin with a digit"},
    {"/{a^..}", NULL,
     "a parameter's name is made of letters, digits and '_', and does not begin with a digit"},
    {"/{a^....}", NULL,
     "a parameter's name is made of letters, digits and '_', and does not begin with a digit"},
    {"/{gr^ö}", NULL,
     "a parameter's name is made of letters, digits and '_', and does not begin with a digit"},
    {"/{^ id}", NULL,
     "a parameter's name is made of letters, digits and '_', and does not begin with a digit"},
    {"/{id}/b/{^id}", NULL, "this name is in the path twice"},
    {"/{id}/{^id...}", NULL, "this name is in the path twice"},
    {"/^{rest...}/a", NULL, "{name...} takes all that is left of the path: nothing may follow it"},
    {"/^{rest...}/", NULL, "{name...} takes all that is left of the path: nothing may follow it"},
    {"/a/^:id", NULL, "a parameter is written in braces: write {id}, not :id"},
    {"/^:_id.json/b", NULL, "a parameter is written in braces: write {id}, not :id"},
    {"/:/::/:1/a:id", "", NULL},
    {"/a/^*", NULL,
     "'*' is not a pattern here: write {name} for one segment, {rest...} for all that is left"},
    {"/^*/b", NULL,
     "'*' is not a pattern here: write {name} for one segment, {rest...} for all that is left"},
    {"/a^?b=1", NULL, "a path ends before '?': URL parameters are declared under query"},
    {"/a^#b", NULL, "a path cannot have a '#': clients do not send it"},
    {"/a^ b", NULL, "clients send this percent-encoded: write it like that, a space as %20"},
    {"/a^\tb", NULL, "clients send this percent-encoded: write it like that, a space as %20"},
    {"/a^\177b", NULL, "clients send this percent-encoded: write it like that, a space as %20"},
    {"/caf^é", NULL, "clients send this percent-encoded: write it like that, a space as %20"},
    {"/a^%", NULL, "two hexadecimal digits must follow '%' ('%' itself is %25)"},
    {"/a^%2", NULL, "two hexadecimal digits must follow '%' ('%' itself is %25)"},
    {"/a^%2/b", NULL, "two hexadecimal digits must follow '%' ('%' itself is %25)"},
    {"/a%20^%2g", NULL, "two hexadecimal digits must follow '%' ('%' itself is %25)"},
    {"/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}/{j}/{k}/{l}/{m}/{n}/{o}/{p}/{^q}", NULL,
     "too many parameters: a path may have 16"},
};

static void test_patterns(void)
{
    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
        char *pattern = mem_strdup(patterns[i].pattern), *caret = strchr(pattern, '^');
        if (caret != NULL)
            memmove(caret, caret + 1, strlen(caret));
        struct str names[ROUTE_MAX_CAPTURES];
        size_t n_names = 0, error_at = 1000;
        struct str exact = {memcpy(mem_alloc(strlen(pattern)), pattern, strlen(pattern)), strlen(pattern)};
        const char *error = route_check_pattern(exact, names, &n_names, &error_at);
        is_str(error, patterns[i].message, "pattern \"%s\"", pattern);
        if (caret != NULL)
            is_int((long long)error_at, caret - pattern, "its place in \"%s\"", pattern);
        char all[100] = "";
        for (size_t k = 0; error == NULL && k < n_names; k++)
            sprintf(all + strlen(all), "%s%.*s", k == 0 ? "" : " ", (int)names[k].len, names[k].base);
        if (error == NULL)
            is_str(all, patterns[i].names, "names in \"%s\"", pattern);
        free((char *)exact.base);
        free(pattern);
    }
}

int main(void)
{
    test_contacts();
    test_precedence();
    test_rest();
    test_literal_segments();
    test_methods();
    test_asterisk();
    test_path_before_method();
    test_any();
    test_tables();
    test_same_shape();
    test_empty_table();
    test_same_hash();
    test_thousand();
    test_captures();
    test_patterns();
    return done_testing();
}
