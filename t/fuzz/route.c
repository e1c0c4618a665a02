/*
 * route.c: fuzz target for routes and their parameters: what is found is what trying every pattern by
 * itself finds, and values are what plain decoding makes of them.
 *
 * The input has a line for each route, "GET /contacts/{id}", an empty line, and a line for each request,
 * "GET /contacts/7?limit=20". The query parameters there are limit (int4), name (text) and from (text, with
 * a default).
 */
#include "route/route.h"

#include "fuzz.h"
#include "route/params.h"
#include "route/params_check.h"
#include "pg/pgtypes.h"

enum {
    MOST_ROUTES = 40,
    MOST_SEGMENTS = 200,
    QUERY_PARAMS = 3,
    MOST_PARAMS = ROUTE_MAX_CAPTURES + QUERY_PARAMS
};

struct route {
    char *method, *pattern;
    struct str names[ROUTE_MAX_CAPTURES];
    size_t n_names;
};

/* How a pattern fits a path: a letter for each segment, 'a' for a literal, 'b' for {x}, 'c' for {x...}. */
struct fit {
    const struct route *route;
    char kinds[MOST_SEGMENTS + 1];
    struct str captures[ROUTE_MAX_CAPTURES];
    size_t n_captures;
};

struct blocks {
    char **blocks;
    size_t n;
};

static void *blocks_alloc(void *arg, size_t size)
{
    struct blocks *blocks = arg;
    MEM_GROW(&blocks->blocks, blocks->n);
    return blocks->blocks[blocks->n++] = mem_alloc(size);
}

/* The next line of the text, without its end. */
static struct str next_line(struct str *text)
{
    const char *newline = memchr(text->base, '\n', text->len);
    struct str line = {text->base, newline == NULL ? text->len : (size_t)(newline - text->base)};
    size_t used = line.len + (newline != NULL);
    *text = (struct str){text->base + used, text->len - used};
    return line;
}

/* What stands before the first such byte; *text is what stands after it, empty if there is none. */
static struct str cut(struct str *text, char at)
{
    const char *found = text->len == 0 ? NULL : memchr(text->base, at, text->len);
    struct str before = {text->base, found == NULL ? text->len : (size_t)(found - text->base)};
    size_t used = before.len + (found != NULL);
    *text = (struct str){text->base + used, text->len - used};
    return before;
}

/* Returns false where the pattern does not fit. */
static bool fit_pattern(struct fit *fit, const struct route *route, struct str path)
{
    struct str pattern = str_of(route->pattern);
    *fit = (struct fit){.route = route};
    if (path.len == 0 || path.base[0] != '/')
        return false;
    for (size_t n = 0;; n++) {
        bool pattern_over = false, path_over = false;
        pattern = (struct str){pattern.base + 1, pattern.len - 1}; /* after the slash */
        path = (struct str){path.base + 1, path.len - 1};
        struct str rest = path, part = pattern, segment = path;
        pattern_over = memchr(pattern.base, '/', pattern.len) == NULL;
        path_over = memchr(path.base, '/', path.len) == NULL;
        part = cut(&pattern, '/');
        segment = cut(&path, '/');
        if (part.len > 3 && part.base[0] == '{' && part.base[part.len - 2] == '.') {
            fit->kinds[n] = 'c';
            fit->captures[fit->n_captures++] = rest;
            return true;
        }
        fit->kinds[n] = part.len > 0 && part.base[0] == '{' ? 'b' : 'a';
        if (fit->kinds[n] == 'b' ? segment.len == 0 : !str_equal(part, segment))
            return false;
        if (fit->kinds[n] == 'b')
            fit->captures[fit->n_captures++] = segment;
        if (pattern_over || path_over)
            return pattern_over && path_over;
        pattern = (struct str){pattern.base - 1, pattern.len + 1};
        path = (struct str){path.base - 1, path.len + 1};
    }
}

/* The route for a method among those whose pattern fits as closely as this one; NULL if there is none. */
static const struct route *choose(const struct route *routes, size_t n, const struct fit *closest,
                                  struct str path, const char *method)
{
    struct fit fit;
    for (size_t i = 0; i < n; i++) {
        if (strcmp(routes[i].method, method) == 0 && fit_pattern(&fit, &routes[i], path) &&
            strcmp(fit.kinds, closest->kinds) == 0)
            return &routes[i];
    }
    return NULL;
}

/* Percent-encoding undone (RFC 3986 section 2.1), in a query '+' too. */
static char *decode_plainly(struct str raw, bool in_query)
{
    char *out = mem_calloc(raw.len + 1, 1);
    size_t n = 0;
    for (size_t i = 0; i < raw.len; i++) {
        unsigned value;
        if (raw.base[i] == '%' && raw.len - i > 2 &&
            sscanf((char[]){raw.base[i + 1], raw.base[i + 2], '\0'}, "%2x", &value) == 1) {
            out[n++] = (char)value;
            i += 2;
        } else {
            out[n++] = (char)(in_query && raw.base[i] == '+' ? ' ' : raw.base[i]);
        }
    }
    return out;
}

static void check_decoded(struct str value, struct str raw, bool in_query)
{
    char *plain = decode_plainly(raw, in_query);
    FUZZ_CHECK(value.base != NULL && str_equal(value, str_of(plain)), "\"%s\" was read as \"%.*s\"", plain,
               (int)value.len, value.base);
    free(plain);
}

/* The values of the query that were taken are those that it has. */
static void check_query(struct str query, const struct params_spec *specs, size_t n, const struct str *values)
{
    while (query.len > 0) {
        struct str value = cut(&query, '&'), name = cut(&value, '=');
        char *plain = decode_plainly(name, true);
        size_t i = 0;
        while (i < n && (specs[i].source != PARAMS_QUERY || strcmp(specs[i].name, plain) != 0))
            i++;
        FUZZ_CHECK(i < n || (name.len == 0 && value.len == 0), "the parameter %s was taken", plain);
        if (i < n && value.len > 0)
            check_decoded(values[i], value, true);
        free(plain);
    }
}

static void check_params(const struct route *route, const struct str *captures, struct str query)
{
    char *names[ROUTE_MAX_CAPTURES];
    struct params_spec specs[MOST_PARAMS] = {
        {.name = "limit", .source = PARAMS_QUERY},
        {.name = "name", .source = PARAMS_QUERY},
        {.name = "from", .source = PARAMS_QUERY, .default_text = "here"},
    };
    struct pgtypes_parameter types[MOST_PARAMS] = {
        {.type = PGTYPES_INT4}, {.type = PGTYPES_TEXT}, {.type = PGTYPES_TEXT}};
    struct str values[MOST_PARAMS];
    size_t n = QUERY_PARAMS;
    for (size_t i = 0; i < route->n_names; i++, n++) {
        names[i] = mem_strndup(route->names[i].base, route->names[i].len);
        specs[n] = (struct params_spec){.name = names[i], .source = PARAMS_PATH, .capture = i};
        types[n].type = PGTYPES_TEXT;
    }
    struct blocks blocks = {0};
    struct arena arena = {blocks_alloc, &blocks};
    struct params_problem problem = {0};
    struct params_request request = {.captures = captures, .query = query};
    struct params_gathering all = {.specs = specs,
                                   .types = types,
                                   .n = n,
                                   .request = &request,
                                   .arena = &arena,
                                   .values = values,
                                   .problem = &problem};
    struct params_rest *rest;
    if (params_gather(&all, SIZE_MAX, &rest) == PARAMS_DONE) {
        for (size_t i = QUERY_PARAMS; i < n; i++)
            check_decoded(values[i], captures[i - QUERY_PARAMS], false);
        check_query(query, specs, n, values);
        FUZZ_CHECK(values[0].base == NULL || params_check(PGTYPES_INT4, values[0]) == NULL, "no number: %.*s",
                   (int)values[0].len, values[0].base);
    } else {
        FUZZ_CHECK(problem.detail != NULL && strlen(problem.detail) > 0, "refused without a word");
    }
    for (size_t i = 0; i < blocks.n; i++)
        free(blocks.blocks[i]);
    free(blocks.blocks);
    for (size_t i = 0; i < route->n_names; i++)
        free(names[i]);
}

/* One that everybody knows, or that a route names. */
static bool is_method(const struct route *routes, size_t n, struct str method)
{
    static const char *const known[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"};
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (str_equal(method, str_of(known[i])))
            return true;
    }
    for (size_t i = 0; i < n; i++) {
        if (strcmp(routes[i].method, "ANY") != 0 && str_equal(method, str_of(routes[i].method)))
            return true;
    }
    return false;
}

static void check_request(const struct route_table *table, const struct route *routes, size_t n,
                          struct str line)
{
    struct str path = line, query = {NULL, 0}, method = cut(&path, ' ');
    struct fit closest = {0}, fit;
    struct route_match match;
    query = path;
    path = cut(&query, '?');
    if (path.len > MOST_SEGMENTS || str_equal(path, STR("*")))
        return;
    for (size_t i = 0; i < n; i++) {
        if (fit_pattern(&fit, &routes[i], path) &&
            (closest.route == NULL || strcmp(fit.kinds, closest.kinds) < 0))
            closest = fit;
    }
    enum route_outcome outcome = route_match(table, method, path, &match);
    FUZZ_CHECK((outcome == ROUTE_NO_PATH) == (closest.route == NULL), "outcome %d", outcome);
    if (outcome == ROUTE_NO_PATH)
        return;
    char *name = mem_strndup(method.base, method.len);
    const struct route *expected = memchr(method.base, '\0', method.len) != NULL || strcmp(name, "ANY") == 0
                                       ? NULL
                                       : choose(routes, n, &closest, path, name);
    if (expected == NULL && str_equal(method, STR("HEAD")))
        expected = choose(routes, n, &closest, path, "GET");
    if (expected == NULL)
        expected = choose(routes, n, &closest, path, "ANY");
    free(name);
    FUZZ_CHECK((outcome == ROUTE_FOUND) == (expected != NULL), "outcome %d", outcome);
    if (expected == NULL) {
        FUZZ_CHECK((outcome == ROUTE_NO_METHOD) == is_method(routes, n, method), "outcome %d", outcome);
        FUZZ_CHECK(strstr(match.allow, "OPTIONS") != NULL, "allowed: %s", match.allow);
        return;
    }
    FUZZ_CHECK(match.route == expected, "%s instead of %s", ((struct route *)match.route)->pattern,
               expected->pattern);
    FUZZ_CHECK(match.n_captures == closest.n_captures && match.n_captures == expected->n_names,
               "%zu captures instead of %zu", match.n_captures, closest.n_captures);
    for (size_t i = 0; i < match.n_captures; i++)
        FUZZ_CHECK(match.captures[i].base == closest.captures[i].base &&
                       match.captures[i].len == closest.captures[i].len,
                   "capture %zu is another", i);
    check_params(expected, match.captures, query);
}

/* Returns whether the line is a route that could be added to the others. */
static bool add_route(struct route_table *table, struct route *route, struct str line)
{
    struct str names[ROUTE_MAX_CAPTURES], pattern = line, method = cut(&pattern, ' ');
    size_t n_names = SIZE_MAX, error_at = SIZE_MAX;
    const char *error = route_check_pattern(pattern, names, &n_names, &error_at);
    FUZZ_CHECK(error == NULL ? n_names <= ROUTE_MAX_CAPTURES : error_at <= pattern.len, "%s at %zu of %zu",
               error, error_at, pattern.len);
    if (error != NULL || method.len == 0 || memchr(method.base, '\0', method.len) != NULL)
        return false;
    *route = (struct route){
        .method = mem_strndup(method.base, method.len),
        .pattern = mem_strndup(pattern.base, pattern.len),
        .n_names = n_names,
    };
    for (size_t i = 0; i < n_names; i++) {
        FUZZ_CHECK(names[i].base > pattern.base && names[i].base + names[i].len < pattern.base + pattern.len,
                   "name %zu is elsewhere", i);
        route->names[i] = (struct str){route->pattern + (names[i].base - pattern.base), names[i].len};
    }
    if (route_add(table, route->method, route->pattern, route) == NULL)
        return true;
    free(route->method);
    free(route->pattern);
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *exact = fuzz_copy(data, size);
    struct str text = {exact, size}, line;
    struct route_table *table = route_table_new();
    static struct route routes[MOST_ROUTES];
    size_t n = 0;
    while (text.len > 0 && (line = next_line(&text)).len > 0) {
        if (n < MOST_ROUTES)
            n += add_route(table, &routes[n], line);
    }
    while (text.len > 0)
        check_request(table, routes, n, next_line(&text));
    route_table_free(table);
    for (size_t i = 0; i < n; i++) {
        free(routes[i].method);
        free(routes[i].pattern);
    }
    free(exact);
    return 0;
}
