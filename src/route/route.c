/* route.c: the tree of paths, a level per segment, and the search in it. */
#include "route/route.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/mem.h"
#include "base/percent.h"

struct method {
    char *name; /* owned */
    size_t len;
    void *route;
};

/* The methods of one shape of path. */
struct leaf {
    struct method *methods; /* in the order of Allow: a GET, the commonest, comes first */
    size_t n_methods;
    void *any;   /* the route for ANY, or NULL */
    char *allow; /* owned */
};

/* What a literal segment leads to. */
struct edge {
    uint32_t hash;
    uint32_t len;
    char *segment; /* owned; NULL is a free slot */
    struct node *to;
};

/* A place in a path, in front of a segment. */
struct node {
    /* A hash with linear probing, at most half full, so that a level with a thousand routes costs what one
     * with three does. */
    struct edge *edges;
    size_t n_slots; /* a power of two, or 0 */
    size_t n_edges;
    struct node *param; /* after {name}; or NULL */
    struct leaf *rest;  /* {name...}; or NULL */
    struct leaf *leaf;  /* the path that ends in front of this segment; or NULL */
};

struct route_table {
    struct node *root; /* after the leading '/' */
    struct leaf *all;  /* the methods of all paths: what "*" stands for */
};

/* In the order of Allow; and what is a method without being named by a route. OPTIONS comes last. */
static const char *const well_known[] = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"};

enum { N_WELL_KNOWN = sizeof(well_known) / sizeof(well_known[0]) };

/* A segment of a path: from at up to the next slash or the end. Hashed as it is found. */
struct segment {
    const char *at;
    size_t len;
    uint32_t hash;
    bool last;
};

static inline struct segment read_segment(const char *at, const char *end)
{
    uint32_t hash = HASH_32;
    const char *p = at;
    while (p < end && *p != '/')
        hash = hash_32_byte(hash, (unsigned char)*p++);
    /* The low bits, which choose the slot, have seen less of the text than the high ones. */
    return (struct segment){.at = at, .len = (size_t)(p - at), .hash = hash ^ hash >> 16, .last = p == end};
}

/* The slot of this segment, or the free one where it would go. There must be slots. */
static struct edge *find_edge(const struct node *node, const struct segment *segment)
{
    size_t mask = node->n_slots - 1;
    for (size_t slot = segment->hash & mask;; slot = (slot + 1) & mask) {
        struct edge *edge = &node->edges[slot];
        if (edge->segment == NULL || (edge->hash == segment->hash && edge->len == segment->len &&
                                      memcmp(edge->segment, segment->at, segment->len) == 0))
            return edge;
    }
}

/* The place of a method in Allow. */
static size_t rank(const char *method)
{
    size_t i = 0;
    while (i < N_WELL_KNOWN && strcmp(well_known[i], method) != 0)
        i++;
    return i;
}

static void *find_method(const struct leaf *leaf, struct str method)
{
    for (size_t i = 0; i < leaf->n_methods; i++) {
        if (leaf->methods[i].len == method.len && memcmp(leaf->methods[i].name, method.base, method.len) == 0)
            return leaf->methods[i].route;
    }
    return NULL;
}

static bool has_method(const struct leaf *leaf, const char *method)
{
    if (leaf->any != NULL || find_method(leaf, str_of(method)) != NULL)
        return true;
    return strcmp(method, "HEAD") == 0 && find_method(leaf, STR("GET")) != NULL;
}

/* Adds a method to leaf->allow. */
static void allow_method(struct leaf *leaf, const char *method)
{
    char *shorter = leaf->allow;
    leaf->allow = shorter == NULL ? mem_strdup(method) : mem_printf("%s, %s", shorter, method);
    free(shorter);
}

/* Writes leaf->allow again. */
static void describe_methods(struct leaf *leaf)
{
    free(leaf->allow);
    leaf->allow = NULL;
    for (size_t i = 0; i < N_WELL_KNOWN; i++) {
        if (has_method(leaf, well_known[i]))
            allow_method(leaf, well_known[i]);
    }
    for (size_t i = 0; i < leaf->n_methods; i++) {
        const char *name = leaf->methods[i].name;
        if (rank(name) == N_WELL_KNOWN && strcmp(name, "OPTIONS") != 0)
            allow_method(leaf, name);
    }
    allow_method(leaf, "OPTIONS");
}

/* Adds a method in its place. */
static void add_method(struct leaf *leaf, const char *method, void *route)
{
    MEM_GROW(&leaf->methods, leaf->n_methods);
    size_t i = leaf->n_methods++;
    for (; i > 0 && rank(leaf->methods[i - 1].name) > rank(method); i--)
        leaf->methods[i] = leaf->methods[i - 1];
    leaf->methods[i] = (struct method){.name = mem_strdup(method), .len = strlen(method), .route = route};
}

struct route_table *route_table_new(void)
{
    struct route_table *table = mem_alloc(sizeof(*table));
    table->root = mem_calloc(1, sizeof(*table->root));
    table->all = mem_calloc(1, sizeof(*table->all));
    describe_methods(table->all);
    return table;
}

static void free_leaf(struct leaf *leaf)
{
    if (leaf == NULL)
        return;
    for (size_t i = 0; i < leaf->n_methods; i++)
        free(leaf->methods[i].name);
    free(leaf->methods);
    free(leaf->allow);
    free(leaf);
}

static void free_node(struct node *node)
{
    if (node == NULL)
        return;
    for (size_t slot = 0; slot < node->n_slots; slot++) {
        free(node->edges[slot].segment);
        free_node(node->edges[slot].to);
    }
    free(node->edges);
    free_node(node->param);
    free_leaf(node->rest);
    free_leaf(node->leaf);
    free(node);
}

void route_table_free(struct route_table *table)
{
    if (table == NULL)
        return;
    free_node(table->root);
    free_leaf(table->all);
    free(table);
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* The errors of a segment without braces. */
static const char *check_literal(struct str segment, size_t *error_at)
{
    *error_at = 0;
    if (segment.len > 1 && segment.base[0] == ':' && is_letter(segment.base[1]))
        return "a parameter is written in braces: write {id}, not :id";
    if (str_equal(segment, STR("*")))
        return "'*' is not a pattern here: write {name} for one segment, {rest...} for all that is left";
    for (size_t i = 0; i < segment.len; i++) {
        char c = segment.base[i];
        *error_at = i;
        if (c == '{' || c == '}')
            return "braces enclose a whole path segment, as in /contacts/{id}";
        if (c == '?')
            return "a path ends before '?': URL parameters are declared under query";
        if (c == '#')
            return "a path cannot have a '#': clients do not send it";
        if ((unsigned char)c <= ' ' || (unsigned char)c >= 0x7f)
            return "clients send this percent-encoded: write it like that, a space as %20";
        if (c == '%' && percent_byte(segment, i) < 0)
            return "two hexadecimal digits must follow '%' ('%' itself is %25)";
    }
    return NULL;
}

/* The errors of a {name} or {name...}. Sets *name and *rest. */
static const char *check_capture(struct str segment, struct str *name, bool *rest, size_t *error_at)
{
    *error_at = 0;
    const char *close = memchr(segment.base, '}', segment.len);
    if (close == NULL)
        return "this '{' has no '}' in its path segment";
    *name = (struct str){segment.base + 1, (size_t)(close - segment.base - 1)};
    *rest = name->len >= 3 && memcmp(close - 3, "...", 3) == 0;
    if (*rest)
        name->len -= 3;
    if (name->len == 0)
        return "this parameter has no name: write {name}";
    for (size_t i = 0; i < name->len; i++) {
        *error_at = i + 1;
        if (!is_letter(name->base[i]) && !(i > 0 && is_digit(name->base[i])))
            return "a parameter's name is made of letters, digits and '_', and does not begin with a digit";
    }
    *error_at = (size_t)(close + 1 - segment.base);
    if (*error_at != segment.len)
        return "a parameter takes a whole path segment: nothing may follow its '}'";
    return NULL;
}

/* The errors of a new name among those before it. */
static const char *add_name(struct str name, struct str *names, size_t *n_names)
{
    for (size_t i = 0; i < *n_names; i++) {
        if (str_equal(names[i], name))
            return "this name is in the path twice";
    }
    if (*n_names == ROUTE_MAX_CAPTURES) {
        _Static_assert(ROUTE_MAX_CAPTURES == 16, "the message says so");
        return "too many parameters: a path may have 16";
    }
    names[(*n_names)++] = name;
    return NULL;
}

const char *route_check_pattern(struct str pattern, struct str names[ROUTE_MAX_CAPTURES], size_t *n_names,
                                size_t *error_at)
{
    *n_names = 0;
    *error_at = 0;
    if (pattern.len == 0 || pattern.base[0] != '/')
        return "a path has to begin with '/'";
    const char *end = pattern.base + pattern.len;
    struct segment segment;
    for (const char *at = pattern.base + 1;; at += segment.len + 1) {
        segment = read_segment(at, end);
        struct str text = {at, segment.len}, name;
        bool capture = text.len > 0 && at[0] == '{', rest = false;
        size_t within = 0;
        const char *error =
            capture ? check_capture(text, &name, &rest, &within) : check_literal(text, &within);
        if (error == NULL && capture) {
            within = 1;
            error = add_name(name, names, n_names);
        }
        if (error == NULL && rest && !segment.last) {
            within = 0;
            error = "{name...} takes all that is left of the path: nothing may follow it";
        }
        if (error != NULL) {
            *error_at = (size_t)(at - pattern.base) + within;
            return error;
        }
        if (segment.last)
            return NULL;
    }
}

/* Doubles the slots of a node, from 0 to 4 at first. */
static void grow_edges(struct node *node)
{
    struct edge *old = node->edges;
    size_t n_old = node->n_slots;
    node->n_slots = n_old == 0 ? 4 : n_old * 2;
    node->edges = mem_calloc(node->n_slots, sizeof(*node->edges));
    for (size_t slot = 0; slot < n_old; slot++) {
        struct segment segment = {.at = old[slot].segment, .len = old[slot].len, .hash = old[slot].hash};
        if (segment.at != NULL)
            *find_edge(node, &segment) = old[slot];
    }
    free(old);
}

static struct node *add_literal(struct node *node, const struct segment *segment)
{
    if (node->n_edges * 2 >= node->n_slots)
        grow_edges(node);
    struct edge *edge = find_edge(node, segment);
    if (edge->segment == NULL) {
        *edge = (struct edge){
            .hash = segment->hash,
            .len = (uint32_t)segment->len,
            .segment = mem_strndup(segment->at, segment->len),
            .to = mem_calloc(1, sizeof(*edge->to)),
        };
        node->n_edges++;
    }
    return edge->to;
}

/* The leaf of a pattern, made if it is not there. */
static struct leaf *add_leaf(struct node *node, const char *pattern)
{
    const char *end = pattern + strlen(pattern);
    struct segment segment;
    struct leaf **leaf;
    for (const char *at = pattern + 1;; at += segment.len + 1) {
        segment = read_segment(at, end);
        bool capture = at[0] == '{';
        if (capture && segment.last && end[-2] == '.') {
            leaf = &node->rest;
            break;
        }
        if (capture && node->param == NULL)
            node->param = mem_calloc(1, sizeof(*node->param));
        node = capture ? node->param : add_literal(node, &segment);
        leaf = &node->leaf;
        if (segment.last)
            break;
    }
    if (*leaf == NULL)
        *leaf = mem_calloc(1, sizeof(**leaf));
    return *leaf;
}

void *route_add(struct route_table *table, const char *method, const char *pattern, void *route)
{
    struct leaf *leaf = add_leaf(table->root, pattern);
    bool any = strcmp(method, "ANY") == 0;
    void *there = any ? leaf->any : find_method(leaf, str_of(method));
    if (there != NULL)
        return there;
    struct leaf *both[] = {leaf, table->all};
    for (size_t i = 0; i < 2; i++) {
        if (any)
            both[i]->any = route;
        else if (find_method(both[i], str_of(method)) == NULL)
            add_method(both[i], method, route);
        describe_methods(both[i]);
    }
    return NULL;
}

/* Finds the leaf for what is left of a path, from at. Every node is visited once at most. */
static const struct leaf *search(const struct node *node, const char *at, const char *end,
                                 struct route_match *match)
{
    struct segment segment = read_segment(at, end);
    const struct leaf *found;
    if (node->n_edges > 0) {
        const struct node *to = find_edge(node, &segment)->to;
        if (to != NULL) {
            found = segment.last ? to->leaf : search(to, at + segment.len + 1, end, match);
            if (found != NULL)
                return found;
        }
    }
    if (node->param != NULL && segment.len > 0) {
        match->captures[match->n_captures++] = (struct str){at, segment.len};
        found = segment.last ? node->param->leaf : search(node->param, at + segment.len + 1, end, match);
        if (found != NULL)
            return found;
        match->n_captures--;
    }
    if (node->rest != NULL)
        match->captures[match->n_captures++] = (struct str){at, (size_t)(end - at)};
    return node->rest;
}

static bool is_known(const struct route_table *table, struct str method)
{
    for (size_t i = 0; i < N_WELL_KNOWN; i++) {
        if (str_equal(method, str_of(well_known[i])))
            return true;
    }
    return str_equal(method, STR("OPTIONS")) || find_method(table->all, method) != NULL;
}

enum route_outcome route_match(const struct route_table *table, struct str method, struct str path,
                               struct route_match *match)
{
    match->n_captures = 0;
    match->allow = table->all->allow;
    if (str_equal(path, STR("*")))
        return ROUTE_NO_METHOD;
    if (path.len == 0 || path.base[0] != '/')
        return ROUTE_NO_PATH;
    const struct leaf *leaf = search(table->root, path.base + 1, path.base + path.len, match);
    if (leaf == NULL)
        return ROUTE_NO_PATH;
    match->route = find_method(leaf, method);
    if (match->route == NULL && str_equal(method, STR("HEAD")))
        match->route = find_method(leaf, STR("GET"));
    if (match->route == NULL)
        match->route = leaf->any;
    match->allow = leaf->allow;
    if (match->route != NULL)
        return ROUTE_FOUND;
    return is_known(table, method) ? ROUTE_NO_METHOD : ROUTE_UNKNOWN_METHOD;
}
