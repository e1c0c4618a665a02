/* budget.c: would PostgreSQL let in all the connections that the conf may open? */
#include "db/budget.h"

#include <stdlib.h>
#include <string.h>

enum column { STARTED, MAX_CONNECTIONS, RESERVED, ROLE, ROLE_LIMIT, DATABASE, DATABASE_LIMIT, N_COLUMNS };

/* The limits of roles and databases do not bind superusers; what is reserved for them is for emergencies. */
const char db_budget_sql[] = "SELECT pg_postmaster_start_time(), current_setting('max_connections'),"
                             " current_setting('superuser_reserved_connections')::int"
                             " + coalesce(current_setting('reserved_connections', true)::int, 0),"
                             " rolname, CASE WHEN rolsuper THEN -1 ELSE rolconnlimit END,"
                             " datname, CASE WHEN rolsuper THEN -1 ELSE datconnlimit END"
                             " FROM pg_catalog.pg_roles, pg_catalog.pg_database"
                             " WHERE rolname = session_user AND datname = current_database()";

/* What may be too small. */
enum limit { LIMIT_SERVER, LIMIT_ROLE, LIMIT_DATABASE, N_LIMITS };

bool db_budget_knows(const struct db_budget *budget, const char *connect)
{
    for (size_t i = 0; i < budget->n; i++) {
        if (budget->servers[i].connect == connect)
            return true;
    }
    return false;
}

void db_budget_take(struct db_budget *budget, const char *connect, PGresult *answer)
{
    if (PQresultStatus(answer) != PGRES_TUPLES_OK || PQntuples(answer) != 1 ||
        PQnfields(answer) != N_COLUMNS || budget->n == DB_BUDGET_MAX_SERVERS) {
        PQclear(answer);
        return;
    }
    budget->servers[budget->n++] = (struct db_budget_server){
        .connect = connect,
        .answer = answer,
        .started = PQgetvalue(answer, 0, STARTED),
        .role = PQgetvalue(answer, 0, ROLE),
        .database = PQgetvalue(answer, 0, DATABASE),
        .max_connections = atol(PQgetvalue(answer, 0, MAX_CONNECTIONS)),
        .reserved = atol(PQgetvalue(answer, 0, RESERVED)),
        .role_limit = atol(PQgetvalue(answer, 0, ROLE_LIMIT)),
        .database_limit = atol(PQgetvalue(answer, 0, DATABASE_LIMIT)),
    };
}

/* Do the connections of both count against the same limit? */
static bool share(const struct db_budget_server *a, const struct db_budget_server *b, enum limit limit)
{
    if (strcmp(a->started, b->started) != 0)
        return false;
    return limit == LIMIT_SERVER ||
           (limit == LIMIT_ROLE ? strcmp(a->role, b->role) == 0 : strcmp(a->database, b->database) == 0);
}

/* -1 is no limit. */
static long allowed(const struct db_budget_server *server, enum limit limit)
{
    long left = server->max_connections - server->reserved;
    return limit == LIMIT_ROLE       ? server->role_limit
           : limit == LIMIT_DATABASE ? server->database_limit
           : left < 0                ? 0
                                     : left;
}

/* How many connections may be opened that count against a limit of the server. */
static size_t wanted(const struct db_budget *budget, const struct db_budget_server *server, enum limit limit,
                     const struct conf *conf, unsigned workers)
{
    size_t n = 0;
    for (size_t i = 0; i < budget->n; i++) {
        if (!share(server, &budget->servers[i], limit))
            continue;
        for (size_t j = 0; j < conf->n_lanes; j++) {
            if (conf->lanes[j].used && conf->lanes[j].connect == budget->servers[i].connect)
                n += (size_t)workers * conf->lanes[j].connections;
        }
    }
    return n < conf->database.max ? n : conf->database.max;
}

/* The least of the limits that are too small, or N_LIMITS. */
static enum limit tightest(const struct db_budget *budget, const struct db_budget_server *server,
                           const struct conf *conf, unsigned workers)
{
    enum limit worst = N_LIMITS;
    for (enum limit limit = 0; limit < N_LIMITS; limit++) {
        long most = allowed(server, limit);
        bool too_small = most >= 0 && wanted(budget, server, limit, conf, workers) > (size_t)most;
        if (too_small && (worst == N_LIMITS || most < allowed(server, worst)))
            worst = limit;
    }
    return worst;
}

/* What is to be changed on the server's side: the limit's reason, and the way out. */
static void explain(const struct db_budget_server *server, enum limit limit, FILE *out)
{
    static const char lower[] = "lower database.max or database.connections, or raise";
    if (limit == LIMIT_ROLE)
        fprintf(out, "(the limit of role %s): %s it by ALTER ROLE ... CONNECTION LIMIT\n", server->role,
                lower);
    else if (limit == LIMIT_DATABASE)
        fprintf(out, "(the limit of database %s): %s it by ALTER DATABASE ... CONNECTION LIMIT\n",
                server->database, lower);
    else if (server->reserved == 0)
        fprintf(out, "(max_connections): %s max_connections\n", lower);
    else
        fprintf(out, "(max_connections %ld, %ld of them reserved): %s max_connections\n",
                server->max_connections, server->reserved, lower);
}

void db_budget_warn(const struct db_budget *budget, const struct conf *conf, unsigned workers, FILE *out)
{
    enum limit said[DB_BUDGET_MAX_SERVERS];
    bool several = budget->n > 1 && !share(&budget->servers[0], &budget->servers[1], LIMIT_SERVER);
    for (size_t i = 0; i < budget->n; i++) {
        const struct db_budget_server *server = &budget->servers[i];
        enum limit limit = said[i] = tightest(budget, server, conf, workers);
        bool known = limit == N_LIMITS;
        for (size_t j = 0; j < i; j++)
            known = known || (said[j] == limit && share(server, &budget->servers[j], limit));
        if (known)
            continue;
        fprintf(out, "hayfork: warning: the conf may open %zu connections",
                wanted(budget, server, limit, conf, workers));
        if (conf->workers == 0)
            fprintf(out, " with the %u worker%s of this machine", workers, workers == 1 ? "" : "s");
        fprintf(out, ", the server%s%s allows %ld ", several ? " of " : "",
                !several                                 ? ""
                : server->connect == conf->database.read ? "database.read"
                                                         : "database.connect",
                allowed(server, limit));
        explain(server, limit, out);
    }
}

void db_budget_clear(struct db_budget *budget)
{
    for (size_t i = 0; i < budget->n; i++)
        PQclear(budget->servers[i].answer);
    budget->n = 0;
}
