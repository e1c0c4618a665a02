/*
 * schema.c: notices that what the statements name has changed, although they still work.
 *
 * After a change that PostgreSQL complains of, statements are prepared again (db/ask.c, db/doubt.c). Of
 * others it says nothing: a parameter stays a date where the column has become a timestamp; a function that
 * returns rows of a table goes on with the columns that the table had; a table in a schema that comes earlier
 * in the search path, or another function of that name, is not seen; a view gets a volatile function, or its
 * function becomes one.
 *
 * So the catalogue is looked at every two seconds while there is traffic, in one statement for all of a
 * lane's: it has a number for each word of their SQL, made of the relations, functions and types of that name
 * which can be meant, their columns, the types that these are made of, and what is behind a view. Where a
 * number is another one, the statements that have the word are prepared again. Nothing is locked, so no
 * migration is waited for.
 *
 * What it costs, measured with 50 tables of 9 columns and 111 words (PostgreSQL 15): 0.1 ms while no
 * transaction has ended since the last look, for then nothing can have changed, else 1.4 ms; with 40 views
 * more it is 2.5 ms. It is sent when nothing is in flight, if there is such a moment; only after a pause it
 * goes before a query, so that this one meets the schema as it is. The other ways: to describe 50 statements
 * again took 6 ms, and shows neither another table nor another function with the same columns; an event
 * trigger needs a superuser, and does not fire on replicas; PostgreSQL's counters of rows written to its
 * catalogue are not kept on replicas, and come ten seconds late. What is asked on other connections of the
 * lane while it changes is asked again, if it only read.
 *
 * On a replica, a transaction that ends among others does not always show. So each tenth look goes all the
 * way.
 */
#include "db/schema.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/mem.h"
#include "db/doubt.h"

enum {
    INTERVAL_MS = 2000,
    GRACE_MS = 1000, /* so long a moment is waited for in which nothing is in flight */
    LOOKS_OF_A_KIND = 10,
};

/* schema->values */
enum { WORDS, VERSIONS, SNAPSHOT };

/* The answer's first column is a word's number, or 0 for the snapshot. */
enum { N_COLUMNS = 2 };

struct looking {
    struct db_flight flight;
    struct db_schema *schema;
};

#define EQ    " OPERATOR(pg_catalog.=) "
#define GE    " OPERATOR(pg_catalog.>=) "
#define INT8  "::pg_catalog.int8"
#define USERS GE "16384" /* what is not built in: PGTYPES_FIRST_NOT_BUILT_IN */
/* A column's name and type, as a number. */
#define COLUMN(a)                                                                                            \
    "pg_catalog.hashnameextended(" a ".attname, " a ".atttypid" INT8 " OPERATOR(pg_catalog.*) 2048"          \
    " OPERATOR(pg_catalog.+) " a ".attnum)"

/* The relations and functions that the rules of b, a view, refer to. OFFSET 0: by indexes, view by view. */
#define RELATIONS "'pg_catalog.pg_class'::pg_catalog.regclass"
#define FUNCTIONS "'pg_catalog.pg_proc'::pg_catalog.regclass"
#define PARTS_OF_B                                                                                           \
    "SELECT d.refclassid, d.refobjid FROM pg_catalog.pg_rewrite w JOIN pg_catalog.pg_depend d"               \
    " ON d.classid" EQ "'pg_catalog.pg_rewrite'::pg_catalog.regclass AND d.objid" EQ "w.oid"                 \
    " WHERE w.ev_class" EQ "b.oid AND d.refclassid" EQ "ANY (ARRAY[" RELATIONS ", " FUNCTIONS "])"           \
    " AND d.refobjid" USERS " OFFSET 0"

/*
 * All names are qualified, operators too: the search path may have others. $1 are words, $2 their versions,
 * $3 the snapshot.
 */
static const char sql[] =
    "WITH RECURSIVE word AS MATERIALIZED ("
    " SELECT u.n, u.w::pg_catalog.name AS name FROM pg_catalog.unnest($1) WITH ORDINALITY AS u (w, n)"
    "), schema AS MATERIALIZED ("
    " SELECT s.oid, s.nspname FROM pg_catalog.pg_namespace s"
    " WHERE s.nspname" EQ "ANY (pg_catalog.current_schemas(true))"
    " OR s.nspname" EQ "ANY (SELECT name FROM word)"
    "), relation AS MATERIALIZED ("
    " SELECT word.n, c.oid, c.relkind, s.nspname FROM word JOIN pg_catalog.pg_class c ON c.relname" EQ
    "word.name"
    " JOIN schema s ON s.oid" EQ "c.relnamespace WHERE c.oid" USERS " AND c.relkind" EQ
    "ANY ('{r,v,m,f,p,c}'::pg_catalog.\"char\"[])"
    "), function AS MATERIALIZED ("
    " SELECT word.n, p.oid, p.ctid, p.prorettype, p.proallargtypes, s.nspname FROM word JOIN "
    "pg_catalog.pg_proc p"
    " ON p.proname" EQ "word.name JOIN schema s ON s.oid" EQ "p.pronamespace WHERE p.oid" USERS
    "), field AS MATERIALIZED ("
    " SELECT r.n, a.attname, a.atttypid, a.attnum FROM relation r JOIN pg_catalog.pg_attribute a"
    " ON a.attrelid" EQ "r.oid AND a.attnum OPERATOR(pg_catalog.>) 0"
    "), behind (n, class, oid) AS ("
    " SELECT r.n, " RELATIONS ", r.oid FROM relation r WHERE r.relkind" EQ "'v'"
    " UNION SELECT b.n, part.class, part.oid FROM behind b"
    " CROSS JOIN LATERAL (" PARTS_OF_B ") AS part (class, oid) WHERE b.class" EQ RELATIONS
    "), type (n, oid) AS (("
    " SELECT f.n, f.atttypid FROM field f WHERE f.atttypid" USERS
    " UNION ALL SELECT f.n, f.prorettype FROM function f WHERE f.prorettype" USERS
    " UNION ALL SELECT f.n, a.oid FROM function f"
    " CROSS JOIN LATERAL pg_catalog.unnest(f.proallargtypes) AS a (oid) WHERE a.oid" USERS
    " UNION ALL SELECT word.n, t.oid FROM word JOIN pg_catalog.pg_type t ON t.typname" EQ "word.name"
    " JOIN schema s ON s.oid" EQ "t.typnamespace WHERE t.oid" USERS " AND t.typrelid" EQ "0"
    ") UNION"
    " SELECT type.n, part.oid FROM type JOIN pg_catalog.pg_type t ON t.oid" EQ "type.oid"
    " CROSS JOIN LATERAL (SELECT t.typbasetype UNION ALL SELECT t.typelem UNION ALL SELECT a.atttypid"
    " FROM pg_catalog.pg_attribute a WHERE a.attrelid" EQ "t.typrelid AND a.attnum OPERATOR(pg_catalog.>) 0"
    ") AS part (oid) WHERE part.oid" USERS "), seen (n, h) AS ("
    " SELECT r.n, pg_catalog.hashnameextended(r.nspname, r.oid" INT8 ") FROM relation r"
    " UNION ALL SELECT f.n, " COLUMN(
        "f") " FROM field f"
             " UNION ALL SELECT b.n, pg_catalog.hashtidextended(w.ctid, w.oid" INT8 ") FROM behind b"
             " JOIN pg_catalog.pg_rewrite w ON w.ev_class" EQ "b.oid WHERE b.class" EQ RELATIONS
             " UNION ALL SELECT b.n, (SELECT pg_catalog.hashtidextended(p.ctid, p.oid" INT8 ")"
             " FROM pg_catalog.pg_proc p WHERE p.oid" EQ "b.oid) FROM behind b WHERE b.class" EQ FUNCTIONS
             " UNION ALL SELECT f.n, pg_catalog.hashtidextended(f.ctid, f.oid" INT8 " OPERATOR(pg_catalog.#)"
             " pg_catalog.hashnameextended(f.nspname, 0)) FROM function f"
             " UNION ALL SELECT type.n, pg_catalog.hashnameextended(t.typname, t.oid" INT8 ")"
             " FROM type JOIN pg_catalog.pg_type t ON t.oid" EQ "type.oid"
             " UNION ALL SELECT type.n, " COLUMN(
                 "a") " FROM type JOIN pg_catalog.pg_type t ON t.oid" EQ "type.oid"
                      " JOIN pg_catalog.pg_attribute a ON a.attrelid" EQ
                      "t.typrelid AND a.attnum OPERATOR(pg_catalog.>) 0"
                      " UNION ALL SELECT type.n, pg_catalog.hashtidextended(c.ctid, c.oid" INT8 ")"
                      " FROM type JOIN pg_catalog.pg_cast c ON c.castsource" EQ "type.oid"
                      " AND c.casttarget" EQ "'pg_catalog.json'::pg_catalog.regtype"
                      " UNION ALL SELECT type.n, pg_catalog.hashnameextended(e.enumlabel, e.oid" INT8 ")"
                      " FROM type JOIN pg_catalog.pg_enum e ON e.enumtypid" EQ "type.oid"
                      "), version (n, v) AS (SELECT seen.n, pg_catalog.sum(seen.h)::pg_catalog.text FROM "
                      "seen GROUP BY seen.n) "
                      "SELECT 0" INT8 ", pg_catalog.pg_current_snapshot()::pg_catalog.text "
                      "UNION ALL "
                      "SELECT word.n, coalesce(v, '') FROM word LEFT JOIN version ON version.n" EQ "word.n"
                      " WHERE NOT coalesce(v, '')" EQ "($2)[word.n]"
                      " AND NOT pg_catalog.pg_current_snapshot()::pg_catalog.text" EQ "$3";

/* The text of an array, whose elements PostgreSQL takes as they are. Allocated. */
static char *array_of(const char *const *texts, size_t n)
{
    size_t size = 3;
    for (size_t i = 0; i < n; i++)
        size += 2 * strlen(texts[i]) + 3;
    char *array = mem_alloc(size), *out = array;
    *out++ = '{';
    for (size_t i = 0; i < n; i++) {
        *out++ = i == 0 ? '"' : ',';
        if (i > 0)
            *out++ = '"';
        for (const char *c = texts[i]; *c != '\0'; c++) {
            if (*c == '"' || *c == '\\')
                *out++ = '\\';
            *out++ = *c;
        }
        *out++ = '"';
    }
    *out++ = '}';
    *out = '\0';
    return array;
}

/* Sets a value for the looks to come. */
static void set(struct db_schema *schema, size_t which, char *value)
{
    free(schema->values[which]);
    schema->values[which] = value;
}

static int compare_words(const void *one, const void *other)
{
    return strcmp(*(const char *const *)one, *(const char *const *)other);
}

/* Once all statements are known. */
static void gather_words(struct db_schema *schema)
{
    const struct db_statements *statements = schema->statements;
    size_t n_all = 0, n = 0;
    for (size_t i = 0; i < statements->n; i++)
        n_all += statements->all[i]->conf.statement->n_words;
    schema->words = mem_calloc(n_all + 1, sizeof(*schema->words));
    for (size_t i = 0; i < statements->n; i++) {
        const struct sql_statement *statement = statements->all[i]->conf.statement;
        for (size_t k = 0; k < statement->n_words; k++)
            schema->words[n++] = statement->words[k];
    }
    qsort(schema->words, n, sizeof(*schema->words), compare_words);
    for (size_t i = 0; i < n; i++) {
        if (schema->n == 0 || strcmp(schema->words[i], schema->words[schema->n - 1]) != 0)
            schema->words[schema->n++] = schema->words[i];
    }
    schema->versions = mem_calloc(schema->n + 1, sizeof(*schema->versions));
    schema->changed = mem_calloc(schema->n + 1, sizeof(*schema->changed));
    for (size_t i = 0; i < schema->n; i++)
        schema->versions[i] = mem_strdup("");
    set(schema, WORDS, array_of(schema->words, schema->n));
    set(schema, VERSIONS, array_of((const char *const *)schema->versions, schema->n));
}

void db_schema_init(struct db_schema *schema, struct db_env *env, const struct db_pool *pool,
                    const struct db_statements *statements)
{
    *schema = (struct db_schema){.env = env, .pool = pool, .statements = statements};
}

void db_schema_clear(struct db_schema *schema)
{
    for (size_t i = 0; i < schema->n; i++)
        free(schema->versions[i]);
    for (size_t i = 0; i < DB_SCHEMA_VALUES; i++)
        free(schema->values[i]);
    free(schema->versions);
    free(schema->changed);
    free(schema->words);
}

/* Looking */

static const char *on_row(struct db_flight *flight, const struct pgwire_message *message,
                          struct pgwire_row row);
static const char *on_end(struct db_flight *flight, bool spoilt);
static void on_lost(struct db_flight *flight);

static const struct db_flight_ops looking_ops = {
    .row = on_row,
    .end = on_end,
    .lost = on_lost,
    .patience = 200, /* a look is in the way of others when it takes so long */
};

/* Looks on this connection whether what the statements name has changed. env->now is the present. */
static void look(struct db_schema *schema, struct db_connection *connection)
{
    static const char name[] = "hayfork_schema";
    static const uint32_t types[DB_SCHEMA_VALUES] = {PGTYPES_TEXT_ARRAY, PGTYPES_TEXT_ARRAY, PGTYPES_TEXT};
    struct pgwire_writer *out = &connection->pipeline.io.out;
    struct str values[DB_SCHEMA_VALUES];
    if (schema->words == NULL)
        gather_words(schema);
    if (schema->off || schema->in_flight)
        return;
    struct looking *looking = mem_alloc(sizeof(*looking));
    looking->schema = schema;
    db_flight_begin(&looking->flight, &connection->pipeline, &looking_ops, NULL,
                    connection->knows_schema ? DB_AT_BIND : DB_AT_PARSE);
    db_flight_set_columns(&looking->flight, N_COLUMNS);
    schema->in_flight = true;
    schema->asked = false;
    schema->look_at = schema->env->now + INTERVAL_MS;
    if (!connection->knows_schema)
        pgwire_parse(out, name, sql, types, DB_SCHEMA_VALUES);
    if (schema->n_looks++ % LOOKS_OF_A_KIND == 0)
        set(schema, SNAPSHOT, mem_strdup(""));
    for (size_t i = 0; i < DB_SCHEMA_VALUES; i++)
        values[i] = str_of(schema->values[i]);
    pgwire_execute(out, name, values, DB_SCHEMA_VALUES, NULL);
    pgwire_sync(out);
}

void db_schema_begin(struct db_schema *schema, struct db_connection *connection)
{
    if (!schema->known)
        look(schema, connection);
}

void db_schema_before_queries(struct db_schema *schema)
{
    schema->asked = true;
    if (schema->env->now < schema->look_at + GRACE_MS)
        return;
    struct db_connection *connection = db_pool_least_busy(schema->pool);
    if (connection != NULL)
        look(schema, connection);
}

void db_schema_when_idle(struct db_schema *schema)
{
    struct db_connection *connection = db_pool_least_busy(schema->pool);
    if (connection != NULL && connection->pipeline.n == 0)
        look(schema, connection);
}

/* Takes the number of a word, or the snapshot. False if nobody has asked for it. */
static bool take(struct db_schema *schema, struct pgwire_row row)
{
    struct pgwire_value number = pgwire_row_next(&row), version = pgwire_row_next(&row);
    size_t n = 0;
    for (int32_t i = 0; i < number.len && n <= schema->n; i++)
        n = n * 10 + (size_t)(number.text[i] - '0');
    if (n > schema->n || version.len < 0)
        return false;
    char *text = mem_strndup(version.text, (size_t)version.len);
    if (n == 0) {
        set(schema, SNAPSHOT, text);
    } else {
        free(schema->versions[n - 1]);
        schema->versions[n - 1] = text;
        schema->changed[n - 1] = true;
    }
    return true;
}

static const char *on_row(struct db_flight *flight, const struct pgwire_message *message,
                          struct pgwire_row row)
{
    (void)message;
    return take(H2O_STRUCT_FROM_MEMBER(struct looking, flight, flight)->schema, row)
               ? NULL
               : "PostgreSQL sent a number for a word that nobody has asked for";
}

static bool any_changed(const struct db_schema *schema)
{
    return memchr(schema->changed, true, schema->n) != NULL;
}

static bool has_changed(const struct db_schema *schema, const struct db_statement *statement)
{
    for (size_t i = 0; i < schema->n; i++) {
        if (schema->changed[i] && sql_has_word(statement->conf.statement, schema->words[i]))
            return true;
    }
    return false;
}

/* At the first look nothing has changed, though all of it is new. */
static void take_changes(struct db_schema *schema, bool first)
{
    const struct db_statements *statements = schema->statements;
    for (size_t i = 0; !first && i < statements->n; i++) {
        if (has_changed(schema, statements->all[i])) {
            log_debug("%s: what its SQL names has changed", statements->all[i]->conf.label);
            db_statement_outdate(statements->all[i]);
        }
    }
    set(schema, VERSIONS, array_of((const char *const *)schema->versions, schema->n));
    memset(schema->changed, 0, schema->n * sizeof(*schema->changed));
}

static void take_error(struct db_schema *schema, const char *error)
{
    set(schema, SNAPSHOT, mem_strdup("")); /* what came before the error does not count */
    schema->off = !db_is_passing(pgwire_error_field(error, PG_DIAG_SQLSTATE));
    if (schema->off)
        log_warnx("lane %s: cannot look at PostgreSQL's catalogue, so that it notices changes only when "
                  "queries fail: SQLSTATE %s: %s",
                  schema->env->conf.name, pgwire_error_field(error, PG_DIAG_SQLSTATE),
                  pgwire_error_field(error, PG_DIAG_MESSAGE_PRIMARY));
}

static void dispose(struct db_flight *flight)
{
    db_flight_clear(flight);
    free(H2O_STRUCT_FROM_MEMBER(struct looking, flight, flight));
}

static const char *on_end(struct db_flight *flight, bool spoilt)
{
    struct db_schema *schema = H2O_STRUCT_FROM_MEMBER(struct looking, flight, flight)->schema;
    struct db_connection *connection = db_connection_of_flight(flight);
    bool first = flight->error == NULL && !schema->known;
    (void)spoilt;
    schema->in_flight = false;
    if (flight->parsed)
        db_connection_set_knows_schema(connection);
    if (flight->error != NULL)
        take_error(schema, flight->error);
    else
        schema->known = true;
    if (flight->error == NULL && any_changed(schema))
        take_changes(schema, first);
    if (first)
        db_doubt_check_all(connection); /* they were described before this look */
    dispose(flight);
    return NULL;
}

static void on_lost(struct db_flight *flight)
{
    struct db_schema *schema = H2O_STRUCT_FROM_MEMBER(struct looking, flight, flight)->schema;
    set(schema, SNAPSHOT, mem_strdup(""));
    schema->in_flight = false;
    dispose(flight);
}
