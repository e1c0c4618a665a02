/* schema.h: notices that what the statements name has changed, although they still work: see db/schema.c. */
#ifndef HAYFORK_DB_SCHEMA_H
#define HAYFORK_DB_SCHEMA_H

#include "db/pool.h"

enum { DB_SCHEMA_VALUES = 3 };

/* What the statements of a lane name, as it was last seen. */
struct db_schema {
    struct db_env *env;
    const struct db_pool *pool;
    const struct db_statements *statements;
    const char **words; /* of all statements, each once; NULL before the first look */
    char **versions;    /* their numbers when they were last seen, "" for nothing of that name; owned */
    size_t n;
    /* words and versions as arrays, and the snapshot that they were seen with; owned */
    char *values[DB_SCHEMA_VALUES];
    bool *changed; /* by this look */
    bool known;    /* there was one */
    bool in_flight;
    bool off; /* the catalogue cannot be read */
    unsigned n_looks;
    uint64_t look_at; /* clock_ms: when it is to be looked at again, */
    bool asked;       /* if there was a query since */
};

void db_schema_init(struct db_schema *schema, struct db_env *env, const struct db_pool *pool,
                    const struct db_statements *statements);
void db_schema_clear(struct db_schema *schema);

/* Looks for the first time what the statements name, on a connection where they are prepared. */
void db_schema_begin(struct db_schema *schema, struct db_connection *connection);

/*
 * Looks whether that has changed, before queries are sent, if it is overdue; and if it is due, where nothing
 * is in flight. env->now is the present.
 */
void db_schema_before_queries(struct db_schema *schema);
void db_schema_when_idle(struct db_schema *schema);

/* Is it due? */
static inline bool db_schema_is_due(const struct db_schema *schema)
{
    return schema->asked && schema->env->now >= schema->look_at;
}

#endif
