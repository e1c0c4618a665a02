/* pgcatalogue.c: types that are not built in, as a database's catalogue has them. */
#include "pg/pgcatalogue.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/mem.h"
#include "base/utf8.h"

/* What a type is, by PostgreSQL's json_categorize_type; the second column of the answer. */
enum kind {
    KIND_DOMAIN = 'd',    /* over the type that the third column has */
    KIND_ARRAY = 'a',     /* of elements of that type */
    KIND_COMPOSITE = 'c', /* the fifth and sixth column: a field's name and type; NULL if there are none */
    KIND_HSTORE = 'h',
    KIND_OPAQUE = 'o', /* with a cast to json, or an array that is not written as arrays are */
    KIND_TEXT = 't',
};

#define EQUALS " OPERATOR(pg_catalog.=) "

/*
 * All names are qualified, operators too: whatever the search path has, it is PostgreSQL's own that are used.
 * A cast to json that is a function is what to_json calls for a type that is neither built in nor an array
 * nor a composite; the one of the extension hstore is known here.
 */
const char pgcatalogue_sql[] =
    "WITH RECURSIVE wanted (oid) AS ("
    " SELECT pg_catalog.unnest($1::pg_catalog.oid[])"
    " UNION"
    " SELECT part.oid FROM wanted JOIN pg_catalog.pg_type t ON t.oid" EQUALS "wanted.oid"
    " CROSS JOIN LATERAL (SELECT t.typbasetype UNION ALL SELECT t.typelem UNION ALL"
    " SELECT a.atttypid FROM pg_catalog.pg_attribute a WHERE a.attrelid" EQUALS "t.typrelid"
    " AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped) AS part (oid)) "
    "SELECT t.oid,"
    " CASE WHEN t.typtype" EQUALS "'d' THEN 'd'"
    " WHEN t.typelem OPERATOR(pg_catalog.<>) 0"
    " AND t.typsubscript" EQUALS "'pg_catalog.array_subscript_handler'::pg_catalog.regproc"
    " THEN CASE WHEN t.typoutput" EQUALS "'pg_catalog.array_out'::pg_catalog.regproc THEN 'a' ELSE 'o' END"
    " WHEN t.typtype" EQUALS "'c' THEN 'c'"
    " WHEN p.oid IS NULL OR t.oid OPERATOR(pg_catalog.<) 16384 THEN 't'"
    " WHEN p.prosrc" EQUALS "'hstore_to_json' AND p.probin" EQUALS "'$libdir/hstore' THEN 'h'"
    " ELSE 'o' END,"
    " CASE WHEN t.typtype" EQUALS "'d' THEN t.typbasetype ELSE t.typelem END,"
    " t.typdelim, a.attname, a.atttypid, pg_catalog.format_type(t.oid, NULL),"
    " CASE WHEN t.typtype" EQUALS
    "'e' THEN " PGCATALOGUE_LABELS("t.oid") " END"
                                            " FROM wanted JOIN pg_catalog.pg_type t ON t.oid" EQUALS
                                            "wanted.oid"
                                            " LEFT JOIN pg_catalog.pg_attribute a ON t.typtype" EQUALS
                                            "'c' AND a.attrelid" EQUALS "t.typrelid"
                                            " AND a.attnum OPERATOR(pg_catalog.>) 0 AND NOT a.attisdropped"
                                            " LEFT JOIN pg_catalog.pg_cast c ON c.castsource" EQUALS "t.oid"
                                            " AND c.casttarget" EQUALS
                                            "'pg_catalog.json'::pg_catalog.regtype AND c.castmethod" EQUALS
                                            "'f'"
                                            " LEFT JOIN pg_catalog.pg_proc p ON p.oid" EQUALS "c.castfunc"
                                            " ORDER BY t.oid, a.attnum";

/* A type in the making: what it is made of by its OIDs. */
struct entry {
    struct pgtypes_type type;
    enum kind kind;
    char *name;                   /* owned; NULL: it was not told */
    char *labels;                 /* of an enum; likewise */
    uint32_t part;                /* the base type of a domain, the type of an array's elements */
    struct pgtypes_field *fields; /* of a composite; owned, and so are their keys */
    uint32_t *field_types;
    size_t n_fields;
};

struct pgcatalogue {
    unsigned references;
    struct entry *entries; /* by their OIDs, in order */
    size_t n;
};

struct pgcatalogue *pgcatalogue_new(void)
{
    struct pgcatalogue *catalogue = mem_calloc(1, sizeof(*catalogue));
    catalogue->references = 1;
    return catalogue;
}

struct pgcatalogue *pgcatalogue_keep(struct pgcatalogue *catalogue)
{
    catalogue->references++;
    return catalogue;
}

void pgcatalogue_drop(struct pgcatalogue *catalogue)
{
    if (catalogue == NULL || --catalogue->references > 0)
        return;
    for (size_t i = 0; i < catalogue->n; i++) {
        struct entry *entry = &catalogue->entries[i];
        for (size_t j = 0; j < entry->n_fields; j++)
            free((char *)entry->fields[j].key.base);
        free(entry->fields);
        free(entry->name);
        free(entry->labels);
        free(entry->field_types);
    }
    free(catalogue->entries);
    free(catalogue);
}

/* Reading */

static bool read_oid(struct pgwire_value value, uint32_t *oid)
{
    uint64_t number = 0;
    for (int32_t i = 0; i < value.len; i++) {
        if (value.text[i] < '0' || value.text[i] > '9')
            return false;
        number = number * 10 + (uint64_t)(value.text[i] - '0');
        if (number > UINT32_MAX)
            return false;
    }
    *oid = (uint32_t)number;
    return value.len > 0;
}

static bool read_kind(struct pgwire_value value, enum kind *kind)
{
    *kind = value.len == 1 ? (enum kind)value.text[0] : 0;
    return value.len == 1 && memchr("dachot", value.text[0], 6) != NULL;
}

static void add_field(struct entry *entry, struct pgwire_value name, uint32_t type)
{
    struct json_writer key = json_writer_on(NULL, 0);
    json_char(&key, entry->n_fields == 0 ? '{' : ',');
    json_string(&key, name.text, (size_t)name.len);
    json_char(&key, ':');
    MEM_GROW(&entry->fields, entry->n_fields);
    MEM_GROW(&entry->field_types, entry->n_fields);
    entry->field_types[entry->n_fields] = type;
    entry->fields[entry->n_fields++] = (struct pgtypes_field){{key.base, key.len}, NULL};
}

bool pgcatalogue_take(struct pgcatalogue *catalogue, const struct pgwire_value row[PGCATALOGUE_COLUMNS])
{
    uint32_t oid, part, field_type = 0;
    enum kind kind;
    bool has_field = row[4].len >= 0;
    if (!read_oid(row[0], &oid) || !read_kind(row[1], &kind) || !read_oid(row[2], &part) || row[3].len != 1 ||
        (has_field && !read_oid(row[5], &field_type)))
        return false;
    struct entry *last = catalogue->n == 0 ? NULL : &catalogue->entries[catalogue->n - 1];
    if (last == NULL || last->type.oid != oid) {
        if (last != NULL && last->type.oid > oid)
            return false;
        MEM_GROW(&catalogue->entries, catalogue->n);
        last = &catalogue->entries[catalogue->n++];
        *last = (struct entry){
            .type = {.oid = oid, .base = oid, .delimiter = row[3].text[0]}, .kind = kind, .part = part};
        if (row[6].len >= 0)
            last->name = mem_printf("%.*s", (int)row[6].len, row[6].text);
        if (row[7].len >= 0)
            last->labels = mem_printf("%.*s", (int)row[7].len, row[7].text);
    }
    if (has_field)
        add_field(last, row[4], field_type);
    return true;
}

/* Making */

static struct entry *entry_of(const struct pgcatalogue *catalogue, uint32_t oid)
{
    size_t from = 0, to = catalogue == NULL ? 0 : catalogue->n;
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (catalogue->entries[middle].type.oid == oid)
            return &catalogue->entries[middle];
        if (catalogue->entries[middle].type.oid < oid)
            from = middle + 1;
        else
            to = middle;
    }
    return NULL;
}

const struct pgtypes_type *pgcatalogue_find(const struct pgcatalogue *catalogue, uint32_t oid)
{
    static const struct pgtypes_type unknown = {.rule = PGTYPES_AS_TEXT, .delimiter = ','};
    const struct pgtypes_type *type = pgtypes_builtin(oid);
    const struct entry *entry = type == NULL ? entry_of(catalogue, oid) : NULL;
    return type != NULL ? type : entry != NULL ? &entry->type : &unknown;
}

/* What the catalogue calls it is in small letters. */
static void write_builtin(const struct pgtypes_type *type, char name[PGCATALOGUE_NAME])
{
    bool is_array = type->rule == PGTYPES_AS_ARRAY;
    const char *capitals = pgtypes_name(is_array ? type->element->oid : type->oid);
    snprintf(name, PGCATALOGUE_NAME, "%s%s", capitals, is_array ? "[]" : "");
    for (char *c = name; *c != '\0'; c++)
        *c = *c >= 'A' && *c <= 'Z' ? (char)(*c - 'A' + 'a') : *c;
}

void pgcatalogue_name(const struct pgcatalogue *catalogue, uint32_t oid, char name[PGCATALOGUE_NAME])
{
    const struct pgtypes_type *type = pgtypes_builtin(oid);
    const struct entry *entry = type == NULL ? entry_of(catalogue, oid) : NULL;
    if (type != NULL) {
        write_builtin(type, name);
    } else if (entry != NULL && entry->name != NULL) {
        struct str cut = utf8_cut(str_of(entry->name), PGCATALOGUE_NAME - 1);
        snprintf(name, PGCATALOGUE_NAME, "%.*s", (int)cut.len, cut.base);
    } else {
        snprintf(name, PGCATALOGUE_NAME, "oid %" PRIu32, oid);
    }
}

const char *pgcatalogue_labels(const struct pgcatalogue *catalogue, uint32_t oid)
{
    const struct entry *entry = entry_of(catalogue, oid);
    for (size_t i = 0; entry != NULL && i < catalogue->n; i++) {
        if (entry->kind != KIND_DOMAIN && entry->kind != KIND_ARRAY)
            return entry->labels;
        entry = entry_of(catalogue, entry->part);
    }
    return NULL;
}

/* What a domain is in the end. A domain over one over one … is no deeper than there are types. */
static const struct pgtypes_type *base_of(const struct pgcatalogue *catalogue, const struct entry *entry)
{
    const struct entry *base = entry;
    for (size_t i = 0; i < catalogue->n && base != NULL && base->kind == KIND_DOMAIN; i++) {
        entry = base;
        base = entry_of(catalogue, entry->part);
    }
    return pgcatalogue_find(catalogue, base == NULL ? entry->part : base->type.oid);
}

static void make(struct pgcatalogue *catalogue, struct entry *entry)
{
    struct pgtypes_type *type = &entry->type;
    switch (entry->kind) {
    case KIND_ARRAY:
        type->rule = PGTYPES_AS_ARRAY;
        type->element = pgcatalogue_find(catalogue, entry->part);
        break;
    case KIND_COMPOSITE:
        type->rule = PGTYPES_AS_COMPOSITE;
        for (size_t i = 0; i < entry->n_fields; i++)
            entry->fields[i].type = pgcatalogue_find(catalogue, entry->field_types[i]);
        type->fields = entry->fields;
        type->n_fields = entry->n_fields;
        break;
    case KIND_HSTORE:
        type->rule = PGTYPES_AS_HSTORE;
        break;
    case KIND_OPAQUE:
        type->rule = PGTYPES_OPAQUE;
        type->opaque = true;
        break;
    case KIND_DOMAIN: /* once the others are made */
    case KIND_TEXT:
        type->rule = PGTYPES_AS_TEXT;
        break;
    }
}

static void make_domain(struct pgcatalogue *catalogue, struct entry *entry)
{
    uint32_t oid = entry->type.oid;
    char delimiter = entry->type.delimiter;
    entry->type = *base_of(catalogue, entry);
    entry->type.oid = oid;
    entry->type.delimiter = delimiter;
}

/* Is anything within it opaque? Its parts are asked as often as it takes until nothing changes any longer. */
static bool becomes_opaque(const struct entry *entry)
{
    const struct pgtypes_type *type = &entry->type;
    bool opaque = type->element != NULL && type->element->opaque;
    for (size_t i = 0; i < type->n_fields; i++)
        opaque |= type->fields[i].type->opaque;
    return opaque && !type->opaque;
}

void pgcatalogue_complete(struct pgcatalogue *catalogue)
{
    for (size_t i = 0; i < catalogue->n; i++)
        make(catalogue, &catalogue->entries[i]);
    for (size_t i = 0; i < catalogue->n; i++) {
        if (catalogue->entries[i].kind == KIND_DOMAIN)
            make_domain(catalogue, &catalogue->entries[i]);
    }
    for (bool changed = true; changed;) {
        changed = false;
        for (size_t i = 0; i < catalogue->n; i++) {
            if (!becomes_opaque(&catalogue->entries[i]))
                continue;
            catalogue->entries[i].type.opaque = changed = true;
        }
    }
}

char *pgcatalogue_array(const uint32_t *oids, size_t n)
{
    enum { LONGEST = sizeof("4294967295,") - 1 };
    char *text = mem_alloc(n * LONGEST + 3), *out = text;
    *out++ = '{';
    for (size_t i = 0; i < n; i++)
        out += sprintf(out, "%s%u", i == 0 ? "" : ",", (unsigned)oids[i]);
    strcpy(out, "}");
    return text;
}
