/* handler_sql_private.h: what handler_sql.c (questions) and handler_sql_*.c (answers) share. */
#ifndef HAYFORK_HANDLER_SQL_PRIVATE_H
#define HAYFORK_HANDLER_SQL_PRIVATE_H

#include "body.h"
#include "handler.h"
#include "pgjson.h"
#include "problem.h"

struct handler_sql {
    struct handler super;
    const struct conf_route *route;
    struct db_lane *lane;
    struct db_statement *statement;
    size_t n_captures; /* of the route's path */
};

/* A request on its way. It lives in the request's memory, so it is gone with the client. */
struct call {
    const struct handler_sql *handler;
    struct sink *sink;
    struct str captures[ROUTE_MAX_CAPTURES];
    struct str query;
    struct body_whole body;
    const char **values;      /* of the parameters, once they are gathered */
    struct db_query *pending; /* NULL while there is none */
    char *answer;             /* a body that outgrew the request's memory, or NULL */
};

/* Memory of the request's, for those who want a function; arg is the sink. */
void *handler_sql_alloc(void *arg, size_t size);

/* Answers with a problem, with the route's headers as far as they have values. */
void handler_sql_refuse(struct call *call, struct problem problem);

/* Answers with what the query gave (handler_sql_answer.c). */
void handler_sql_answer(struct call *call, const PGresult *result);

/* Answers with what PostgreSQL's error means (handler_sql_error.c), and logs what the client is not told. */
void handler_sql_error(struct call *call, const PGresult *result);

/* For headers_fill: a parameter's value, when there is no row. arg is the call. */
bool handler_sql_parameter(void *arg, const char *name, struct str *value);

#endif
