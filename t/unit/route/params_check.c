/* params_check.c: which texts are of a type. */
#include "route/params_check.h"

#include <stdint.h>
#include <stdlib.h>

#include "base/mem.h"
#include "pg/pgtypes.h"
#include "unit/tap.h"

/* What a built-in type takes several of; 0 for others, and where it is none. */
static uint32_t element_of(uint32_t oid)
{
    const struct pgtypes_type *type = pgtypes_builtin(oid);
    return type == NULL ? 0 : pgtypes_parameter(type).element;
}

/* What is an array of what. */
static void test_array_types(void)
{
    static const struct {
        uint32_t array, element;
    } pairs[] = {
        {1000, PGTYPES_BOOL},
        {1007, PGTYPES_INT4},
        {1009, PGTYPES_TEXT},
        {1015, PGTYPES_VARCHAR},
        {1016, PGTYPES_INT8},
        {1020, PGTYPES_BOX},
        {1182, PGTYPES_DATE},
        {1185, PGTYPES_TIMESTAMPTZ},
        {1231, PGTYPES_NUMERIC},
        {2951, PGTYPES_UUID},
        {199, PGTYPES_JSON},
        {3807, PGTYPES_JSONB},
        {3905, PGTYPES_INT4RANGE},
        {6157, PGTYPES_INT8MULTIRANGE},
        {0, 0},
        {PGTYPES_INT4, 0},
        {PGTYPES_POINT, 0},
        {22, 0},
        {30, 0},
        {99999, 0},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        is_int(element_of(pairs[i].array), pairs[i].element, "the elements of type %u",
               (unsigned)pairs[i].array);
}

/* Texts of each type that are taken and refused, with blanks between them; an empty one is refused too. */
static const struct {
    const char *name;
    uint32_t type;
    const char *taken, *refused, *message;
} checks[] = {
    {"int2", PGTYPES_INT2, "0 -0 +1 7 007 32767 +32767 -32768 00000000000000000000000000032767",
     "32768 -32769 65536 99999999999999999999 1.0 1e3 0x10 1_000 abc 1a - + -- +-1 --1 \t1 1\n .",
     "must be a whole number between -32768 and 32767"},
    {"int4", PGTYPES_INT4, "0 -0 +1 1 0001 2147483647 -2147483648",
     "2147483648 -2147483649 4294967296 4294967297 99999999999 18446744073709551617 abc 1.5 ١ 1%",
     "must be a whole number between -2147483648 and 2147483647"},
    {"int8", PGTYPES_INT8, "0 9223372036854775807 -9223372036854775808 +9223372036854775807",
     "9223372036854775808 -9223372036854775809 18446744073709551615 18446744073709551616 "
     "18446744073709551620 92233720368547758070 99999999999999999999999999999999999999999",
     "must be a whole number between -9223372036854775808 and 9223372036854775807"},
    {"oid", PGTYPES_OID, "0 1 +5 4294967295", "4294967296 -1 pg_class 1.0",
     "must be a whole number between 0 and 4294967295"},
    {"bool", PGTYPES_BOOL,
     "t tr tru true T TRUE True f fa fals false y ye yes YES n no No on ON of off OFF 1 0",
     "o 2 00 01 truee falsey tf yess nope onn offf - + \ttrue tru\xc3\xa9", "must be true or false"},
    {"uuid", PGTYPES_UUID,
     "123e4567-e89b-12d3-a456-426614174000 123E4567-E89B-12D3-A456-426614174000 "
     "{123e4567-e89b-12d3-a456-426614174000} 123e4567e89b12d3a456426614174000 "
     "{123e4567e89b12d3a456426614174000} 123e-4567-e89b-12d3-a456-4266-1417-4000 "
     "123e4567e89b-12d3a456426614174000 00000000-0000-0000-0000-000000000000",
     "123e4567-e89b-12d3-a456-42661417400 123e4567-e89b-12d3-a456-4266141740000 "
     "123e4567-e89b-12d3-a456-42661417400g {123e4567-e89b-12d3-a456-426614174000 "
     "123e4567-e89b-12d3-a456-426614174000} {123e4567-e89b-12d3-a456-426614174000) "
     "{{123e4567e89b12d3a456426614174000}} {} { } - "
     "-123e4567e89b12d3a456426614174000 123e4567e89b12d3a456426614174000- "
     "123e4567--e89b-12d3-a456-426614174000 12-3e4567e89b12d3a456426614174000 "
     "(123e4567e89b12d3a456426614174000) 1",
     "must be a UUID such as 123e4567-e89b-12d3-a456-426614174000"},
    {"numeric", PGTYPES_NUMERIC,
     "0 1 -1 +1 1.5 .5 5. -.5 00.10 1e3 1E+3 1e-3 .5e3 5.e3 123456789012345678901234567890.123456789 "
     "NaN nan NAN Infinity -infinity +INFINITY inf -Inf +inf",
     "- + . -. e3 .e3 1e 1e+ 1e- 1ee3 1e3.5 1.2.3 1,5 1..2 0x1p3 0x10 1_000 abc 1a -NaN +nan nans n na i in "
     "infin infinit infinityy --inf $1 ١",
     "must be a number"},
    {"float8", PGTYPES_FLOAT8, "1.5 1e400 -1e-400 NaN -Infinity", "0x1p3 nan(1) one 1f 1.5d",
     "must be a number"},
    {"json", PGTYPES_JSON, "1 -1.5e3 true null \"a\" [] {} {\"a\":[1,2]} \"\\ud83d\\ude00\"",
     "01 +1 NaN 'a' [1,] {a:1} {\"a\":1,\"a\":2} \"\\u0000\" \"\\ud83d\" \"\xff\" {}{}", "must be JSON"},
    {"jsonb", PGTYPES_JSONB, "1 {\"a\":[]}", "{ \"\\u0000\"", "must be JSON"},
    {"float4", PGTYPES_FLOAT4, "1.5 1e40", "x 1e", "must be a number"},
};

/* The types of which the server alone decides. */
static const uint32_t unchecked[] = {
    0,    PGTYPES_TEXT, PGTYPES_DATE, PGTYPES_JSONPATH, PGTYPES_TIMESTAMPTZ, PGTYPES_MONEY, PGTYPES_REGCLASS,
    1007, 99999,
};

static void check_each(size_t row, const char *list, const char *want)
{
    while (*list != '\0') {
        size_t len = strcspn(list, " ");
        char *copy = mem_strndup(list, len); /* so that the sanitizers see a byte read too far */
        struct str text = {copy, len};
        is_str(params_check(checks[row].type, text), want, "%s %s: %.*s", checks[row].name,
               want == NULL ? "takes" : "refuses", (int)len, list);
        free(copy);
        list += len + (list[len] == ' ' ? 1 : 0);
    }
}

static void test_check(void)
{
    for (size_t row = 0; row < sizeof(checks) / sizeof(checks[0]); row++) {
        check_each(row, checks[row].taken, NULL);
        check_each(row, checks[row].refused, checks[row].message);
        is_str(params_check(checks[row].type, STR("")), checks[row].message, "%s refuses an empty text",
               checks[row].name);
        if (checks[row].type == PGTYPES_JSON || checks[row].type == PGTYPES_JSONB)
            continue; /* blanks are a part of JSON */
        is_str(params_check(checks[row].type, STR(" 1")), checks[row].message, "%s refuses a blank in front",
               checks[row].name);
        is_str(params_check(checks[row].type, STR("1 ")), checks[row].message, "%s refuses a blank behind",
               checks[row].name);
    }
    for (size_t i = 0; i < sizeof(unchecked) / sizeof(unchecked[0]); i++)
        is_str(params_check(unchecked[i], STR("what ever")), NULL, "type %u is left to the server",
               (unsigned)unchecked[i]);
}

int main(void)
{
    test_array_types();
    test_check();
    return done_testing();
}
