/* pgjson.c: rows of a result as JSON objects, equal to what PostgreSQL's row_to_json says. */
#include "pg/pgjson.h"

#include <stdlib.h>

#include "base/json_read.h"
#include "base/mem.h"
#include "pg/pgtypes.h"

enum rule {
    RULE_TEXT,      /* a JSON string */
    RULE_NUMBER,    /* as it is; NaN and the infinities are strings */
    RULE_BOOL,      /* t and f */
    RULE_JSON,      /* as it is */
    RULE_TIMESTAMP, /* the blank between date and time becomes T, the zone gets its minutes */
    RULE_WRAP,      /* only PostgreSQL's to_json knows; once wrapped, its answer goes out as it is */
};

struct column {
    enum rule rule;
    uint32_t type;  /* as described */
    char *name;     /* as PostgreSQL has it; owned */
    struct str key; /* `{"id":` for the first column, `,"name":` for the others; owned */
};

struct pgjson_columns {
    size_t n;
    struct column columns[];
};

static enum rule rule_for(uint32_t type)
{
    switch ((enum pgtypes)type) {
    case PGTYPES_BOOL:
        return RULE_BOOL;
    case PGTYPES_INT2:
    case PGTYPES_INT4:
    case PGTYPES_INT8:
    case PGTYPES_FLOAT4:
    case PGTYPES_FLOAT8:
    case PGTYPES_NUMERIC:
        return RULE_NUMBER;
    case PGTYPES_JSON:
    case PGTYPES_JSONB:
        return RULE_JSON;
    case PGTYPES_TIMESTAMP:
    case PGTYPES_TIMESTAMPTZ:
        return RULE_TIMESTAMP;
    case PGTYPES_TEXT:
    case PGTYPES_VARCHAR:
    case PGTYPES_BPCHAR:
    case PGTYPES_CHAR:
    case PGTYPES_NAME:
    case PGTYPES_BYTEA:
    case PGTYPES_BIT:
    case PGTYPES_VARBIT:
    case PGTYPES_UUID:
    case PGTYPES_DATE:
    case PGTYPES_TIME:
    case PGTYPES_TIMETZ:
    case PGTYPES_INTERVAL:
    case PGTYPES_MONEY:
    case PGTYPES_INET:
    case PGTYPES_CIDR:
    case PGTYPES_MACADDR:
    case PGTYPES_MACADDR8:
    case PGTYPES_XML:
    case PGTYPES_TSVECTOR:
    case PGTYPES_TSQUERY:
    case PGTYPES_OID:
        return RULE_TEXT;
    default: /* arrays, composites, ranges, enums, whatever an extension brings */
        return RULE_WRAP;
    }
}

static struct str key_for(const char *name, bool is_first)
{
    struct json_writer writer = json_writer_on(NULL, 0);
    json_char(&writer, is_first ? '{' : ',');
    json_string(&writer, name, strlen(name));
    json_char(&writer, ':');
    return (struct str){writer.base, writer.len};
}

struct pgjson_columns *pgjson_columns_new(const struct pgwire_field *fields, size_t n, bool as_text,
                                          bool *wrap_wanted)
{
    struct pgjson_columns *columns = mem_calloc(1, sizeof(*columns) + n * sizeof(columns->columns[0]));
    *wrap_wanted = false;
    columns->n = n;
    for (size_t i = 0; i < n; i++) {
        struct column *column = &columns->columns[i];
        column->type = fields[i].type;
        column->rule = rule_for(fields[i].type);
        if (as_text && column->rule == RULE_WRAP)
            column->rule = RULE_TEXT;
        column->name = mem_strdup(fields[i].name);
        column->key = key_for(fields[i].name, i == 0);
        *wrap_wanted |= column->rule == RULE_WRAP;
    }
    return columns;
}

size_t pgjson_columns_count(const struct pgjson_columns *columns)
{
    return columns->n;
}

uint32_t pgjson_type(const struct pgjson_columns *columns, size_t column)
{
    return columns->columns[column].type;
}

bool pgjson_is_wrapped_form(const struct pgjson_columns *columns, const struct pgwire_field *fields, size_t n)
{
    bool same = n == columns->n;
    for (size_t i = 0; same && i < n; i++) {
        const struct column *column = &columns->columns[i];
        same = fields[i].type == (column->rule == RULE_WRAP ? PGTYPES_JSON : column->type);
    }
    return same;
}

/* Has each column a name of its own? */
static bool names_differ(const struct pgjson_columns *columns)
{
    for (size_t i = 0; i < columns->n; i++) {
        for (size_t j = 0; j < i; j++) {
            if (strcmp(columns->columns[i].name, columns->columns[j].name) == 0)
                return false;
        }
    }
    return true;
}

/* The column's name in double quotes (PostgreSQL 15, section 4.1.1); the caller frees it. */
static char *quoted(const char *name)
{
    char *text = mem_alloc(strlen(name) * 2 + 3), *out = text;
    *out++ = '"';
    for (; *name != '\0'; name++) {
        if (*name == '"')
            *out++ = '"';
        *out++ = *name;
    }
    strcpy(out, "\"");
    return text;
}

/*
 * By their names, so that PostgreSQL notices when a table's columns have changed; by their places only where
 * two have one name. The text may end in a comment: the bracket needs a line of its own.
 */
char *pgjson_wrap(const struct pgjson_columns *columns, const char *sql)
{
    bool by_name = names_differ(columns);
    char *names = mem_strdup(""), *list = mem_strdup("");
    for (size_t i = 0; i < columns->n; i++) {
        const char *comma = i == 0 ? "" : ", ";
        char *name = by_name ? quoted(columns->columns[i].name) : mem_printf("c%zu", i);
        bool wrap = columns->columns[i].rule == RULE_WRAP;
        char *more_names = mem_printf("%s%s%s", names, comma, name);
        char *more_list = mem_printf(wrap ? "%s%sto_json(%s)" : "%s%s%s", list, comma, name);
        free(names);
        free(list);
        free(name);
        names = more_names;
        list = more_list;
    }
    char *wrapped = by_name ? mem_printf("WITH q AS (%s\n) SELECT %s FROM q", sql, list)
                            : mem_printf("WITH q(%s) AS (%s\n) SELECT %s FROM q", names, sql, list);
    free(names);
    free(list);
    return wrapped;
}

/* PostgreSQL writes numbers as JSON does, but for NaN, Infinity and -Infinity. */
static void write_number(struct json_writer *writer, const char *text, size_t len)
{
    bool negative = len > 1 && text[0] == '-';
    char first = len > 0 ? text[negative] : '\0';
    if (first >= '0' && first <= '9')
        json_raw(writer, text, len);
    else
        json_string(writer, text, len);
}

/*
 * "2026-11-21 22:04:29.5+01" becomes "2026-11-21T22:04:29.5+01:00"; " BC" stays behind it. Has no blank:
 * infinity.
 */
static void write_timestamp(struct json_writer *writer, const char *text, size_t len)
{
    char *out = json_reserve(writer, len + 5), *begin = out;
    const char *end = text + len, *blank = memchr(text, ' ', len);
    *out++ = '"';
    if (blank != NULL) {
        memcpy(out, text, (size_t)(blank - text));
        out += blank - text;
        *out++ = 'T';
        const char *time_end = memchr(blank + 1, ' ', (size_t)(end - blank - 1));
        if (time_end == NULL)
            time_end = end;
        size_t time_len = (size_t)(time_end - blank - 1);
        memcpy(out, blank + 1, time_len);
        out += time_len;
        if (time_len >= 3 && (time_end[-3] == '+' || time_end[-3] == '-')) {
            memcpy(out, ":00", 3);
            out += 3;
        }
        text = time_end;
    }
    memcpy(out, text, (size_t)(end - text));
    out += end - text;
    *out++ = '"';
    writer->len += (size_t)(out - begin);
}

static void write_value(struct json_writer *writer, enum rule rule, const char *text, size_t len)
{
    switch (rule) {
    case RULE_TEXT:
        json_string(writer, text, len);
        break;
    case RULE_NUMBER:
        write_number(writer, text, len);
        break;
    case RULE_BOOL:
        if (len > 0 && text[0] == 't')
            json_raw(writer, "true", 4);
        else
            json_raw(writer, "false", 5);
        break;
    case RULE_JSON:
    case RULE_WRAP:
        json_raw(writer, text, len);
        break;
    case RULE_TIMESTAMP:
        write_timestamp(writer, text, len);
        break;
    }
}

int pgjson_find(const struct pgjson_columns *columns, const char *name)
{
    for (size_t i = 0; i < columns->n; i++) {
        if (strcmp(columns->columns[i].name, name) == 0)
            return (int)i;
    }
    return -1;
}

struct str pgjson_text(const struct pgjson_columns *columns, struct pgwire_row row, int column,
                       const struct arena *arena)
{
    struct pgwire_value value = pgwire_row_value(row, (size_t)column);
    if (value.len < 0)
        return (struct str){NULL, 0};
    struct str text = {value.text, (size_t)value.len};
    if (columns->columns[column].rule != RULE_WRAP || text.len < 2 || text.base[0] != '"')
        return text;
    struct json_value string; /* a cast to json that somebody made may give what is none */
    size_t error_at;
    if (json_read_check(text, &string, &error_at) != NULL)
        return text;
    char *plain = arena_alloc(arena, text.len);
    return (struct str){plain, json_unescape(text, plain)};
}

void pgjson_row(struct json_writer *writer, const struct pgjson_columns *columns, struct pgwire_row row)
{
    if (columns->n == 0)
        json_char(writer, '{');
    for (size_t i = 0; i < columns->n; i++) {
        const struct column *column = &columns->columns[i];
        struct pgwire_value value = pgwire_row_next(&row);
        json_raw(writer, column->key.base, column->key.len);
        if (value.len < 0)
            json_raw(writer, "null", 4);
        else
            write_value(writer, column->rule, value.text, (size_t)value.len);
    }
    json_char(writer, '}');
}

void pgjson_columns_free(struct pgjson_columns *columns)
{
    if (columns == NULL)
        return;
    for (size_t i = 0; i < columns->n; i++) {
        free(columns->columns[i].name);
        free((char *)columns->columns[i].key.base);
    }
    free(columns);
}
