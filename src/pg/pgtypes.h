/*
 * pgtypes.h: the OIDs of PostgreSQL's built-in types and of arrays of them, which never change (its file
 * pg_type.dat), and how values of a type are written as JSON. What is not built in is learned from the
 * database's catalogue (pg/pgcatalogue.h).
 */
#ifndef HAYFORK_PG_PGTYPES_H
#define HAYFORK_PG_PGTYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

enum pgtypes {
    /* numbers and truth */
    PGTYPES_BOOL = 16,
    PGTYPES_INT2 = 21,
    PGTYPES_INT4 = 23,
    PGTYPES_INT8 = 20,
    PGTYPES_FLOAT4 = 700,
    PGTYPES_FLOAT8 = 701,
    PGTYPES_NUMERIC = 1700,
    PGTYPES_MONEY = 790,

    /* text and bytes */
    PGTYPES_TEXT = 25,
    PGTYPES_VARCHAR = 1043,
    PGTYPES_BPCHAR = 1042, /* character(n) */
    PGTYPES_CHAR = 18,     /* "char", one byte */
    PGTYPES_NAME = 19,
    PGTYPES_BYTEA = 17,
    PGTYPES_BIT = 1560,
    PGTYPES_VARBIT = 1562,
    PGTYPES_UUID = 2950,

    /* dates and times */
    PGTYPES_DATE = 1082,
    PGTYPES_TIME = 1083,
    PGTYPES_TIMETZ = 1266,
    PGTYPES_TIMESTAMP = 1114,
    PGTYPES_TIMESTAMPTZ = 1184,
    PGTYPES_INTERVAL = 1186,

    /* documents and text search */
    PGTYPES_JSON = 114,
    PGTYPES_JSONB = 3802,
    PGTYPES_JSONPATH = 4072,
    PGTYPES_XML = 142,
    PGTYPES_TSVECTOR = 3614,
    PGTYPES_TSQUERY = 3615,

    /* network addresses */
    PGTYPES_INET = 869,
    PGTYPES_CIDR = 650,
    PGTYPES_MACADDR = 829,
    PGTYPES_MACADDR8 = 774,

    /* geometry */
    PGTYPES_POINT = 600,
    PGTYPES_LSEG = 601,
    PGTYPES_PATH = 602,
    PGTYPES_BOX = 603,
    PGTYPES_POLYGON = 604,
    PGTYPES_LINE = 628,
    PGTYPES_CIRCLE = 718,

    /* ranges */
    PGTYPES_INT4RANGE = 3904,
    PGTYPES_INT8RANGE = 3926,
    PGTYPES_NUMRANGE = 3906,
    PGTYPES_TSRANGE = 3908,
    PGTYPES_TSTZRANGE = 3910,
    PGTYPES_DATERANGE = 3912,
    PGTYPES_INT4MULTIRANGE = 4451,
    PGTYPES_INT8MULTIRANGE = 4536,
    PGTYPES_NUMMULTIRANGE = 4532,
    PGTYPES_TSMULTIRANGE = 4533,
    PGTYPES_TSTZMULTIRANGE = 4534,
    PGTYPES_DATEMULTIRANGE = 4535,

    /* what PostgreSQL counts and names itself by */
    PGTYPES_OID = 26,
    PGTYPES_TID = 27,
    PGTYPES_XID = 28,
    PGTYPES_XID8 = 5069,
    PGTYPES_CID = 29,
    PGTYPES_PG_LSN = 3220,
    PGTYPES_PG_SNAPSHOT = 5038,
    PGTYPES_TXID_SNAPSHOT = 2970,
    PGTYPES_REFCURSOR = 1790,
    PGTYPES_ACLITEM = 1033,
    PGTYPES_REGPROC = 24,
    PGTYPES_REGPROCEDURE = 2202,
    PGTYPES_REGOPER = 2203,
    PGTYPES_REGOPERATOR = 2204,
    PGTYPES_REGCLASS = 2205,
    PGTYPES_REGTYPE = 2206,
    PGTYPES_REGCONFIG = 3734,
    PGTYPES_REGDICTIONARY = 3769,
    PGTYPES_REGNAMESPACE = 4089,
    PGTYPES_REGROLE = 4096,
    PGTYPES_REGCOLLATION = 4191,

    /* arrays with a text form of their own: elements with blanks between them */
    PGTYPES_INT2VECTOR = 22,
    PGTYPES_OIDVECTOR = 30,

    /* rows and arrays whose types no catalogue has: each value brings its own */
    PGTYPES_RECORD = 2249,
    PGTYPES_ANYARRAY = 2277,
};

/* The arrays of these types, in the same order. */
enum pgtypes_array {
    PGTYPES_BOOL_ARRAY = 1000,
    PGTYPES_INT2_ARRAY = 1005,
    PGTYPES_INT4_ARRAY = 1007,
    PGTYPES_INT8_ARRAY = 1016,
    PGTYPES_FLOAT4_ARRAY = 1021,
    PGTYPES_FLOAT8_ARRAY = 1022,
    PGTYPES_NUMERIC_ARRAY = 1231,
    PGTYPES_MONEY_ARRAY = 791,
    PGTYPES_TEXT_ARRAY = 1009,
    PGTYPES_VARCHAR_ARRAY = 1015,
    PGTYPES_BPCHAR_ARRAY = 1014,
    PGTYPES_CHAR_ARRAY = 1002,
    PGTYPES_NAME_ARRAY = 1003,
    PGTYPES_BYTEA_ARRAY = 1001,
    PGTYPES_BIT_ARRAY = 1561,
    PGTYPES_VARBIT_ARRAY = 1563,
    PGTYPES_UUID_ARRAY = 2951,
    PGTYPES_DATE_ARRAY = 1182,
    PGTYPES_TIME_ARRAY = 1183,
    PGTYPES_TIMETZ_ARRAY = 1270,
    PGTYPES_TIMESTAMP_ARRAY = 1115,
    PGTYPES_TIMESTAMPTZ_ARRAY = 1185,
    PGTYPES_INTERVAL_ARRAY = 1187,
    PGTYPES_JSON_ARRAY = 199,
    PGTYPES_JSONB_ARRAY = 3807,
    PGTYPES_JSONPATH_ARRAY = 4073,
    PGTYPES_XML_ARRAY = 143,
    PGTYPES_TSVECTOR_ARRAY = 3643,
    PGTYPES_TSQUERY_ARRAY = 3645,
    PGTYPES_INET_ARRAY = 1041,
    PGTYPES_CIDR_ARRAY = 651,
    PGTYPES_MACADDR_ARRAY = 1040,
    PGTYPES_MACADDR8_ARRAY = 775,
    PGTYPES_POINT_ARRAY = 1017,
    PGTYPES_LSEG_ARRAY = 1018,
    PGTYPES_PATH_ARRAY = 1019,
    PGTYPES_BOX_ARRAY = 1020,
    PGTYPES_POLYGON_ARRAY = 1027,
    PGTYPES_LINE_ARRAY = 629,
    PGTYPES_CIRCLE_ARRAY = 719,
    PGTYPES_INT4RANGE_ARRAY = 3905,
    PGTYPES_INT8RANGE_ARRAY = 3927,
    PGTYPES_NUMRANGE_ARRAY = 3907,
    PGTYPES_TSRANGE_ARRAY = 3909,
    PGTYPES_TSTZRANGE_ARRAY = 3911,
    PGTYPES_DATERANGE_ARRAY = 3913,
    PGTYPES_INT4MULTIRANGE_ARRAY = 6150,
    PGTYPES_INT8MULTIRANGE_ARRAY = 6157,
    PGTYPES_NUMMULTIRANGE_ARRAY = 6151,
    PGTYPES_TSMULTIRANGE_ARRAY = 6152,
    PGTYPES_TSTZMULTIRANGE_ARRAY = 6153,
    PGTYPES_DATEMULTIRANGE_ARRAY = 6155,
    PGTYPES_OID_ARRAY = 1028,
    PGTYPES_TID_ARRAY = 1010,
    PGTYPES_XID_ARRAY = 1011,
    PGTYPES_XID8_ARRAY = 271,
    PGTYPES_CID_ARRAY = 1012,
    PGTYPES_PG_LSN_ARRAY = 3221,
    PGTYPES_PG_SNAPSHOT_ARRAY = 5039,
    PGTYPES_TXID_SNAPSHOT_ARRAY = 2949,
    PGTYPES_REFCURSOR_ARRAY = 2201,
    PGTYPES_ACLITEM_ARRAY = 1034,
    PGTYPES_REGPROC_ARRAY = 1008,
    PGTYPES_REGPROCEDURE_ARRAY = 2207,
    PGTYPES_REGOPER_ARRAY = 2208,
    PGTYPES_REGOPERATOR_ARRAY = 2209,
    PGTYPES_REGCLASS_ARRAY = 2210,
    PGTYPES_REGTYPE_ARRAY = 2211,
    PGTYPES_REGCONFIG_ARRAY = 3735,
    PGTYPES_REGDICTIONARY_ARRAY = 3770,
    PGTYPES_REGNAMESPACE_ARRAY = 4090,
    PGTYPES_REGROLE_ARRAY = 4097,
    PGTYPES_REGCOLLATION_ARRAY = 4192,
    PGTYPES_INT2VECTOR_ARRAY = 1006,
    PGTYPES_OIDVECTOR_ARRAY = 1013,
    PGTYPES_RECORD_ARRAY = 2287,
};

/*
 * How to_json writes the text of a value (PostgreSQL's function json_categorize_type). Domains have the rule
 * of their base type.
 */
enum pgtypes_rule {
    PGTYPES_AS_TEXT,      /* a JSON string */
    PGTYPES_AS_NUMBER,    /* as it is; NaN and the infinities are strings */
    PGTYPES_AS_BOOL,      /* t and f */
    PGTYPES_AS_JSON,      /* as it is */
    PGTYPES_AS_TIMESTAMP, /* the blank between date and time becomes T, the zone gets its minutes */
    PGTYPES_AS_ARRAY,     /* of elements of another type */
    PGTYPES_AS_VECTOR,    /* likewise, with blanks between them */
    PGTYPES_AS_COMPOSITE, /* an object of its fields */
    PGTYPES_AS_HSTORE,    /* an object of texts */
    PGTYPES_OPAQUE,       /* the text does not tell: only PostgreSQL's own to_json can do it */
};

struct pgtypes_field;

/* A type, as far as it matters for reading and writing its values. */
struct pgtypes_type {
    uint32_t oid;
    uint32_t base; /* of a domain: the type that it is one of; else the same as oid */
    enum pgtypes_rule rule;
    bool opaque;                        /* it is PGTYPES_OPAQUE, or something within it is */
    char delimiter;                     /* between the elements of an array of this type */
    const struct pgtypes_type *element; /* of arrays and vectors */
    const struct pgtypes_field *fields; /* of composites */
    size_t n_fields;
};

struct pgtypes_field {
    struct str key; /* as JSON: `{"id":` for the first field, `,"name":` for the others */
    const struct pgtypes_type *type;
};

/* The built-in type of that OID, one of those above or an array of them; NULL for any other. */
const struct pgtypes_type *pgtypes_builtin(uint32_t oid);

/* The type of arrays of a built-in scalar type; 0 for any other type. */
uint32_t pgtypes_array(uint32_t element);

/* What a parameter takes. */
struct pgtypes_parameter {
    uint32_t type;    /* an OID; of a domain that of its base type */
    uint32_t element; /* likewise, of an array's elements; 0 for what is not an array */
    char delimiter;   /* between its elements */
};

/*
 * The name of a built-in type in the catalogue, as far as a type is not an array: "int4"; NULL for any other.
 * In capitals.
 */
const char *pgtypes_name(uint32_t oid);

struct pgtypes_parameter pgtypes_parameter(const struct pgtypes_type *type);

#endif
