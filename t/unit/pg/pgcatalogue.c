/* pgcatalogue.c: types that are made of each other, from the rows that a database's catalogue answers with.
 */
#include "pg/pgcatalogue.h"

#include <stdlib.h>

#include "base/mem.h"
#include "unit/tap.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

enum { TEXT_LONGEST = 64 };

/* A row of the answer, its values with blanks between them; - is NULL. */
static bool take(struct pgcatalogue *catalogue, const char *row)
{
    struct pgwire_value values[PGCATALOGUE_COLUMNS];
    char copy[TEXT_LONGEST], *rest = copy;
    snprintf(copy, sizeof(copy), "%s", row);
    for (size_t i = 0; i < PGCATALOGUE_COLUMNS; i++) {
        const char *value = strsep(&rest, " ");
        bool is_null = value == NULL || strcmp(value, "-") == 0;
        values[i] = (struct pgwire_value){value, is_null ? -1 : (int32_t)strlen(value)};
    }
    return pgcatalogue_take(catalogue, values);
}

static struct pgcatalogue *catalogue_of(const char *const *rows, size_t n)
{
    struct pgcatalogue *catalogue = pgcatalogue_new();
    for (size_t i = 0; i < n; i++)
        ok(take(catalogue, rows[i]), "a row: %s", rows[i]);
    pgcatalogue_complete(catalogue);
    return catalogue;
}

static void test_builtin(void)
{
    is_int(pgcatalogue_find(NULL, PGTYPES_INT4)->rule, PGTYPES_AS_NUMBER, "a number");
    const struct pgtypes_type *array = pgcatalogue_find(NULL, PGTYPES_BOX_ARRAY);
    is_int(array->rule, PGTYPES_AS_ARRAY, "an array");
    is_int(array->element->oid, PGTYPES_BOX, "of boxes");
    is_int(array->element->delimiter, ';', "with semicolons between them");
    is_int(pgcatalogue_find(NULL, PGTYPES_OIDVECTOR_ARRAY)->element->rule, PGTYPES_AS_VECTOR, "of vectors");
    ok(pgcatalogue_find(NULL, PGTYPES_RECORD_ARRAY)->opaque, "records have types of their own");
    is_int(pgcatalogue_find(NULL, 16385)->rule, PGTYPES_AS_TEXT,
           "of a type that nobody knows there is a text");
    is_int(pgcatalogue_find(NULL, 0)->rule, PGTYPES_AS_TEXT, "of none, too");
}

/* A composite of an array of domains over a domain over jsonb, an enum, and another composite. */
static void test_nested(void)
{
    static const char *const rows[] = {
        "16400 d 3802 , - -",     "16402 d 16400 , - -", "16403 a 16402 , - -",    "16404 t 0 , - -",
        "16406 c 0 , a 23",       "16406 c 0 , b 16404", "16408 c 0 , docs 16403", "16408 c 0 , pair\" 16406",
        "16408 c 0 ; gone 99999", "16410 d 16408 , - -", "16412 c 0 , - -",
    };
    struct pgcatalogue *catalogue = catalogue_of(rows, LENGTH(rows));
    const struct pgtypes_type *domain = pgcatalogue_find(catalogue, 16402);
    is_int(domain->rule, PGTYPES_AS_JSON, "a domain over a domain is what that is");
    is_int(domain->base, PGTYPES_JSONB, "in the end");
    is_int(domain->oid, 16402, "and still itself");
    const struct pgtypes_type *whole = pgcatalogue_find(catalogue, 16410);
    is_int(whole->rule, PGTYPES_AS_COMPOSITE, "a domain over a composite");
    is_int((long long)whole->n_fields, 3, "has its fields");
    ok(str_equal(whole->fields[0].key, STR("{\"docs\":")), "the first key begins the object");
    ok(str_equal(whole->fields[1].key, STR(",\"pair\\\"\":")), "the others do not");
    ok(whole->fields[0].type->element == domain, "an array of the domain");
    is_int(whole->fields[1].type->fields[1].type->rule, PGTYPES_AS_TEXT, "an enum is a text");
    is_int(whole->fields[2].type->rule, PGTYPES_AS_TEXT, "what is gone is, too");
    ok(!whole->opaque, "nothing in it is opaque");
    is_int((long long)pgcatalogue_find(catalogue, 16412)->n_fields, 0, "a composite of nothing");
    is_int(pgcatalogue_find(catalogue, PGTYPES_JSONB)->rule, PGTYPES_AS_JSON, "what is built in is there");

    struct pgtypes_parameter parameter = pgtypes_parameter(pgcatalogue_find(catalogue, 16403));
    is_int(parameter.element, PGTYPES_JSONB, "as a parameter it takes several jsonb");
    is_int(parameter.delimiter, ',', "with commas");
    parameter = pgtypes_parameter(domain);
    is_int(parameter.type, PGTYPES_JSONB, "the domain takes one");
    is_int(parameter.element, 0, "and no array");
    pgcatalogue_drop(catalogue);
}

static void test_opaque(void)
{
    static const char *const rows[] = {
        "16500 o 0 , - -",     "16501 a 16500 , - -", "16502 d 16501 , - -",
        "16503 c 0 , x 16502", "16503 c 0 , y 25",    "16504 a 16503 , - -",
        "16505 h 0 , - -",     "16506 a 16505 ; - -", "16507 c 0 , z 16505",
    };
    struct pgcatalogue *catalogue = catalogue_of(rows, LENGTH(rows));
    for (uint32_t oid = 16500; oid <= 16504; oid++)
        ok(pgcatalogue_find(catalogue, oid)->opaque, "%u is opaque, or something within it", (unsigned)oid);
    for (uint32_t oid = 16505; oid <= 16507; oid++)
        ok(!pgcatalogue_find(catalogue, oid)->opaque, "%u is not", (unsigned)oid);
    is_int(pgcatalogue_find(catalogue, 16506)->element->rule, PGTYPES_AS_HSTORE, "hstore has a rule");
    pgcatalogue_drop(catalogue);
}

static void test_refused(void)
{
    static const char *const rows[] = {
        "- t 0 , - -",          "x t 0 , - -",      "16385 x 0 , - -", "16385 tt 0 , - -", "16385 - 0 , - -",
        "16385 t - , - -",      "16385 t 0 ,, - -", "16385 t 0 - - -", "16385 c 0 , a -",  "16385 c 0 , a x",
        "4294967296 t 0 , - -", "-1 t 0 , - -",     " t 0 , - -",
    };
    struct pgcatalogue *catalogue = pgcatalogue_new();
    for (size_t i = 0; i < LENGTH(rows); i++)
        ok(!take(catalogue, rows[i]), "no row: %s", rows[i]);
    ok(take(catalogue, "16386 t 0 , - -") && !take(catalogue, "16385 t 0 , - -"), "they come in order");
    pgcatalogue_drop(pgcatalogue_keep(catalogue));
    pgcatalogue_drop(catalogue);
    pgcatalogue_drop(NULL);
}

static void name_is(const struct pgcatalogue *catalogue, uint32_t oid, const char *want)
{
    char name[PGCATALOGUE_NAME];
    pgcatalogue_name(catalogue, oid, name);
    is_str(name, want, "the name of %u", (unsigned)oid);
}

static void test_names(void)
{
    static const char *const rows[] = {"16385 t 0 , - - shop.mood", "16386 a 16385 , - - shop.mood[]",
                                       "16387 t 0 , - -"};
    struct pgcatalogue *catalogue = catalogue_of(rows, LENGTH(rows));
    name_is(catalogue, 16385, "shop.mood");
    name_is(catalogue, 16386, "shop.mood[]");
    name_is(catalogue, 16387, "oid 16387");
    name_is(catalogue, PGTYPES_TIMESTAMPTZ, "timestamptz");
    name_is(NULL, PGTYPES_PG_LSN_ARRAY, "pg_lsn[]");
    name_is(NULL, PGTYPES_INT2VECTOR_ARRAY, "int2vector[]");
    name_is(NULL, PGTYPES_RECORD, "record");
    name_is(NULL, 4294967295, "oid 4294967295");
    pgcatalogue_drop(catalogue);
    char longest[600];
    struct pgwire_value row[PGCATALOGUE_COLUMNS] = {{"16385", 5}, {"t", 1},   {"0", 1},
                                                    {",", 1},     {NULL, -1}, {NULL, -1}};
    for (size_t i = 0; i + 1 < sizeof(longest); i += 2)
        memcpy(longest + i, "é", 2);
    row[6] = (struct pgwire_value){longest, sizeof(longest)};
    catalogue = pgcatalogue_new();
    ok(pgcatalogue_take(catalogue, row), "a long name");
    pgcatalogue_complete(catalogue);
    char name[PGCATALOGUE_NAME];
    pgcatalogue_name(catalogue, 16385, name);
    is_int((long long)strlen(name), 254, "is cut between two characters");
    pgcatalogue_drop(catalogue);
}

static void test_array(void)
{
    char *array = pgcatalogue_array((const uint32_t[]){16385, UINT32_MAX}, 2);
    is_str(array, "{16385,4294967295}", "an array of OIDs");
    free(array);
    array = pgcatalogue_array(NULL, 0);
    is_str(array, "{}", "of none");
    free(array);
}

int main(void)
{
    test_builtin();
    test_nested();
    test_opaque();
    test_refused();
    test_names();
    test_array();
    return done_testing();
}
