/* pgtypes.c: the built-in types. */
#include "pg/pgtypes.h"

/* clang-format off */
#define FOR_ALL(DO) \
    DO(BOOL, BOOL) DO(INT2, NUMBER) DO(INT4, NUMBER) DO(INT8, NUMBER) DO(FLOAT4, NUMBER) \
    DO(FLOAT8, NUMBER) DO(NUMERIC, NUMBER) DO(MONEY, TEXT) DO(TEXT, TEXT) DO(VARCHAR, TEXT) \
    DO(BPCHAR, TEXT) DO(CHAR, TEXT) DO(NAME, TEXT) DO(BYTEA, TEXT) DO(BIT, TEXT) DO(VARBIT, TEXT) \
    DO(UUID, TEXT) DO(DATE, TEXT) DO(TIME, TEXT) DO(TIMETZ, TEXT) DO(TIMESTAMP, TIMESTAMP) \
    DO(TIMESTAMPTZ, TIMESTAMP) DO(INTERVAL, TEXT) DO(JSON, JSON) DO(JSONB, JSON) DO(JSONPATH, TEXT) \
    DO(XML, TEXT) DO(TSVECTOR, TEXT) DO(TSQUERY, TEXT) DO(INET, TEXT) DO(CIDR, TEXT) DO(MACADDR, TEXT) \
    DO(MACADDR8, TEXT) DO(POINT, TEXT) DO(LSEG, TEXT) DO(PATH, TEXT) DO(BOX, TEXT) DO(POLYGON, TEXT) \
    DO(LINE, TEXT) DO(CIRCLE, TEXT) DO(INT4RANGE, TEXT) DO(INT8RANGE, TEXT) DO(NUMRANGE, TEXT) \
    DO(TSRANGE, TEXT) DO(TSTZRANGE, TEXT) DO(DATERANGE, TEXT) DO(INT4MULTIRANGE, TEXT) \
    DO(INT8MULTIRANGE, TEXT) DO(NUMMULTIRANGE, TEXT) DO(TSMULTIRANGE, TEXT) DO(TSTZMULTIRANGE, TEXT) \
    DO(DATEMULTIRANGE, TEXT) DO(OID, TEXT) DO(TID, TEXT) DO(XID, TEXT) DO(XID8, TEXT) DO(CID, TEXT) \
    DO(PG_LSN, TEXT) DO(PG_SNAPSHOT, TEXT) DO(TXID_SNAPSHOT, TEXT) DO(REFCURSOR, TEXT) \
    DO(ACLITEM, TEXT) DO(REGPROC, TEXT) DO(REGPROCEDURE, TEXT) DO(REGOPER, TEXT) DO(REGOPERATOR, TEXT) \
    DO(REGCLASS, TEXT) DO(REGTYPE, TEXT) DO(REGCONFIG, TEXT) DO(REGDICTIONARY, TEXT) \
    DO(REGNAMESPACE, TEXT) DO(REGROLE, TEXT) DO(REGCOLLATION, TEXT)

#define PLACE(name, rule) AT_##name,
#define SCALAR(name, how) \
    [AT_##name] = {.oid = PGTYPES_##name, .base = PGTYPES_##name, .rule = PGTYPES_AS_##how, \
                   .delimiter = PGTYPES_##name == PGTYPES_BOX ? ';' : ','},
#define ARRAY(name, how) \
    [AT_##name] = {.oid = PGTYPES_##name##_ARRAY, .base = PGTYPES_##name##_ARRAY, .rule = PGTYPES_AS_ARRAY, \
                   .delimiter = ',', .element = &scalars[AT_##name]},
#define FIND(name, rule) \
    case PGTYPES_##name: return &scalars[AT_##name]; \
    case PGTYPES_##name##_ARRAY: return &arrays[AT_##name];
#define NAME_OF(name, rule) case PGTYPES_##name: return #name;
#define ARRAY_OF(name, rule) case PGTYPES_##name: return PGTYPES_##name##_ARRAY;

enum { FOR_ALL(PLACE) };
static const struct pgtypes_type scalars[] = {FOR_ALL(SCALAR)};
static const struct pgtypes_type arrays[] = {FOR_ALL(ARRAY)};
/* clang-format on */

/* The others, each with arrays of it. */
enum { AT_INT2VECTOR, AT_OIDVECTOR, AT_RECORD, AT_ANYARRAY };

static const struct pgtypes_type others[] = {
    [AT_INT2VECTOR] = {PGTYPES_INT2VECTOR, PGTYPES_INT2VECTOR, PGTYPES_AS_VECTOR, .delimiter = ',',
                       .element = &scalars[AT_INT2]},
    [AT_OIDVECTOR] = {PGTYPES_OIDVECTOR, PGTYPES_OIDVECTOR, PGTYPES_AS_VECTOR, .delimiter = ',',
                      .element = &scalars[AT_OID]},
    [AT_RECORD] = {PGTYPES_RECORD, PGTYPES_RECORD, PGTYPES_OPAQUE, .opaque = true, .delimiter = ','},
    [AT_ANYARRAY] = {PGTYPES_ANYARRAY, PGTYPES_ANYARRAY, PGTYPES_OPAQUE, .opaque = true, .delimiter = ','},
};

static const struct pgtypes_type arrays_of_others[] = {
    [AT_INT2VECTOR] = {PGTYPES_INT2VECTOR_ARRAY, PGTYPES_INT2VECTOR_ARRAY, PGTYPES_AS_ARRAY, .delimiter = ',',
                       .element = &others[AT_INT2VECTOR]},
    [AT_OIDVECTOR] = {PGTYPES_OIDVECTOR_ARRAY, PGTYPES_OIDVECTOR_ARRAY, PGTYPES_AS_ARRAY, .delimiter = ',',
                      .element = &others[AT_OIDVECTOR]},
    [AT_RECORD] = {PGTYPES_RECORD_ARRAY, PGTYPES_RECORD_ARRAY, PGTYPES_AS_ARRAY, .opaque = true,
                   .delimiter = ',', .element = &others[AT_RECORD]},
};

const struct pgtypes_type *pgtypes_builtin(uint32_t oid)
{
    switch (oid) {
        FOR_ALL(FIND)
    case PGTYPES_INT2VECTOR:
        return &others[AT_INT2VECTOR];
    case PGTYPES_OIDVECTOR:
        return &others[AT_OIDVECTOR];
    case PGTYPES_RECORD:
        return &others[AT_RECORD];
    case PGTYPES_ANYARRAY:
        return &others[AT_ANYARRAY];
    case PGTYPES_INT2VECTOR_ARRAY:
        return &arrays_of_others[AT_INT2VECTOR];
    case PGTYPES_OIDVECTOR_ARRAY:
        return &arrays_of_others[AT_OIDVECTOR];
    case PGTYPES_RECORD_ARRAY:
        return &arrays_of_others[AT_RECORD];
    default:
        return NULL;
    }
}

uint32_t pgtypes_array(uint32_t element)
{
    switch (element) {
        FOR_ALL(ARRAY_OF)
    default:
        return 0;
    }
}

const char *pgtypes_name(uint32_t oid)
{
    switch (oid) {
        FOR_ALL(NAME_OF)
    case PGTYPES_INT2VECTOR:
        return "INT2VECTOR";
    case PGTYPES_OIDVECTOR:
        return "OIDVECTOR";
    case PGTYPES_RECORD:
        return "RECORD";
    case PGTYPES_ANYARRAY:
        return "ANYARRAY";
    default:
        return NULL;
    }
}

struct pgtypes_parameter pgtypes_parameter(const struct pgtypes_type *type)
{
    struct pgtypes_parameter parameter = {.type = type->base, .delimiter = ','};
    if (type->rule == PGTYPES_AS_ARRAY) {
        parameter.element = type->element->base;
        parameter.delimiter = type->element->delimiter;
    }
    return parameter;
}
