/* budget.h: would PostgreSQL let in all the connections that the conf may open? For db/try.c. */
#ifndef HAYFORK_DB_BUDGET_H
#define HAYFORK_DB_BUDGET_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdio.h>

#include "conf/conf.h"

enum { DB_BUDGET_MAX_SERVERS = 2 }; /* database.connect and database.read */

/* What one of the conf's conninfos leads to, and how many connections are allowed there; -1 is no limit. */
struct db_budget_server {
    const char *connect; /* borrowed from the conf */
    PGresult *answer;    /* to db_budget_sql; the texts below are its */
    const char *started; /* two conninfos that lead to the same server see the same time */
    const char *role, *database;
    long max_connections, reserved, role_limit, database_limit;
};

struct db_budget {
    struct db_budget_server servers[DB_BUDGET_MAX_SERVERS];
    size_t n;
};

/*
 * Asks a server what it allows the role and the database of the session: one row (PostgreSQL 15,
 * chapters 20.3 and 53.10; reserved_connections came with 16).
 */
extern const char db_budget_sql[];

/* Was that server asked already? connect is that of a lane. */
bool db_budget_knows(const struct db_budget *budget, const char *connect);

/* Takes over the answer to db_budget_sql, which may be NULL or an error: then nothing is known of the server.
 */
void db_budget_take(struct db_budget *budget, const char *connect, PGresult *answer);

/* Writes a line to out for each limit below what the used lanes of so many workers may open there. */
void db_budget_warn(const struct db_budget *budget, const struct conf *conf, unsigned workers, FILE *out);

void db_budget_clear(struct db_budget *budget);

#endif
